package server

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"cleat/registry"
)

// The numbers of loss.
const (
	// gatherFor is how long closed sockets are gathered, so that a common cause
	// shows as one event.
	gatherFor = 25 * time.Millisecond
	// consumerGrace is how long a drain waits for a consumer whose socket has
	// closed: a launcher that only lost its connection is back by then.
	consumerGrace = time.Second
	// fewestLost is the number of losses under which nothing is taken for a
	// common cause.
	fewestLost = 3
	// mostNamed is how many launchers one line of the log names.
	mostNamed = 8
)

// common reports whether so many losses out of so many must have one cause: a
// fault of the network or of the server rather than of those who are lost.
func common(lost, of int) bool { return lost >= fewestLost && 2*lost > of }

// departure is what a session leaves behind that ended without a goodbye.
type departure struct {
	id        identity
	key       keyHash
	name      string
	at        time.Time
	cause     string
	expired   bool // it was silent for too long
	waking    bool // found when the server woke
	returned  bool // its launcher is back
	instances []*instance
	views     []*view  // that it was subscribed to
	waited    []*drain // that waited for it
}

// launcherKey tells launchers apart that use the same id.
type launcherKey struct {
	id  identity
	key keyHash
}

// losses are the sessions that ended lately without a goodbye.
type losses struct {
	gathering []*departure
	gatherAt  time.Time // zero: nothing is being gathered
	departed  map[launcherKey]*departure
	recent    []*departure // within the last second, in order

	// services are those with something in lost, dropped or turned, which the
	// sweep empties.
	services map[*service]struct{}
}

// closed is called when a connection has ended. left says that it was closed
// with code 1000; otherwise cause says how it ended, for the log.
func (c *core) closed(s *session, left bool, cause string) { c.conclude(s, left, cause, false) }

// expire ends a session that was silent for too long.
func (c *core) expire(s *session, cause string) { c.conclude(s, false, cause, true) }

func (c *core) conclude(s *session, left bool, cause string, expired bool) {
	if s.ended {
		return
	}
	if !s.declared {
		s.ended = true
		return
	}
	if c.moving && !left {
		c.detach(s) // what it provides is elsewhere, and stays in view
		c.totals.left++
		return
	}
	provides := s.provides
	s.provides = nil
	d := c.detach(s)
	switch {
	case left:
		c.totals.left++
		c.tellSession(s, KindEnded, CauseLeft, "")
	case expired:
		c.totals.expired++
		c.tellSession(s, KindEnded, CauseExpired, cause)
	default:
		c.totals.lost++
		c.tellSession(s, KindEnded, CauseLost, cause)
	}
	if left {
		if c.verbose {
			c.log.Debug("a session left", "launcher", s.id.id, "namespace", s.id.namespace, "session", s.name())
		}
		for _, i := range provides {
			c.remove(i, registry.WhyLeft, CauseLeft, "")
		}
	} else {
		c.lose(d, provides, cause, expired)
	}
	c.grantClaims(func(cl *claim) bool { return cl.against == s })
}

// detach takes the session out of every index, but not what it provides.
func (c *core) detach(s *session) *departure {
	s.ended = true
	last := len(c.sessions) - 1
	c.sessions[s.index] = c.sessions[last]
	c.sessions[s.index].index = s.index
	c.sessions[last] = nil
	c.sessions = c.sessions[:last]
	if c.launchers[s.id] == s {
		delete(c.launchers, s.id)
	}
	c.withdraw(s)
	c.cancelDrains(s)
	if len(c.sessions) == 0 {
		c.warming.alone = c.now
	}
	d := &departure{id: s.id, key: s.key, name: s.name(), at: c.now}
	for _, sub := range s.subs {
		d.views = append(d.views, sub.view)
		d.waited = append(d.waited, c.unsubscribed(sub)...)
		c.unsubscribe(sub)
	}
	s.subs, s.requires = nil, nil
	return d
}

// lose makes orphans of a session's instances.
func (c *core) lose(d *departure, provides []*instance, cause string, expired bool) {
	d.cause = cause
	d.expired = expired
	d.waking = c.now.Before(c.sweep.wokeTill)
	for _, i := range provides {
		i.owner, i.loss = nil, d
		if !i.drains() {
			c.mark(&i.service.lost, i)
		}
	}
	d.instances = provides
	c.losses.departed[launcherKey{d.id, d.key}] = d
	c.losses.gathering = append(c.losses.gathering, d)
	if c.losses.gatherAt.IsZero() {
		c.losses.gatherAt = c.now.Add(gatherFor)
		c.schedule(c.losses.gatherAt)
	}
	c.losses.recent = append(c.losses.recent, d)
	c.awaitReturn(d)
}

// mark notes in one of the service's records what happened to an instance.
func (c *core) mark(record *map[string]time.Time, i *instance) {
	if *record == nil {
		*record = make(map[string]time.Time)
	}
	(*record)[i.shown.ID] = c.now
	c.losses.services[i.service] = struct{}{}
}

