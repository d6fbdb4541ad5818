package launcher

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/process/processtest"
)

// A first start waits until its views have been quiet, however long it has
// waited for them.
func TestFirstStartWaitsForQuiet(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		b := w.launch("b", env{"CLEAT_REQUIRE_WEB": "web"}, "app")
		time.Sleep(time.Minute)
		p.provide("192.0.2.1")
		time.Sleep(50 * time.Millisecond)
		p.provide("192.0.2.1", "192.0.2.2")
		child := b.child()
		if got := getenv(child, "WEB_ADDRS"); got != "192.0.2.1:80,192.0.2.2:80" {
			t.Errorf("it was started with %s", got)
		}
	})
}

// What is required may be lost while the first render's check runs.
func TestRequirementLostDuringTheFirstRender(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("b")
		b.file("in", "{{each web}}{{addr}}{{end}}")
		b.kernel.Script("check", func(p *processtest.Process) { p.EndAfter(5*time.Second, exitZero) })
		b.run(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out", "CLEAT_TEMPLATE_X_CHECK": "check {{staged}}"})
		time.Sleep(time.Second)
		p.provide()
		w.never(time.Minute, "the child is started without what it requires", func() bool { return b.starts() > 0 })
		p.provide("192.0.2.1")
		b.child()
	})
}

// A render that failed before the first start is tried again at every change.
func TestFailedFirstRenderIsTriedAtAChange(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("b")
		b.file("in", "{{each web}}{{addr}}{{end}}")
		var good atomic.Bool
		b.kernel.Script("check", func(p *processtest.Process) {
			if good.Load() {
				p.Exit(0)
			} else {
				p.Exit(1)
			}
		})
		b.run(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out", "CLEAT_TEMPLATE_X_CHECK": "check {{staged}}"})
		time.Sleep(5*time.Minute + 2*time.Second) // the retries are far apart by now
		good.Store(true)
		p.provide("192.0.2.2")
		w.eventually(500*time.Millisecond, "it is tried again", func() bool { return b.starts() > 0 })
	})
}

// A later start whose render fails has everything as it was, the variables too.
func TestLaterStartUsesTheLastGood(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("b")
		in := b.file("in", "no alias")
		b.run(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:none", "CLEAT_TEMPLATE_X_CHECK": "check {{staged}}", "CLEAT_RESTART": "always"})
		child := b.child()
		time.Sleep(time.Minute)
		b.kernel.Script("check", func(p *processtest.Process) { p.Exit(1) })
		if err := os.WriteFile(in, []byte("broken"), 0o644); err != nil {
			t.Fatal(err)
		}
		child.Crash(syscall.SIGSEGV)
		p.provide("192.0.2.2")
		w.eventually(2*time.Second, "it is started again", func() bool { return b.starts() == 2 })
		if got := getenv(b.child(), "WEB_HOST"); got != "192.0.2.1" {
			t.Errorf("with the last good files, WEB_HOST is %s", got)
		}
		b.kernel.Script("check", nil)
		w.eventually(30*time.Second, "it is started with what is good now", func() bool { return b.starts() == 3 })
		if got := getenv(b.child(), "WEB_HOST"); got != "192.0.2.2" {
			t.Errorf("WEB_HOST is %s", got)
		}
	})
}

// The end of the context is a stop, whatever the settings say of TERM.
func TestEndOfTheContextIsAStop(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("b")
		var cancel context.CancelFunc
		b.ctx, cancel = context.WithCancel(context.Background())
		b.kernel.Script("app", func(p *processtest.Process) { p.Ignore(syscall.SIGTERM) })
		b.run(env{"CLEAT_STOP_ON": "INT"})
		b.child()
		cancel()
		select {
		case <-b.done:
		case <-time.After(time.Minute):
			t.Error("it runs on")
		}
	})
}

// Two sources that do not parse are told of once, not at every change.
func TestBrokenSourcesAreToldOnce(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("b")
		b.file("in1", "1")
		b.file("in2", "2")
		b.run(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_A": "%DIR%/in1:%DIR%/out1:none", "CLEAT_TEMPLATE_B": "%DIR%/in2:%DIR%/out2:none"})
		b.child()
		b.file("in1", "{{each nonsense}}")
		b.file("in2", "{{each nonsense}}")
		for range 10 {
			b.changed <- struct{}{}
			time.Sleep(time.Second)
		}
		if n := strings.Count(w.log.String(), "a template cannot be used"); n != 1 {
			t.Errorf("it was told %d times", n)
		}
	})
}

// A child that was told to end for a restart gets no more time when that
// becomes the stop.
func TestStopInARestart(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("b")
		b.kernel.Script("app", func(p *processtest.Process) { p.Ignore(syscall.SIGTERM) })
		b.run(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_STOP_TIMEOUT": "3s"}, "app", "{{web.addr}}")
		child := b.child()
		p.provide("192.0.2.2")
		w.eventually(time.Second, "the restart begins", func() bool { return len(child.Received()) > 0 })
		time.Sleep(2 * time.Second)
		at := time.Now()
		b.signals <- syscall.SIGTERM
		if code := b.wait(); code != 128+int(syscall.SIGKILL) {
			t.Errorf("the exit code is %d", code)
		}
		if took := b.ended.Sub(at); took > time.Second+limitOver {
			t.Errorf("it took %v: the child had 3s from when it was told to end", took)
		}
		if b.starts() != 1 {
			t.Errorf("there were %d starts", b.starts())
		}
	})
}
