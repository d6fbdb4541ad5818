package client

import (
	"net"

	"cleat/registry"
)

// Event is one of the types below.
type Event interface{ event() }

type (
	// Connected: a server has welcomed this session. Warming and Since are in
	// Welcome. It is the first event of its connection, and follows a
	// Disconnected, or without one a connection to another server, when a
	// server has asked the launcher to go there.
	Connected struct {
		Welcome registry.Welcome
		Server  string // URL
		Local   net.Addr
	}
	// Welcomed: another welcome on the same connection.
	Welcomed struct{ Welcome registry.Welcome }
	// Disconnected: there was a session and it ended, or no server could be
	// reached for the first time; once per change of state. Err holds a
	// [*registry.Error] when a server has refused the session.
	Disconnected struct{ Err error }
	// Viewed: a view came. View is the result of applying Message to the last
	// one; it may be equal to that, as it usually is after a reconnect.
	Viewed struct {
		View    registry.View
		Message registry.ViewMessage
	}
	// Drained: a drain is over.
	Drained struct{ registry.Drained }
	// Commanded: an operator asks for something.
	Commanded struct{ registry.Command }
	// Cycled: the first start waits for launchers that wait for each other; or,
	// without links, does so no more. Sessions begin without.
	Cycled struct{ registry.Cycle }
	// Refused: a non-fatal error from the server. After a conflict the client
	// declares again by itself, every [registry.ReconnectCap].
	Refused struct{ registry.Error }
)

func (Connected) event()    {}
func (Welcomed) event()     {}
func (Disconnected) event() {}
func (Viewed) event()       {}
func (Drained) event()      {}
func (Commanded) event()    {}
func (Cycled) event()       {}
func (Refused) event()      {}
