package templates

import (
	"maps"
	"slices"
)

// Alias is what the parser must know of a declared requirement.
type Alias struct {
	// Absent says that the view may be empty while the child runs (optional,
	// or on-loss=empty): in a file, fields of its endpoints need an if, an each
	// or a default.
	Absent bool
	// Self says that the alias is the container's own service (`self`
	// requirement). Its chosen endpoint is another instance, and the founder
	// has none, so in a file its fields need an if, an each or a default as
	// well; those of first do not.
	Self bool
}

// Mode is where a text comes from; it decides how strange placeholders are taken.
type Mode int

const (
	// File: everything between the delimiters must be ours; a first line
	// {{delims}} is allowed.
	File Mode = iota
	// Env: a CLEAT_ENV_ value: as File, but a field of an absent endpoint makes
	// rendering fail with *AbsentError instead of being a parse error.
	Env
	// Argument: as Env, but a placeholder whose first word is not a declared
	// alias, self, env or file (or a block over one) stays byte for byte.
	Argument
)

// Context is what a text is parsed against.
type Context struct {
	Name    string           // of the file or variable, for errors
	Mode    Mode             // where the text comes from
	Aliases map[string]Alias // declared, lower case
}

func (c Context) aliasNames() []string {
	return slices.Sorted(maps.Keys(c.Aliases))
}
