package server

import (
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cleat/registry"
)

// reader is a server whose events a test makes itself.
func reader(d *desk) *Server {
	s, err := New(Config{})
	if err != nil {
		d.t.Fatal(err)
	}
	s.core = d.core
	s.checker = newChecker(nil)
	s.index.Store(d.core.index)
	return s
}

func lookUp(s *Server, namespace, service string) []string {
	l := s.Lookup([]byte(namespace), []byte(service))
	var found []string
	for _, i := range l.Instances {
		found = append(found, i.ID+" "+string(i.Status))
	}
	slices.Sort(found)
	return found
}

func TestLookupFollowsEveryChange(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	want := func(what string, want ...string) {
		t.Helper()
		if got := lookUp(s, "default", "web"); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	want("nothing")
	a := d.join(provider("a", registry.Starting))
	want("a starts", "a:80 starting")
	d.declare(a, provider("a", registry.Passing))
	want("a passes", "a:80 passing")
	first := s.Lookup([]byte("default"), []byte("web"))
	d.join(consumer("c"))
	if s.Lookup([]byte("default"), []byte("web")) != first {
		t.Error("there is another listing, although nothing has changed")
	}
	b := d.join(provider("b", registry.Passing))
	want("b comes", "a:80 passing", "b:80 passing")
	if len(first.Instances) != 1 {
		t.Error("a listing has changed")
	}
	d.event(func(c *core) { c.drainRequested(b, registry.Drain{IDs: []string{"b:80"}}) })
	want("b drains", "a:80 passing", "b:80 draining")
	d.event(func(c *core) { c.closed(b, true, "") })
	want("b leaves", "a:80 passing")
	d.event(func(c *core) { c.closed(a, false, "closed") })
	want("a's connection closes", "a:80 passing")
	d.pass(gatherFor)
	want("a is lost")
	if s.HasNamespace([]byte("default")) || len(d.core.index.addresses) > 0 || len(d.core.index.namespaces) > 0 {
		t.Error("something is left in the index")
	}
	for n := range d.core.index.shards {
		if len(d.core.index.shards[n].services) > 0 {
			t.Error("a service is left in the index")
		}
	}
}

func TestLookupOfNamespaces(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	a := d.join(registry.Declare{ID: "a", Namespace: "dev/alice", Provides: []registry.Instance{
		{ID: "a:1", Service: "web", Address: "192.0.2.1", Port: 1, Status: registry.Passing},
		{ID: "a:2", Service: "db", Address: "::ffff:192.0.2.1", Port: 2, Status: registry.Warning},
		{ID: "a:3", Service: "api", Address: "192.0.2.1", Port: 3, Status: registry.Critical},
		{ID: "a:4", Service: "mail", Address: "example.org", Port: 4, Status: registry.Passing},
	}})
	for namespace, want := range map[string]bool{"dev": true, "dev/alice": true, "alice": false, "de": false, "": false, "dev/alice/x": false} {
		if got := s.HasNamespace([]byte(namespace)); got != want {
			t.Errorf("the namespace %q: got %v", namespace, got)
		}
	}
	if lookUp(s, "dev", "web") != nil || lookUp(s, "default", "web") != nil || lookUp(s, "dev/alice", "web") == nil {
		t.Error("a service is found in another namespace, or not in its own")
	}
	addr := netip.MustParseAddr("192.0.2.1")
	want := []ServiceName{{"dev/alice", "db"}, {"dev/alice", "web"}}
	if got := s.ServicesAt(addr, 10); !slices.Equal(got, want) {
		t.Errorf("at %s: got %v, want %v", addr, got, want)
	}
	if got := s.ServicesAt(netip.MustParseAddr("::ffff:192.0.2.1"), 1); len(got) != 1 {
		t.Errorf("at most one: got %v", got)
	}
	d.event(func(c *core) { c.closed(a, true, "") })
	if s.HasNamespace([]byte("dev")) || s.ServicesAt(addr, 10) != nil {
		t.Error("it has left, and is still found")
	}
}

func TestLookupWhileWarming(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Warming() || lookUp(s, "default", "web") != nil || s.HasNamespace(nil) || s.ServicesAt(netip.Addr{}, 1) != nil {
		t.Error("a server that does not serve yet knows something")
	}
	d := newDesk(t)
	d.core = newCore("test", d.core.log, d.now, nil)
	s = reader(d)
	if !s.Warming() {
		t.Error("it is not warming after its start")
	}
	d.pass(shortWarming)
	if s.Warming() {
		t.Error("it is still warming")
	}
}

// TestNoReaderOfAnOldListingGoesUnseen holds Lookup and a drain to their order:
// once the drain has asked, who looks gets a listing without the instance; who
// got an older one has been seen.
func TestNoReaderOfAnOldListingGoesUnseen(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	d.join(provider("a", registry.Passing))
	d.join(provider("b", registry.Passing))
	record := d.core.namespaces["default"]["web"]
	if record.lookup.readLately(0) {
		t.Fatal("somebody has read it already")
	}
	s.Lookup([]byte("default"), []byte("web"))
	if !record.lookup.readLately(time.Since(d.core.start)) {
		t.Error("the reader was not seen")
	}
	if record.lookup.listing.Load() != nil {
		t.Error("the old listing can still be had after the drain has asked for readers")
	}
	if record.lookup.readLately(time.Since(d.core.start) + blindFor) {
		t.Error("the reader counts for ever")
	}
}

func TestDrainIsBlindAfterALookup(t *testing.T) {
	for _, reads := range []bool{false, true} {
		d := newDesk(t)
		s := reader(d)
		a := d.join(provider("a", registry.Passing))
		d.join(provider("b", registry.Passing))
		if reads {
			s.Lookup([]byte("default"), []byte("web"))
		}
		var drains []*drain
		d.event(func(c *core) {
			c.drainRequested(a, registry.Drain{IDs: []string{"a:80"}, Wait: registry.InMilliseconds(10 * time.Second)})
			for under := range c.drains.all {
				drains = append(drains, under)
			}
		})
		if len(drains) != 1 || drains[0].blind != reads {
			t.Errorf("read: %v; got %d drains, blind: %v", reads, len(drains), len(drains) > 0 && drains[0].blind)
			continue
		}
		if over := drains[0].state == drainOver; over == reads {
			t.Errorf("read: %v; the drain is over at once: %v", reads, over)
		}
		d.pass(blindWait)
		if drains[0].state != drainOver {
			t.Errorf("read: %v; the drain is not over after %v", reads, blindWait)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	d := newDesk(b)
	s := reader(d)
	d.join(provider("a", registry.Passing))
	namespace, service := []byte("default"), []byte("web")
	b.ReportAllocs()
	for b.Loop() {
		if s.Lookup(namespace, service) == nil {
			b.Fatal("not found")
		}
	}
}

// TestNobodyIsGivenWhatIsHidden looks from several goroutines while an instance
// comes and goes: once the event that hides it is over, no lookup has it.
func TestNobodyIsGivenWhatIsHidden(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	a := d.join(provider("a", registry.Passing))
	lookUp(s, "default", "web") // so that there is a listing that must go
	var epoch atomic.Int64      // odd while it is hidden
	var work sync.WaitGroup
	stop := make(chan struct{})
	var looked atomic.Int64
	for range 4 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				before := epoch.Load()
				l := s.Lookup([]byte("default"), []byte("web"))
				if l == nil {
					t.Error("the service is not found")
					return
				}
				if serving := l.Instances[0].Status.Serving(); before%2 == 1 && serving && epoch.Load() == before {
					t.Error("an instance that is hidden is given")
					return
				}
				looked.Add(1)
			}
		})
	}
	show := func(status registry.Status) {
		declare := provider("a", status)
		declare.Namespace, declare.Key = "default", strings.Repeat("k", registry.MinKey)
		normal, filters, err := declare.Normalize()
		if err != nil {
			t.Error(err)
			return
		}
		s.event(func(c *core) { c.declare(a, normal, filters, keyHash{1}) })
	}
	const rounds = 50
	for range rounds {
		show(registry.Critical)
		epoch.Add(1)
		for at := looked.Load(); looked.Load() == at && !t.Failed(); {
			runtime.Gosched()
		}
		epoch.Add(1)
		show(registry.Passing)
	}
	close(stop)
	work.Wait()
}
