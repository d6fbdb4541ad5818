package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// BufferSize is how many bytes may be under way in one direction of a
// connection before its writer waits, in bytes.
const BufferSize = 64 << 10

// Conn is one end of a connection: a [net.Conn] that can also be reset. It is
// safe for concurrent use.
type Conn struct {
	local, remote net.Addr
	in, out       *stream
	once          sync.Once
	forget        func() // called when this end is closed or reset; may be nil
	peer          *Conn
}

// Pair returns the two ends of a connection.
func Pair() (*Conn, *Conn) { return pair(newAddr(), newAddr()) }

func pair(a, b net.Addr) (*Conn, *Conn) {
	ab, ba := newStream(), newStream()
	x := &Conn{local: a, remote: b, in: ba, out: ab}
	y := &Conn{local: b, remote: a, in: ab, out: ba}
	x.peer, y.peer = y, x
	return x, y
}

// Read reads what the peer wrote. It returns io.EOF after all of it once the
// peer has closed, and os.ErrDeadlineExceeded past the deadline.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

// Write waits while the buffer is full.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

// Close ends this end; what was written can still be read by the peer.
func (c *Conn) Close() error {
	err := error(&net.OpError{Op: "close", Net: "memnet", Addr: c.local, Err: net.ErrClosed})
	c.once.Do(func() {
		err = nil
		c.out.closeWriter()
		c.in.closeReader()
		c.leave()
	})
	return err
}

// Reset ends both ends at once: what is under way is lost, and everything that
// waits fails with ECONNRESET.
func (c *Conn) Reset() {
	c.in.reset()
	c.out.reset()
	c.leave()
	c.peer.leave()
}

// LocalAddr returns the address of this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the address of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline bounds reads and writes, also those that wait already.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	c.out.setWriteDeadline(t)
	return nil
}

// SetReadDeadline bounds reads, also those that wait already.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	return nil
}

// SetWriteDeadline bounds writes, also those that wait already.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setWriteDeadline(t)
	return nil
}

func (c *Conn) leave() {
	if c.forget != nil {
		c.forget()
	}
}

func (c *Conn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "memnet", Source: c.local, Addr: c.remote, Err: err}
}

// stream is one direction of a connection.
type stream struct {
	writing chan struct{} // holds the one writer at a time: frames never interleave
	mu      sync.Mutex
	wake    sync.Cond
	buf     []byte

	writerClosed bool
	readerClosed bool
	wasReset     bool

	reads, writes deadline
}

// deadline is a point in time at which everybody who waits looks again.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) over() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newStream() *stream {
	s := &stream{writing: make(chan struct{}, 1)}
	s.wake.L = &s.mu
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readerClosed:
			return 0, net.ErrClosed
		case s.wasReset:
			return 0, os.NewSyscallError("read", syscall.ECONNRESET)
		case s.reads.over():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(s.buf) > 0:
			n := copy(p, s.buf)
			s.buf = s.buf[n:]
			s.wake.Broadcast()
			return n, nil
		case s.writerClosed:
			return 0, io.EOF
		}
		s.wake.Wait()
	}
}

func (s *stream) write(p []byte) (int, error) {
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for {
		switch {
		case s.writerClosed:
			return written, net.ErrClosed
		case s.wasReset:
			return written, os.NewSyscallError("write", syscall.ECONNRESET)
		case s.readerClosed:
			return written, os.NewSyscallError("write", syscall.EPIPE)
		case s.writes.over():
			return written, os.ErrDeadlineExceeded
		}
		n := min(len(p)-written, BufferSize-len(s.buf))
		if n > 0 {
			s.buf = append(s.buf, p[written:written+n]...)
			written += n
			s.wake.Broadcast()
		}
		if written == len(p) {
			return written, nil
		}
		s.wake.Wait()
	}
}

func (s *stream) closeWriter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writerClosed = true
	s.writes.stop()
	s.wake.Broadcast()
}

func (s *stream) closeReader() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readerClosed = true
	s.buf = nil
	s.reads.stop()
	s.wake.Broadcast()
}

func (s *stream) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wasReset = true
	s.buf = nil
	s.reads.stop()
	s.writes.stop()
	s.wake.Broadcast()
}

func (s *stream) setReadDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(&s.reads, t)
}

func (s *stream) setWriteDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(&s.writes, t)
}

func (s *stream) set(d *deadline, t time.Time) {
	d.stop()
	d.at = t
	if !t.IsZero() {
		d.timer = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.wake.Broadcast()
		})
	}
	s.wake.Broadcast()
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
