package probe

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"cleat/registry"
)

// checkTCP passes when a connection is accepted.
func checkTCP(ctx context.Context, c Probe, at netip.AddrPort) Outcome {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", at.String())
	if err != nil {
		return Failure(c.Timeout, "", err)
	}
	conn.Close()
	return Outcome{Status: registry.Passing, Reason: "connected"}
}

// dialer connects an HTTP transport: whatever name that asks for, it gets
// a connection to one address, and none outlives the check.
type dialer struct {
	ctx context.Context // the check's: a transport's own may outlive it
	at  netip.AddrPort

	mu    sync.Mutex
	ended bool
	conns []net.Conn
}

func (d *dialer) dial(context.Context, string, string) (net.Conn, error) {
	var dial net.Dialer
	conn, err := dial.DialContext(d.ctx, "tcp", d.at.String())
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		conn.Close()
		return nil, net.ErrClosed
	}
	d.conns = append(d.conns, conn)
	return conn, nil
}

// end closes every connection, and those that are still being made.
func (d *dialer) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	for _, conn := range d.conns {
		conn.Close()
	}
}
