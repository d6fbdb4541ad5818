package launcher

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cleat/internal/logline"
	"cleat/internal/memnet"
	"cleat/launcher/address"
	"cleat/launcher/control"
	"cleat/launcher/listeners"
	"cleat/launcher/process/processtest"
	"cleat/launcher/process/proctree"
	"cleat/launcher/settings"
	"cleat/registry/client"
	"cleat/registry/server"
)

// world is one discovery server and the containers that use it, in a bubble:
// real supervisors, clients and a real server over a network in memory; only
// the kernel is scripted.
type world struct {
	t       *testing.T
	server  atomic.Pointer[runningServer]
	boxes   []*box
	puppets []func() // that end them
	log     *syncBuffer
}

// runningServer is the server while it runs.
type runningServer struct {
	listener *memnet.Listener
	cancel   context.CancelFunc
	done     chan struct{}
}

// inWorld runs a test in a bubble, with a server unless warming is negative.
func inWorld(outer *testing.T, warming time.Duration, test func(w *world)) {
	outer.Helper()
	synctest.Test(outer, func(t *testing.T) {
		w := &world{t: t, log: new(syncBuffer)}
		if warming >= 0 {
			w.serve(warming)
		}
		defer func() {
			for _, b := range w.boxes {
				b.crash()
			}
			for _, end := range w.puppets {
				end()
			}
			w.killServer()
			if t.Failed() || outer.Failed() {
				t.Log(w.log.String())
			}
		}()
		test(w)
	})
}

// serve starts a server that knows nothing.
func (w *world) serve(warming time.Duration) {
	w.t.Helper()
	s, err := server.New(server.Config{
		Name: "test", Open: true, Warming: &warming,
		Log: logline.New(w.log, "cleatd", slog.LevelDebug, false),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &runningServer{listener: memnet.Listen(), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		_ = s.Serve(ctx, r.listener)
	}()
	w.server.Store(r)
}

// killServer ends the server as a kill -9 does: its sockets close, and nobody
// is told anything.
func (w *world) killServer() {
	r := w.server.Swap(nil)
	if r == nil {
		return
	}
	r.listener.ResetAll()
	r.listener.Close()
	r.cancel()
	<-r.done
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	r := w.server.Load()
	if r == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	return r.listener.Dial(ctx, network, address)
}

// box is a container: a supervisor with a scripted kernel.
type box struct {
	w       *world
	name    string
	kernel  *processtest.Kernel
	signals chan syscall.Signal
	changed chan struct{}
	asks    chan control.Request
	dir     string
	done    chan struct{}
	code    int
	ended   time.Time
	conn    *cuttable
	ctx     context.Context                      // of Run; nil: one that never ends
	find    func(peer netip.Addr) address.Answer // the addresses to advertise; nil: one of its own

	established atomic.Int32 // connections to the child
	used        atomic.Int64 // processor time of the child, in milliseconds
	ground      fakeGround
	rested      func(time.Duration) // told what the init stage is told

	mu      sync.Mutex
	watched []string // files whose changes count
	open    []listeners.Listener
	besides []int // what the reader of listeners was told last
	records []int
}

// env is a container's environment. %DIR% in a value is the container's own
// directory.
type env map[string]string

// launch starts a container. Its name is its id.
func (w *world) launch(name string, environment env, command ...string) *box {
	w.t.Helper()
	b := w.newBox(name)
	b.run(environment, command...)
	return b
}

func (w *world) newBox(name string) *box {
	b := &box{
		w: w, name: name, kernel: processtest.New(), signals: make(chan syscall.Signal, 64),
		changed: make(chan struct{}, 1), asks: make(chan control.Request), dir: w.t.TempDir(), done: make(chan struct{}), conn: new(cuttable),
	}
	// A proxy: it reloads on HUP, and ends on TERM.
	b.kernel.Script("front", func(p *processtest.Process) {
		p.React(func(s syscall.Signal) {
			if s == syscall.SIGTERM {
				p.Exit(0)
			}
		})
	})
	return b
}

// run runs the container that newBox made.
func (b *box) run(environment env, command ...string) {
	b.w.t.Helper()
	if len(command) == 0 {
		command = []string{"app"}
	}
	environment = maps.Clone(environment)
	if environment == nil {
		environment = env{}
	}
	set := func(name, value string) {
		if _, given := environment[name]; !given {
			environment[name] = value
		}
	}
	set("CLEAT_SERVER", "http://cleatd:9640")
	set("CLEAT_ID", b.name)
	set("CLEAT_TEMPLATES", b.dir) // empty unless the test writes into it
	if environment["CLEAT_TEMPLATES"] == b.dir {
		delete(environment, "CLEAT_TEMPLATES")
	}
	var environ []string
	for name, value := range environment {
		environ = append(environ, name+"="+strings.ReplaceAll(value, "%DIR%", b.dir))
	}
	slices.Sort(environ)
	s, err := settings.Parse(environ, command, settings.Host{Hostname: b.name, Random: func() string { return "abc" }})
	if err != nil {
		b.w.t.Fatal(err)
	}
	own := netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + len(b.w.boxes))})
	log := logline.New(b.w.log, b.name, slog.LevelDebug, false)
	c := Config{
		Ground:   b.ground.config(),
		Settings: s, Kernel: b.kernel, Signals: b.signals, Log: log, Changed: b.changed, Requests: b.asks,
		Record: func(code int, rest time.Duration) error {
			if b.rested != nil {
				b.rested(rest)
			}
			b.locked(func() { b.records = append(b.records, code) })
			return nil
		},
		Watch:        func(paths []string) { b.locked(func() { b.watched = paths }) },
		Listeners:    b.listeners,
		OwnNamespace: func() bool { return true },
		Use: func(int) (proctree.Use, error) {
			return proctree.Use{CPU: time.Duration(b.used.Load()) * time.Millisecond, Memory: 1 << 20, Processes: 2}, nil
		},
		Established: func([]uint16) (int, error) { return int(b.established.Load()), nil },
		Address: func(peer netip.Addr) address.Answer {
			if b.find != nil {
				return b.find(peer)
			}
			return address.Answer{Wide: own, Local: own}
		},
	}
	if len(s.Servers) > 0 {
		c.Client = client.New(client.Config{
			Servers: s.Servers, Dial: b.conn.dialer(b.w.dial), Log: log, Token: func() string { return s.Token },
		})
	}
	b.w.boxes = append(b.w.boxes, b)
	ctx := b.ctx
	if ctx == nil {
		ctx = context.Background()
	}
	go func() {
		defer close(b.done)
		b.code = Run(ctx, c)
		b.ended = time.Now()
	}()
}

