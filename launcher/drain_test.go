package launcher

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/process/processtest"
)

// front launches a consumer of web whose file lists the endpoints.
func front(w *world, name string, more env) *box {
	b := w.newBox(name)
	b.file("in", "{{each web sep=' '}}{{addr}}{{end}}")
	e := env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:HUP"}
	maps.Copy(e, more)
	b.run(e, "front")
	return b
}

func web(w *world, name string, more env) *box {
	e := env{"SERVICE_80_NAME": "web"}
	maps.Copy(e, more)
	b := w.newBox(name)
	b.listen(80)
	b.run(e, "web")
	return b
}

// A backend is told to stop only after its consumer has applied that it goes.
func TestStopDrainsFirst(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		old := web(w, "web-1", nil)
		b := front(w, "front", nil)
		proxy := b.child()
		web(w, "web-2", nil)
		w.eventually(2*time.Second, "both are in the file", func() bool { return len(strings.Fields(b.read("out"))) == 2 })
		time.Sleep(10 * time.Second)
		child := old.child()
		reloads := len(proxy.Received())
		at := time.Now()
		old.signals <- syscall.SIGTERM
		w.eventually(5*time.Second, "the backend is told to stop", func() bool { return len(child.Received()) > 0 })
		if b.read("out") != "10.0.0.3:80" || len(proxy.Received()) != reloads+1 {
			t.Errorf("when the backend was told to stop, the file held %q and the proxy had %d reloads", b.read("out"), len(proxy.Received())-reloads)
		}
		// The quiet period's minimum and the time to settle, and nothing else.
		if took := time.Since(at); took < 500*time.Millisecond || took > 800*time.Millisecond {
			t.Errorf("the drain took %v, expected 600ms", took)
		}
		if code := old.wait(); code != 143 {
			t.Errorf("the exit code is %d", code)
		}
		if !old.logged("drained") || !strings.Contains(w.log.String(), "acknowledged=1") {
			t.Error("the log does not tell who acknowledged")
		}
	})
}

// A consumer that does not answer delays a stop by no more than CLEAT_DRAIN.
func TestFrozenConsumerDelaysNoLonger(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		old := web(w, "web-1", env{"CLEAT_DRAIN": "3s"})
		web(w, "web-2", nil)
		// An action that hangs is a launcher that does not acknowledge.
		b := w.newBox("front")
		b.file("in", "{{each web sep=' '}}{{addr}}{{end}}")
		b.kernel.Script("reload", func(*processtest.Process) {})
		b.run(env{"CLEAT_REQUIRE_WEB": "web?min=2", "CLEAT_REQUIRE_ANY": "web", "CLEAT_TEMPLATE_X": "%DIR%/in2:%DIR%/out:reload"}, "front")
		b.file("in2", "{{each any sep=' '}}{{addr}}{{end}}")
		b.child()
		time.Sleep(5 * time.Second)
		child := old.child()
		at := time.Now()
		old.signals <- syscall.SIGTERM
		w.eventually(10*time.Second, "the backend is told to stop", func() bool { return len(child.Received()) > 0 })
		if took := time.Since(at); took < 2900*time.Millisecond || took > 3100*time.Millisecond {
			t.Errorf("it took %v, expected CLEAT_DRAIN, 3s", took)
		}
	})
}

// Stopping the only instance takes no longer than stopping it without cleat.
func TestOnlyInstanceStopsAtOnce(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		only := web(w, "web-1", nil)
		b := front(w, "front", nil)
		b.child()
		time.Sleep(5 * time.Second)
		child := only.child()
		at := time.Now()
		only.signals <- syscall.SIGTERM
		w.eventually(10*time.Second, "the backend is told to stop", func() bool { return len(child.Received()) > 0 })
		if took := time.Since(at); took > 50*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		only.wait()
		w.never(time.Minute, "the consumer lets go", func() bool { return b.read("out") != "10.0.0.1:80" })
		if !b.logged("warning: holding") {
			t.Error("the log does not tell that the last endpoint is held")
		}
	})
}

