package templates

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// sourceKind is where a value comes from.
type sourceKind uint8

const (
	fromChosen   sourceKind = iota // alias.field: the chosen endpoint
	fromFirst                      // alias.first.field: the oldest
	fromItem                       // field: the endpoint of the each around it
	fromSelf                       // self.name
	fromEnv                        // env.NAME
	fromFile                       // file 'path'
	fromCount                      // alias.count
	fromIndex                      // @index
	fromIsFirst                    // @first
	fromIsLast                     // @last
	fromValue                      // @value: the item of the list of the each around it
	fromAlias                      // alias: whether it has endpoints; if and each only
	fromHasFirst                   // alias.first: whether there is one; if only
)

// field is a field of an endpoint or of self.
type field uint8

const (
	hostField field = iota
	portField
	addrField
	idField
	zoneField
	tagsField
	attrField
	namespaceField
	serviceField
	firstField
)

// endpointFields and selfFields are in the order in which errors list them.
var (
	endpointFields = []string{"host", "port", "addr", "id", "zone", "tags", "attr.KEY"}
	selfFields     = []string{"host", "port", "addr", "id", "zone", "namespace", "service", "first"}
	loopValues     = []string{"@index", "@first", "@last", "@value"}
)

var fieldByName = map[string]field{
	"host": hostField, "port": portField, "addr": addrField, "id": idField, "zone": zoneField,
	"tags": tagsField, "namespace": namespaceField, "service": serviceField, "first": firstField,
}

// source is where a value comes from.
type source struct {
	kind  sourceKind
	field field
	slot  int    // of the alias, in Template.aliases
	key   string // of the attribute, variable or file
	name  string // as it is written, for errors
	at    int    // offset in the text
}

// isList reports whether the source gives a list rather than one text.
func (s source) isList() bool {
	switch s.kind {
	case fromChosen, fromFirst, fromItem:
		return s.field == tagsField
	}
	return false
}

// expression is a source and the filters behind it.
type expression struct {
	source    source
	calls     []call
	list      bool // the result is a list
	defaulted bool // a default is among the calls
	unknown   bool // the source is a mistake: what it gives is not known
}

// source reads a source: one word, or file and a path. Where nothing good is
// there, it reports why, and the value of an unknown source comes back, so that
// the rest of the tag can be looked at.
func (b *builder) source(l *lexer) (source, bool) {
	t := l.next()
	switch t.kind {
	case badToken:
		// Handlebars' #each and /each.
		word := firstWord(l.s[t.at-l.base:])
		if hint, ok := foreign[strings.ToLower(word)]; ok {
			b.fail(t.at, fmt.Sprintf("%s is not of this language", quoted(word)), hint)
		} else {
			b.bad(t)
		}
		return source{}, false
	case wordToken:
	case endToken:
		b.fail(t.at, "a value is missing", "expected something like ALIAS.host, self.id, env.NAME")
		return source{}, false
	default:
		b.fail(t.at, "a value cannot begin with a literal or a sign", "expected something like ALIAS.host, self.id, env.NAME")
		return source{}, false
	}
	s := source{name: t.text, at: t.at}
	head, rest, dotted := strings.Cut(t.text, ".")
	if _, declared := b.context.Aliases[head]; declared && head != "self" {
		return s, b.aliasSource(&s, head, rest, dotted)
	}
	switch {
	case head == "self":
		return s, b.selfSource(&s, rest)
	case head == "env":
		s.kind, s.key = fromEnv, rest
		if rest == "" {
			b.fail(t.at, "env needs the name of a variable", "write env.NAME")
			return s, false
		}
		return s, true
	case t.text == "file":
		return s, b.fileSource(&s, l)
	case strings.HasPrefix(head, "@"):
		return s, b.loopSource(&s)
	case head == "attr" || !dotted && fieldByName[head] < attrField && slices.Contains(endpointFields, head):
		s.kind = fromItem
		if !b.inEach(false) {
			b.fail(t.at, fmt.Sprintf("%s is known only inside %s", quoted(t.text), b.tagText("each ALIAS")), "write ALIAS."+s.shown())
			return s, b.endpointField(&s, t.text) && false
		}
		return s, b.endpointField(&s, t.text)
	}
	b.unknownWord(t, head)
	return s, false
}

// shown is the source's name, short enough for an error.
func (s source) shown() string {
	if s.kind == fromFile && s.key != "" {
		return "file " + quoted(s.key)
	}
	if len(s.name) > maxQuoted {
		return strings.ToValidUTF8(s.name[:maxQuoted], "") + "…"
	}
	return s.name
}

