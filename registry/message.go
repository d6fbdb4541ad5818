package registry

import (
	"fmt"
	"math"
	"time"
)

// SessionPath and Subprotocol are where and how the session protocol is spoken:
// a WebSocket (RFC 6455) of JSON text messages. docs/protocol.md describes it
// for people who write a client in another language.
const (
	SessionPath = "/api/v1/session"
	Subprotocol = "cleat.v1"
)

// Milliseconds is a span of time on the wire.
type Milliseconds int64

// InMilliseconds returns d on the wire, rounded up, so that what is not nothing
// does not become nothing.
func InMilliseconds(d time.Duration) Milliseconds {
	ms := d / time.Millisecond
	if d%time.Millisecond > 0 {
		ms++
	}
	return Milliseconds(ms)
}

// Duration returns the span; what a Duration cannot hold (292 years) becomes the
// longest that it can.
func (m Milliseconds) Duration() time.Duration {
	const most = Milliseconds(math.MaxInt64 / time.Millisecond)
	return time.Duration(min(max(m, -most), most)) * time.Millisecond
}

// ClientMessage is one message from a launcher. Exactly one member is set; on
// the wire it is an object with that one member: {"declare":{...}}.
type ClientMessage struct {
	Declare *Declare `json:"declare,omitempty"`
	Report  *Report  `json:"report,omitempty"`
	Applied *Applied `json:"applied,omitempty"`
	Drain   *Drain   `json:"drain,omitempty"`
}

// Declare states all that a session offers and all that it needs, in place of
// everything that it stated before.
type Declare struct {
	ID        string        `json:"id"`              // the launcher's, unique in its namespace
	Key       string        `json:"key"`             // random; proves that a successor is the same launcher
	Known     *Milliseconds `json:"known,omitempty"` // expire_after of its last session; absent if there was none
	Namespace string        `json:"namespace"`
	Zone      string        `json:"zone,omitempty"`
	Provides  []Instance    `json:"provides"`
	Requires  []Require     `json:"requires"`
}

// Require is one need of a session. The server makes one view for each
// filter; alias, min and optional are for the people who look at the map.
type Require struct {
	Alias    string `json:"alias"`
	Filter   string `json:"filter"` // canonical
	Min      int    `json:"min"`
	Optional bool   `json:"optional,omitempty"`
}

// Applied says that a view is in effect: everything that the launcher does for
// it has been done, or failed with Error. It counts only for a view that was
// sent on the same connection.
type Applied struct {
	Filter   string   `json:"filter"`
	Revision Revision `json:"revision"`
	Held     bool     `json:"held,omitempty"` // in its stead, an earlier view stays in effect
	Error    string   `json:"error,omitempty"`
}

// Drain asks the server to hide instances at once, and to answer with
// [Drained] when everybody who used them has applied that.
type Drain struct {
	IDs  []string     `json:"ids"`
	Wait Milliseconds `json:"wait"` // at most; runs from the grant
	// InPlace asks for a restart: the server grants it when at least half of
	// the service's instances stay passing.
	InPlace bool `json:"in_place,omitempty"`
}

// ServerMessage is one message from a server. Exactly one member is set.
type ServerMessage struct {
	Welcome *Welcome     `json:"welcome,omitempty"`
	View    *ViewMessage `json:"view,omitempty"`
	Drained *Drained     `json:"drained,omitempty"`
	Command *Command     `json:"command,omitempty"`
	Bye     *Bye         `json:"bye,omitempty"`
	Cycle   *Cycle       `json:"cycle,omitempty"`
	Error   *Error       `json:"error,omitempty"`
}

// Welcome answers the first declare of a connection, and comes again when
// BeatEvery changes or an instance declared later gets its Since.
type Welcome struct {
	Session     string              `json:"session"` // the server's name for this connection
	Server      string              `json:"server"`  // the server's own name
	BeatEvery   Milliseconds        `json:"beat_every"`
	ExpireAfter Milliseconds        `json:"expire_after"`
	Warming     bool                `json:"warming"`
	Peer        string              `json:"peer"`            // the address that the server sees
	Since       map[string]Revision `json:"since,omitempty"` // by instance id, for those that came without one
}

// ViewMessage is a view, complete or as the differences from the last one.
type ViewMessage struct {
	Filter   string     `json:"filter"` // canonical
	Revision Revision   `json:"revision"`
	Complete bool       `json:"complete"`
	Warming  bool       `json:"warming"`
	Add      []Endpoint `json:"add"`  // new or changed
	Drop     []Drop     `json:"drop"` // gone, and why; may name what was never added
}

// Drop is one endpoint that left a view.
type Drop struct {
	ID  string `json:"id"`
	Why Why    `json:"why"`
}

// Why is the cause for which an endpoint left a view.
type Why string

// The causes.
const (
	WhyRestarting  Why = "restarting"  // an in-place drain, or starting again
	WhyDraining    Why = "draining"    // it is leaving
	WhyCritical    Why = "critical"    // its checks fail
	WhyMaintenance Why = "maintenance" // an operator's doing
	WhyLost        Why = "lost"        // its session ended without a goodbye
	WhyLeft        Why = "left"        // its session ended with one, or no longer provides it
)

// Drained answers a [Drain].
type Drained struct {
	IDs     []string `json:"ids"`     // those of the request
	Applied int      `json:"applied"` // sessions that acknowledged
	Pending []string `json:"pending"` // ids of the launchers that did not, in time
	Blind   bool     `json:"blind"`   // somebody may have used them who cannot acknowledge
	// Alone says that no other instance of their services serves: consumers
	// hold on to them, and it is no use to wait for connections to end.
	Alone bool `json:"alone,omitempty"`
}

// Command is what an operator asks of a launcher.
type Command struct {
	Do  string   `json:"do"`            // drain, undrain, maintenance or service
	IDs []string `json:"ids,omitempty"` // of its instances; absent: all
}

// Bye tells a launcher to go to another server.
type Bye struct {
	Within Milliseconds `json:"within"` // in which to go; 0 is at once
	Keep   bool         `json:"keep"`   // stay here until another has accepted it
}

// Error is what a server answers to what it cannot do. It closes the
// connection when it is Fatal.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Fatal   bool   `json:"fatal"`
	ID      string `json:"id,omitempty"` // of the instance concerned
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Message, e.Code) }

// Code is a kind of error that a client can act on.
type Code string

// The codes.
const (
	CodeBadMessage   Code = "bad_message"  // not a message of this protocol
	CodeBadDeclare   Code = "bad_declare"  // something in it is not allowed; nothing of it was applied
	CodeConflict     Code = "conflict"     // the id belongs to a launcher that lives
	CodeFenced       Code = "fenced"       // a successor with the same key has taken over
	CodeUnauthorized Code = "unauthorized" // the token does not allow it
	CodeTooMany      Code = "too_many"     // a limit of the server is reached
	CodeUnknown      Code = "unknown"      // an id or filter that the session never declared
)

// The close codes of RFC 6455 that the protocol gives a meaning to.
const (
	// CloseLeft is sent by a launcher that leaves for good.
	CloseLeft = 1000
	// CloseGoingAway is sent by a server that stops.
	CloseGoingAway = 1001
	// ClosePolicy is sent after a fatal error.
	ClosePolicy = 1008
)
