package listeners

import "net/netip"

// socket is one listening socket as the kernel tells it.
type socket struct {
	inode  uint32 // of the socket in sockfs: what /proc/<pid>/fd links to; 0 when nobody holds it
	addr   netip.Addr
	port   uint16
	udp    bool
	v6only bool // meaningful for [::] alone
}

// source is where sockets come from. There are two: [diag] and, where that is forbidden, [procNet].
type source interface {
	// read appends the listening TCP sockets, and the bound UDP sockets if asked, of this network namespace to into.
	read(into []socket, wantUDP bool) ([]socket, error)
	close() error
}

// socket states, as in the kernel's tcp_states.h, the same in inet_diag and in /proc/net. A UDP socket that is bound
// and has no peer is in the state "close".
const (
	stateEstablished = 1
	stateClose       = 7
	stateListen      = 10
)

// union is all of a, and those of b that a does not have.
func union(a, b []socket) []socket {
	seen := make(map[uint32]bool, len(a))
	for _, s := range a {
		seen[s.inode] = true
	}
	for _, s := range b {
		if !seen[s.inode] {
			a = append(a, s)
		}
	}
	return a
}
