package server

import (
	"fmt"
	"slices"
	"time"

	"cleat/registry"
)

// The numbers of a drain.
const (
	// maxDrainWait bounds what a launcher may ask for.
	maxDrainWait = 10 * time.Minute
	// blindFor is how long a reader that cannot acknowledge counts.
	blindFor = time.Minute
	// blindWait is the least that a drain waits when there were such readers:
	// the time for which they may rely on an answer (the TTL in DNS).
	blindWait = 2 * time.Second
)

// drain is a request to hide instances and to say when everybody who used them
// has applied that.
//
//	asked --in place, too many would be away--> queued --room, or 5 min--+
//	  |                                           |                     |
//	  +-- not in place, or there is room ---------|--> waiting <--------+
//	                                              |      |
//	      the session ends, the instances are gone|      +-- all applied, and the
//	      or are declared as not draining         |      |   blind have had 2 s
//	                                              v      +-- wait is over
//	                                             over <--+   (drained is sent)
//
// The instances stay hidden when it is over, until they are declared with
// another status or dropped.
type drain struct {
	session   *session
	ids       []string // of the request
	instances []*instance
	services  []*service
	inPlace   bool
	wait      time.Duration
	asked     time.Time

	state   drainState
	granted time.Time
	till    time.Time // at the latest
	least   time.Time // at the earliest
	whole   bool      // the server is warming: whoever used them may not be here yet
	blind   bool
	alone   bool // nothing else of the services serves

	waiting map[*subscription]registry.Revision // who must still apply which revision
	left    map[*session]int                    // how many subscriptions of each are waiting
	closed  map[identity]departed               // consumers that may come back
	applied int
	names   []string // of some that have applied
}

// departed is a consumer whose socket closed.
type departed struct {
	key  keyHash
	till time.Time
}

type drainState int8

const (
	drainQueued drainState = iota
	drainWaiting
	drainOver
)

// drains are those that are not over.
type drains struct {
	all     map[*drain]struct{}
	check   []*drain   // that the event under way may have completed
	recheck []*service // in which the event under way may have made room
}

// drainRequested begins a drain.
func (c *core) drainRequested(s *session, m registry.Drain) {
	if s.ended || !s.declared {
		return
	}
	d := &drain{session: s, ids: m.IDs, inPlace: m.InPlace, asked: c.now}
	d.wait = min(m.Wait.Duration(), maxDrainWait)
	for _, id := range m.IDs {
		at := slices.IndexFunc(s.provides, func(i *instance) bool { return i.shown.ID == id })
		if at < 0 {
			s.refuse(registry.CodeUnknown, id, "the session does not provide this instance")
			continue
		}
		i := s.provides[at]
		if slices.Contains(d.instances, i) {
			continue
		}
		d.instances = append(d.instances, i)
		if !slices.Contains(d.services, i.service) {
			d.services = append(d.services, i.service)
		}
	}
	for _, i := range d.instances {
		c.supersede(i)
	}
	s.draining++
	c.drains.all[d] = struct{}{}
	if len(d.instances) == 0 {
		c.finish(d)
		return
	}
	if !d.inPlace {
		c.hideAll(d)
		return
	}
	c.enqueue(d)
}

// supersede ends earlier drains of the instance: its launcher has changed its
// mind. They are not answered.
func (c *core) supersede(i *instance) {
	if i.queued != nil {
		c.over(i.queued)
	}
	if i.drain != nil {
		c.over(i.drain)
	}
}

// hideAll hides the instances and finds out who must acknowledge that.
func (c *core) hideAll(d *drain) {
	c.dequeue(d)
	d.state = drainWaiting
	d.granted = c.now
	d.till = c.now.Add(d.wait)
	d.waiting = make(map[*subscription]registry.Revision)
	d.left = make(map[*session]int)
	d.closed = make(map[identity]departed)
	d.whole = c.warming.on && c.warming.knew
	alone := !d.whole && d.isAlone()
	for _, s := range d.services {
		s.drains = append(s.drains, d)
		if s.lookup.readLately(c.now.Sub(c.start)) && !alone {
			d.blind = true
			d.least = c.now.Add(min(blindWait, d.wait))
		}
	}
	d.alone = alone
	for _, i := range d.instances {
		c.hideOne(d, i)
	}
	c.drains.check = append(c.drains.check, d)
	c.scheduleDrain(d)
}

// isAlone reports whether nothing of the services serves but what is drained:
// then its consumers have nowhere to go, and nothing is gained by waiting.
func (d *drain) isAlone() bool {
	for _, s := range d.services {
		if s.serving > d.serving(s) {
			return false
		}
	}
	return true
}

// serving counts the drain's instances of the service that are shown as serving.
func (d *drain) serving(s *service) int {
	n := 0
	for _, i := range d.instances {
		if i.service == s && i.shown.Status.Serving() {
			n++
		}
	}
	return n
}

func (c *core) hideOne(d *drain, i *instance) {
	s := i.service
	would := i.shown
	would.Status = registry.Passing
	var seen []*view // in which it is now
	for _, v := range s.views {
		if v.filter.Match(i.shown) {
			seen = append(seen, v)
		}
	}
	earlier := i.hidden

	if i.held == heldCritical {
		c.unhold(i)
	}
	s.count(i, -1)
	i.drain = d
	c.setGrant(i, d)
	s.count(i, 1)
	next := i.shown
	next.Status = i.status()
	c.show(i, next)
	c.hide(i)

	for _, v := range s.views {
		need := earlier // it was hidden before: not everybody may have applied that
		if slices.Contains(seen, v) {
			need = i.hidden
		}
		if need == 0 || !v.filter.Match(would) {
			continue
		}
		for _, sub := range v.subscribers {
			d.await(sub, need)
		}
	}
	c.losses.forgetRecent(c.now)
	for _, gone := range c.losses.recent {
		if gone.returned || gone.id == d.session.id {
			continue
		}
		if slices.ContainsFunc(gone.views, func(v *view) bool { return v.service == s && v.filter.Match(would) }) {
			d.closed[gone.id] = departed{gone.key, gone.at.Add(consumerGrace)}
		}
	}
}

