package launcher

import (
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
	"cleat/registry"
	"cleat/registry/client"
)

// required returns how the server sees a container's need; false when the
// container has no session.
func (w *world) required(id, alias string) (registry.Required, bool) {
	w.t.Helper()
	api := client.NewAPI(client.Config{Servers: []string{"http://cleatd:9640"}, Dial: w.dial})
	list, err := api.Sessions(w.t.Context())
	if err != nil {
		return registry.Required{}, false
	}
	for _, s := range list.Sessions {
		for _, r := range s.Requires {
			if s.ID == id && r.Alias == alias {
				return r, true
			}
		}
	}
	return registry.Required{}, false
}

// acknowledged fails unless the container's last view is acknowledged within
// the limit.
func (w *world) acknowledged(limit time.Duration, id, alias string) registry.Required {
	w.t.Helper()
	var last registry.Required
	deadline := time.Now().Add(limit)
	for {
		r, found := w.required(id, alias)
		if last = r; found && r.Applied == r.Revision {
			return r
		}
		if !time.Now().Before(deadline) {
			w.t.Fatalf("%s has not acknowledged %s within %v: %+v", id, alias, limit, last)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A view that comes while the child ends for a restart is newer than the one
// that the restart is for.
func TestViewDuringARestartIsAcknowledged(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("b")
		b.kernel.Script("app", func(p *processtest.Process) {
			p.React(func(s syscall.Signal) {
				if s == syscall.SIGTERM {
					p.EndAfter(3*time.Second, exitZero)
				}
			})
		})
		b.run(env{"CLEAT_REQUIRE_WEB": "web"}, "app", "{{each web sep=','}}{{addr}}{{end}}")
		child := b.child()
		time.Sleep(20 * time.Second)
		p.provide("192.0.2.1", "192.0.2.2")
		w.eventually(time.Second, "the restart begins", func() bool { return len(child.Received()) > 0 })
		p.provide("192.0.2.1", "192.0.2.2", "192.0.2.3")
		w.eventually(5*time.Second, "it is started again", func() bool { return b.starts() == 2 })
		if got := b.child().Spec.Args[1]; strings.Count(got, ",") != 2 {
			t.Errorf("it was started with %s", got)
		}
		w.acknowledged(2*time.Second, "b", "web")
	})
}

// An action that is tried again says nothing about a view that has come since.
func TestRetryAcknowledgesNoLaterView(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		web(w, "web-1", nil)
		old := web(w, "web-2", nil)
		b := w.newBox("front")
		b.file("in", "{{each web sep=' '}}{{addr}}{{end}}")
		var good atomic.Bool
		good.Store(true)
		b.kernel.Script("reload", func(p *processtest.Process) {
			if good.Load() {
				p.Exit(0)
			} else {
				p.Exit(1)
			}
		})
		b.run(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:reload now", "CLEAT_QUIET": "900ms:2s"}, "front")
		b.child()
		time.Sleep(10 * time.Second)
		good.Store(false)
		web(w, "web-3", nil)
		w.eventually(3*time.Second, "the action fails", func() bool { return b.logged("error: an action failed") })
		good.Store(true)
		time.Sleep(500 * time.Millisecond)
		child := old.child()
		old.signals <- syscall.SIGTERM // the retry comes within its quiet period
		w.eventually(5*time.Second, "the backend is told to stop", func() bool { return len(child.Received()) > 0 })
		if strings.Contains(b.endpoints(), "10.0.0.2:80") {
			t.Errorf("the backend was told to stop while the file held %q", b.endpoints())
		}
	})
}

// While the first render fails, nobody has to wait for it.
func TestFailingFirstRenderIsAcknowledged(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("b")
		b.file("in", "{{each web}}{{addr}}{{end}}")
		b.kernel.Script("check", func(p *processtest.Process) { p.Exit(1) })
		b.run(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out", "CLEAT_TEMPLATE_X_CHECK": "check {{staged}}"})
		time.Sleep(5 * time.Second)
		p.provide("192.0.2.2")
		time.Sleep(time.Second)
		if r := w.acknowledged(time.Second, "b", "web"); !strings.Contains(r.Error, "check of") {
			t.Errorf("the acknowledgement does not say what is wrong: %+v", r)
		}
	})
}

// A child that never passes does not hold up drains for ever.
func TestChildThatNeverPassesIsAcknowledged(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.launch("b", env{"CLEAT_REQUIRE_WEB": "web", "SERVICE_81_NAME": "deaf"})
		b.child()
		time.Sleep(10 * time.Second)
		if r, _ := w.required("b", "web"); r.Applied == r.Revision {
			t.Error("a view was acknowledged before the child passed")
		}
		if r := w.acknowledged(25*time.Second, "b", "web"); r.Error == "" {
			t.Errorf("the acknowledgement does not say what is wrong: %+v", r)
		}
	})
}

