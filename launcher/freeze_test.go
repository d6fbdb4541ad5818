package launcher

import (
	"net"
	"os"
	"sync"
	"time"
)

// gate lets the bytes of connections pass, or keeps them back, as when the
// other side is frozen: nothing is lost, nothing is refused, nothing comes.
type gate struct {
	mu   sync.Mutex
	thaw chan struct{} // closed by open; nil: it is open
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.thaw == nil {
		g.thaw = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.thaw != nil {
		close(g.thaw)
		g.thaw = nil
	}
}

func (g *gate) closed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.thaw
}

// gated is a connection behind a gate. Deadlines hold while it is closed.
type gated struct {
	net.Conn
	gate *gate
	done chan struct{}
	once sync.Once

	mu     sync.Mutex
	reads  time.Time
	writes time.Time
}

func newGated(conn net.Conn, g *gate) *gated {
	return &gated{Conn: conn, gate: g, done: make(chan struct{})}
}

func (c *gated) Read(p []byte) (int, error) {
	if err := c.pass(&c.reads); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *gated) Write(p []byte) (int, error) {
	if err := c.pass(&c.writes); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// pass waits until the gate is open.
func (c *gated) pass(deadline *time.Time) error {
	for {
		thaw := c.gate.closed()
		if thaw == nil {
			return nil
		}
		c.mu.Lock()
		at := *deadline
		c.mu.Unlock()
		var over <-chan time.Time
		if !at.IsZero() {
			timer := time.NewTimer(time.Until(at))
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-thaw:
		case <-over:
			return os.ErrDeadlineExceeded
		case <-c.done:
			return net.ErrClosed
		}
	}
}

func (c *gated) Close() error {
	c.once.Do(func() { close(c.done) })
	return c.Conn.Close()
}

func (c *gated) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.reads = t
	c.mu.Unlock()
	return c.Conn.SetReadDeadline(t)
}

func (c *gated) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	c.writes = t
	c.mu.Unlock()
	return c.Conn.SetWriteDeadline(t)
}

func (c *gated) SetDeadline(t time.Time) error {
	c.mu.Lock()
	c.reads, c.writes = t, t
	c.mu.Unlock()
	return c.Conn.SetDeadline(t)
}
