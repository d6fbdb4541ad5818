package server

import (
	"time"

	"cleat/registry"
)

// maxHeld is the longest that self-preservation shows an instance that it
// should not.
const maxHeld = time.Minute

// heldInstances are the instances that are shown although their session is
// lost, or although they are critical.
//
//	quiet --more than half lost, at least 3--> preserving --none held--> quiet
type heldInstances struct {
	all        map[*instance]struct{}
	sockets    map[string]*instance // by address and port, those without a session
	preserving bool
	count      int // held by self-preservation, since it began
}

// hold keeps an instance for a while.
func (c *core) hold(i *instance, as holding, till time.Time) {
	if i.held == notHeld {
		i.service.heldNow++
	}
	if i.held != as && as != heldRestored {
		c.tell(i, KindHeld, causeOfHold[as], "")
	}
	i.held, i.heldTill = as, till
	c.touched(i.service)
	c.held.all[i] = struct{}{}
	if as == heldCritical {
		i.masked = true // and stays so when its session is lost as well
	} else {
		c.held.sockets[i.socket()] = i
	}
	if as != heldWaking && as != heldRestored {
		c.held.count++
	}
}

// unhold ends a hold, if there is one. What the instance is shown as is the
// caller's to decide.
func (c *core) unhold(i *instance) {
	if i.held == notHeld {
		return
	}
	c.touched(i.service)
	i.held, i.masked = notHeld, false
	i.service.heldNow--
	delete(c.held.all, i)
	if socket := i.socket(); c.held.sockets[socket] == i {
		delete(c.held.sockets, socket)
	}
}

// evict drops the held instance whose address and port somebody else declares:
// two processes cannot have the same. One that is registered without a session (nil)
// replaces its own service's only, because nobody knows what else its token
// allows.
func (c *core) evict(s *session, w registry.Instance, same *instance) {
	if len(c.held.sockets) == 0 {
		return
	}
	i := c.held.sockets[socketOf(w)]
	if i == nil || i == same {
		return
	}
	if s == nil && (i.shown.Service != w.Service || i.shown.Namespace != w.Namespace) || !s.mayReplace(i) {
		return
	}
	c.remove(i, registry.WhyLost, CauseReplaced, "its address and port were declared again, by "+w.ID)
}

// confirm ends a hold because the instance is there.
func (c *core) confirm(i *instance) {
	if i.held != notHeld {
		c.tell(i, KindConfirmed, "", "")
	}
	c.unhold(i)
}

// preserve begins self-preservation, or finds that it is on.
func (c *core) preserve(cause string) {
	if !c.held.preserving {
		c.held.preserving = true
		c.held.count = 0
		c.happened(Event{Kind: KindPreserving, Cause: CauseBegan, Why: cause})
		c.log.Warn("self-preservation begins: what was lost is held", "cause", cause, "at_most", maxHeld)
	}
}

// release ends the holds whose time is over.
func (c *core) release() {
	for i := range c.held.all {
		if c.now.Before(i.heldTill) {
			continue
		}
		if i.held != heldCritical {
			c.remove(i, registry.WhyLost, i.lostBy(), i.lostWhy())
			continue
		}
		c.unhold(i)
		next := i.shown
		next.Status = i.status()
		c.show(i, next)
		c.hide(i)
	}
	if !c.held.preserving {
		return
	}
	for i := range c.held.all {
		if i.held != heldWaking && i.held != heldRestored {
			return
		}
	}
	c.held.preserving = false
	c.happened(Event{Kind: KindPreserving, Cause: CauseOver})
	c.log.Info("self-preservation ends", "held", c.held.count)
}

// judgeCritical looks at an instance whose declared status was before. When all
// of a service, at least 3, turn critical within one beat, the fault is taken
// to lie in what they have in common, and the service is shown as it was.
func (c *core) judgeCritical(i *instance, before registry.Status) {
	s := i.service
	if i.declared != registry.Critical {
		delete(s.turned, i.shown.ID)
		if i.held == heldCritical {
			c.confirm(i)
		}
		return
	}
	if !before.Serving() {
		return
	}
	i.before = before
	c.mark(&s.turned, i)
	c.prune(s)
	if n := len(s.turned); n < fewestLost || n < s.staying {
		return
	}
	c.preserve("all instances of " + s.name + " in " + s.namespace + " turned critical within " + c.beat.every.String())
	for id := range s.turned {
		j := s.instances[id]
		if j == nil || j.owner == nil || j.declared != registry.Critical {
			continue // gone, or lost: that is another matter
		}
		c.hold(j, heldCritical, c.now.Add(maxHeld))
		if j == i {
			continue // is being shown anew anyway
		}
		next := j.shown
		next.Status = j.status()
		c.show(j, next)
	}
}