// cutAll cuts all connections of the server at the same time.
func (w *world) cutAll() { w.server.Load().listener.ResetAll() }

// cuttable is a container's network, which can be cut.
type cuttable struct {
	mu    sync.Mutex
	conns []net.Conn
	down  bool
	gate  gate
}

func (c *cuttable) dialer(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.down {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ENETUNREACH}
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn = newGated(conn, &c.gate)
		c.conns = append(c.conns, conn)
		return conn, nil
	}
}

// cut closes every connection and refuses new ones.
func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = true
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// reset closes every connection.
func (c *cuttable) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// crash kills the whole container as a kill -9 does: nobody says goodbye.
func (b *box) crash() {
	select {
	case <-b.done:
		return
	default:
	}
	b.conn.cut()
	for _, p := range b.kernel.Running() {
		p.Crash(syscall.SIGKILL)
	}
	b.signals <- syscall.SIGTERM
	b.signals <- syscall.SIGTERM
	for {
		select {
		case <-b.done:
			return
		case <-time.After(time.Second):
			for _, p := range b.kernel.Running() {
				p.Crash(syscall.SIGKILL)
			}
		}
	}
}

// listen sets the TCP ports that the child listens on, on all addresses.
func (b *box) listen(ports ...uint16) {
	b.locked(func() {
		b.open = nil
		for _, port := range ports {
			b.open = append(b.open, listeners.Listener{Addr: netip.IPv4Unspecified(), Port: port, Owner: listeners.Child})
		}
	})
}

func (b *box) listeners(_ bool, besides []int) ([]listeners.Listener, error) {
	var all []listeners.Listener
	b.locked(func() {
		b.besides = besides
		// Only while a child runs.
		if len(b.kernel.Running()) > 0 {
			all = slices.Clone(b.open)
		}
	})
	return all, nil
}

func (b *box) locked(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// file writes a file into the container's directory.
func (b *box) file(name, text string) string {
	b.w.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.w.t.Fatal(err)
	}
	return path
}

// read reads a file of the container's directory; empty when it is not there.
func (b *box) read(name string) string {
	data, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		return ""
	}
	return string(data)
}

// endpoints returns the words of the file out, sorted.
func (b *box) endpoints() string {
	words := strings.Fields(b.read("out"))
	slices.Sort(words)
	return strings.Join(words, " ")
}

// child returns the main process that runs, waiting for one up to a minute.
func (b *box) child() *processtest.Process {
	b.w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		for _, p := range b.kernel.Running() {
			if p.Spec.Main {
				return p
			}
		}
		time.Sleep(time.Millisecond)
	}
	b.w.t.Fatalf("%s: no child runs after a minute", b.name)
	return nil
}

// starts counts the starts of the child.
func (b *box) starts() int {
	n := 0
	for _, p := range b.kernel.Started() {
		if p.Spec.Main {
			n++
		}
	}
	return n
}

// wait waits for the container's end and returns its exit code.
func (b *box) wait() int {
	b.w.t.Helper()
	select {
	case <-b.done:
		return b.code
	case <-time.After(5 * time.Minute):
		b.w.t.Fatalf("%s has not ended after five minutes", b.name)
		return 0
	}
}

// eventually waits up to limit for the condition.
func (w *world) eventually(limit time.Duration, what string, condition func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(limit)
	for !condition() {
		if !time.Now().Before(deadline) {
			w.t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// never fails if the condition becomes true within d.
func (w *world) never(d time.Duration, what string, condition func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(d)
	for time.Now().Before(deadline) {
		if condition() {
			w.t.Fatalf("it happened: %s", what)
		}
		time.Sleep(min(d/100+time.Millisecond, 50*time.Millisecond))
	}
}

// getenv returns a variable of the child.
func getenv(p *processtest.Process, name string) string {
	for _, entry := range p.Spec.Env {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}

func (b *box) logged(text string) bool { return strings.Contains(b.w.log.String(), b.name+": "+text) }

// syncBuffer is a buffer for several writers.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.b, "%s %s", time.Now().Format("15:04:05.000"), p)
	return len(p), nil
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
