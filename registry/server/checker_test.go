package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cleat/internal/probe"
	"cleat/registry"
)

// asked is what a checker in a bubble asks, and what it tells.
type asked struct {
	*checker
	mu      sync.Mutex
	now     map[string]int // checks under way, by id
	most    int            // at the same time, of all
	begun   int
	takes   time.Duration
	answers probe.Outcome
	told    []string
}

// checking runs a checker that asks nobody.
func checking(t *testing.T, test func(t *testing.T, a *asked)) {
	synctest.Test(t, func(t *testing.T) {
		a := &asked{now: make(map[string]int), answers: probe.Outcome{Status: registry.Passing, Reason: "fine"}}
		a.checker = newChecker(func(target checkTarget, status registry.Status, reason string) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.told = append(a.told, fmt.Sprint(target.id.id, " ", status, " ", reason))
		})
		a.random = func() float64 { return 0 }
		a.ask = func(ctx context.Context, target checkTarget) probe.Outcome {
			a.mu.Lock()
			a.begun++
			a.now[target.id.id]++
			if a.now[target.id.id] > 1 {
				t.Errorf("%s is asked twice at the same time", target.id.id)
			}
			a.most = max(a.most, len(a.now))
			takes := a.takes
			a.mu.Unlock()
			if takes > 0 {
				select {
				case <-ctx.Done():
				case <-time.After(takes):
				}
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			delete(a.now, target.id.id)
			return a.answers
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { a.run(ctx); close(ended) }()
		test(t, a)
		cancel()
		<-ended
		if len(a.now) > 0 {
			t.Error("a check is under way after the end")
		}
	})
}

func (a *asked) target(id string, k Check) checkTarget {
	k.Kind = CheckTCP
	k, _ = k.normalize(registry.Instance{})
	return checkTarget{identity{"default", id}, k, "192.0.2.1:1"}
}

func (a *asked) answer(o probe.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers = o
}

// count returns how many checks have begun.
func (a *asked) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.begun
}

func (a *asked) takeTold() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	told := strings.Join(a.told, ", ")
	a.told = nil
	return told
}

func TestCheckerTellsVerdicts(t *testing.T) {
	checking(t, func(t *testing.T, a *asked) {
		want := func(what, want string) {
			t.Helper()
			synctest.Wait()
			if got := a.takeTold(); got != want {
				t.Errorf("%s: told %q, want %q", what, got, want)
			}
		}
		target := a.target("db1", Check{Fall: 2})
		a.set(target, "", "")
		want("at once", "db1 passing fine")
		time.Sleep(time.Minute)
		want("the same again", "")
		a.answer(probe.Outcome{Status: registry.Critical, Reason: "refused"})
		time.Sleep(10 * time.Second)
		want("one failure of two", "")
		time.Sleep(10 * time.Second)
		want("two failures", "db1 critical refused")
		a.answer(probe.Outcome{Status: registry.Critical, Reason: "no answer"})
		time.Sleep(10 * time.Second)
		want("for another reason", "db1 critical no answer")
		a.set(target, "", "")
		time.Sleep(5 * time.Second)
		want("set as it is", "")
		other := target
		other.address = "192.0.2.2:1"
		a.set(other, registry.Critical, "no answer")
		want("elsewhere, and as it was", "")
		a.drop(target.id)
		a.answer(probe.Outcome{Status: registry.Passing})
		time.Sleep(time.Minute)
		want("dropped", "")
	})
}

// TestCheckerIsBounded: however many there are, and however slow: few are under
// way, none twice, and nobody starves.
func TestCheckerIsBounded(t *testing.T) {
	checking(t, func(t *testing.T, a *asked) {
		a.takes = 5 * time.Second
		const many = 10 * maxChecks
		for n := range many {
			a.set(a.target(fmt.Sprint("db", n), Check{Interval: 5 * time.Second, Timeout: 4 * time.Second}), "", "")
		}
		time.Sleep(10*4*time.Second + time.Second)
		synctest.Wait()
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.most != maxChecks || len(a.told) != many {
			t.Errorf("%d at the same time, %d of %d asked", a.most, len(a.told), many)
		}
		if a.begun > many+2*maxChecks {
			t.Errorf("%d checks in ten times the time of one", a.begun)
		}
	})
}

// An outcome of something that is not checked any more says nothing.
func TestCheckerDropsWhatIsUnderWay(t *testing.T) {
	checking(t, func(t *testing.T, a *asked) {
		a.takes = 3 * time.Second
		target := a.target("db1", Check{})
		a.set(target, "", "")
		time.Sleep(time.Second)
		a.drop(target.id)
		time.Sleep(time.Minute)
		if got := a.takeTold(); got != "" || a.count() != 1 {
			t.Errorf("told %q, %d checks", got, a.count())
		}
	})
}