func (b *builder) aliasSource(s *source, alias, rest string, dotted bool) bool {
	s.slot = b.slot(alias)
	switch {
	case !dotted:
		s.kind = fromAlias
		return true
	case rest == "count":
		s.kind = fromCount
		return true
	case rest == "first":
		s.kind = fromHasFirst
		return true
	}
	if name, ok := strings.CutPrefix(rest, "first."); ok {
		s.kind = fromFirst
		return b.endpointField(s, name)
	}
	s.kind = fromChosen
	return b.endpointField(s, rest)
}

// endpointField reads the name of a field of an endpoint.
func (b *builder) endpointField(s *source, name string) bool {
	if key, ok := strings.CutPrefix(name, "attr."); ok {
		s.field, s.key = attrField, key
		if at := strings.IndexFunc(key, notInKey); at >= 0 || key == "" {
			b.fail(s.at, fmt.Sprintf("%s is not the name of an attribute", quoted(key)),
				"expected lower-case letters, digits, '_', '.' and '-'")
			return false
		}
		return true
	}
	f, known := fieldByName[name]
	if known = known && slices.Contains(endpointFields, name); known {
		s.field = f
		return true
	}
	candidates := endpointFields
	if s.kind == fromChosen {
		candidates = append(slices.Clone(endpointFields), "count", "first.FIELD")
	}
	b.fail(s.at, fmt.Sprintf("an endpoint has no field %s", quoted(name)), didYouMean(name, candidates))
	return false
}

func notInKey(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-')
}

func (b *builder) selfSource(s *source, name string) bool {
	s.kind = fromSelf
	if _, declared := b.context.Aliases["self"]; declared {
		b.slot("self")
	}
	f, known := fieldByName[name]
	if known && slices.Contains(selfFields, name) {
		s.field = f
		return true
	}
	b.fail(s.at, fmt.Sprintf("self has no field %s", quoted(name)), didYouMean(name, selfFields))
	return false
}

func (b *builder) fileSource(s *source, l *lexer) bool {
	s.kind = fromFile
	t := l.peek()
	switch {
	case t.kind == badToken:
		l.next()
		b.bad(t)
		return false
	case t.kind != quotedToken:
		b.fail(t.at, "file needs a path in quotes", "write file '/run/secrets/password'")
		return false
	}
	l.next()
	s.key = t.text
	if !path.IsAbs(t.text) {
		b.fail(t.at, "file needs an absolute path", "write file '/run/secrets/password'")
		return false
	}
	b.template.files[t.text] = true
	return true
}

func (b *builder) loopSource(s *source) bool {
	switch s.name {
	case "@index":
		s.kind = fromIndex
	case "@first":
		s.kind = fromIsFirst
	case "@last":
		s.kind = fromIsLast
	case "@value":
		s.kind = fromValue
	default:
		b.fail(s.at, fmt.Sprintf("there is no value %s", quoted(s.name)), didYouMean(s.name, loopValues))
		return false
	}
	switch {
	case s.kind == fromValue && !b.inEach(true):
		b.fail(s.at, "@value is known only inside an each over a list", "write each tags, or each VALUE | split ','")
		return false
	case !b.inEach(true) && !b.inEach(false):
		b.fail(s.at, s.name+" is known only inside each", "")
		return false
	}
	return true
}

// unknownWord reports a word that no source begins with.
func (b *builder) unknownWord(t token, head string) {
	if hint, ok := foreign[firstWord(strings.ToLower(head))]; ok {
		b.fail(t.at, fmt.Sprintf("%s is not of this language", quoted(head)), hint)
		return
	}
	if head == "" {
		b.fail(t.at, fmt.Sprintf("unexpected %s", quoted(t.text)),
			"values are ALIAS.host, self.id, env.NAME, ...; what belongs to others goes between "+b.tagText("raw")+" and "+b.tagText("endraw"))
		return
	}
	if t.kind == numberToken {
		b.fail(t.at, fmt.Sprintf("unexpected %s", quoted(t.text)), "expected something like ALIAS.host, self.id, env.NAME")
		return
	}
	aliases := b.context.aliasNames()
	candidates := append(slices.Clone(aliases), "self", "env", "file", "if", "each", "else", "end", "raw", "endraw")
	if b.inEach(false) {
		candidates = append(candidates, endpointFields...)
	}
	hint := ""
	if near := closest(head, candidates); near != "" {
		hint = "did you mean " + near + "?"
	} else if len(aliases) > 0 {
		hint = "declared: " + strings.Join(aliases[:min(len(aliases), maxListed)], ", ")
	} else {
		hint = "no alias is declared"
	}
	b.fail(t.at, fmt.Sprintf("there is no alias %s", quoted(head)), hint)
}

// maxListed is how many aliases an error lists.
const maxListed = 10