// prune forgets what is longer ago than one beat.
func (c *core) prune(s *service) {
	old := func(_ string, at time.Time) bool { return c.now.Sub(at) > c.beat.every }
	maps.DeleteFunc(s.lost, old)
	maps.DeleteFunc(s.dropped, old)
	maps.DeleteFunc(s.turned, old)
	if len(s.lost)+len(s.dropped)+len(s.turned) == 0 {
		s.lost, s.dropped, s.turned = nil, nil, nil
		delete(c.losses.services, s)
	}
}

// has reports whether the instance is still where the departure left it.
func (d *departure) has(c *core, i *instance) bool {
	return i.loss == d && i.owner == nil && c.instances[i.identity()] == i
}

// adopt gives a session what its launcher's last session left behind.
func (c *core) adopt(s *session) {
	d := c.losses.departed[launcherKey{s.id, s.key}]
	if d == nil {
		return
	}
	for _, i := range d.instances {
		if d.has(c, i) {
			i.owner = s
			c.confirm(i)
			s.provides = append(s.provides, i)
		}
	}
	d.instances = nil
	d.returned = true
	s.known = true
}

// forgetRecent forgets the consumers for which a drain that begins now does not
// wait.
func (l *losses) forgetRecent(now time.Time) {
	for len(l.recent) > 0 && now.Sub(l.recent[0].at) >= consumerGrace {
		l.recent[0] = nil
		l.recent = l.recent[1:]
	}
}

// gather decides what becomes of the instances of the sessions that ended
// within the last 25 ms.
func (c *core) gather() {
	l := &c.losses
	if l.gatherAt.IsZero() {
		return
	}
	if c.now.Before(l.gatherAt) {
		c.schedule(l.gatherAt)
		return
	}
	gathered := l.gathering
	l.gathering, l.gatherAt = nil, time.Time{}

	lost, of := c.sessionsLost()
	all := common(lost, of)
	if all {
		c.preserve(fmt.Sprintf("%d of %d sessions were lost within %v", lost, of, c.beat.every))
	}
	services := make(map[*service]bool) // whether their losses have a common cause
	var orphans []*instance
	for _, d := range gathered {
		for _, i := range d.instances {
			if !d.has(c, i) {
				continue
			}
			switch {
			case i.drains():
				c.remove(i, registry.WhyLost, i.lostBy(), i.lostWhy()) // everybody has been told already
			case d.waking:
				c.hold(i, heldWaking, c.now.Add(registry.ReconnectCap+time.Second))
			default:
				if _, asked := services[i.service]; !asked && !all {
					services[i.service] = c.serviceLost(i.service)
				}
				orphans = append(orphans, i)
			}
		}
	}
	held := 0
	for _, i := range orphans {
		if all || services[i.service] {
			c.hold(i, heldLost, c.now.Add(maxHeld))
			held++
			continue
		}
		c.mark(&i.service.dropped, i)
		c.remove(i, registry.WhyLost, i.lostBy(), i.lostWhy())
	}
	c.logLost(gathered, held, len(orphans)-held)
}

// lostBy and lostWhy say why an instance is lost whose session is.
func (i *instance) lostBy() Cause {
	switch {
	case i.held == heldRestored:
		return CauseUnconfirmed
	case i.loss != nil && i.loss.expired:
		return CauseExpired
	}
	return CauseLost
}

func (i *instance) lostWhy() string {
	if i.loss == nil {
		return ""
	}
	return i.loss.cause
}

// sessionsLost returns how many of the server's sessions were lost within the
// last beat. Silent ones count, so that the first of many to expire already
// sees the others.
func (c *core) sessionsLost() (lost, of int) {
	returned := 0
	for _, d := range c.losses.departed {
		if d.waking || c.now.Sub(d.at) > c.beat.every {
			continue
		}
		lost++
		if d.returned {
			returned++
		}
	}
	return lost + c.sweep.silent, len(c.sessions) + lost - returned
}

// serviceLost reports whether the losses of a service must have one cause, and
// says so.
func (c *core) serviceLost(s *service) bool {
	c.prune(s)
	lost, of := len(s.lost)+c.sweep.silentOf[s], s.staying+len(s.dropped)
	if !common(lost, of) {
		return false
	}
	c.preserve(fmt.Sprintf("%d of %d instances of %s in %s were lost within %v", lost, of, s.name, s.namespace, c.beat.every))
	return true
}

// drains reports whether the instance is on its way out. Such a one is never
// held: its consumers have been told to do without it.
func (i *instance) drains() bool {
	return i.drain != nil || i.drained || i.declared == registry.Draining
}

func (c *core) logLost(gathered []*departure, held, dropped int) {
	var launchers []string
	cause := ""
	for _, d := range gathered {
		if len(launchers) < mostNamed {
			launchers = append(launchers, d.id.id)
		}
		if cause == "" {
			cause = d.cause
		} else if cause != d.cause {
			cause = "several"
		}
	}
	attributes := []slog.Attr{
		slog.Int("sessions", len(gathered)), slog.Any("launchers", launchers), slog.String("cause", cause),
		slog.Int("dropped", dropped),
	}
	if held > 0 {
		attributes = append(attributes, slog.Int("held", held))
	}
	c.log.LogAttrs(context.Background(), slog.LevelInfo, "sessions were lost", attributes...)
}
