package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cleat/internal/memnet"
	"cleat/registry"
	"cleat/registry/client"
	"cleat/registry/server"
)

// lines is a writer that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns what was written since it was taken last.
func (l *lines) take() string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

// shop is a real server, and a provider that a test leads.
type shop struct {
	t        *testing.T
	listener atomic.Pointer[memnet.Listener]
	provider *client.Client
	stop     func() // kills the server
}

func newShop(t *testing.T) *shop {
	s := &shop{t: t}
	s.start()
	t.Cleanup(func() { s.stop() })
	s.provider = client.New(s.config())
	s.run(func(ctx context.Context) { _ = s.provider.Run(ctx) })
	s.declare(registry.Passing)
	for {
		if _, ok := (<-s.provider.Events()).(client.Connected); ok {
			break
		}
	}
	s.run(func(ctx context.Context) {
		for {
			select {
			case <-s.provider.Events():
			case <-ctx.Done():
				return
			}
		}
	})
	return s
}

// start starts a server that knows nothing.
func (s *shop) start() {
	listener := memnet.Listen()
	real, err := server.New(server.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = real.Serve(ctx, listener)
	}()
	s.listener.Store(listener)
	s.stop = func() {
		listener.Close()
		listener.ResetAll()
		cancel()
		<-over
	}
}

func (s *shop) config() client.Config {
	return client.Config{Servers: []string{"http://localhost:9640"}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		return s.listener.Load().Dial(ctx, network, address)
	}}
}

// run runs something until the test is over.
func (s *shop) run(f func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		f(ctx)
	}()
	s.t.Cleanup(func() {
		cancel()
		<-over
	})
}

func (s *shop) declare(status registry.Status) {
	s.provider.Declare(registry.Declare{
		ID: "web-1", Key: "0123456789abcdef", Namespace: "prod", Zone: "eu-1",
		Provides: []registry.Instance{{
			ID: "web-1:80", Service: "web", Address: "2001:db8::1", Port: 80, Status: status,
			Tags: []string{"blue"}, Attributes: map[string]string{"weight": "2"},
		}},
	})
}

// watching runs `cleat watch web` until the returned function is called, which
// returns the exit code.
func (s *shop) watching(out *lines, asJSON bool) (finish func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	a := ask{out: out, errs: out, namespace: "prod", api: s.config(), json: asJSON}
	go func() { code <- a.watch(ctx, "web?tag=blue&min=3") }()
	return func() int {
		cancel()
		return <-code
	}
}

var clock = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3}  `)

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		var out lines
		finish := s.watching(&out, false)
		expect := func(want string) {
			t.Helper()
			if got := clock.ReplaceAllString(out.take(), ""); got != want {
				t.Errorf("it prints\n%swant\n%s", got, want)
			}
		}
		expect("  connected to http://localhost:9640 (warming: what is missing may yet come)\n" +
			"+ web-1:80  [2001:db8::1]:80  passing  zone=eu-1 tag=blue weight=\"2\"\n" +
			"= 1 endpoint (warming: what is missing may yet come)\n")
		time.Sleep(10 * time.Second)
		expect("= 1 endpoint\n")
		s.declare(registry.Warning)
		expect("~ web-1:80  [2001:db8::1]:80  warning  zone=eu-1 tag=blue weight=\"2\"\n= 1 endpoint\n")
		s.declare(registry.Critical)
		expect("- web-1:80  [2001:db8::1]:80  critical\n= 0 endpoints\n")
		s.declare(registry.Passing)
		expect("+ web-1:80  [2001:db8::1]:80  passing  zone=eu-1 tag=blue weight=\"2\"\n= 1 endpoint\n")

		// A drain does not wait for somebody who only looks on.
		before := time.Now()
		s.provider.Drain(registry.Drain{IDs: []string{"web-1:80"}, Wait: 60000})
		expect("- web-1:80  [2001:db8::1]:80  draining\n= 0 endpoints\n")
		if took := time.Since(before); took != 0 {
			t.Errorf("the drain took %v", took)
		}
		s.declare(registry.Passing)
		out.take()

		// The server is killed, and comes back with nothing.
		s.stop()
		if got := out.take(); !strings.Contains(got, "disconnected: the session with http://localhost:9640 ended") {
			t.Errorf("it prints %s", got)
		}
		time.Sleep(time.Minute)
		expect("")
		s.start()
		time.Sleep(time.Minute)
		if got := out.take(); !strings.Contains(got, "connected to") || strings.Contains(got, "- web-1") || !strings.Contains(got, "= 1 endpoint\n") {
			t.Errorf("it prints %s", got)
		}
		if code := finish(); code != exitFound {
			t.Errorf("exit %d", code)
		}
		expect("")
	})
}

func TestWatchJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		var out lines
		finish := s.watching(&out, true)
		out.take()
		s.declare(registry.Critical)
		text := out.take()
		var line struct {
			Time      time.Time
			Event     string
			Filter    string
			Dropped   []struct{ ID, Address, Why string }
			Endpoints []any
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if line.Event != "view" || line.Filter != "web?ns=prod&tag=blue" || len(line.Dropped) != 1 || line.Endpoints == nil ||
			line.Dropped[0].ID != "web-1:80" || line.Dropped[0].Why != "critical" || !line.Time.Equal(time.Now()) {
			t.Errorf("it prints %s", text)
		}
		if code := finish(); code != exitFound {
			t.Errorf("exit %d", code)
		}
	})
}

// Somebody who is refused from the beginning has made a mistake.
func TestWatchRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		var out lines
		config := s.config()
		config.Servers = []string{"http://example.org"} // which the server does not answer for
		a := ask{out: &out, errs: &out, namespace: "prod", api: config}
		if code := a.watch(t.Context(), "web"); code != exitNothing {
			t.Errorf("exit %d", code)
		}
		if got := out.take(); !strings.Contains(got, "cleat watch: no session with http://example.org: ") {
			t.Errorf("it prints %s", got)
		}
	})
}
