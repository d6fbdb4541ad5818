package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"cleat/registry"
	"cleat/registry/access"
	"cleat/registry/engine"
)

// DefaultMaxSessions is the number of sessions that a server takes when it is
// not told another: what the usual 20,000 file descriptors leave room for.
const DefaultMaxSessions = 16000

// shutdownWithin is how long the server takes to say goodbye to everybody when
// it ends.
const shutdownWithin = 2 * time.Second

// Config is what a server is told. The zero value is a server for one machine.
type Config struct {
	// Name is the server's own, in welcomes. Empty: cleatd.
	Name string
	// Version is that of the program, for people. May be empty.
	Version string
	// Open serves requests for any host. Otherwise only requests for loopback
	// host names are served, so that no web page can reach the server through
	// a name that it made point to this machine. With Tokens it means nothing:
	// a web page has none.
	Open bool
	// Tokens are asked of everybody, but for what an anonymous line in their
	// file allows. nil: nobody is asked for one. Whoever runs them calls
	// [Server.RenewGrants] when they have changed.
	Tokens *access.Tokens
	// Warming is the least time for which a server that has just started
	// concludes nothing from what is missing, when launchers come that had a
	// session before. nil: as long as those may need to come back; 0: none.
	Warming *time.Duration
	// Shutdown is for how long launchers may move to another server, each at a
	// time of its own, when this one ends. 0: all go at once.
	Shutdown time.Duration
	// MaxSessions bounds the sessions. 0: [DefaultMaxSessions].
	MaxSessions int
	// MaxRegistrations bounds the instances without a launcher. 0:
	// [DefaultMaxRegistrations].
	MaxRegistrations int
	// Engine is where the server keeps what must outlive it, or what others must
	// know. nil: nowhere. The caller closes it after Serve.
	Engine engine.Engine
	// Observe is told of every request that was answered: the interface that it
	// was for, the status, and how long that took; sessions, streams and what waits
	// for a change aside. It is called by many goroutines. nil: nobody is.
	Observe func(face string, status int, took time.Duration)
	// Log gets a line for what matters: losses, drains, self-preservation,
	// warming. nil: nothing is logged.
	Log *slog.Logger
}

// Server is a discovery server with its registry in memory. See the package
// comment.
type Server struct {
	config Config
	log    *slog.Logger

	serving  atomic.Bool
	leaving  atomic.Bool   // no session is taken any more
	sessions atomic.Int64  // connections that shake hands, or have
	underWay atomic.Int64  // bytes of large messages
	earlier  chan struct{} // the core must be ticked before due
	index    atomic.Pointer[index]
	logins   logins
	asked    requests
	streams  atomic.Int64 // of the native interface

	mu     sync.Mutex // guards what follows
	core   *core
	due    time.Time // when the core is ticked next
	open   map[*link]struct{}
	ending bool
	links  sync.WaitGroup // readers and writers; nothing is added once ending
	faces  []face         // what is mounted beside the server's own paths

	checker *checker
	keeper  *keeper                // nil: nothing is kept
	keeping atomic.Pointer[string] // what is wrong with keeping it; empty, or nil: nothing
}

// New returns a server that does nothing until Serve is called. The error says
// what is wrong with the configuration.
func New(config Config) (*Server, error) {
	if config.MaxSessions < 0 {
		return nil, fmt.Errorf("the number of sessions is limited to %d; expected a positive number, or 0 for %d", config.MaxSessions, DefaultMaxSessions)
	}
	if config.Warming != nil && *config.Warming < 0 {
		return nil, fmt.Errorf("warming is to last %v; expected a positive duration, or 0 for none", *config.Warming)
	}
	if config.Shutdown < 0 {
		return nil, fmt.Errorf("launchers are to move within %v; expected a positive duration, or 0 for at once", config.Shutdown)
	}
	if config.MaxRegistrations < 0 {
		return nil, fmt.Errorf("the number of registrations is limited to %d; expected a positive number, or 0 for %d", config.MaxRegistrations, DefaultMaxRegistrations)
	}
	config.MaxRegistrations = cmp.Or(config.MaxRegistrations, DefaultMaxRegistrations)
	config.Name = cmp.Or(config.Name, "cleatd")
	config.MaxSessions = cmp.Or(config.MaxSessions, DefaultMaxSessions)
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{config: config, keeper: newKeeper(config.Engine), log: config.Log, earlier: make(chan struct{}, 1), open: make(map[*link]struct{})}, nil
}

