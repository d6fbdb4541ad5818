package server

import (
	"strconv"
	"sync/atomic"
	"time"

	"cleat/registry"
	"cleat/registry/access"
)

// session is one launcher's connection, as the core sees it.
//
//	          declare                close 1000
//	greeted -----------> declared -----------------> ended: what it provides
//	   |                  |    ^                     is dropped as left
//	   | 5 s              |    | declare: the difference
//	   v                  |    +----
//	closed                +-- closed, reset, silent --> lost: see instance
//	                      +-- same key elsewhere -----> fenced: what it provides
//	                                                    is the successor's
//
// Everything but the atomics and the outbox is guarded by the server's mutex.
type session struct {
	number uint64
	peer   string // the address that the server sees
	out    outbox
	cut    func() // closes the connection without a word; may be nil

	// heard is when the last sign of life came, in nanoseconds since the
	// server's start. A beat touches nothing else.
	heard atomic.Int64
	// asked is set while the core waits for a sign of life.
	asked atomic.Bool

	declared  bool
	ended     bool
	id        identity
	zone      string
	key       keyHash
	known     bool // the launcher had a session before
	connected time.Time
	index     int  // in the core's list of sessions
	fresh     bool // complete views are due, in the event under way

	grant    access.Grant // by which it has declared; set when guarded
	guarded  bool         // it came through the server's guard
	provides []*instance
	requires []registry.Require
	subs     []*subscription
	claiming int // claims that wait for a decision
	draining int // drains that are not over
	report   *registry.Report
	cycle    []registry.CycleLink // that its launcher was told to wait for
}

// name is how the session is called in messages and logs: unique for as long as
// the server lives.
func (s *session) name() string { return "s" + strconv.FormatUint(s.number, 36) }

// subscription returns the session's share of the view with that text.
func (s *session) subscription(text string) *subscription {
	for _, sub := range s.subs {
		if sub.view.text == text {
			return sub
		}
	}
	return nil
}

// mayReplace reports whether the session may take over what nobody keeps now, as
// far as its grant goes: who may register one service cannot take the id of
// another's. nil stands for nobody's session.
func (s *session) mayReplace(i *instance) bool {
	return s == nil || !s.guarded || s.grant.Allows(access.Register, i.shown.Namespace, i.shown.Service)
}

// send puts an answer into the session's outbox. Who does not read answers is
// cut off.
func (s *session) send(m registry.ServerMessage) {
	if !s.out.put(messageFrame(m)) && s.cut != nil {
		s.cut()
	}
}

func (s *session) refuse(code registry.Code, id, message string) {
	s.send(registry.ServerMessage{Error: &registry.Error{Code: code, Message: registry.Cut(message), ID: id}})
}

// expel ends the session with a fatal error. The core must be done with it.
func (s *session) expel(code registry.Code, message string) {
	s.send(registry.ServerMessage{Error: &registry.Error{Code: code, Message: registry.Cut(message), Fatal: true}})
	s.out.finish(closeFrame(registry.ClosePolicy, string(code)))
}
