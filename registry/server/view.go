package server

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"cleat/registry"
)

// view is the list of instances behind one filter, and the sessions that share
// it. It is there as long as somebody is subscribed.
type view struct {
	filter   registry.Filter
	text     string // canonical
	json     []byte // the text, encoded
	service  *service
	revision registry.Revision // of the last message

	members     []*instance // sorted by (since, id)
	subscribers []*subscription

	// What the event under way has changed; nil when it has changed nothing.
	added   map[string]*instance
	dropped map[string]registry.Why

	// The complete view, encoded; nil when it must be made anew. It is given up
	// at every sweep, because only a crowd of newcomers needs it twice.
	complete frame
}

// subscription is one session's share of a view.
//
//	due --complete view put into the outbox--> current --difference--> current
//	 ^                                            |
//	 +-- the outbox was full; warming is over ----+
type subscription struct {
	session *session
	view    *view
	index   int // in the view's subscribers

	due   bool
	first registry.Revision // of the first view sent on this connection
	sent  registry.Revision // of the last one

	applied registry.Revision // the last one acknowledged
	held    bool              // it was acknowledged as held
	err     string            // or with this error
}

// subscribe gives the session the view behind the filter.
func (c *core) subscribe(s *session, filter registry.Filter, text string) *subscription {
	v := c.views[text]
	if v == nil {
		v = c.newView(filter, text)
	}
	sub := &subscription{session: s, view: v, index: len(v.subscribers), due: true}
	v.subscribers = append(v.subscribers, sub)
	return sub
}

func (c *core) newView(filter registry.Filter, text string) *view {
	s := c.service(filter.Namespace, filter.Service)
	v := &view{filter: filter, text: text, json: encodeJSON(text), service: s, revision: c.change()}
	for _, i := range s.instances {
		if filter.Match(i.shown) {
			v.members = append(v.members, i)
		}
	}
	slices.SortFunc(v.members, compareInstances)
	s.views = append(s.views, v)
	c.views[text] = v
	return v
}

func (c *core) unsubscribe(sub *subscription) {
	v := sub.view
	last := len(v.subscribers) - 1
	v.subscribers[sub.index] = v.subscribers[last]
	v.subscribers[sub.index].index = sub.index
	v.subscribers[last] = nil
	v.subscribers = v.subscribers[:last]
	if last > 0 {
		return
	}
	delete(c.views, v.text)
	v.service.views = slices.DeleteFunc(v.service.views, func(other *view) bool { return other == v })
	c.forget(v.service)
}

// place returns where the instance is, or would be, among the members.
func (v *view) place(i *instance) (int, bool) {
	return slices.BinarySearchFunc(v.members, i, compareInstances)
}

func (v *view) insert(i *instance) {
	if at, found := v.place(i); !found {
		v.members = slices.Insert(v.members, at, i)
	}
	v.complete = nil
}

func (v *view) remove(i *instance) bool {
	at, found := v.place(i)
	if found {
		v.members = slices.Delete(v.members, at, at+1)
		v.complete = nil
	}
	return found
}

// add puts the instance into the view and into its next message.
func (c *core) add(v *view, i *instance) {
	v.insert(i)
	c.touch(v)
	if v.added == nil {
		v.added = make(map[string]*instance, 1)
	}
	v.added[i.shown.ID] = i
	delete(v.dropped, i.shown.ID)
}

// drop puts an explicit drop into the view's next message.
func (c *core) drop(v *view, i *instance, why registry.Why) {
	c.touch(v)
	if v.dropped == nil {
		v.dropped = make(map[string]registry.Why, 1)
	}
	v.dropped[i.shown.ID] = why
	delete(v.added, i.shown.ID)
}

func (c *core) touch(v *view) {
	if v.added == nil && v.dropped == nil {
		c.dirty = append(c.dirty, v)
	}
	v.complete = nil
	v.revision = c.change()
}

// send sends the view's next message to all who are subscribed.
func (c *core) send(v *view) {
	added := slices.SortedFunc(maps.Values(v.added), compareInstances)
	var dropped []registry.Drop
	for id, why := range v.dropped {
		dropped = append(dropped, registry.Drop{ID: id, Why: why})
	}
	sortDrops(dropped)
	v.added, v.dropped = nil, nil
	if len(v.subscribers) == 0 {
		return
	}
	m := registry.ViewMessage{Filter: v.text, Revision: v.revision, Warming: c.warming.on, Drop: dropped}
	f := viewFrame(m, v.json, added)
	for _, sub := range v.subscribers {
		switch {
		case sub.due: // a complete view will have it
		case sub.session.out.putView(f):
			sub.sent = v.revision
		default:
			c.overflow(sub.session)
		}
	}
}

// overflow marks everything as due for a session whose outbox has been emptied.
func (c *core) overflow(s *session) {
	for _, sub := range s.subs {
		sub.due = true
	}
	s.out.owe()
}

// completeFrame returns the complete view, encoded.
//
// Of what is not in the view it names what the server knows to be hidden, so
// that consumers learn why; and while warming, when absence means nothing,
// everything of which the server knows that it is not in the view.
func (c *core) completeFrame(v *view) frame {
	if v.complete != nil {
		return v.complete
	}
	known := v.service.idle
	if c.warming.on {
		known = v.service.instances
	}
	var dropped []registry.Drop
	for id, i := range known {
		would := i.shown
		would.Status = registry.Passing
		if !v.filter.Match(i.shown) && (c.warming.on || i.hidden != 0 && v.filter.Match(would)) {
			dropped = append(dropped, registry.Drop{ID: id, Why: i.why()})
		}
	}
	if c.warming.on {
		for id, why := range v.service.gone {
			dropped = append(dropped, registry.Drop{ID: id, Why: why})
		}
	}
	sortDrops(dropped)
	m := registry.ViewMessage{Filter: v.text, Revision: v.revision, Complete: true, Warming: c.warming.on, Drop: dropped}
	v.complete = viewFrame(m, v.json, v.members)
	c.encoded = append(c.encoded, v)
	return v.complete
}

// serve puts the complete views that are due into the session's outbox, as far
// as it takes them. The writer asks for the others.
func (c *core) serve(s *session) {
	for _, sub := range s.subs {
		if !sub.due {
			continue
		}
		f := c.completeFrame(sub.view)
		if !s.out.fits(len(f)) || !s.out.putView(f) {
			s.out.owe()
			return
		}
		sub.due = false
		sub.sent = sub.view.revision
		if sub.first == 0 {
			sub.first = sub.sent
		}
	}
}

func sortDrops(drops []registry.Drop) {
	slices.SortFunc(drops, func(a, b registry.Drop) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), cmp.Compare(a.Why, b.Why))
	})
}