// Serve answers on the listener, which it closes, until ctx ends; then it lets the
// launchers move, for as long as [Config] says, sends every session that is left
// bye and close 1001, and returns nil when all connections are closed, at the
// latest 2 s later. It returns an error when the listener fails.
// Call it once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	if s.serving.Swap(true) {
		listener.Close()
		return errors.New("the server has been started already")
	}
	c := newCore(s.config.Name, s.log, time.Now(), s.config.Warming)
	c.maxKept = s.config.MaxRegistrations
	s.checker = newChecker(func(t checkTarget, status registry.Status, reason string) {
		s.event(func(c *core) { c.outcome(t, status, reason) })
	})
	if err := s.load(ctx, c); err != nil {
		listener.Close()
		return err
	}
	s.mu.Lock()
	s.core, s.due = c, c.next
	s.mu.Unlock()
	s.index.Store(c.index)

	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	h := s.newHTTP()
	// Who waits for a change is not kept waiting by a server that ends.
	h.BaseContext = func(net.Listener) context.Context { return ctx }
	failed := make(chan error, 1)
	var work sync.WaitGroup
	work.Go(func() { failed <- h.Serve(listener) })
	work.Go(func() { s.keepTime(life) })
	work.Go(func() { s.checker.run(life) })
	if s.keeper != nil {
		work.Go(func() { s.keeper.run(life, s) })
	}

	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("the server cannot go on listening on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
		s.letMove(s.config.Shutdown)
	}
	cancel()
	s.sayGoodbye()
	rest, done := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin)
	if h.Shutdown(rest) != nil {
		h.Close()
	}
	done()
	s.links.Wait()
	work.Wait()
	return err
}

// face is a handler that others mount.
type face struct {
	pattern string
	handler http.Handler
}

// Handle mounts a handler on the server's port, behind its guard, as
// [http.ServeMux.Handle] does; "/" takes everything that has no other. A
// request's context ends when the server does. Call it before Serve; it panics
// where a pattern is none.
func (s *Server) Handle(pattern string, handler http.Handler) {
	s.faces = append(s.faces, face{pattern, handler})
}

// sayGoodbye sends every session away.
func (s *Server) sayGoodbye() {
	bye := messageFrame(registry.ServerMessage{Bye: &registry.Bye{}})
	last := closeFrame(registry.CloseGoingAway, "the server stops")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	for l := range s.open {
		l.out.put(bye)
		l.out.finish(last)
	}
}

// event lets something happen to the core.
func (s *Server) event(happen func(*core)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core == nil || s.ending {
		return // what happens to a server that stops is no event of the registry
	}
	s.core.begin(time.Now())
	happen(s.core)
	next := s.core.end()
	if len(s.core.unsaved.keys) > 0 {
		s.wakeKeeper()
	}
	if len(s.core.rechecks) > 0 {
		s.core.checkAgain(s.checker)
	}
	if next.Before(s.due) {
		select {
		case s.earlier <- struct{}{}:
		default:
		}
	}
}

// isEnding reports whether the server says goodbye.
func (s *Server) isEnding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// keepTime ticks the core whenever it wants to be.
func (s *Server) keepTime(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			s.event((*core).tick)
		case <-s.earlier:
		}
		s.mu.Lock()
		s.due = s.core.next
		timer.Reset(time.Until(s.due))
		s.mu.Unlock()
	}
}
