package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cleat/internal/memnet"
	"cleat/registry"
	"cleat/registry/engine"
	"cleat/registry/engine/memory"
)

// disk is an engine that lasts as long as a test, and fails when told to.
type disk struct {
	engine.Engine
	mu     sync.Mutex
	fails  error
	writes int
}

// logText is a log that a test reads while it is written.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newDisk() *disk { return &disk{Engine: memory.New().Open()} }

func (d *disk) Traits() engine.Traits { return engine.Traits{Lasting: true} }

func (d *disk) Write(ctx context.Context, changes []engine.Change) ([]engine.Refused, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes++
	if d.fails != nil {
		return nil, d.fails
	}
	return d.Engine.Write(ctx, changes)
}

func (d *disk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = err
}

// ids returns what is on the disk.
func (d *disk) ids(t *testing.T) []string {
	t.Helper()
	records, _, err := d.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, r := range records {
		ids = append(ids, string(r.Kind)+" "+r.ID)
	}
	return ids
}

// keeping runs a server with the disk in the test's bubble.
func keeping(t *testing.T, d engine.Engine, warming *time.Duration, log *logText) (*Server, func()) {
	t.Helper()
	s, err := New(Config{Engine: d, Warming: warming, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, memnet.Listen()) }()
	synctest.Wait()
	return s, func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// join makes a session without a connection.
func (s *Server) join(t *testing.T, declare registry.Declare) *session {
	t.Helper()
	declare.Namespace, declare.Key = "default", strings.Repeat("k", registry.MinKey)
	normal, filters, err := declare.Normalize()
	if err != nil {
		t.Fatal(err)
	}
	session := &session{}
	s.event(func(c *core) {
		c.greet(session, "192.0.2.1")
		c.declare(session, normal, filters, keyHash{byte(len(declare.ID))})
	})
	session.heard.Store(int64(time.Hour)) // it beats
	return session
}

func views(t *testing.T, s *session) []registry.ViewMessage {
	t.Helper()
	return (&desk{t: t}).views(s)
}

// TestRestart: what has no launcher is there again as it was, what is in
// maintenance still is, and what launchers had is held until they come back.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		var log logText
		s, stop := keeping(t, d, &noWarming, &log)
		r := managed("db1")
		r.Instance.Tags, r.Extra = []string{"primary"}, []byte(`{"a":1}`)
		if kept, err := s.Register(r); err != nil || !kept {
			t.Fatalf("kept: %v, %v", kept, err)
		}
		ttl := managed("db2")
		ttl.TTL, ttl.Remove, ttl.Check = 30*time.Second, time.Minute, &Check{Kind: CheckTCP, Interval: 24 * time.Hour}
		if kept, err := s.Register(ttl); err != nil || !kept {
			t.Fatalf("kept: %v, %v", kept, err)
		}
		s.join(t, provider("p", registry.Passing))
		qq := provider("qq", registry.Passing)
		qq.Provides[0].Address = "192.0.2.2"
		s.join(t, qq)
		leaves := s.join(t, provider("rrr", registry.Passing))
		if err := errors.Join(s.Maintain("default", "qq:80", true, "a new disk"), s.Drain("default", "db2")); err != nil {
			t.Fatal(err)
		}
		s.event(func(c *core) { c.closed(leaves, true, "") })
		time.Sleep(25 * time.Second)
		before, _ := s.Instance("default", "p:80")
		stop()

		s, stop = keeping(t, d, nil, &log)
		defer func() { stop() }()
		if !strings.Contains(log.String(), `what was kept is known again" registered=2 held=`) {
			t.Errorf("the log:\n%s", log.String())
		}
		again, found := s.Registration("default", "db1")
		if !found || string(again.Extra) != `{"a":1}` || again.Instance.Tags[0] != "primary" || again.Source != "api" {
			t.Errorf("registered before: %+v", again)
		}
		again, found = s.Registration("default", "db2")
		if story, _ := s.Instance("default", "db2"); !found || !story.Drained || again.TTL != 30*time.Second || *again.Check != (Check{Kind: CheckTCP, Interval: 24 * time.Hour, Timeout: 10 * time.Second, Rise: 1, Fall: 1}) {
			t.Errorf("registered with a TTL: %+v, %+v", again, story)
		}
		if _, found := s.Instance("default", "rrr:80"); found {
			t.Error("who left is there again")
		}
		held, found := s.Instance("default", "p:80")
		if !found || !held.Held || held.Instance.Status != registry.Passing || held.Instance.Since != before.Instance.Since {
			t.Errorf("of a launcher: %+v", held)
		}
		if story, _ := s.Instance("default", "qq:80"); story.Instance.Status != registry.Maintenance || story.Instance.Reason != "a new disk" {
			t.Errorf("in maintenance: %+v", story)
		}

		// A consumer that comes sees what it saw; p comes back, and nothing
		// changes; qq does not, and is gone when warming ends.
		c := s.join(t, registry.Declare{ID: "consumer", Requires: consumer("c").Requires})
		got := views(t, c)
		if len(got) != 1 || !got[0].Warming || len(got[0].Add) != 1 || got[0].Add[0].ID != "p:80" {
			t.Fatalf("the consumer's view: %+v", got)
		}
		s.join(t, provider("p", registry.Passing))
		if got := views(t, c); len(got) != 0 {
			t.Errorf("p is back: %+v", got)
		}
		if story, _ := s.Instance("default", "p:80"); story.Held || story.Instance.Since != before.Instance.Since {
			t.Errorf("p is back: %+v", story)
		}
		time.Sleep(shortWarming + time.Second)
		got = views(t, c)
		if len(got) != 1 || !got[0].Complete || got[0].Warming || len(got[0].Add) != 1 {
			t.Errorf("when warming ends: %+v", got)
		}
		story, found := s.Instance("default", "qq:80")
		if last := len(story.Events) - 1; !found || story.Present || story.Events[last].Cause != CauseUnconfirmed {
			t.Errorf("not confirmed: %+v", story)
		}
		time.Sleep(time.Second)
		if got := fmt.Sprint(d.ids(t)); got != "[instance db1 instance db2 instance p:80 mark qq:80]" {
			t.Errorf("on the disk: %s", got)
		}
		// The TTL began again.
		time.Sleep(20 * time.Second)
		if story, _ := s.Instance("default", "db2"); story.Declared != registry.Passing || !story.Present {
			t.Errorf("after 28 s: %+v", story)
		}
		if err := s.Undrain("default", "db2"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if story, _ := s.Instance("default", "db2"); story.Instance.Status != registry.Critical {
			t.Errorf("after its TTL: %+v", story)
		}
	})
}

