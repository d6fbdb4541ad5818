package server

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"cleat/registry"
)

// totals are counts over everything, kept as it changes.
type totals struct {
	instances map[registry.Status]int // by what they are shown as

	sessions, lost, expired, left, fenced uint64 // ever
	changes                               uint64 // of instances
	drains, pendingDrains                 uint64 // ever; those that not everybody answered
}

// total counts the form in which an instance is shown, or takes it away.
func (c *core) total(i *instance, by int) {
	if c.totals.instances == nil {
		c.totals.instances = make(map[registry.Status]int)
	}
	c.totals.instances[i.shown.Status] += by
}

// Stats are numbers about the server, for metrics and for people. Reading them
// costs the same however large the registry is.
type Stats struct {
	Revision   registry.Revision
	Started    time.Time
	Warming    bool
	Preserving bool          // self-preservation is on
	BeatEvery  time.Duration // that launchers are asked for

	Sessions      int                     // that have declared
	Services      int                     // with instances, or required
	Instances     map[registry.Status]int // by what they are shown as
	Held          int                     // of them, shown although they are lost or critical
	Registrations int                     // of them, without a launcher
	Marks         int                     // in maintenance
	Views         int                     // different filters that somebody requires
	Drains        int                     // that are not over

	// Counts since the server started.
	SessionsBegun, SessionsLost, SessionsExpired, SessionsLeft, SessionsFenced uint64
	Changes                                                                    uint64 // of instances
	DrainsOver                                                                 uint64 // drains that ended with an answer
	DrainsPending                                                              uint64 // of them, those that not everybody answered in time
	Events                                                                     uint64 // in the journal, ever
}

// Stats returns the server's numbers; none before it serves.
func (s *Server) Stats() Stats {
	var t Stats
	s.inspect(func(c *core) {
		t = Stats{
			Revision: c.revision, Started: c.start.Round(0), Warming: c.warming.on, Preserving: c.held.preserving, BeatEvery: c.beat.every,
			Sessions: len(c.sessions), Instances: make(map[registry.Status]int, len(c.totals.instances)),
			Held: len(c.held.all), Registrations: c.keptCount, Marks: len(c.marks), Views: len(c.views), Drains: len(c.drains.all),
			SessionsBegun: c.totals.sessions, SessionsLost: c.totals.lost, SessionsExpired: c.totals.expired,
			SessionsLeft: c.totals.left, SessionsFenced: c.totals.fenced,
			Changes: c.totals.changes, DrainsOver: c.totals.drains, DrainsPending: c.totals.pendingDrains, Events: c.journal.count,
		}
		for status, n := range c.totals.instances {
			if n > 0 {
				t.Instances[status] = n
			}
		}
		for _, services := range c.namespaces {
			t.Services += len(services)
		}
	})
	return t
}

// Sessions returns the launchers that are connected, sorted by namespace and id.
// It costs a look at every session.
func (s *Server) Sessions() []registry.SessionDetail {
	list := []registry.SessionDetail{}
	s.inspect(func(c *core) {
		now := time.Now()
		for _, session := range c.sessions {
			list = append(list, c.detail(session, now))
		}
	})
	slices.SortFunc(list, func(a, b registry.SessionDetail) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.ID, b.ID), strings.Compare(a.Session, b.Session))
	})
	return list
}
