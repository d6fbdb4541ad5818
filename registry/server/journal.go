package server

import (
	"slices"
	"time"

	"cleat/registry"
)

// The bounds of the journal.
const (
	// maxEvents is how many events the server remembers, of all instances and
	// sessions together; later ones take the place of the earliest. They take
	// some 4 MB.
	maxEvents = 16384
	// maxEventsAtOnce is how many events one look at the journal returns.
	maxEventsAtOnce = 1024
	// maxStory is how many of its latest events are told of one instance.
	maxStory = 64
)

// Kind is what an event is about.
type Kind string

// The kinds.
const (
	KindAppeared   Kind = "appeared"   // an instance is there
	KindChanged    Kind = "changed"    // its address, tags, attributes or zone are others
	KindStatus     Kind = "status"     // its status is another
	KindMoved      Kind = "moved"      // another launcher, or somebody without one, keeps it now
	KindHeld       Kind = "held"       // it is shown although its session is lost, or it is critical
	KindConfirmed  Kind = "confirmed"  // it is held no longer, because it is there
	KindGone       Kind = "gone"       // it is there no longer
	KindDrained    Kind = "drained"    // everybody who used it has let go, or the drain's time is over
	KindSession    Kind = "session"    // a launcher has connected; ID is the launcher's
	KindEnded      Kind = "ended"      // a launcher's session has ended
	KindServer     Kind = "server"     // the server began to serve, or was away itself
	KindWarming    Kind = "warming"    // warming began or ended
	KindPreserving Kind = "preserving" // self-preservation began or ended
)

// Cause is why something happened.
type Cause string

// The causes.
const (
	CauseLeft        Cause = "left"        // its launcher said goodbye
	CauseWithdrawn   Cause = "withdrawn"   // its launcher lives, and provides it no longer
	CauseLost        Cause = "lost"        // its session ended without a goodbye
	CauseExpired     Cause = "expired"     // its session was silent for too long
	CauseUnconfirmed Cause = "unconfirmed" // known from before the server's start, and not confirmed
	CauseNotRenewed  Cause = "not renewed" // its TTL is over
	CauseCritical    Cause = "critical"    // it was critical for too long
	CauseRemoved     Cause = "removed"     // by whoever registered it, or by an operator
	CauseReplaced    Cause = "replaced"    // somebody else has its id, or its address and port
	CauseOperator    Cause = "operator"    // somebody asked for it
	CauseFenced      Cause = "fenced"      // another connection of the launcher took over
	CauseBegan       Cause = "began"
	CauseOver        Cause = "over"
	CauseAway        Cause = "away" // the server was frozen, or had no CPU
)

// Event is something that happened.
type Event struct {
	// Revision numbers events: every event has its own, later ones have larger
	// ones, over restarts of the server too, as long as its clock is not set
	// back. It is not the registry's.
	Revision  registry.Revision
	Time      time.Time
	Kind      Kind
	Namespace string
	Service   string          // of an instance
	ID        string          // of the instance; of the launcher, where Kind is about a session
	Status    registry.Status // what the instance is shown as, from now on
	Cause     Cause           // empty: its launcher, or its check, says so
	Why       string          // for people; may be empty
	Session   string          // the one concerned; empty: none

	before uint64 // the number of the instance's event before this one; 0: none is remembered
}

// journal is what happened lately: one ring for everything. Each event of an
// instance knows the one before, so that an instance's story costs nothing
// until somebody wants to hear it.
type journal struct {
	ring  []Event             // event number n is at (n-1) % maxEvents
	count uint64              // events ever, which is the number of the latest
	base  registry.Revision   // the revision before that of the first event
	gone  map[identity]uint64 // the last events of instances that are gone
	more  *signal             // somebody waits for the next event; nil: nobody
	fresh bool                // there is one since the event under way began
}