// Without warming, nobody is waited for.
func TestRestartWithoutWarming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		var log logText
		s, stop := keeping(t, d, &noWarming, &log)
		s.join(t, provider("p", registry.Passing))
		if _, err := s.Register(managed("db1")); err != nil {
			t.Fatal(err)
		}
		stop()
		s, stop = keeping(t, d, &noWarming, &log)
		if _, found := s.Instance("default", "p:80"); found {
			t.Error("a launcher's instance is there again")
		}
		s.event(func(*core) {})
		stop()
		if got := fmt.Sprint(d.ids(t)); got != "[instance db1]" {
			t.Errorf("on the disk: %s", got)
		}
	})
}

// TestWritesAreFew: what changes often is written once.
func TestWritesAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		var log logText
		s, stop := keeping(t, d, &noWarming, &log)
		defer func() { stop() }()
		s.join(t, provider("p", registry.Passing))
		r := managed("db1")
		r.TTL = time.Minute
		if _, err := s.Register(r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		d.mu.Lock()
		d.writes = 0
		d.mu.Unlock()
		for n := range 1000 {
			if err := s.Renew("default", "db1", []registry.Status{registry.Warning, registry.Passing}[n%2], ""); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		for range 100 { // nothing changes
			if err := s.Renew("default", "db1", "", ""); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.writes != 1 {
			t.Errorf("%d writes", d.writes)
		}
	})
}

