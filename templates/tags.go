package templates

import (
	"fmt"
	"slices"
)

// use is what an expression is for.
type use uint8

const (
	printed  use = iota
	asked        // by if
	repeated     // by each
)

// keywords are the first words of the tags that print nothing.
var keywords = []string{"each", "if", "else", "end", "raw", "endraw", "delims"}

// valueTag takes a tag that prints a value.
func (b *builder) valueTag(l *lexer) {
	if l.peek().kind == endToken {
		b.fail(l.base, "the tag is empty", "expected something like ALIAS.host, self.id, env.NAME")
		return
	}
	e, good := b.expression(l, printed)
	if good && b.done(l, "the value") {
		nodes := b.nodes()
		*nodes = append(*nodes, node{value: e})
	}
}

// keywordTag takes a tag whose first word is a keyword.
func (b *builder) keywordTag(l *lexer, word token) {
	switch word.text {
	case "each":
		b.eachTag(l, word)
	case "if":
		b.ifTag(l, word)
	case "else":
		b.elseTag(l, word)
	case "end":
		b.endTag(l, word)
	case "raw":
		b.raw, b.rawAt = true, word.at
		b.done(l, "raw")
	case "endraw":
		if !b.raw {
			b.fail(word.at, "endraw has no raw before it", "")
		}
		b.raw = false
		b.done(l, "endraw")
	case "delims":
		b.fail(word.at, "delims is known only in the first line of a file", "give it that line for itself")
	}
}

func (b *builder) eachTag(l *lexer, word token) {
	e, good := b.expression(l, repeated)
	block := &block{over: e, at: word.at, word: word.text}
	// What a mistake is over is not known; then what is inside may use both.
	overAlias := e.source.kind == fromAlias
	f := frame{block: block, each: !good || overAlias, items: !good || !overAlias}
	if good && !e.defaulted {
		switch e.source.kind {
		case fromAlias, fromChosen:
			f.now = presence{e.source.slot, true, true}
		case fromFirst:
			f.now = presence{e.source.slot, false, true}
		}
	}
	if t := l.peek(); good && t.kind == wordToken && t.text == "sep" {
		l.next()
		if l.i == len(l.s) || l.s[l.i] != '=' {
			b.fail(t.at, "sep needs a text", "write sep=', '")
			good = false
		} else {
			l.i++
			t := l.separator()
			if block.separator = t.text; t.kind == badToken {
				b.bad(t)
				good = false
			}
		}
	}
	if good {
		b.done(l, "each")
	}
	b.open(f)
}

func (b *builder) ifTag(l *lexer, word token) {
	f := frame{block: &block{at: word.at, word: word.text}}
	f.now = b.branch(l, f.block)
	b.open(f)
}

// branch reads a condition, adds a branch for it to the block, and returns
// what is certain there.
func (b *builder) branch(l *lexer, block *block) presence {
	c, good := b.condition(l)
	block.branches = append(block.branches, branch{condition: c})
	if !good {
		return presence{}
	}
	holds, _ := b.presence(c)
	return holds
}

func (b *builder) presence(c condition) (holds, fails presence) {
	return c.presence(b.template.aliases, func(alias string) bool { return b.context.Aliases[alias].Self })
}

// open puts a block into the tree; what follows belongs to it.
func (b *builder) open(f frame) {
	if len(b.frames) == MaxDepth {
		b.fail(f.block.at, fmt.Sprintf("more than %d blocks are inside each other", MaxDepth), "")
		b.hopeless = true
	}
	nodes := b.nodes()
	*nodes = append(*nodes, node{block: f.block})
	b.template.blocks = true
	b.frames = append(b.frames, f)
}

func (b *builder) elseTag(l *lexer, word token) {
	if len(b.frames) == 0 {
		b.fail(word.at, "else has no block before it", "")
		return
	}
	f := &b.frames[len(b.frames)-1]
	if f.inElse {
		b.fail(word.at, f.block.word+" has an else already", "")
		return
	}
	if n := len(f.block.branches); n > 0 && f.block.branches[n-1].condition.value != nil {
		_, fails := b.presence(f.block.branches[n-1].condition)
		if (fails.chosen || fails.first) && !slices.Contains(f.since, fails) {
			f.since = append(f.since, fails)
		}
	}
	f.now = presence{}
	if t := l.peek(); t.kind == wordToken && t.text == "if" {
		l.next()
		if f.block.over != nil {
			b.fail(t.at, "else if belongs to if, not to each", "write else, and if inside it")
			f.inElse = true
			return
		}
		f.now = b.branch(l, f.block)
		return
	}
	f.inElse = true
	b.done(l, "else")
}