// A second stop signal hurries.
func TestSecondStopHurries(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		old := web(w, "web-1", nil)
		web(w, "web-2", nil)
		front(w, "front", nil).child()
		time.Sleep(5 * time.Second)
		child := old.child()
		at := time.Now()
		old.signals <- syscall.SIGTERM
		old.signals <- syscall.SIGINT
		w.eventually(time.Second, "the backend is told to stop", func() bool { return len(child.Received()) > 0 })
		if took := time.Since(at); took > 10*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// A tier that restarts by change restarts like a wave: at least half of it
// always serves.
func TestTierRestartsLikeAWave(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		db := provider(w, "db-1")
		const size = 10
		var tier []*box
		for i := range size {
			b := w.newBox(fmt.Sprintf("web-%d", i))
			b.listen(80)
			b.kernel.Script("web", func(p *processtest.Process) {
				p.React(func(s syscall.Signal) {
					if s == syscall.SIGTERM {
						p.EndAfter(2*time.Second, exitZero) // as a server that finishes its requests
					}
				})
			})
			b.run(env{"SERVICE_80_NAME": "web", "CLEAT_REQUIRE_DB": "mysql"}, "web")
			tier = append(tier, b)
		}
		proxy := front(w, "front", nil)
		w.eventually(10*time.Second, "all serve", func() bool { return len(strings.Fields(proxy.read("out"))) == size })
		time.Sleep(15 * time.Second)
		least := size
		provider(w, "db-2")
		time.Sleep(2 * time.Second)
		db.signals <- syscall.SIGTERM
		done := func() bool {
			running := 0
			for _, b := range tier {
				for _, p := range b.kernel.Running() {
					if p.Spec.Main {
						running++
					}
				}
			}
			least = min(least, running)
			for _, b := range tier {
				if b.starts() < 2 {
					return false
				}
			}
			return true
		}
		w.eventually(5*time.Minute, "all have restarted", done)
		if least < size/2 {
			t.Errorf("only %d of %d ran at one moment", least, size)
		}
		w.eventually(10*time.Second, "all serve again", func() bool { return len(strings.Fields(proxy.read("out"))) == size })
		for _, b := range tier {
			if b.starts() != 2 || getenv(b.child(), "DB_HOST") != "10.0.0.13" {
				t.Errorf("%s: %d starts, DB_HOST=%s", b.name, b.starts(), getenv(b.child(), "DB_HOST"))
			}
		}
	})
}

// Two that require each other, one of them optionally, stop and restart without
// ping-pong.
func TestNoPingPong(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		a := w.newBox("a")
		a.listen(80)
		a.run(env{"SERVICE_80_NAME": "a", "CLEAT_REQUIRE_B": "b?optional=true"}, "a")
		b := w.newBox("b")
		b.listen(81)
		b.run(env{"SERVICE_81_NAME": "b", "CLEAT_REQUIRE_A": "a"}, "b")
		a.child()
		b.child()
		time.Sleep(time.Minute)
		if a.starts()+b.starts() > 2 {
			t.Errorf("after a quiet minute there were %d and %d starts", a.starts(), b.starts())
		}
		// b restarts: a has it through B_HOST alone, but it comes back.
		b.signals <- syscall.SIGTERM
		b.wait()
		c := w.newBox("c")
		c.listen(81)
		c.run(env{"SERVICE_81_NAME": "b", "CLEAT_REQUIRE_A": "a"}, "b")
		time.Sleep(10 * time.Minute)
		if n := a.starts() + c.starts(); n > 4 {
			t.Errorf("there were %d and %d starts", a.starts(), c.starts())
		}
		before := a.starts() + c.starts()
		time.Sleep(10 * time.Minute)
		if n := a.starts() + c.starts(); n != before {
			t.Errorf("it does not come to rest: %d more starts", n-before)
		}
	})
}

func TestOnLossStop(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		db := provider(w, "db-1")
		b := w.launch("app", env{"CLEAT_REQUIRE_DB": "mysql?on-loss=stop"})
		child := b.child()
		time.Sleep(time.Second)
		db.crash()
		w.eventually(5*time.Second, "the child is stopped", func() bool { return !child.Running() })
		w.never(time.Minute, "it runs without its database", func() bool { return len(b.kernel.Running()) > 0 })
		provider(w, "db-2")
		if got := getenv(b.child(), "DB_HOST"); got != "10.0.0.3" {
			t.Errorf("DB_HOST is %s", got)
		}
	})
}

func TestOnLossEmptyAndFallback(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		db := provider(w, "db-1")
		b := w.newBox("app")
		b.file("in", "{{each db}}{{addr}}{{else}}none{{end}} {{each alt}}{{addr}}{{end}}")
		b.run(env{
			"CLEAT_REQUIRE_DB": "mysql?on-loss=empty", "CLEAT_REQUIRE_ALT": "mysql?fallback=192.0.2.1:3306",
			"CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:HUP",
		})
		b.child()
		w.eventually(time.Second, "the provider is in the file", func() bool { return b.read("out") == "10.0.0.1:3306 10.0.0.1:3306" })
		db.crash()
		w.eventually(time.Second, "empty and fallback", func() bool { return b.read("out") == "none 192.0.2.1:3306" })
	})
}