// settle grants and finishes what the event under way has made possible.
func (c *core) settle() {
	for len(c.drains.recheck) > 0 {
		s := c.drains.recheck[0]
		c.drains.recheck = c.drains.recheck[1:]
		c.grantQueued(s)
	}
	for _, d := range c.drains.check {
		if c.complete(d) {
			c.finish(d)
		}
	}
	clear(c.drains.check)
	c.drains.check = c.drains.check[:0]
	if len(c.drains.recheck) == 0 {
		c.drains.recheck = nil
	}
}

// complete reports whether the launcher can be told.
func (c *core) complete(d *drain) bool {
	if d.state != drainWaiting {
		return false
	}
	for id, gone := range d.closed {
		if !c.now.Before(gone.till) {
			delete(d.closed, id)
		}
	}
	if !c.now.Before(d.till) {
		return true
	}
	return len(d.waiting) == 0 && len(d.closed) == 0 && !c.now.Before(d.least) && !(d.whole && c.warming.on)
}

// watchDrains looks at the drains whose time may have come.
func (c *core) watchDrains() {
	for d := range c.drains.all {
		if d.state == drainQueued && !c.now.Before(d.asked.Add(maxQueued)) {
			c.hideAll(d)
		}
		c.drains.check = append(c.drains.check, d)
		c.scheduleDrain(d)
	}
}

// scheduleDrain asks for a tick at the next time at which something about the
// drain is decided.
func (c *core) scheduleDrain(d *drain) {
	if d.state == drainQueued {
		c.schedule(d.asked.Add(maxQueued))
		return
	}
	times := []time.Time{d.till, d.least}
	for _, gone := range d.closed {
		times = append(times, gone.till)
	}
	for _, at := range times {
		if at.After(c.now) {
			c.schedule(at)
		}
	}
}

// finish answers the launcher.
func (c *core) finish(d *drain) {
	m := registry.Drained{IDs: d.ids, Applied: d.applied, Pending: []string{}, Blind: d.blind, Alone: d.alone}
	for s := range d.left {
		m.Pending = append(m.Pending, s.id.id)
	}
	for id := range d.closed {
		m.Pending = append(m.Pending, id.id)
	}
	slices.Sort(m.Pending)
	m.Pending = slices.Compact(m.Pending)
	if m.IDs == nil {
		m.IDs = []string{}
	}
	slices.Sort(d.names)
	took := time.Duration(0)
	if !d.granted.IsZero() {
		took = c.now.Sub(d.granted).Round(time.Millisecond)
	}
	c.log.Info("drained", "instances", m.IDs, "launcher", d.session.id.id, "in_place", d.inPlace,
		"took", took, "applied", m.Applied, "by", d.names, "pending", m.Pending, "blind", m.Blind)
	c.totals.drains++
	if len(m.Pending) > 0 {
		c.totals.pendingDrains++
	}
	for _, i := range d.instances {
		why := fmt.Sprintf("%d acknowledged in %v", m.Applied, took)
		if len(m.Pending) > 0 {
			why += fmt.Sprintf(", %d did not", len(m.Pending))
		}
		c.tell(i, KindDrained, "", why)
	}
	d.session.send(registry.ServerMessage{Drained: &m})
	c.over(d)
}

// over ends a drain. Its instances stay hidden.
func (c *core) over(d *drain) {
	if d.state == drainOver {
		return
	}
	c.dequeue(d)
	d.state = drainOver
	delete(c.drains.all, d)
	d.session.draining--
	for _, s := range d.services {
		s.drains = slices.DeleteFunc(s.drains, func(other *drain) bool { return other == d })
	}
	d.waiting, d.left, d.closed, d.services = nil, nil, nil, nil
}

// cancelDrains ends the drains of a session that has ended itself.
func (c *core) cancelDrains(s *session) {
	if s.draining == 0 {
		return
	}
	for d := range c.drains.all {
		if d.session == s {
			c.over(d)
		}
	}
}

// declaredInDrain ends the instance's drain when its launcher declares another
// status than draining.
//
// One exception: while a drain in place is under way, its launcher does not
// know yet that it was granted, and may declare for other reasons that the
// instance serves.
func (c *core) declaredInDrain(i *instance, successor bool) {
	d := i.drain
	if d == nil || i.declared == registry.Draining && !successor {
		return
	}
	if d.inPlace && d.state == drainWaiting && i.declared.Serving() && !successor {
		return
	}
	i.drain = nil
	c.leaveDrain(d, i)
}

// leaveDrain takes an instance out of a drain. A drain without instances has
// nothing left to wait for.
func (c *core) leaveDrain(d *drain, i *instance) {
	d.instances = slices.DeleteFunc(d.instances, func(other *instance) bool { return other == i })
	if len(d.instances) == 0 && d.state != drainOver {
		c.finish(d)
	}
}

// shift moves everything that is still to come.
func (d *drain) shift(by time.Duration) {
	for _, at := range []*time.Time{&d.asked, &d.granted, &d.till, &d.least} {
		if !at.IsZero() {
			*at = at.Add(by)
		}
	}
	for id, gone := range d.closed {
		gone.till = gone.till.Add(by)
		d.closed[id] = gone
	}
}
