package templates

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/valyala/fasttemplate"
)

// The delimiters, unless a file chooses others.
const (
	defaultStart = "{{"
	defaultEnd   = "}}"
)

// Template is a parsed text. Immutable, safe for concurrent use.
type Template struct {
	name     string
	source   string
	nodes    []node
	aliases  []string // by slot
	files    map[string]bool
	chosen   map[string]bool
	literals []string
	filled   bool // there is a tag of ours
	blocks   bool // there is a block

	// size is that of the last result, so that the next one is allocated once.
	size atomic.Int64
}

// Parse parses text, which may have up to [MaxTemplateSize] bytes. Every
// mistake is reported, in the order of the text: the error is an [errors.Join]
// of [*Error].
func Parse(text string, c Context) (*Template, error) {
	if len(text) > MaxTemplateSize {
		f := failure{message: fmt.Sprintf("the text is %d bytes long; at most %d are allowed", len(text), MaxTemplateSize)}
		return nil, join([]failure{f}, c.Name, "")
	}
	t := &Template{name: c.Name, source: text, files: make(map[string]bool), chosen: make(map[string]bool)}
	b := &builder{context: c, text: text, start: defaultStart, end: defaultEnd, template: t, slots: make(map[string]int)}
	if c.Mode == File && !b.delims() {
		return nil, join(b.failures, c.Name, text)
	}
	b.at = b.base
	b.low, b.high = b.base, b.base
	// The only error is errEnough: what is never closed fasttemplate writes as
	// text, rather than to put all of the text into an error.
	if _, err := fasttemplate.ExecuteFunc(text[b.base:], b.start, b.end, b, b.tag); err == nil {
		b.finish()
	}
	if len(b.failures) > 0 {
		return nil, join(b.failures, c.Name, text)
	}
	return t, nil
}

// Aliases returns the aliases used, sorted (self.first etc. count as "self"
// only when it is a declared alias).
func (t *Template) Aliases() []string { return slices.Sorted(slices.Values(t.aliases)) }

// Chosen returns the aliases of which a field of the chosen endpoint is used,
// rather than only the list, the count or the first, sorted.
func (t *Template) Chosen() []string { return slices.Sorted(maps.Keys(t.chosen)) }

// Files returns the literal paths read by file, sorted.
func (t *Template) Files() []string { return slices.Sorted(maps.Keys(t.files)) }

// Literals returns the placeholders that stay byte for byte (Mode Argument), in
// order, with delimiters.
func (t *Template) Literals() []string { return slices.Clone(t.literals) }

// Placeholders reports whether anything is filled in at all; if not, rendering
// gives the text itself.
func (t *Template) Placeholders() bool { return t.filled }

// delims reads a first line that chooses the delimiters, if there is one, and
// reports whether it is good.
func (b *builder) delims() bool {
	line, _, more := strings.Cut(b.text, "\n")
	inside, ok := strings.CutPrefix(strings.Trim(line, blanks), defaultStart)
	if !ok {
		return true
	}
	inside, ok = strings.CutSuffix(inside, defaultEnd)
	words := strings.Fields(inside)
	if !ok || len(words) == 0 || words[0] != "delims" {
		return true
	}
	if len(words) != 3 || !goodDelimiter(words[1]) || !goodDelimiter(words[2]) || words[1] == words[2] {
		b.fail(strings.Index(b.text, "delims"), "delims needs two different delimiters, of 1 to 8 signs each",
			"write "+b.tagText("delims <% %>")+"; letters, digits, quotes and backslashes cannot be signs")
		return false
	}
	b.start, b.end = words[1], words[2]
	b.template.filled = true
	b.base = len(line)
	if more {
		b.base++
	}
	return true
}

func goodDelimiter(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if c <= ' ' || c > '~' || letter || c == '\'' || c == '"' || c == '\\' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= maxDelimiter
}
