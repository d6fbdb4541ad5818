package templates

// node is a piece of a parsed text: a run of text, a value or a block.
type node struct {
	text  string      // when there is neither value nor block
	value *expression // printed
	block *block
}

// block is an each (over is set) or an if with its branches.
type block struct {
	over      *expression // a list, or an alias
	separator string      // printed between the items of over
	body      []node      // of over
	branches  []branch    // of an if, the first that holds is taken
	other     []node      // else
	at        int         // offset in the text
	word      string      // each or if
}

type branch struct {
	condition condition
	body      []node
}

// condition is what if asks. A missing value is an empty one here.
type condition struct {
	value    *expression
	not      bool // for filled
	compared bool // with literal, rather than asked whether it is filled
	differs  bool // != rather than ==
	literal  string
}

// presence says which endpoints are there for certain in a part of a text.
type presence struct {
	slot   int
	chosen bool
	first  bool
}

// presence returns what is certain when the condition holds, and when it does
// not.
func (c condition) presence(aliases []string, self func(alias string) bool) (holds, fails presence) {
	s := c.value.source
	var p presence
	switch s.kind {
	case fromAlias, fromCount, fromChosen:
		p = presence{s.slot, true, true}
	case fromFirst, fromHasFirst:
		p = presence{s.slot, !self(aliases[s.slot]), true}
	default:
		return
	}
	if c.value.defaulted {
		return
	}
	nothing := ""
	if s.kind == fromCount {
		nothing = "0"
	}
	// A condition that only a present endpoint can make true, turned around
	// by not, by != and by comparing with what an absent one looks like.
	positive := !c.not
	if c.compared {
		positive = c.differs == (c.literal == nothing)
	}
	if len(c.value.calls) > 0 && (c.compared || s.kind == fromCount) {
		return
	}
	if positive {
		return p, presence{}
	}
	return presence{}, p
}

// covers reports whether the source's endpoint is there for certain.
func (p presence) covers(s source) bool {
	return p.slot == s.slot && (p.chosen && s.kind == fromChosen || p.first && s.kind == fromFirst)
}
