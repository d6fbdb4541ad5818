package server

import (
	"slices"
	"time"
)

// maxQueued is the longest that a drain in place waits for its grant.
const maxQueued = 5 * time.Minute

// enqueue grants a drain in place, or makes it wait until there is room.
//
// A grant begins when the instance is hidden, and ends when it serves again or
// is dropped. Grants are given so that at least half of a service's instances
// go on serving: a tier restarts like a wave, not like a crash. One at a time
// is always granted, and an instance that does not serve costs nobody anything.
func (c *core) enqueue(d *drain) {
	for _, i := range d.instances {
		i.queued = d
	}
	for _, s := range d.services {
		s.queue = append(s.queue, d)
	}
	if c.mayRestart(d) {
		c.hideAll(d)
		return
	}
	c.scheduleDrain(d)
}

// dequeue takes a drain out of the queues.
func (c *core) dequeue(d *drain) {
	if d.state != drainQueued {
		return
	}
	for _, i := range d.instances {
		i.queued = nil
	}
	for _, s := range d.services {
		s.queue = slices.DeleteFunc(s.queue, func(other *drain) bool { return other == d })
		c.reconsider(s)
	}
}

// mayRestart reports whether all instances of a queued drain may restart now.
// Within a service, nobody overtakes.
func (c *core) mayRestart(d *drain) bool {
	serving := 0
	for _, s := range d.services {
		serving += d.serving(s)
	}
	if serving == 0 {
		return true
	}
	for _, s := range d.services {
		if s.queue[0] != d {
			return false
		}
		if s.granted > 0 && 2*(s.serving-d.serving(s)) < s.staying {
			return false
		}
	}
	return true
}

// reconsider notes that the service may have room for another restart.
func (c *core) reconsider(s *service) {
	if len(s.queue) > 0 {
		c.drains.recheck = append(c.drains.recheck, s)
	}
}

// grantQueued grants what there is room for.
func (c *core) grantQueued(s *service) {
	for _, d := range slices.Clone(s.queue) {
		if d.state == drainQueued && c.mayRestart(d) {
			c.hideAll(d)
		}
	}
}

// setGrant begins a grant when d is in place, and ends one otherwise. While the
// instance is counted, the caller takes it out of the counts and back.
func (c *core) setGrant(i *instance, d *drain) {
	if d != nil && !d.inPlace {
		d = nil
	}
	s := i.service
	if i.grant != nil {
		s.granted--
	}
	if d != nil {
		s.granted++
	}
	ended := i.grant != nil && d == nil
	i.grant = d
	if ended {
		c.reconsider(s)
	}
}

// removedInDrain ends what an instance that is gone had to do with drains.
func (c *core) removedInDrain(i *instance) {
	c.setGrant(i, nil)
	if d := i.queued; d != nil {
		i.queued = nil
		c.leaveDrain(d, i)
	}
	if d := i.drain; d != nil {
		i.drain = nil
		c.leaveDrain(d, i)
	}
}
