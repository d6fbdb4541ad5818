package templates

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// builder makes the tree. It is both the writer that fasttemplate gives the
// texts to and the handler of its tags, so that they come in order:
//
//	Write(text) tag Write(text) tag ... Write(text)
//
// More writes in a row mean that a tag is never closed: fasttemplate then
// writes the delimiter and the rest.
type builder struct {
	context    Context
	text       string // the whole source
	start, end string // the delimiters
	template   *Template
	slots      map[string]int
	failures   []failure
	hopeless   bool // what follows need not be looked at

	at     int // offset of what comes next
	base   int // offset of the text behind the delims line
	writes int // since the last tag
	// The text in front of the next tag, which the tag may still trim.
	low, high int
	// What the last tag does to the text behind it.
	skipTo   int
	trimNext bool

	raw     bool // between raw and endraw
	rawAt   int
	textEnd int // where the last text node ends in the source
	frames  []frame
}

// frame is a block that is open.
type frame struct {
	block  *block
	inElse bool
	items  bool       // each over a list
	each   bool       // each over an alias
	now    presence   // certain in this branch
	since  []presence // certain because earlier branches were not taken
}

// Write takes a run of text. It never fails.
func (b *builder) Write(p []byte) (int, error) {
	low, high := b.at, b.at+len(p)
	b.at = high
	b.writes++
	if b.writes == 2 && !b.lenient() {
		b.fail(low, "the tag is never closed", "add "+b.end)
	}
	if b.writes > 1 {
		b.high = high
		return len(p), nil
	}
	low = min(max(low, b.skipTo), high)
	if b.trimNext {
		low = high - len(strings.TrimLeft(b.text[low:high], blanks))
	}
	b.low, b.high = low, high
	return len(p), nil
}

// errEnough ends parsing when there are enough mistakes to report, or blocks
// so deep that what follows would only add noise.
var errEnough = errors.New("there are too many mistakes")

// tag takes a tag. Mistakes are collected; it fails only with errEnough.
func (b *builder) tag(_ io.Writer, tag string) (int, error) {
	at := b.at
	b.at += len(b.start) + len(tag) + len(b.end)
	b.writes = 0
	b.trimNext = false
	switch {
	case b.raw:
		b.rawTag(at)
	case b.lenient():
		b.argumentTag(at)
	default:
		// {{{ is a brace and a tag.
		for at+len(b.start) < b.at-len(b.end) && strings.HasPrefix(b.text[at+1:], b.start) {
			at++
		}
		b.ownTag(at)
	}
	if b.hopeless || len(b.failures) >= MaxMistakes {
		return 0, errEnough
	}
	return 0, nil
}

// lenient reports whether what is not ours may stay as it is.
func (b *builder) lenient() bool {
	return b.context.Mode == Argument && len(b.frames) == 0 && !b.raw
}

// inside returns what is between the delimiters of the tag at the offset.
func (b *builder) inside(at int) string {
	return b.text[at+len(b.start) : b.at-len(b.end)]
}

// rawTag takes a tag between raw and endraw: text, unless it is endraw.
func (b *builder) rawTag(at int) {
	inner := at
	if i := strings.LastIndex(b.text[at+1:b.at-len(b.end)], b.start); i >= 0 {
		inner = at + 1 + i
	}
	if word, _, _ := trimMarks(b.inside(inner)); strings.Trim(word, blanks) == "endraw" {
		b.ownTag(inner)
		return
	}
	b.emit(b.low, b.high)
	b.emit(at, b.at)
}

// ownTag takes a tag that must be ours. What is between the pending text and
// the tag (a brace, someone else's delimiter) is text.
func (b *builder) ownTag(at int) {
	b.template.filled = true
	at, comment := b.closed(at)
	content, left, right := trimMarks(b.inside(at))
	l := &lexer{s: content, base: at + len(b.start)}
	if left {
		l.base++
	}
	first := l.peek()
	keyword := !comment && first.kind == wordToken && slices.Contains(keywords, first.text)

	high := at
	if left {
		high = b.low + len(strings.TrimRight(b.text[b.low:high], blanks))
	}
	if (keyword || comment) && !left && !right {
		if from, to, alone := b.alone(at, b.at); alone {
			high = max(b.low, from)
			b.skipTo = to
		}
	}
	b.emit(b.low, high)
	b.trimNext = right

	switch {
	case comment:
	case keyword:
		l.next()
		b.keywordTag(l, first)
	default:
		b.valueTag(l)
	}
}