// A child that crashes again and again uses nothing in between.
func TestCrashLoopIsAcknowledged(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("b")
		b.kernel.Script("app", func(p *processtest.Process) { p.EndAfter(50*time.Millisecond, process.Exit{Code: 1}) })
		b.run(env{"CLEAT_REQUIRE_WEB": "web", "SERVICE_81_NAME": "broken", "CLEAT_RESTART": "always"})
		time.Sleep(2 * time.Minute)
		p.provide("192.0.2.1", "192.0.2.2")
		w.acknowledged(2*time.Second, "b", "web")
	})
}

// The child crashes on a signal of an action, while it is given its time: the
// changes after that are followed all the same.
func TestCrashOnASignalDoesNotEndChanges(t *testing.T) {
	for name, action := range map[string]string{"signal": "HUP", "command": "reload"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 0, func(w *world) {
				p := w.puppet("p")
				p.provide("192.0.2.1")
				b := w.newBox("b")
				b.file("in", "{{each web sep=' '}}{{addr}}{{end}}")
				b.kernel.Script("reload", func(*processtest.Process) {}) // hangs
				b.run(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:" + action, "CLEAT_RESTART": "always"})
				child := b.child()
				time.Sleep(5 * time.Second)
				p.provide("192.0.2.1", "192.0.2.2")
				w.eventually(time.Second, "the file is written", func() bool { return b.endpoints() == "192.0.2.1:80 192.0.2.2:80" })
				time.Sleep(10 * time.Millisecond)
				child.Crash(syscall.SIGSEGV)
				w.eventually(2*time.Second, "it is started again", func() bool { return b.starts() == 2 })
				b.kernel.Script("reload", nil)
				time.Sleep(2 * time.Minute)
				p.provide("192.0.2.3")
				w.eventually(time.Second, "the next change is followed", func() bool { return b.endpoints() == "192.0.2.3:80" })
				w.acknowledged(time.Second, "b", "web")
			})
		})
	}
}

// While a restart waits for its drain, the child goes on serving and must go on
// being told.
func TestSignalsGoOnWhileARestartWaits(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		db := provider(w, "db-1")
		b := w.newBox("edge")
		b.listen(81)
		b.file("in", "{{each web sep=' '}}{{addr}}{{end}}")
		b.kernel.Script("edge", func(p *processtest.Process) { p.Ignore(syscall.SIGHUP) })
		b.run(env{
			"SERVICE_81_NAME": "edge", "CLEAT_REQUIRE_WEB": "web", "CLEAT_REQUIRE_DB": "mysql",
			"CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:HUP",
		}, "edge")
		w.newBox("other").run(env{"SERVICE_81_NAME": "edge"}, "edge")
		w.boxes[len(w.boxes)-1].listen(81)
		// A consumer that never acknowledges in time keeps the restart waiting.
		slow := w.newBox("slow")
		slow.file("in", "{{each edge sep=' '}}{{addr}}{{end}}")
		slow.kernel.Script("reload", func(p *processtest.Process) { p.EndAfter(50*time.Second, exitZero) })
		slow.run(env{"CLEAT_REQUIRE_EDGE": "edge", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:reload"}, "slow")
		child := b.child()
		time.Sleep(time.Minute)
		provider(w, "db-2")
		time.Sleep(time.Second)
		db.crash()
		w.eventually(2*time.Second, "the restart begins", func() bool { return b.logged("restarting the child") })
		p.provide("192.0.2.2")
		w.eventually(time.Second, "the child is told", func() bool { return slices.Contains(child.Received(), syscall.SIGHUP) })
		if slices.Contains(child.Received(), syscall.SIGTERM) {
			t.Error("the restart did not wait")
		}
	})
}

// A port that was found by listening may be gone for good after a restart. That
// is no reason to wait.
func TestPortThatIsGoneIsNotWaitedFor(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("b")
		b.listen(81, 82)
		b.run(env{"CLEAT_REQUIRE_WEB": "web"}, "app", "{{each web}}{{addr}}{{end}}")
		b.child()
		time.Sleep(time.Minute)
		b.listen(81)
		p.provide("192.0.2.2")
		w.eventually(5*time.Second, "it is started again", func() bool { return b.starts() == 2 })
		if r := w.acknowledged(2*time.Second, "b", "web"); r.Error != "" {
			t.Errorf("it was acknowledged with the error %s", r.Error)
		}
	})
}
