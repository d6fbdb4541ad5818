package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"cleat/registry"
)

// errLeft: Leave was called.
var errLeft = errors.New("the session was left")

// session is what serve knows about the connection that it serves.
type session struct {
	client *Client
	line   *line
	beat   *time.Ticker
	again  *time.Timer   // declares again after a conflict; stopped at other times
	bye    *registry.Bye // where to go is being looked for; nil: it stays
}

// serve keeps the session until its connection ends, until another one takes
// its place (moved), or until the client is to stop.
func (c *Client) serve(ctx context.Context, l *line) (moved *line, err error) {
	c.learn(l.welcome)
	c.up, c.told = true, true
	clear(c.complaints)
	c.use(l) // before anybody hears of it, and says something
	c.events.put(Connected{Welcome: l.welcome, Server: l.url, Local: l.conn.LocalAddr()})

	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { l.raw.Close() })
	var others sync.WaitGroup
	moves, hurry := make(chan *line, 1), make(chan struct{})
	defer func() {
		c.unuse()
		stop()
		cancel()
		l.raw.Close()
		others.Wait()
		if moved == nil {
			select {
			case moved = <-moves:
			default:
			}
		}
	}()

	s := &session{
		client: c, line: l,
		beat:  time.NewTicker(l.welcome.BeatEvery.Duration()),
		again: time.NewTimer(registry.ReconnectCap),
	}
	s.again.Stop()
	defer s.beat.Stop()
	defer s.again.Stop()

	for _, m := range l.early {
		if err := s.handle(m); err != nil {
			return nil, s.lost(err)
		}
	}
	l.early = nil

	messages, ended := make(chan registry.ServerMessage), make(chan error, 1)
	others.Go(func() { ended <- l.listen(ctx, messages) })

	writable := true
	moving := false
	for {
		var failed error
		select {
		case m := <-messages:
			if err := s.handle(m); err != nil {
				return nil, s.lost(err)
			}
			if s.bye != nil && !moving && len(c.config.Servers) > 1 {
				moving = true
				within := s.bye.Within.Duration()
				others.Go(func() {
					moves <- c.move(ctx, l.server, within, hurry)
				})
			}
		case err := <-ended:
			if moving {
				// An attempt that is under way may be all but accepted. Giving
				// it up would show there as a loss.
				close(hurry)
				if next := <-moves; next != nil {
					return next, nil
				}
			}
			return nil, s.lost(err)
		case next := <-moves:
			if next == nil { // the client is to stop
				moving, s.bye = false, nil
				continue
			}
			c.config.Log.Debug("moved, as the server asked", "from", l.url, "to", next.url)
			return next, nil
		case <-l.out.wake:
			if messages, pong := s.take(); writable {
				failed = l.write(messages, pong)
			}
		case <-s.beat.C:
			if writable {
				failed = l.send(ws.NewPingFrame(nil))
			}
		case <-s.again.C:
			c.restate(l)
		case <-c.leaving.Done():
			if writable {
				s.goodbye(ctx, messages, ended)
			}
			return nil, errLeft
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if failed != nil {
			if !errors.Is(failed, errClosed) {
				return nil, s.lost(failed)
			}
			// What the server said last, and why it closed, may still be there
			// to be read.
			writable = false
		}
	}
}

// listen hands on what comes until the connection ends, and returns why.
func (l *line) listen(ctx context.Context, messages chan<- registry.ServerMessage) error {
	for {
		m, err := l.receive()
		if err == nil && m.Welcome != nil {
			err = l.welcomed(*m.Welcome)
		}
		if err != nil {
			return err
		}
		select {
		case messages <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take returns what is to be written now.
func (s *session) take() ([]registry.ClientMessage, []byte) {
	messages, pong := s.line.out.take()
	for _, m := range messages {
		if m.Declare != nil {
			s.client.retire(s.line, m.Declare)
		}
	}
	return messages, pong
}

// handle does what a message asks for; an error ends the session.
func (s *session) handle(m registry.ServerMessage) error {
	c := s.client
	switch {
	case m.Welcome != nil:
		c.learn(*m.Welcome)
		s.beat.Reset(m.Welcome.BeatEvery.Duration())
		c.events.put(Welcomed{Welcome: *m.Welcome})
	case m.View != nil:
		view, wanted, err := c.view(s.line, *m.View)
		if err != nil {
			return err
		}
		if wanted {
			c.events.put(Viewed{View: view, Message: *m.View})
		}
	case m.Drained != nil:
		c.events.put(Drained{*m.Drained})
	case m.Command != nil:
		c.events.put(Commanded{*m.Command})
	case m.Cycle != nil:
		c.events.put(Cycled{*m.Cycle})
	case m.Bye != nil:
		s.bye = m.Bye
	case m.Error != nil && m.Error.Fatal:
		return m.Error
	case m.Error != nil:
		if m.Error.Code == registry.CodeConflict {
			s.again.Reset(registry.ReconnectCap)
		}
		c.events.put(Refused{*m.Error})
	}
	return nil
}

// goodbye writes what is left, closes with 1000, and reads on until the server
// has closed as well: closing a socket with something unread in it resets the
// connection, and could take the goodbye with it.
func (s *session) goodbye(ctx context.Context, messages <-chan registry.ServerMessage, ended <-chan error) {
	left, pong := s.take()
	if s.line.write(left, pong) != nil {
		return
	}
	if s.line.send(ws.NewCloseFrame(ws.NewCloseFrameBody(registry.CloseLeft, ""))) != nil {
		return
	}
	for {
		select {
		case <-messages:
		case <-ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (s *session) lost(err error) error {
	return fmt.Errorf("the session with %s ended: %w", s.line.url, err)
}

// move looks for another server that accepts the session, at a random time
// within the span, so that the sessions of a server that says goodbye to all of
// them do not all arrive at the next one at once. It returns nil when ctx ends
// and, after the attempt under way, when it is to hurry.
func (c *Client) move(ctx context.Context, from int, within time.Duration, hurry <-chan struct{}) *line {
	pause := time.Duration(rand.Float64() * float64(within))
	for failures := 0; c.wait(ctx, pause, hurry); failures++ {
		others := len(c.config.Servers) - 1
		l, err := c.connect(ctx, (from+1+failures%others)%len(c.config.Servers))
		if err == nil {
			return l
		}
		c.config.Log.Debug("cannot move yet", "error", err)
		pause = backoff(failures, rand.Float64())
	}
	return nil
}

// restate sends the last declare once more.
func (c *Client) restate(l *line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.out.declare(c.statement())
}
