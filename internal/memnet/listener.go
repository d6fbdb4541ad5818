package memnet

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// backlog is how many connections may wait to be accepted. A dial beyond it is
// refused.
const backlog = 1 << 16

// ports gives every end in the process an address of its own.
var ports atomic.Uint32

// Listener is a [net.Listener] in memory. It is safe for concurrent use.
type Listener struct {
	addr net.Addr

	mu     sync.Mutex
	wake   sync.Cond
	queue  []*Conn
	open   map[*Conn]struct{} // server's ends that nobody has closed
	closed bool
}

// Listen returns a new listener.
func Listen() *Listener {
	l := &Listener{addr: newAddr(), open: make(map[*Conn]struct{})}
	l.wake.L = &l.mu
	return l
}

// Accept waits for the next connection. It fails with [net.ErrClosed] once the
// listener is closed.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 && !l.closed {
		l.wake.Wait()
	}
	if l.closed {
		return nil, l.fail("accept", net.ErrClosed)
	}
	c := l.queue[0]
	l.queue = l.queue[1:]
	return c, nil
}

// Close refuses all later dials and resets what was not accepted. Accepted
// connections stay.
func (l *Listener) Close() error {
	l.mu.Lock()
	queue := l.queue
	l.queue = nil
	wasClosed := l.closed
	l.closed = true
	l.wake.Broadcast()
	l.mu.Unlock()
	for _, c := range queue {
		c.Reset()
	}
	if wasClosed {
		return l.fail("close", net.ErrClosed)
	}
	return nil
}

// Addr returns an address of 127.0.0.1 with a port that no other end in the
// process has.
func (l *Listener) Addr() net.Addr { return l.addr }

// Dial connects to the listener, whatever the network and the address. Like
// TCP, it does not wait for Accept.
func (l *Listener) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, l.fail("dial", err)
	}
	client, server := pair(newAddr(), l.addr)
	server.forget = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, server)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.queue) >= backlog {
		return nil, l.fail("dial", os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	l.queue = append(l.queue, server)
	l.open[server] = struct{}{}
	l.wake.Signal()
	return client, nil
}

// ResetAll resets all connections made through the listener, at the same time,
// as the restart of a proxy in between does. The listener stays open.
func (l *Listener) ResetAll() {
	l.mu.Lock()
	conns := make([]*Conn, 0, len(l.open))
	for c := range l.open {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		c.Reset()
	}
}

func (l *Listener) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "memnet", Addr: l.addr, Err: err}
}

// firstPort is above the ports that a test would name itself.
const firstPort = 10000

func newAddr() net.Addr {
	port := firstPort + ports.Add(1)%(1<<16-firstPort)
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)}
}
