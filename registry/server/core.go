package server

import (
	"context"
	"log/slog"
	"time"

	"cleat/registry"
)

// core is the registry: sessions, instances, views, drains and holds. It does
// no I/O, knows no clock and starts no goroutine. Its methods are events; each
// takes place between [core.begin] and [core.end], under the server's mutex:
//
//	begin(now)   was the server away? then every deadline starts again
//	event(...)   changes records, notes which views it touched
//	end()        one message per touched view, shared by all its subscribers;
//	             returns when tick must be called next
//
// The cost of an event is that of its change and of the change's audience:
// every question that an event asks is answered by an index or a count.
type core struct {
	log     *slog.Logger
	verbose bool // the log takes what is only for debugging
	name    string
	start   time.Time
	index   *index // for readers without a session

	revision registry.Revision
	changing bool // the event under way has taken a revision

	count      uint64 // of sessions, ever
	sessions   []*session
	launchers  map[identity]*session // who has the launcher's id
	instances  map[identity]*instance
	namespaces map[string]map[string]*service
	views      map[string]*view // by canonical filter

	rechecks  map[identity]struct{} // of which instances what is checked may have changed
	unsaved   unsaved
	journal   journal
	doing     Cause // who or what is behind the event under way; empty: its launcher
	marks     map[identity]*mark
	timed     []*instance // those of the instances that the server keeps with deadlines
	keptCount int
	maxKept   int
	totals    totals
	catalogs  map[string]*Catalog // by namespace; only those that somebody asked for
	noCatalog *Catalog

	dirty   []*view    // that the event under way has changed
	fresh   []*session // to which complete views are due
	encoded []*view    // that keep their complete view encoded

	now  time.Time // of the event under way
	next time.Time // when tick must be called; zero: no need

	moving bool // sessions go to other servers, because this one ends

	sweep   sweep
	beat    beat
	warming warming
	losses  losses
	held    heldInstances
	claims  []*claim
	drains  drains
	cycles  cycles
}

func newCore(name string, log *slog.Logger, now time.Time, w *time.Duration) *core {
	c := &core{
		log: log, verbose: log.Enabled(context.Background(), slog.LevelDebug), name: name, start: now, now: now,
		revision:   registry.FirstRevision(now),
		launchers:  make(map[identity]*session),
		instances:  make(map[identity]*instance),
		namespaces: make(map[string]map[string]*service),
		views:      make(map[string]*view),
		index:      newIndex(now),
		marks:      make(map[identity]*mark),
		maxKept:    DefaultMaxRegistrations,
		catalogs:   make(map[string]*Catalog),
	}
	c.beat.every = minBeat
	c.sweep.last = now
	c.schedule(now.Add(sweepEvery))
	c.losses.departed = make(map[launcherKey]*departure)
	c.losses.services = make(map[*service]struct{})
	c.held.all = make(map[*instance]struct{})
	c.drains.all = make(map[*drain]struct{})
	c.held.sockets = make(map[string]*instance)
	c.journal.base = c.revision
	c.happened(Event{Kind: KindServer, Cause: CauseBegan})
	c.startWarming(w)
	c.publish()
	return c
}

// change returns the revision of the event under way.
func (c *core) change() registry.Revision {
	if !c.changing {
		c.changing = true
		c.revision++
	}
	return c.revision
}

// schedule makes sure that tick is called at the given time.
func (c *core) schedule(at time.Time) {
	if c.next.IsZero() || at.Before(c.next) {
		c.next = at
	}
}

// begin must be called before every event.
func (c *core) begin(now time.Time) {
	c.now = now
	c.wake()
}

// end must be called after every event. It returns when the next tick is due.
func (c *core) end() time.Time {
	c.settle()
	for _, v := range c.dirty {
		c.send(v)
	}
	clear(c.dirty)
	c.dirty = c.dirty[:0]
	for _, s := range c.fresh {
		s.fresh = false
		c.serve(s)
	}
	clear(c.fresh)
	c.fresh = c.fresh[:0]
	c.changing = false
	c.doing = ""
	c.publish()
	return c.next
}

// owe notes that complete views are due to the session.
func (c *core) owe(s *session) {
	if !s.fresh {
		s.fresh = true
		c.fresh = append(c.fresh, s)
	}
}

// tick looks at everything whose time may have come.
func (c *core) tick() {
	c.next = time.Time{}
	c.sweepAll()
	c.gather()
	c.judge()
	c.watchDrains()
	c.endWarming()
}

// greet names a session whose connection has shaken hands.
func (c *core) greet(s *session, peer string) {
	c.count++
	s.number, s.peer, s.connected = c.count, peer, c.now
	s.heard.Store(int64(c.now.Sub(c.start)))
}