// closed checks that no other tag begins inside the one at the offset. If one
// does, the tag was never closed, and the offset of the last one is returned.
func (b *builder) closed(at int) (_ int, comment bool) {
	content := b.inside(at)
	if strings.HasPrefix(strings.TrimLeft(strings.TrimPrefix(content, "-"), blanks), "!") {
		if strings.Contains(content, b.start) {
			b.fail(at, "the comment ends at the first "+b.end, "leave the delimiters out of it")
		}
		return at, true
	}
	i := indexUnquoted(content, b.start)
	if i < 0 {
		return at, false
	}
	b.fail(at, "the tag is not closed before the next "+b.start, "add "+b.end)
	at += len(b.start) + i
	if i := strings.LastIndex(b.inside(at), b.start); i >= 0 {
		at += len(b.start) + i
	}
	return at, false
}

// alone reports whether a tag has its lines to itself, and where they begin
// and end.
func (b *builder) alone(at, end int) (from, to int, alone bool) {
	for at > b.base && (b.text[at-1] == ' ' || b.text[at-1] == '\t') {
		at--
	}
	if at > b.base && b.text[at-1] != '\n' {
		return 0, 0, false
	}
	for end < len(b.text) && (b.text[end] == ' ' || b.text[end] == '\t') {
		end++
	}
	switch rest := b.text[end:]; {
	case rest == "":
		return at, end, true
	case rest[0] == '\n':
		return at, end + 1, true
	case strings.HasPrefix(rest, "\r\n"):
		return at, end + 2, true
	}
	return 0, 0, false
}

// trimMarks takes the '-' of {{- and -}} off. A '-' directly behind the name of
// an attribute belongs to the name, and one behind another '-' to nothing.
func trimMarks(content string) (rest string, left, right bool) {
	rest, left = strings.CutPrefix(content, "-")
	if before, found := strings.CutSuffix(rest, "-"); found && !strings.HasSuffix(before, "-") {
		last := before[strings.LastIndexAny(before, blanks+"|'\"")+1:]
		if !strings.HasPrefix(last, "attr.") && !strings.Contains(last, ".attr.") {
			return before, left, true
		}
	}
	return rest, left, false
}

// emit appends a run of the source to the tree.
func (b *builder) emit(low, high int) {
	if low >= high {
		return
	}
	nodes := b.nodes()
	if n := len(*nodes); n > 0 && b.textEnd == low {
		if last := &(*nodes)[n-1]; last.value == nil && last.block == nil {
			last.text = b.text[low-len(last.text) : high]
			b.textEnd = high
			return
		}
	}
	*nodes = append(*nodes, node{text: b.text[low:high]})
	b.textEnd = high
}

// nodes is where what comes next belongs.
func (b *builder) nodes() *[]node {
	if len(b.frames) == 0 {
		return &b.template.nodes
	}
	f := &b.frames[len(b.frames)-1]
	switch {
	case f.inElse:
		return &f.block.other
	case f.block.over != nil:
		return &f.block.body
	default:
		return &f.block.branches[len(f.block.branches)-1].body
	}
}

// finish takes the text behind the last tag and reports what is still open.
func (b *builder) finish() {
	b.emit(b.low, b.high)
	for _, f := range b.frames {
		b.fail(f.block.at, f.block.word+" is never closed", "add "+b.tagText("end"))
	}
	if b.raw {
		b.fail(b.rawAt, "raw is never closed", "add "+b.tagText("endraw"))
	}
}

// slot returns the number of an alias, and counts it as used.
func (b *builder) slot(alias string) int {
	slot, known := b.slots[alias]
	if !known {
		slot = len(b.template.aliases)
		b.slots[alias] = slot
		b.template.aliases = append(b.template.aliases, alias)
	}
	return slot
}

func (b *builder) fail(at int, message, hint string) {
	b.failures = append(b.failures, failure{at: at, message: message, hint: hint})
}

// tagText writes a tag as it looks in this text.
func (b *builder) tagText(inside string) string { return b.start + inside + b.end }

// bad reports a token that is none.
func (b *builder) bad(t token) {
	switch t.text {
	case openQuote:
		b.fail(t.at, t.text, fmt.Sprintf("a tag ends at the first %s, even inside quotes", b.end))
	case "":
		b.fail(t.at, "sep= has no text behind it", "write sep=', '")
	default:
		hint := ""
		if strings.Contains("<>=&", t.text) {
			hint = "comparisons are == and !="
		}
		b.fail(t.at, "unexpected "+quoted(t.text), hint)
	}
}

// inEach reports whether an each over an alias (or over a list) is around.
func (b *builder) inEach(list bool) bool {
	for _, f := range b.frames {
		if !f.inElse && (f.each && !list || f.items && list) {
			return true
		}
	}
	return false
}
