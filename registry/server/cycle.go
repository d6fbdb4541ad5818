package server

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"cleat/registry"
	"cleat/registry/access"
)

// Containers whose children wait for each other before their first start do so
// for ever. Only the server sees that. It looks once a sweep, and says so when it
// has found the same twice: reports come up to a second late.
//
// A requirement is locked when instances that would meet it belong to launchers
// that are stuck, and the others, those that serve and those that may come to,
// are fewer than its min. A launcher is stuck when its child waits for a locked
// requirement. The stuck ones are the largest set of which that is true; each of
// them waits for a cycle, or is part of one.

const (
	// manyWaiting is how many launchers may wait for the server to look at every
	// sweep; with more it looks every manyPause.
	manyWaiting = 1000
	manyPause   = 5 * time.Second
	// cycleRounds bounds one look: chains that are longer are not found.
	cycleRounds = 64
)

// cycles is what is known of launchers that wait.
type cycles struct {
	waiting map[*session]struct{} // for their child's first start
	found   map[*session]string   // at the last look: the cycle, as text
	looked  time.Time
}

// waits reports whether the launcher's child waits for requirements.
func (s *session) waits() bool {
	return !s.ended && s.report != nil && s.report.State == registry.StateWaiting && len(s.report.Unmet) > 0
}

// noteWaiting keeps account of who waits.
func (c *core) noteWaiting(s *session) {
	if s.waits() {
		if c.cycles.waiting == nil {
			c.cycles.waiting = make(map[*session]struct{})
		}
		c.cycles.waiting[s] = struct{}{}
		return
	}
	delete(c.cycles.waiting, s)
	c.tellCycle(s, nil)
}

// findCycles looks for launchers that wait for each other.
func (c *core) findCycles() {
	if len(c.cycles.waiting) == 0 {
		c.cycles.found = nil
		return
	}
	if len(c.cycles.waiting) > manyWaiting && c.now.Sub(c.cycles.looked) < manyPause {
		return
	}
	c.cycles.looked = c.now
	for s := range c.cycles.waiting {
		if s.ended {
			delete(c.cycles.waiting, s)
		}
	}
	stuck := c.stuck()
	next := make(map[*session]registry.CycleLink, len(stuck.sessions))
	to := make(map[*session]*session, len(stuck.sessions))
	for s := range stuck.sessions {
		require, provider := stuck.locked(s)
		view := s.subscription(require.Filter).view
		next[s] = registry.CycleLink{ID: s.id.id, Namespace: s.id.namespace, Service: view.filter.Service}
		to[s] = provider
	}
	found := make(map[*session]string, len(next))
	for s := range c.cycles.waiting {
		links := loop(s, next, to)
		found[s] = registry.Cycle{Links: links}.String()
		if links == nil || c.cycles.found[s] == found[s] {
			c.tellCycle(s, links)
		}
	}
	c.cycles.found = found
}

// loop returns the cycle that the launcher waits for, from itself on where it is
// part of it; nil: none.
func loop(s *session, next map[*session]registry.CycleLink, to map[*session]*session) []registry.CycleLink {
	seen := make(map[*session]int)
	var path []*session
	for at := s; ; at = to[at] {
		if _, stuck := next[at]; !stuck {
			return nil
		}
		if first, again := seen[at]; again {
			path = path[first:]
			break
		}
		seen[at] = len(path)
		path = append(path, at)
	}
	if path[0] != s { // it only leads there: everybody is told the same
		first := slices.IndexFunc(path, func(p *session) bool { return p == slices.MinFunc(path, compareSessions) })
		path = slices.Concat(path[first:], path[:first])
	}
	links := make([]registry.CycleLink, 0, min(len(path), registry.MaxCycle))
	for _, p := range path[:min(len(path), registry.MaxCycle)] {
		links = append(links, next[p])
	}
	return links
}

// tellCycle tells a launcher which cycle it waits for, when that has changed. It
// learns no name that it may not read.
func (c *core) tellCycle(s *session, links []registry.CycleLink) {
	links = slices.Clone(links)
	for i, l := range links {
		if s.guarded && !s.grant.Allows(access.Read, l.Namespace, l.Service) {
			links[i] = registry.CycleLink{}
		}
	}
	if slices.Equal(links, s.cycle) {
		return
	}
	s.cycle = links
	if !s.ended {
		s.send(registry.ServerMessage{Cycle: &registry.Cycle{Links: links}})
	}
}

// deadlock is the launchers that cannot start by themselves.
type deadlock struct {
	sessions map[*session]struct{}
	supplies map[*view]supply // of this round
}

// supply is what there is behind a view, and what may come.
type supply struct {
	able  int      // instances that serve, or may come to
	stuck *session // the first launcher of those that cannot; nil: none
}

// stuck returns the launchers that wait for each other, and those that wait for
// them.
func (c *core) stuck() deadlock {
	d := deadlock{sessions: make(map[*session]struct{}, len(c.cycles.waiting))}
	if c.warming.on {
		return d // others may come back
	}
	for s := range c.cycles.waiting {
		d.sessions[s] = struct{}{}
	}
	for range cycleRounds {
		d.supplies = make(map[*view]supply)
		var free []*session
		for s := range d.sessions {
			if _, provider := d.locked(s); provider == nil {
				free = append(free, s)
			}
		}
		if len(free) == 0 {
			return d
		}
		for _, s := range free {
			delete(d.sessions, s)
		}
	}
	clear(d.sessions)
	return d
}

// locked returns the first locked requirement of a launcher, and one that it
// waits for by it; nil: it has none.
func (d deadlock) locked(s *session) (registry.Require, *session) {
	for _, r := range s.requires {
		if r.Optional || !slices.Contains(s.report.Unmet, r.Alias) {
			continue
		}
		view := s.subscription(r.Filter).view
		if view.filter.Self {
			continue // a founder starts alone
		}
		if supply := d.supply(view); supply.stuck != nil && supply.able < r.Min {
			return r, supply.stuck
		}
	}
	return registry.Require{}, nil
}

// supply looks at all instances that a view would hold if they served.
func (d deadlock) supply(v *view) supply {
	if known, ok := d.supplies[v]; ok {
		return known
	}
	var found supply
	for _, i := range v.service.instances {
		would := i.shown
		would.Status = registry.Passing
		if !v.filter.Match(would) {
			continue
		}
		_, stuck := d.sessions[i.owner]
		switch {
		case i.shown.Status.Serving() || !stuck:
			found.able++
		case found.stuck == nil || compareSessions(i.owner, found.stuck) < 0:
			found.stuck = i.owner
		}
	}
	d.supplies[v] = found
	return found
}

func compareSessions(a, b *session) int {
	return cmp.Or(strings.Compare(a.id.namespace, b.id.namespace), strings.Compare(a.id.id, b.id.id), cmp.Compare(a.number, b.number))
}
