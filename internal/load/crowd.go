package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"cleat/registry"
)

// crowd is many connections that are read by this process: sessions, or sockets
// that only read.
type crowd struct {
	conns []net.Conn
	beat  atomic.Int64 // nanoseconds between two beats, as the server wants them
	wg    sync.WaitGroup

	mu     sync.Mutex
	views  int           // messages that every connection may still get
	last   chan struct{} // closed when views is 0
	failed error
}

// dialer leaves out TCP's probes: sessions have beats.
var dialer = net.Dialer{KeepAlive: -1}

// gather connects n times and waits until everybody is served. declare says what
// the nth launcher declares; nil: they are bare sockets.
func gather(ctx context.Context, p *process, n int, declare func(n int) registry.Declare) (*crowd, error) {
	c := &crowd{}
	c.beat.Store(int64(3 * time.Second))
	for i := range n {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		conn, err := dialer.Dial("tcp", p.address)
		if err != nil {
			return c, fmt.Errorf("connection %d: %w", i, err)
		}
		c.conns = append(c.conns, conn)
		r := bufio.NewReaderSize(conn, 512)
		if declare != nil {
			if err := c.join(conn, r, declare(i)); err != nil {
				return c, fmt.Errorf("session %d: %w", i, err)
			}
		}
		c.wg.Go(func() { c.read(conn, r) })
	}
	return c, nil
}

// handshake makes a session of a connection.
func handshake(conn net.Conn, r *bufio.Reader) error {
	_, err := io.WriteString(conn, "GET "+registry.SessionPath+" HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: "+registry.Subprotocol+"\r\n\r\n")
	if err != nil {
		return err
	}
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the server answers %s", answer.Status)
	}
	return nil
}

// join declares, and waits for the welcome and the first view of everything that
// is required.
func (c *crowd) join(conn net.Conn, r *bufio.Reader, d registry.Declare) error {
	if err := handshake(conn, r); err != nil {
		return err
	}
	if _, err := conn.Write(frame(ws.OpText, registry.ClientMessage{Declare: &d}.Encode())); err != nil {
		return err
	}
	for range 1 + len(d.Requires) {
		h, err := ws.ReadHeader(r)
		if err != nil {
			return err
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(r, payload); err != nil {
			return err
		}
		c.welcomed(payload)
	}
	return nil
}

// frame encodes a frame as clients must.
func frame(op ws.OpCode, payload []byte) []byte {
	return ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(op, true, payload)))
}

// welcomed takes the beat out of a welcome.
func (c *crowd) welcomed(payload []byte) bool {
	if !bytes.HasPrefix(payload, []byte(`{"welcome"`)) {
		return false
	}
	var m registry.ServerMessage
	if json.Unmarshal(payload, &m) == nil && m.Welcome != nil {
		c.beat.Store(int64(m.Welcome.BeatEvery.Duration()))
	}
	return true
}

// read takes what comes until the connection ends.
func (c *crowd) read(conn net.Conn, r *bufio.Reader) {
	var buffer []byte
	for {
		h, err := ws.ReadHeader(r)
		if err != nil {
			c.end(err)
			return
		}
		if int(h.Length) > cap(buffer) {
			buffer = make([]byte, h.Length)
		}
		payload := buffer[:h.Length]
		if _, err := io.ReadFull(r, payload); err != nil {
			c.end(err)
			return
		}
		switch h.OpCode {
		case ws.OpPing:
			_, _ = conn.Write(frame(ws.OpPong, payload))
		case ws.OpText:
			if !c.welcomed(payload) {
				c.got()
			}
		}
	}
}

// end is the end of a connection; before [crowd.leave] it is a failure.
func (c *crowd) end(err error) {
	if errors.Is(err, net.ErrClosed) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = fmt.Errorf("a connection ended: %w", err)
	}
}

// expect returns a channel that is closed when so many messages have come to all
// together from now on.
func (c *crowd) expect(messages int) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.views, c.last = messages, make(chan struct{})
	return c.last
}

func (c *crowd) got() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.views--; c.views == 0 {
		close(c.last)
	}
}

// all waits until the channel is closed.
func (c *crowd) all(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(patience):
		c.mu.Lock()
		defer c.mu.Unlock()
		return errors.Join(fmt.Errorf("%d messages are missing after %s", c.views, patience), c.failed)
	}
}

// alive beats for everybody, evenly over the time, until ctx ends.
func (c *crowd) alive(ctx context.Context) {
	ping := frame(ws.OpPing, nil)
	const ticks = 100 // a second
	tick := time.NewTicker(time.Second / ticks)
	defer tick.Stop()
	next, due := 0, 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due += float64(len(c.conns)) / time.Duration(c.beat.Load()).Seconds() / ticks
		for ; due >= 1; due-- {
			_, _ = c.conns[next%len(c.conns)].Write(ping)
			next++
		}
	}
}

// leave closes everything, and reports what had failed before.
func (c *crowd) leave() error {
	c.mu.Lock()
	failed := c.failed
	c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.wg.Wait()
	return failed
}

// consumer declares one requirement.
func consumer(n int) registry.Declare {
	return registry.Declare{
		ID: fmt.Sprintf("consumer-%d", n), Key: "0123456789abcdef", Namespace: registry.DefaultNamespace,
		Requires: []registry.Require{{Alias: "web", Filter: "web?ns=default", Min: 1}},
	}
}

// provider declares one instance.
func provider(id string, status registry.Status) registry.Declare {
	return registry.Declare{
		ID: id, Key: "0123456789abcdef", Namespace: registry.DefaultNamespace, Requires: []registry.Require{},
		Provides: []registry.Instance{{ID: id + ":80", Service: "web", Address: "10.0.0.1", Port: 80, Status: status}},
	}
}
