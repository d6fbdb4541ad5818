// Package templates is the small language in which a container's files,
// arguments and environment values say where the current endpoints go.
//
//	upstream web {
//	{{each web}}
//	    server {{addr}} weight={{attr.weight | default 1}};
//	{{else}}
//	    server 127.0.0.1:1 down;
//	{{end}}
//	}
//
// docs/templates.md is the manual of the language. This comment is about how
// it is built and what callers may rely on.
//
// # What it is, and is not
//
// A text is parsed once, against the aliases that are declared, and rendered
// many times, each time from plain values ([Data]). The package knows no
// registry, watches nothing, writes no file and starts no goroutine. It reads
// files only where a text says `file`, and only through [Data.ReadFile].
//
//	text --fasttemplate.ExecuteFunc--> builder --> tree --Render(Data)--> bytes
//	        text runs: builder.Write     |
//	        tags:      builder.tag       +--> every mistake, with its position
//
// fasttemplate finds the delimiters; one object is both its writer and its tag
// handler, so that texts and tags arrive in order. Rendering walks the tree and
// does not use fasttemplate any more.
//
//	tag       = "each" over [ "sep=" literal ] | "if" condition
//	          | "else" [ "if" condition ] | "end" | "!" anything
//	          | "raw" | "endraw" | value
//	over      = alias | value                        (the value is a list)
//	condition = [ "not" ] ( alias | alias ".first" | value )
//	          | value ( "==" | "!=" ) literal
//	value     = source { "|" filter { literal } }
//	source    = alias "." field | alias ".first." field | alias ".count"
//	          | "self." name | "env." NAME | "file" text
//	          | field | "@index" | "@first" | "@last" | "@value"
//	field     = "host" | "port" | "addr" | "id" | "zone" | "tags" | "attr." key
//	literal   = text in quotes | whole number
//
// # Arguments
//
// In [Argument] mode much of what stands in double braces belongs to others
// (docker's --format, Go templates, Helm). Outside of our blocks a placeholder
// is ours when its first word, or the first word behind each, if or if not, is
// a declared alias, self, env or file. All else stays byte for byte, also every
// else and end: outside of our blocks they can only belong to others. Inside a
// block of ours everything is ours, and what is unknown there is a mistake; so
// nobody has to follow the others' blocks to know whose end an {{end}} is. An
// {{end}} belongs to our innermost open block, if there is one.
//
// # Guarantees
//
//   - The same text, aliases and data give the same bytes.
//   - [Parse] reports every mistake, each with its line and column. No error
//     holds a value (of a variable, a file, an attribute) or more of the text
//     than a tag.
//   - No text and no data make the package panic. The sizes of texts, values,
//     files, outputs, the depth of blocks and the work of one rendering are
//     bounded by the constants in limits.go; beyond them there is an error.
//   - A [Template] is immutable and may be rendered by many goroutines at once.
package templates
