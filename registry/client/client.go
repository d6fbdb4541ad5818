package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"cleat/registry"
)

// Config is how a client finds its servers.
type Config struct {
	Servers []string      // http(s)://host:port, tried in order, round and round; none: Run only waits
	Token   func() string // asked at every attempt; nil: none
	// TLS is for https, and asked at every attempt, because certificates are
	// renewed. The result is the client's own. nil: the system's roots.
	TLS  func() (*tls.Config, error)
	Dial func(ctx context.Context, network, address string) (net.Conn, error) // nil: net.Dialer
	Log  *slog.Logger                                                         // nil: nothing is logged
}

// tls returns how the next attempt speaks TLS.
func (c Config) tls() (*tls.Config, error) {
	if c.TLS == nil {
		return new(tls.Config), nil
	}
	return c.TLS()
}

// Client keeps one session with one of several servers. Its methods are safe
// for concurrent use.
type Client struct {
	config Config
	events *eventQueue

	declared chan struct{} // closed by the first Declare
	leaving  context.Context
	leave    context.CancelFunc // called by Leave
	over     context.Context
	end      context.CancelFunc // called when Leave's time is over

	mu      sync.Mutex
	declare registry.Declare // the last one
	version int              // of declare: how many there were
	report  *registry.Report // the last one; nil: none yet
	known   *registry.Milliseconds
	since   map[string]registry.Revision // by instance id
	views   map[string]registry.View     // by filter; they outlive connections
	line    *line                        // the connection that is in use; nil: none
	limit   *time.Timer                  // of Leave; nil: nobody has left

	// The rest belongs to Run.
	up         bool                   // Connected was the last state that was told
	told       bool                   // a state was told at all
	complaints map[registry.Code]bool // the refusals that were logged since the last session
}

// New returns a client that Run brings to life.
func New(c Config) *Client {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	client := &Client{
		config:   c,
		events:   newEventQueue(),
		declared: make(chan struct{}),
		since:    make(map[string]registry.Revision),
		views:    make(map[string]registry.View),

		complaints: make(map[registry.Code]bool),
	}
	client.leaving, client.leave = context.WithCancel(context.Background())
	client.over, client.end = context.WithCancel(context.Background())
	return client
}

// Run connects once something is declared, beats and reconnects, until ctx ends
// or Leave was called. It returns nil, and leaves no goroutine behind; events
// that nobody has received by then are gone. Call it once.
func (c *Client) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.over, cancel)
	var pump sync.WaitGroup
	pump.Go(func() { c.events.pump(ctx) })
	defer func() {
		stop()
		cancel()
		pump.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.limit != nil {
			c.limit.Stop()
		}
	}()

	select {
	case <-c.declared:
	case <-ctx.Done():
		return nil
	case <-c.leaving.Done():
		return nil
	}
	if len(c.config.Servers) == 0 {
		select {
		case <-ctx.Done():
		case <-c.leaving.Done():
		}
		return nil
	}

	server := 0   // to try next
	failures := 0 // attempts since a session that lasted
	for {
		stay := false // with this server, for another attempt
		l, err := c.connect(ctx, server)
		if err == nil {
			began := time.Now()
			server, err = c.serveAll(ctx, l)
			if time.Since(began) >= lasting {
				failures = 0
			}
			stay = errors.Is(err, errClosed)
		}
		if ctx.Err() != nil || c.leaving.Err() != nil {
			return nil
		}
		c.tell(err)
		if !stay {
			server = (server + 1) % len(c.config.Servers)
		}
		pause := backoff(failures, rand.Float64())
		if code(err) == registry.CodeFenced {
			pause += registry.ReconnectCap
		}
		failures++
		if !c.wait(ctx, pause, nil) {
			return nil
		}
	}
}

// Events yields what happens, in order. Nothing is dropped, however slow the
// receiver is; a slow one may find several changes of a view in one event. The
// channel is never closed.
func (c *Client) Events() <-chan Event { return c.events.out }

// Declare states what is offered and needed; the last statement is sent again on
// every connection. The client fills in Known, and every Since that is 0, as
// far as a server has told them. It never blocks, and keeps d: do not change
// what is in it.
func (c *Client) Declare(d registry.Declare) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.declare = d
	c.version++
	if c.version == 1 {
		close(c.declared)
	}
	if c.line != nil {
		c.line.version = c.version
		c.line.out.declare(c.statement())
	}
}

// Resume takes over what an earlier client of the same launcher was told: the
// expire_after of its last session (nil: it had none) and the since of its
// instances. Call it before Run.
func (c *Client) Resume(known *registry.Milliseconds, since map[string]registry.Revision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = known
	maps.Copy(c.since, since)
}

// Restore makes v the view behind the filter as if a server that is warming had
// sent it: what servers say is applied to it. It reports whether it is; it is
// not where a server has said something else before.
func (c *Client) Restore(filter string, v registry.View) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, known := c.views[filter]; known && !last.Equal(v) {
		return false
	}
	c.views[filter] = v
	return true
}