// Three nodes started in the same instant agree on one first, and only it founds.
func TestExactlyOneFounds(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		ring := make([]*box, 3)
		for i := range ring {
			b := w.newBox(fmt.Sprintf("node-%d", i))
			b.listen(4000)
			b.run(env{"SERVICE_4000_NAME": "ring", "CLEAT_REQUIRE_RING": "self"}, "chord",
				"{{if self.first}}--found{{end}}", "{{if not self.first}}--join={{ring.first.addr}}{{end}}")
			ring[i] = b
		}
		founders := 0
		for _, b := range ring {
			args := b.child().Spec.Args
			if slices.Contains(args, "--found") {
				founders++
			} else if len(args) != 2 || !strings.HasPrefix(args[1], "--join=10.0.0.") {
				t.Errorf("%s was started as %q", b.name, args)
			}
		}
		if founders != 1 {
			t.Errorf("%d nodes founded the ring", founders)
		}
		// A founder that comes back joins.
		time.Sleep(10 * time.Second)
		for i, b := range ring {
			if slices.Contains(b.child().Spec.Args, "--found") {
				b.crash()
				time.Sleep(10 * time.Second)
				again := w.newBox(b.name)
				again.listen(4000)
				again.run(env{"SERVICE_4000_NAME": "ring", "CLEAT_REQUIRE_RING": "self"}, "chord",
					"{{if self.first}}--found{{end}}", "{{if not self.first}}--join={{ring.first.addr}}{{end}}")
				if args := again.child().Spec.Args; slices.Contains(args, "--found") {
					t.Errorf("%s founds a second ring: %q", ring[i].name, args)
				}
				break
			}
		}
		for _, b := range ring {
			if b.starts() > 1 {
				t.Errorf("%s was restarted for a change of its own ring", b.name)
			}
		}
	})
}

// A failed action is tried again until it succeeds, and its failure is told.
func TestFailedActionIsRetried(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		web(w, "web-1", nil)
		b := w.newBox("front")
		b.file("in", "{{each web sep=' '}}{{addr}}{{end}}")
		var runs atomic.Int32
		b.kernel.Script("reload", func(p *processtest.Process) {
			if runs.Add(1) < 4 {
				p.Exit(1)
			} else {
				p.Exit(0)
			}
		})
		b.run(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:reload now"}, "front")
		b.child()
		time.Sleep(time.Second)
		web(w, "web-2", nil)
		time.Sleep(time.Minute)
		if runs.Load() != 4 {
			t.Errorf("the action ran %d times, expected three failures and a success", runs.Load())
		}
	})
}

// A check that fails keeps the old file, and the child untouched.
func TestFailedCheckChangesNothing(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		web(w, "web-1", nil)
		b := w.newBox("front")
		b.file("in", "{{each web sep=' '}}{{addr}}{{end}}")
		var good atomic.Bool
		good.Store(true)
		b.kernel.Script("check", func(p *processtest.Process) {
			if good.Load() {
				p.Exit(0)
			} else {
				p.Exit(1)
			}
		})
		b.run(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:HUP", "CLEAT_TEMPLATE_X_CHECK": "check {{staged}}"}, "front")
		child := b.child()
		time.Sleep(time.Second)
		good.Store(false)
		web(w, "web-2", nil)
		w.never(time.Minute, "a file that failed its check is put into place", func() bool { return b.read("out") != "10.0.0.1:80" || len(child.Received()) > 0 })
		good.Store(true)
		w.eventually(time.Minute, "it is tried again", func() bool { return b.endpoints() == "10.0.0.1:80 10.0.0.3:80" })
	})
}

// The same signal at once, as from those who send it to a process and to its
// group, does not hurry.
func TestSameStopTwiceIsOne(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		old := web(w, "web-1", nil)
		web(w, "web-2", nil)
		front(w, "front", nil).child()
		time.Sleep(5 * time.Second)
		child := old.child()
		at := time.Now()
		old.signals <- syscall.SIGTERM
		old.signals <- syscall.SIGTERM
		w.eventually(5*time.Second, "the backend is told to stop", func() bool { return len(child.Received()) > 0 })
		if took := time.Since(at); took < 500*time.Millisecond {
			t.Errorf("it was told after %v, before its consumer had let go of it", took)
		}
	})
}
