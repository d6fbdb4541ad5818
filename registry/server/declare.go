package server

import (
	"fmt"
	"maps"
	"slices"

	"cleat/registry"
)

// declare replaces all that the session declared before. The statement has been
// normalized; key is the hash of its key.
func (c *core) declare(s *session, d registry.Declare, filters []registry.Filter, key keyHash) {
	if s.ended {
		return
	}
	id := identity{d.Namespace, d.ID}
	if s.declared && (id != s.id || key != s.key) {
		s.refuse(registry.CodeBadDeclare, "", "the id, the namespace and the key of a session cannot change; open another session for another launcher")
		return
	}
	for _, i := range d.Provides {
		c.revision = max(c.revision, i.Since)
	}
	first := !s.declared
	if first {
		c.admit(s, d, id, key)
	}
	s.zone = d.Zone
	c.withdraw(s)
	c.claimLauncher(s)
	since := c.provide(s, d.Provides, first)
	c.require(s, d.Requires, filters)
	if first || len(since) > 0 {
		c.welcome(s, since)
	}
	if first {
		c.returned(s)
		c.remind(s)
	}
}

// admit enters a session at its first declare. It takes over what an earlier
// session of the same launcher left.
func (c *core) admit(s *session, d registry.Declare, id identity, key keyHash) {
	s.declared = true
	s.id, s.key = id, key
	s.known = d.Known != nil
	s.index = len(c.sessions)
	c.sessions = append(c.sessions, s)
	if s.known {
		c.warmingKnown(d.Known.Duration())
	}
	c.totals.sessions++
	c.tellSession(s, KindSession, CauseBegan, "")
	if c.verbose {
		c.log.Debug("a session begins", "launcher", id.id, "namespace", id.namespace, "session", s.name(), "peer", s.peer)
	}
	if predecessor := c.launchers[id]; predecessor != nil && predecessor.key == key {
		c.fence(predecessor, s)
	}
	c.adopt(s)
}

func (c *core) welcome(s *session, since map[string]registry.Revision) {
	s.send(registry.ServerMessage{Welcome: &registry.Welcome{
		Session: s.name(), Server: c.name,
		BeatEvery: registry.InMilliseconds(c.beat.every), ExpireAfter: registry.InMilliseconds(expireAfter(c.beat.every)),
		Warming: c.warming.on, Peer: s.peer, Since: since,
	}})
}

// provide makes the session's instances those of the statement. It returns the
// since of those that came without one and have not been told theirs on this
// connection.
func (c *core) provide(s *session, wanted []registry.Instance, first bool) map[string]registry.Revision {
	rest := make(map[*instance]bool, len(s.provides))
	for _, i := range s.provides {
		rest[i] = true
	}
	var since map[string]registry.Revision
	provides := make([]*instance, 0, len(wanted))
	for _, w := range wanted {
		i := c.instances[identity{w.Namespace, w.ID}]
		if i != nil && i.owner != nil && i.owner != s {
			if i.owner.key != s.key {
				c.contest(s, w, i)
				continue
			}
			// The same launcher under another name: it has moved.
			c.disown(i)
		}
		if i != nil && i.owner == nil && !s.mayReplace(i) {
			c.conflict(s, i.identity())
			continue
		}
		if !c.hasRoom(s, w, i) {
			if rest[i] {
				delete(rest, i)
				provides = append(provides, i) // stays as it was
			}
			continue
		}
		untold := w.Since == 0 && (first || i == nil || i.owner != s)
		delete(rest, i)
		i = c.upsert(s, w, i)
		provides = append(provides, i)
		if untold {
			if since == nil {
				since = make(map[string]registry.Revision)
			}
			since[w.ID] = i.shown.Since
		}
	}
	s.provides = provides
	for i := range rest {
		c.remove(i, registry.WhyLeft, CauseWithdrawn, "")
	}
	return since
}