// Checks that were begun together do not stay together.
func TestCheckerSpreads(t *testing.T) {
	checking(t, func(t *testing.T, a *asked) {
		a.random = func() float64 { return 0.5 }
		a.set(a.target("db1", Check{Interval: 11 * time.Second}), "", "")
		synctest.Wait()
		time.Sleep(5900 * time.Millisecond)
		if a.count() != 1 {
			t.Errorf("%d checks before the first gap is over", a.count())
		}
		time.Sleep(200 * time.Millisecond)
		if a.count() != 2 {
			t.Errorf("%d checks after the first gap", a.count())
		}
		time.Sleep(10 * time.Second)
		if a.count() != 2 {
			t.Errorf("%d checks before the second gap is over", a.count())
		}
	})
}

// A check's verdict lies over what was said, and below a TTL that is over.
func TestCheckedInstance(t *testing.T) {
	d := newDesk(t)
	r := managed("db1")
	r.Check, r.TTL, r.Remove = &Check{Kind: CheckTCP}, 30*time.Second, 5*time.Second
	d.mustRegister(r)
	target, is := d.core.instances[identity{"default", "db1"}].target()
	if !is || target.address != "192.0.2.7:5432" {
		t.Fatalf("checked is %+v", target)
	}
	verdict := func(status registry.Status, reason string) {
		d.event(func(c *core) { c.outcome(target, status, reason) })
	}
	verdict(registry.Critical, "connection refused")
	if got := d.status("db1"); got != "critical connection refused" {
		t.Errorf("got %s", got)
	}
	d.pass(3 * time.Second)
	verdict(registry.Passing, "connected")
	if got := d.status("db1"); got != "passing" {
		t.Errorf("got %s", got)
	}
	d.renew("db1", registry.Starting)
	verdict(registry.Critical, "connection refused")
	if got := d.status("db1"); got != "starting said so" {
		t.Errorf("got %s", got)
	}
	d.renew("db1", registry.Warning)
	d.mustRegister(r) // again, as it was: the verdict stays
	if got := d.status("db1"); got != "critical connection refused" {
		t.Errorf("got %s", got)
	}
	stale := target
	stale.address = "192.0.2.8:5432"
	d.event(func(c *core) { c.outcome(stale, registry.Passing, "") })
	if got := d.status("db1"); got != "critical connection refused" {
		t.Errorf("by an outcome of something else: %s", got)
	}
	d.pass(7 * time.Second)
	d.wantLast("db1", KindGone, CauseCritical, "connection refused")
}

// TestChecksOverTheNetwork leads a real service through a life.
func TestChecksOverTheNetwork(t *testing.T) {
	var mu sync.Mutex
	code := http.StatusOK
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path != "/health" || r.Method != http.MethodHead {
			t.Errorf("asked for %s %s", r.Method, r.URL)
		}
		w.WriteHeader(code)
	}))
	defer web.Close()
	s, err := New(Config{Warming: &noWarming})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	await := func(id string, want registry.Status, why string) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
			story, _ := s.Instance("default", id)
			if story.Instance.Status == want && strings.Contains(story.Instance.Reason, why) {
				return
			}
			if time.Since(began) > 20*time.Second {
				t.Fatalf("%s is %s (%s); want %s (%s)", id, story.Instance.Status, story.Instance.Reason, want, why)
			}
		}
	}
	at := netip.MustParseAddrPort(web.Listener.Addr().String())
	r := managed("web1")
	r.Instance.Address, r.Instance.Port, r.Instance.Status = "localhost", at.Port(), registry.Passing
	r.Check = &Check{Kind: CheckHTTP, Path: "/health", Method: "head", Interval: time.Second}
	closed := managed("closed")
	closed.Instance.Address, closed.Instance.Port = "127.0.0.1", 1
	closed.Check = &Check{Kind: CheckTCP}
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		_, err := s.Register(r)
		if err == nil {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal(err)
		}
	}
	if _, err := s.Register(closed); err != nil {
		t.Fatal(err)
	}
	await("closed", registry.Critical, "refused")
	await("web1", registry.Passing, "")
	mu.Lock()
	code = http.StatusServiceUnavailable
	mu.Unlock()
	await("web1", registry.Critical, "503")
	mu.Lock()
	code = http.StatusTooManyRequests
	mu.Unlock()
	await("web1", registry.Warning, "429")
	if err := s.Deregister("default", "web1"); err != nil {
		t.Fatal(err)
	}
}
