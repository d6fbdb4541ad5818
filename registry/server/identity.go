package server

import (
	"fmt"
	"slices"
	"time"

	"cleat/registry"
)

// answerWithin is how long a session has to answer when somebody with another
// key claims one of its ids.
const answerWithin = time.Second

// claim is what becomes of an id that a newcomer declares while it belongs to a
// live session with another key.
//
//	asked --a sign of life--> refused: the newcomer gets a conflict, and may
//	  |                       declare again
//	  +--1 s of silence, or the holder's session ends--> granted
type claim struct {
	by, against *session
	id          identity
	instance    *registry.Instance // nil: the launcher's id
	till        time.Time
}

// claimLauncher gives the session its launcher's id, or contests it.
func (c *core) claimLauncher(s *session) {
	switch holder := c.launchers[s.id]; holder {
	case nil:
		c.launchers[s.id] = s
	case s:
	default:
		c.ask(&claim{by: s, against: holder, id: s.id})
	}
}

// contest claims an instance's id from a live session with another key.
func (c *core) contest(s *session, wanted registry.Instance, i *instance) {
	c.ask(&claim{by: s, against: i.owner, id: i.identity(), instance: &wanted})
}

func (c *core) ask(cl *claim) {
	cl.till = c.now.Add(answerWithin)
	c.claims = append(c.claims, cl)
	cl.by.claiming++
	cl.against.asked.Store(true)
	cl.against.out.put(pingFrame)
	c.schedule(cl.till)
}

// withdraw forgets what the session claims.
func (c *core) withdraw(s *session) {
	if s.claiming > 0 {
		c.claims = slices.DeleteFunc(c.claims, func(cl *claim) bool { return cl.by == s })
		s.claiming = 0
	}
}

// answered is called at a sign of life of a session that was asked for one.
func (c *core) answered(s *session) {
	s.asked.Store(false)
	c.claims = slices.DeleteFunc(c.claims, func(cl *claim) bool {
		if cl.against != s {
			return false
		}
		cl.by.claiming--
		c.conflict(cl.by, cl.id)
		return true
	})
}

func (c *core) conflict(s *session, id identity) {
	s.refuse(registry.CodeConflict, id.id, fmt.Sprintf("the id %q in the namespace %q belongs to a launcher that lives; give each container a CLEAT_ID of its own", id.id, id.namespace))
}

// judge grants the claims whose holders did not answer.
func (c *core) judge() {
	c.grantClaims(func(cl *claim) bool { return !c.now.Before(cl.till) })
	for _, cl := range c.claims {
		c.schedule(cl.till)
	}
}

func (c *core) grantClaims(due func(*claim) bool) {
	var granted []*claim
	c.claims = slices.DeleteFunc(c.claims, func(cl *claim) bool {
		if due(cl) {
			granted = append(granted, cl)
			return true
		}
		return false
	})
	for _, cl := range granted {
		cl.by.claiming--
		cl.against.asked.Store(false)
	}
	for _, cl := range c.claims {
		cl.against.asked.Store(true) // also who has just lost another id
	}
	for _, cl := range granted {
		c.takeOver(cl)
	}
}

func (c *core) takeOver(cl *claim) {
	if cl.instance == nil {
		if holder := c.launchers[cl.id]; holder == nil || holder == cl.against {
			c.launchers[cl.id] = cl.by
			c.loses(cl)
		}
		return
	}
	i := c.instances[cl.id]
	if i != nil && i.owner != nil {
		if i.owner != cl.against {
			c.conflict(cl.by, cl.id) // somebody else was faster
			return
		}
		c.disown(i)
	}
	c.loses(cl)
	if !c.hasRoom(cl.by, *cl.instance, i) {
		return
	}
	without := cl.instance.Since == 0
	i = c.upsert(cl.by, *cl.instance, i)
	cl.by.provides = append(cl.by.provides, i)
	if without {
		c.welcome(cl.by, map[string]registry.Revision{i.shown.ID: i.shown.Since})
	}
}

// loses tells a holder that did not answer, should it ever read it.
func (c *core) loses(cl *claim) {
	if !cl.against.ended {
		c.conflict(cl.against, cl.id)
		c.log.Warn("an id changed hands: its holder did not answer", "id", cl.id.id, "namespace", cl.id.namespace, "from", cl.against.name(), "to", cl.by.name())
	}
}

// disown takes an instance away from its session.
func (c *core) disown(i *instance) {
	i.owner.provides = slices.DeleteFunc(i.owner.provides, func(other *instance) bool { return other == i })
	i.owner = nil
}

// fence ends a session whose launcher has come back with another connection:
// what it provides is the successor's, and its later messages are dropped.
func (c *core) fence(old, successor *session) {
	provides := old.provides
	old.provides = nil
	d := c.detach(old)
	c.awaitReturn(d)
	successor.known = true
	for _, i := range provides {
		i.owner = successor
	}
	successor.provides = append(successor.provides, provides...)
	c.totals.fenced++
	c.tellSession(old, KindEnded, CauseFenced, "taken over by "+successor.name())
	old.expel(registry.CodeFenced, "another connection of this launcher has taken over")
	c.log.Info("a session took over from an earlier one of its launcher", "launcher", old.id.id, "namespace", old.id.namespace, "from", old.name(), "to", successor.name())
}
