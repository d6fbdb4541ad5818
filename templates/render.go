package templates

import (
	"fmt"
	"strconv"
)

// Render fills in the template. Errors are *Error (with position), wrapping
// *AbsentError where that is the cause.
func (t *Template) Render(d Data) ([]byte, error) {
	r := renderer{template: t, data: &d}
	r.views = make([]View, len(t.aliases))
	for slot, alias := range t.aliases {
		r.views[slot] = d.Views[alias]
	}
	r.out = make([]byte, 0, max(len(t.source), int(t.size.Load())))
	if f := r.nodes(t.nodes); f != nil {
		return nil, f.locate(t.name, t.source)
	}
	t.size.Store(int64(len(r.out)))
	return r.out, nil
}

// RenderArgument: as Render for an argument; omit says that a block made it
// empty, so it is to be left out: the text has a block, and nothing is left.
func (t *Template) RenderArgument(d Data) (text string, omit bool, err error) {
	out, err := t.Render(d)
	if err != nil {
		return "", false, err
	}
	return string(out), len(out) == 0 && t.blocks, nil
}

// renderer is one rendering.
type renderer struct {
	template *Template
	data     *Data
	views    []View // by slot
	out      []byte
	work     int
	files    map[string]fileResult

	// The each around.
	endpoint     *Endpoint
	item         string
	index, count int
}

func (r *renderer) nodes(nodes []node) *failure {
	for i := range nodes {
		n := &nodes[i]
		var f *failure
		switch {
		case n.value != nil:
			f = r.print(n.value)
		case n.block != nil:
			f = r.block(n.block)
		default:
			r.out = append(r.out, n.text...)
		}
		if f != nil {
			return f
		}
		if f := r.step(); f != nil {
			return f
		}
	}
	return nil
}

// step counts one piece of work, and holds the rendering to its limits.
func (r *renderer) step() *failure {
	r.work += workPerNode
	switch {
	case len(r.out) > MaxOutputSize:
		return &failure{message: fmt.Sprintf("the result is larger than %d bytes", MaxOutputSize)}
	case r.work > maxWork:
		return &failure{message: "rendering takes too long", hint: "there are too many blocks inside each other"}
	}
	return nil
}

func (r *renderer) block(b *block) *failure {
	if b.over == nil {
		for i := range b.branches {
			branch := &b.branches[i]
			holds, f := r.holds(&branch.condition)
			if f != nil {
				return f
			}
			if holds {
				return r.nodes(branch.body)
			}
			r.work += workPerNode
		}
		return r.nodes(b.other)
	}
	var endpoints []Endpoint
	var items []string
	if over := b.over; over.source.kind == fromAlias {
		endpoints = r.views[over.source.slot].Endpoints
	} else {
		v, state, f := r.value(over)
		if state != found {
			return r.explain(over, state, f)
		}
		items = v.list
	}
	count := max(len(endpoints), len(items))
	if count == 0 {
		return r.nodes(b.other)
	}
	endpoint, item, outerIndex, outerCount := r.endpoint, r.item, r.index, r.count
	for i := range count {
		if i > 0 {
			r.out = append(r.out, b.separator...)
		}
		r.index, r.count = i, count
		if items != nil {
			r.item = items[i]
		} else {
			r.endpoint = &endpoints[i]
		}
		if f := r.step(); f != nil {
			return f
		}
		if f := r.nodes(b.body); f != nil {
			return f
		}
	}
	r.endpoint, r.item, r.index, r.count = endpoint, item, outerIndex, outerCount
	return nil
}

func (r *renderer) holds(c *condition) (bool, *failure) {
	switch c.value.source.kind {
	case fromAlias:
		return (len(r.views[c.value.source.slot].Endpoints) > 0) != c.not, nil
	case fromHasFirst:
		return (r.views[c.value.source.slot].First != nil) != c.not, nil
	}
	v, state, f := r.value(c.value)
	switch state {
	case broken:
		return false, r.explain(c.value, state, f)
	case found:
	default:
		v = value{}
	}
	if c.compared {
		return v.equal(c.literal) != c.differs, nil
	}
	return v.filled() != c.not, nil
}

// print appends a value to the result.
func (r *renderer) print(e *expression) *failure {
	if len(e.calls) == 0 {
		// The common case, without a value in between.
		out, state := r.plain(e.source)
		if state == found {
			r.out = out
			return nil
		}
	}
	v, state, f := r.value(e)
	if state != found {
		return r.explain(e, state, f)
	}
	r.out = v.append(r.out)
	return nil
}

// plain appends the port or address of an endpoint, which would otherwise be
// made into a text first; for every other source it does not know a state.
func (r *renderer) plain(s source) ([]byte, state) {
	if s.field != portField && s.field != addrField {
		return nil, missing
	}
	e := r.endpointOf(s)
	if e == nil || e.Host == "" || e.Port == 0 {
		return nil, missing
	}
	if s.field == addrField {
		return appendAddr(r.out, e.Host, e.Port), found
	}
	return strconv.AppendUint(r.out, uint64(e.Port), 10), found
}