// happened enters an event.
func (c *core) happened(e Event) {
	j := &c.journal
	e.Revision = j.base + registry.Revision(j.count) + 1
	e.Time = c.now.Round(0)
	e.Why = registry.Cut(e.Why)
	if len(j.ring) < maxEvents {
		j.ring = append(j.ring, e)
	} else {
		at := j.count % maxEvents
		if old := &j.ring[at]; old.Kind == KindGone {
			if id := (identity{old.Namespace, old.ID}); j.gone[id] == j.count-maxEvents+1 {
				delete(j.gone, id)
			}
		}
		j.ring[at] = e
	}
	j.count++
	j.fresh = true
}

// tell enters an event of an instance.
func (c *core) tell(i *instance, kind Kind, cause Cause, why string) {
	j := &c.journal
	e := Event{
		Kind: kind, Namespace: i.shown.Namespace, Service: i.shown.Service, ID: i.shown.ID,
		Status: i.shown.Status, Cause: cause, Why: why, before: i.event,
	}
	if i.owner != nil {
		e.Session = i.owner.name()
	}
	if i.event == 0 {
		if e.before = j.gone[i.identity()]; e.before != 0 {
			delete(j.gone, i.identity())
		}
	}
	c.happened(e)
	i.event = j.count
	if kind == KindGone {
		if j.gone == nil {
			j.gone = make(map[identity]uint64)
		}
		j.gone[i.identity()] = j.count
	}
}

// tellSession enters an event of a session.
func (c *core) tellSession(s *session, kind Kind, cause Cause, why string) {
	c.happened(Event{Kind: kind, Namespace: s.id.namespace, ID: s.id.id, Cause: cause, Why: why, Session: s.name()})
}

// publish wakes those who wait for events when the event under way ends.
func (c *core) publish() {
	j := &c.journal
	if j.fresh && j.more != nil {
		j.more.end()
		j.more = nil
	}
	j.fresh = false
}

func (j *journal) at(n uint64) *Event { return &j.ring[(n-1)%maxEvents] }

// oldest is the number of the earliest event that is remembered.
func (j *journal) oldest() uint64 { return j.count - uint64(len(j.ring)) + 1 }

// after returns the events with larger revisions.
func (j *journal) after(revision registry.Revision) (events []Event, complete bool) {
	oldest := j.oldest()
	complete = oldest == 1 && (revision == 0 || len(j.ring) > 0 && revision >= j.ring[0].Revision)
	if len(j.ring) > 0 && revision >= j.at(oldest).Revision {
		complete = revision <= j.at(j.count).Revision
	}
	first := oldest
	if revision >= j.base {
		first = max(oldest, uint64(revision-j.base)+1)
	}
	for n := first; n <= j.count && len(events) < maxEventsAtOnce; n++ {
		events = append(events, *j.at(n))
	}
	return events, complete
}

// story returns the latest events of an instance, earliest first; n is the
// number of its last one.
func (j *journal) story(n uint64) []Event {
	var events []Event
	for n != 0 && n >= j.oldest() && len(events) < maxStory {
		events = append(events, *j.at(n))
		n = j.at(n).before
	}
	slices.Reverse(events)
	return events
}

// Events returns what has happened since the event with that revision, earliest
// first, at most 1,024 events: ask again with the last one's. 0 asks for all
// that is remembered, the latest 16,384. complete reports whether nothing is
// missing in between: the revision is one of this server, and not too long ago.
// more is closed when there are further events.
func (s *Server) Events(after registry.Revision) (events []Event, complete bool, more <-chan struct{}) {
	over := &signal{}
	more = over.wait()
	if !s.inspect(func(c *core) {
		events, complete = c.journal.after(after)
		if n := len(events); n == maxEventsAtOnce && events[n-1].Revision != c.journal.at(c.journal.count).Revision {
			over.end()
			return
		}
		if c.journal.more == nil {
			c.journal.more = over
			return
		}
		more = c.journal.more.wait()
	}) {
		over.end()
	}
	return events, complete, more
}