// upsert makes the instance what its launcher says that it is. i is the record
// of the same id, if there is one that the session may replace.
func (c *core) upsert(s *session, w registry.Instance, i *instance) *instance {
	brandNew := i == nil && w.Since == 0
	if i != nil && i.key == s.key && w.Since == 0 {
		w.Since = i.shown.Since // its launcher never heard of it
	}
	if w.Since == 0 {
		c.revision++
		w.Since = c.revision
	}
	c.evict(s, w, i)
	if i != nil && i.shown.Service != w.Service {
		c.remove(i, registry.WhyLeft, CauseReplaced, "declared as another service by the launcher "+s.id.id)
		i = nil
	}
	if i == nil {
		i = &instance{shown: w, declared: w.Status, said: w.Reason, key: s.key, launcher: s.id, owner: s}
		c.enter(i, "", "")
		if !i.shown.Status.Serving() && (!brandNew || c.warming.on) {
			c.hide(i)
		}
		c.reconsider(i.service)
		return i
	}
	replaced := i.key != s.key
	moved := i.owner == nil && (replaced || i.kept != nil)
	if i.owner == nil {
		c.confirm(i)
		c.keep(i, nil)
	}
	i.owner, i.key, i.launcher = s, s.key, s.id
	if replaced || moved {
		c.unsavedInstance(i)
	}
	if moved {
		c.tell(i, KindMoved, CauseReplaced, "declared by the launcher "+s.id.id)
	}
	c.redeclare(i, w, replaced)
	return i
}

// redeclare takes over what a launcher says about an instance that is known.
func (c *core) redeclare(i *instance, w registry.Instance, replaced bool) {
	was, wasWhy := i.shown.Status, i.why()
	before := i.declared
	i.declared, i.said = w.Status, w.Reason
	c.declaredInDrain(i, replaced)
	c.judgeCritical(i, before)
	c.reshow(i, w, was, wasWhy)
}

// reshow shows a new form of an instance that was shown with the status was.
func (c *core) reshow(i *instance, w registry.Instance, was registry.Status, wasWhy registry.Why) {
	w.Status, w.Reason = i.status(), i.reason()
	c.show(i, w)
	if s := i.shown.Status; !s.Serving() && (i.why() != wasWhy || i.hidden == 0 && s != was) {
		c.hide(i)
	}
	if i.shown.Status.Serving() || i.mark != nil && i.drain == nil && i.declared.Serving() {
		c.setGrant(i, nil)
	}
}

// overlay shows an instance anew when what lies over its own status has changed.
func (c *core) overlay(i *instance) {
	c.reshow(i, i.shown, i.shown.Status, i.why())
}

// status returns what consumers are shown.
func (i *instance) status() registry.Status {
	switch {
	case i.mark != nil:
		return registry.Maintenance
	case i.drain != nil, i.drained:
		return registry.Draining
	case i.masked && i.declared == registry.Critical:
		return i.before
	}
	return i.declared
}

// reason returns why, for people.
func (i *instance) reason() string {
	if i.mark != nil && i.mark.reason != "" {
		return i.mark.reason
	}
	return i.said
}

// require makes the session's views those of the statement.
func (c *core) require(s *session, requires []registry.Require, filters []registry.Filter) {
	old := make(map[string]*subscription, len(s.subs))
	for _, sub := range s.subs {
		old[sub.view.text] = sub
	}
	subs := make([]*subscription, 0, len(requires))
	seen := make(map[string]*subscription, len(requires))
	s.requires = make([]registry.Require, 0, len(requires))
	for n, r := range requires {
		text := filters[n].String()
		sub := seen[text]
		if sub == nil {
			if sub = old[text]; sub == nil {
				sub = c.subscribe(s, filters[n], text)
				c.owe(s)
			}
			seen[text] = sub
			subs = append(subs, sub)
		}
		r.Filter = sub.view.text // one copy for all
		s.requires = append(s.requires, r)
	}
	for text, sub := range old {
		if seen[text] == nil {
			c.unsubscribe(sub)
			c.unsubscribed(sub)
		}
	}
	s.subs = subs
}

// applied takes an acknowledgement. It counts only for a view that was sent on
// this connection.
func (c *core) applied(s *session, a registry.Applied) {
	if s.ended || !s.declared {
		return
	}
	sub := s.subscription(a.Filter)
	if sub == nil {
		s.refuse(registry.CodeUnknown, "", fmt.Sprintf("the session does not require the filter %.200q", a.Filter))
		return
	}
	if sub.first == 0 || a.Revision < sub.first || a.Revision > sub.sent || a.Revision < sub.applied {
		return
	}
	sub.applied, sub.held, sub.err = a.Revision, a.Held, registry.Cut(a.Error)
	c.acknowledge(sub)
}

// reported keeps what the launcher says about itself.
func (c *core) reported(s *session, r registry.Report) {
	if s.ended || !s.declared {
		return
	}
	s.report = &r
	c.noteWaiting(s)
}

// ids returns the ids of the instances, sorted.
func ids(instances []*instance) []string {
	set := make(map[string]bool, len(instances))
	for _, i := range instances {
		set[i.shown.ID] = true
	}
	return slices.Sorted(maps.Keys(set))
}
