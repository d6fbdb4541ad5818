// Package probe asks once whether a port can be used: by TCP, HTTP, HTTPS or
// gRPC. Launchers ask their child, and the server asks what has no launcher.
//
// It has no clock and no memory: when to ask, and how often, is the caller's. What
// several answers in a row amount to is a [Judgement].
//
// # Guarantees
//
//   - A probe ends when its context does, and leaves neither a connection nor a
//     goroutine behind.
//   - Connections go to the given address and nowhere else: no proxy, no name is
//     looked up, no redirect to another address is followed.
//   - What a server says is bounded ([MaxOutput]), whatever it sends.
package probe

import (
	"context"
	"net/netip"
	"time"
)

// Kind is how it is asked.
type Kind string

// The kinds.
const (
	TCP   Kind = "tcp"   // a connection is accepted
	HTTP  Kind = "http"  // 2xx is passing, 429 (too many requests) warning, anything else critical
	HTTPS Kind = "https" // likewise
	GRPC  Kind = "grpc"  // the health service says SERVING
)

// Probe is one question.
type Probe struct {
	Kind    Kind
	Path    string // HTTP and HTTPS: begins with '/', may have a query
	Method  string // HTTP and HTTPS
	Service string // GRPC: the name to ask for; empty: the server as a whole

	TLS        bool   // GRPC; HTTPS has it always
	SkipVerify bool   // with TLS: any certificate will do
	ServerName string // with TLS: the name that the certificate must be for; empty: the address

	Timeout time.Duration // in reasons; what ends a probe is its context
}

// Run asks. It returns when it has an answer or ctx ends.
func (c Probe) Run(ctx context.Context, at netip.AddrPort) Outcome {
	switch c.Kind {
	case HTTP, HTTPS:
		return checkHTTP(ctx, c, at)
	case TCP:
		return checkTCP(ctx, c, at)
	case GRPC:
		return checkGRPC(ctx, c, at)
	}
	return Critical("there is no check %q", c.Kind)
}

// Reachable is the address to connect to for one that a socket is bound to.
func Reachable(at netip.AddrPort) netip.AddrPort {
	addr := at.Addr().Unmap()
	switch {
	case addr.IsUnspecified() && addr.Is4():
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case addr.IsUnspecified():
		addr = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(addr, at.Port())
}