// Report is sent on the connection that there is, and again on every later one.
// It never blocks.
func (c *Client) Report(r registry.Report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report = &r
	if c.line != nil {
		c.line.out.report(r)
	}
}

// Applied is sent on the connection that there is if the view came on it;
// otherwise it is dropped, because a server does not count it: after a reconnect
// every view comes again, and is acknowledged anew. It never blocks.
func (c *Client) Applied(a registry.Applied) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.line == nil {
		return
	}
	if came, ok := c.line.came[a.Filter]; ok && a.Revision >= came.first && a.Revision <= came.last {
		c.line.out.applied(a)
	}
}

// Drain is sent on the connection that there is; without one it is dropped. It
// never blocks.
func (c *Client) Drain(d registry.Drain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.line != nil {
		c.line.out.add(registry.ClientMessage{Drain: &d})
	}
}

// Leave says goodbye: Run writes what was stated before, closes the session with
// code 1000, waits for the server's goodbye, and returns; at the latest after d.
// Leave itself never blocks.
func (c *Client) Leave(d time.Duration) {
	c.leave()
	if d <= 0 {
		c.end()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limit == nil {
		c.limit = time.AfterFunc(d, c.end)
	}
}

// serveAll keeps the session, from one server to the next if it is asked to
// move, until it ends. It returns the last server and the cause.
func (c *Client) serveAll(ctx context.Context, l *line) (server int, err error) {
	for {
		next, err := c.serve(ctx, l)
		if next == nil {
			return l.server, err
		}
		l = next
	}
}

// statement returns the last declare with what the servers have told; the
// caller holds the lock.
func (c *Client) statement() registry.Declare {
	d := c.declare
	if c.known != nil {
		d.Known = c.known
	}
	d.Provides = slices.Clone(d.Provides)
	for i := range d.Provides {
		if d.Provides[i].Since == 0 {
			d.Provides[i].Since = c.since[d.Provides[i].ID]
		}
	}
	return d
}

// view applies a message to the view that is known, and returns the next view; ok
// is false when it is not wanted any more.
func (c *Client) view(l *line, m registry.ViewMessage) (next registry.View, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !requires(c.declare, m.Filter) {
		return registry.View{}, false, nil
	}
	came, before := l.came[m.Filter]
	if !before && !m.Complete {
		if l.retired[m.Filter] {
			return registry.View{}, false, nil // under way when it was not required
		}
		return registry.View{}, false, fmt.Errorf("%w: differences of the view %s, but never a complete one", errProtocol, m.Filter)
	}
	if !before {
		came.first = m.Revision
	}
	came.last = m.Revision
	l.came[m.Filter] = came
	next = c.views[m.Filter].Apply(m)
	c.views[m.Filter] = next
	return next, true, nil
}

// retire forgets the views that d, which is being sent, does not require.
func (c *Client) retire(l *line, d *registry.Declare) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for filter := range c.views {
		if !requires(*d, filter) {
			delete(c.views, filter)
		}
	}
	for filter := range l.came {
		if !requires(*d, filter) {
			delete(l.came, filter)
			l.retired[filter] = true
		}
	}
}

// learn keeps what a welcome tells beyond its connection.
func (c *Client) learn(w registry.Welcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = &w.ExpireAfter
	maps.Copy(c.since, w.Since)
}

// use makes l the connection that is in use, and brings it up to date: things
// may have been stated while it was made.
func (c *Client) use(l *line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line = l
	if l.version != c.version {
		l.version = c.version
		l.out.declare(c.statement())
	}
	if c.report != nil {
		l.out.report(*c.report)
	}
}

func (c *Client) unuse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line = nil
}

// tell says once that the session is lost, or that there is none to be had.
func (c *Client) tell(err error) {
	c.config.Log.Debug("no session", "error", err)
	if refusal := code(err); refusal != "" && !c.complaints[refusal] {
		c.complaints[refusal] = true
		c.config.Log.Warn("the server refuses the session", "code", string(refusal), "error", err)
	}
	if c.up || !c.told {
		c.up, c.told = false, true
		c.events.put(Disconnected{Err: err})
	}
}

// wait returns false when the client is to stop, or to hurry.
func (c *Client) wait(ctx context.Context, pause time.Duration, hurry <-chan struct{}) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-c.leaving.Done():
		return false
	case <-hurry:
		return false
	}
}

func requires(d registry.Declare, filter string) bool {
	return slices.ContainsFunc(d.Requires, func(r registry.Require) bool { return r.Filter == filter })
}

// code returns the code of the server's refusal that is in err; empty: none.
func code(err error) registry.Code {
	if refusal, ok := errors.AsType[*registry.Error](err); ok {
		return refusal.Code
	}
	return ""
}