func (b *builder) endTag(l *lexer, word token) {
	if len(b.frames) == 0 {
		b.fail(word.at, "end has no block before it", "")
		return
	}
	b.frames = b.frames[:len(b.frames)-1]
	b.done(l, "end")
}

// condition reads what stands behind if.
func (b *builder) condition(l *lexer) (condition, bool) {
	var c condition
	if t := l.peek(); t.kind == wordToken && t.text == "not" {
		l.next()
		c.not = true
	}
	e, good := b.expression(l, asked)
	if !good {
		return c, false
	}
	c.value = e
	t := l.peek()
	if t.kind != equalToken && t.kind != notEqualToken {
		return c, b.done(l, "the condition")
	}
	l.next()
	c.compared, c.differs = true, t.kind == notEqualToken
	kind := e.source.kind
	switch {
	case c.not:
		b.fail(t.at, "not cannot stand before a comparison", "use == or != alone")
		return c, false
	case kind == fromAlias || kind == fromHasFirst:
		b.fail(t.at, fmt.Sprintf("%s cannot be compared", e.source.shown()), "compare "+e.source.shown()+".host, or ask if "+e.source.shown())
		return c, false
	case e.list:
		b.fail(t.at, "a list cannot be compared", "use contains, or join it first")
		return c, false
	}
	literal := l.next()
	switch literal.kind {
	case quotedToken, numberToken:
		c.literal = literal.text
		return c, b.done(l, "the condition")
	case badToken:
		b.bad(literal)
	default:
		b.fail(literal.at, "a comparison needs a text in quotes or a whole number", "")
	}
	return c, false
}

// expression reads a source and its filters, and checks that they fit the use.
func (b *builder) expression(l *lexer, use use) (*expression, bool) {
	e := &expression{}
	var good bool
	e.source, good = b.source(l)
	e.list, e.unknown = e.source.isList(), !good
	for l.peek().kind == pipeToken {
		l.next()
		if !b.filter(l, e) {
			return e, false
		}
	}
	if !good {
		return e, false
	}
	s := e.source
	name := s.shown()
	whole := s.kind == fromAlias || s.kind == fromHasFirst
	switch {
	case whole && len(e.calls) > 0:
		b.fail(e.calls[0].at, name+" is not a value that filters can take", "write "+name+".host, "+name+".addr, ...")
		return e, false
	case s.kind == fromAlias && use == printed:
		b.fail(s.at, name+" is an alias, not a value", fmt.Sprintf("write %s.host, %[1]s.addr, ..., or %s", name, b.tagText("each "+name)))
		return e, false
	case s.kind == fromHasFirst && use != asked:
		b.fail(s.at, name+" needs a field", "write "+name+".host, "+name+".addr, ...")
		return e, false
	case use == repeated && !e.list && s.kind != fromAlias:
		b.fail(s.at, "each needs an alias or a list", "split makes a list of a text")
		return e, false
	case use != asked && !e.defaulted && !b.certain(s):
		message := name + " may have no endpoint: its alias is optional, or on-loss=empty"
		alias := b.template.aliases[s.slot]
		if !b.context.Aliases[alias].Absent {
			message = name + " may have no endpoint: the first of a service has no other one"
		}
		b.fail(s.at, message, fmt.Sprintf("put it inside %s, or add | default '...'", b.tagText("if "+alias)))
		return e, false
	}
	if s.kind == fromChosen {
		b.template.chosen[b.template.aliases[s.slot]] = true
	}
	return e, true
}

// certain reports whether the source's endpoint is there whenever this place is
// rendered. Outside of files that is found out when rendering.
func (b *builder) certain(s source) bool {
	if b.context.Mode != File || s.kind != fromChosen && s.kind != fromFirst {
		return true
	}
	alias := b.context.Aliases[b.template.aliases[s.slot]]
	if !alias.Absent && (!alias.Self || s.kind == fromFirst) {
		return true
	}
	for _, f := range b.frames {
		if f.now.covers(s) {
			return true
		}
		for _, p := range f.since {
			if p.covers(s) {
				return true
			}
		}
	}
	return false
}

// done checks that the tag ends here.
func (b *builder) done(l *lexer, what string) bool {
	t := l.next()
	switch t.kind {
	case endToken:
		return true
	case badToken:
		b.bad(t)
	case equalToken, notEqualToken:
		b.fail(t.at, "a comparison belongs into an if", "")
	case quotedToken, numberToken:
		b.fail(t.at, "unexpected literal behind "+what, "arguments belong to a filter: VALUE | FILTER 'argument'")
	default:
		b.fail(t.at, fmt.Sprintf("unexpected %s behind %s", quoted(t.text), what), "")
	}
	return false
}