// TestFullDisk: a disk that fails stops nothing, is complained of once, and has
// everything once there is room.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		var log logText
		s, stop := keeping(t, d, &noWarming, &log)
		defer func() { stop() }()
		if _, err := s.Register(managed("before")); err != nil {
			t.Fatal(err)
		}
		d.fail(errors.New("no space left on device"))
		kept, err := s.Register(managed("db1"))
		if err != nil || kept {
			t.Errorf("on a full disk: kept: %v, %v", kept, err)
		}
		if err := s.Deregister("default", "before"); err != nil {
			t.Errorf("on a full disk: %v", err)
		}
		for n := range 5000 { // comes and goes: nothing of it must be remembered
			r := managed(fmt.Sprint("passing-by", n))
			r.TTL = time.Minute
			if _, err := s.Register(r); err != nil {
				t.Fatal(err)
			}
			if n%100 == 0 {
				time.Sleep(time.Minute)
			}
			s.event(func(c *core) {
				c.remove(c.instances[identity{"default", r.Instance.ID}], registry.WhyLeft, CauseRemoved, "")
			})
		}
		s.mu.Lock()
		if n, known := len(s.core.unsaved.keys), len(s.core.unsaved.known); n > 10 || known > 10 {
			t.Errorf("%d unsaved, %d known", n, known)
		}
		s.mu.Unlock()
		if got := strings.Count(log.String(), "cannot keep the state"); got != 1 {
			t.Errorf("complained %d times:\n%s", got, log.String())
		}
		if got := s.keepingState(); got != "failing" {
			t.Errorf("it says %q", got)
		}
		d.fail(nil)
		time.Sleep(maxRetrySave + time.Second)
		if got := fmt.Sprint(d.ids(t)); got != "[instance db1]" {
			t.Errorf("with room again: %s", got)
		}
		if !strings.Contains(log.String(), "the state is kept again") || s.keepingState() != "ok" {
			t.Errorf("it does not say so:\n%s", log.String())
		}
	})
}

// TestUnreadable: what cannot be read costs nothing but itself.
func TestUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		for id, value := range map[string]string{
			"garbage": "\x00\xff", "empty": "{}", "another": `{"instance":{"id":"x"}}`,
			"bad": `{"instance":{"id":"bad","service":"-","address":"","port":0,"status":"?"}}`,
		} {
			c := engine.Change{Record: engine.Record{Key: engine.Key{Kind: engine.Instance, Namespace: "default", ID: id}, Value: []byte(value)}}
			if _, err := d.Write(t.Context(), []engine.Change{c}); err != nil {
				t.Fatal(err)
			}
		}
		var log logText
		s, stop := keeping(t, d, nil, &log)
		defer stop()
		if !strings.Contains(log.String(), "records=4") || s.Stats().Instances[registry.Passing] != 0 {
			t.Errorf("the log:\n%s", log.String())
		}
	})
}

// A face is mounted behind the guard, and its requests end with the server.
func TestHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Warming: &noWarming})
		if err != nil {
			t.Fatal(err)
		}
		waiting := make(chan struct{})
		s.Handle("/wait", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(waiting)
			<-r.Context().Done()
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		s.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) }))
		listener := memnet.Listen()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx, listener) }()
		client := &http.Client{Transport: &http.Transport{DialContext: listener.Dial, DisableKeepAlives: true}}
		get := func(host, path string) int {
			response, err := client.Get("http://" + host + path)
			if err != nil {
				t.Error(err)
				return 0
			}
			response.Body.Close()
			return response.StatusCode
		}
		if got := get("localhost", "/anything"); got != http.StatusTeapot {
			t.Errorf("status %d", got)
		}
		if got := get("localhost", "/api/v1/services"); got != http.StatusOK {
			t.Errorf("the server's own path: status %d", got)
		}
		if got := get("evil.example", "/anything"); got != http.StatusForbidden {
			t.Errorf("by a foreign host: status %d; want the guard before it", got)
		}
		ended := make(chan int, 1)
		go func() { ended <- get("localhost", "/wait") }()
		<-waiting
		began := time.Now()
		cancel()
		if got := <-ended; got != http.StatusServiceUnavailable || time.Since(began) > 0 {
			t.Errorf("who waits: status %d after %v", got, time.Since(began))
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
