package launcher

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/control"
	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
)

// lasting is a command that runs until it is told to end.
func lasting(names ...string) func(b *box) {
	return func(b *box) {
		for _, name := range names {
			b.kernel.Script(name, untilSignal)
		}
	}
}

func TestCoprocessesInOrder(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		provider(w, "db-1")
		b := w.newBox("b")
		lasting("app", "proxy", "exporter", "shipper")(b)
		b.run(allHooks.with(env{
			"CLEAT_REQUIRE_DB": "mysql", "CLEAT_USER": "app", "CLEAT_COPROCESS_PROXY_USER": "root",
			"CLEAT_COPROCESS_PROXY": "proxy --to 'a b'", "CLEAT_COPROCESS_PROXY_START": "before",
			"CLEAT_COPROCESS_EXPORTER": "exporter", "CLEAT_COPROCESS_EXPORTER_STOP": "before",
			"CLEAT_COPROCESS_SHIPPER": "shipper",
		}))
		b.child()
		time.Sleep(time.Second)
		if got, want := b.commands(), "pre-start proxy app exporter shipper post-start"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		proxy := b.last("proxy")
		if !slices.Equal(proxy.Spec.Args, []string{"proxy", "--to", "a b"}) || !proxy.Spec.Beside || !proxy.Spec.Whole || proxy.Spec.Main || proxy.Spec.User != "root" {
			t.Errorf("it was started with %+v", proxy.Spec)
		}
		if getenv(proxy, "DB_HOST") != "10.0.0.1" || getenv(proxy, "CLEAT_COPROCESS") != "proxy" || b.last("shipper").Spec.User != "app" {
			t.Errorf("its environment is %q", proxy.Spec.Env)
		}
		s := b.status()
		if len(s.Coprocesses) != 3 || s.Coprocesses[1].Name != "proxy" || s.Coprocesses[1].PID != proxy.Pid() || s.Coprocesses[1].State != control.Running {
			t.Errorf("the status is %+v", s.Coprocesses)
		}
		before := len(b.kernel.Events())
		b.signals <- syscall.SIGTERM
		if code := b.wait(); code != 0 {
			t.Errorf("the exit code is %d", code)
		}
		want := []string{"start pre-stop", "end pre-stop: exit status 0", "signal exporter SIGTERM", "end exporter: exit status 0", "signal app SIGTERM", "end app: exit status 0",
			"signal proxy SIGTERM", "end proxy: exit status 0", "signal shipper SIGTERM", "end shipper: exit status 0", "start post-stop", "end post-stop: exit status 0"}
		if got := b.kernel.Events()[before:]; !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// It is started again as a child is, and touches nobody.
func TestCoprocessCrashes(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("exporter", func(p *processtest.Process) { p.Exit(0) })
		b.run(env{"CLEAT_SERVER": "", "CLEAT_COPROCESS_EXPORTER": "exporter"})
		child := b.child()
		time.Sleep(time.Minute)
		n := strings.Count(b.commands(), "exporter")
		// At 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s and with jitter.
		if n < 6 || n > 8 {
			t.Errorf("it was started %d times in a minute", n)
		}
		if n := strings.Count(w.log.String(), "a coprocess has ended; it will be started again"); n != 1 {
			t.Errorf("that was logged %d times, expected once", n)
		}
		s := b.status()
		if c := s.Coprocesses[0]; c.State != control.Backoff || c.LastExit != "exit status 0" || c.Restarts != n || c.Next.Before(s.Now) {
			t.Errorf("the status is %+v", c)
		}
		if !s.Healthy || !child.Running() || b.starts() != 1 || len(child.Received()) > 0 {
			t.Error("its end has touched the child")
		}
		b.kernel.Script("exporter", untilSignal)
		time.Sleep(time.Minute)
		if c := b.status().Coprocesses[0]; c.State != control.Running {
			t.Errorf("the status is %+v", c)
		}
		// It has run for long enough to begin anew.
		b.last("exporter").Crash(syscall.SIGSEGV)
		before := strings.Count(b.commands(), "exporter")
		w.eventually(700*time.Millisecond, "it is started again soon", func() bool { return strings.Count(b.commands(), "exporter") == before+1 })
	})
}

func TestCoprocessCannotBeStarted(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		b.kernel.Fail("proxy", fs.ErrNotExist)
		b.run(env{"CLEAT_SERVER": "", "CLEAT_COPROCESS_PROXY": "proxy", "CLEAT_COPROCESS_PROXY_START": "before"})
		b.child()
		time.Sleep(10 * time.Second)
		if c := b.status().Coprocesses[0]; c.State != control.Backoff || c.Error != fs.ErrNotExist.Error() {
			t.Errorf("the status is %+v", c)
		}
		b.kernel.Fail("proxy", nil)
		b.kernel.Script("proxy", untilSignal)
		w.eventually(30*time.Second, "it runs", func() bool { return b.status().Coprocesses[0].State == control.Running })
		if c := b.status().Coprocesses[0]; c.Error != "" {
			t.Errorf("the status is %+v", c)
		}
	})
}

// A restart in place, a crash and a loss leave it alone.
func TestCoprocessSurvivesTheChild(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("b")
		lasting("app", "exporter")(b)
		b.run(env{"CLEAT_REQUIRE_WEB": "web?on-loss=stop", "CLEAT_COPROCESS_EXPORTER": "exporter", "CLEAT_COPROCESS_EXPORTER_STOP": "before", "CLEAT_RESTART": "always"}, "app", "{{web.addr}}")
		b.child()
		time.Sleep(20 * time.Second)
		p.provide("192.0.2.2")
		w.eventually(5*time.Second, "the restart", func() bool { return b.starts() == 2 })
		b.child().Exit(1)
		w.eventually(5*time.Second, "the start after the crash", func() bool { return b.starts() == 3 })
		p.provide()
		time.Sleep(20 * time.Second)
		p.provide("192.0.2.3")
		w.eventually(5*time.Second, "the start after the loss", func() bool { return b.starts() == 4 })
		if n := strings.Count(b.commands(), "exporter"); n != 1 || len(b.last("exporter").Received()) > 0 {
			t.Errorf("it was started %d times, and was sent %v", n, b.last("exporter").Received())
		}
	})
}

// Those that do not obey are killed, the child has its time, and all is over in
// time.
func TestCoprocessesThatDoNotObey(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		for _, name := range []string{"one", "two", "app"} {
			b.kernel.Script(name, func(p *processtest.Process) { p.Ignore(syscall.SIGTERM) })
		}
		b.run(env{
			"CLEAT_SERVER": "", "CLEAT_COPROCESS_ONE": "one", "CLEAT_COPROCESS_ONE_STOP": "before", "CLEAT_COPROCESS_ONE_TIMEOUT": "2s",
			"CLEAT_COPROCESS_TWO": "two", "CLEAT_COPROCESS_TWO_TIMEOUT": "3s",
		})
		child := b.child()
		began := time.Now()
		b.signals <- syscall.SIGTERM
		<-b.last("one").Done()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("the first was killed after %v, expected 2s", took)
		}
		w.eventually(10*time.Millisecond, "the child is told", func() bool { return len(child.Received()) > 0 })
		<-child.Done()
		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("the child was killed after %v, expected 6s", took)
		}
		if code := b.wait(); code != 137 || b.ended.Sub(began) != 9*time.Second {
			t.Errorf("exit code %d after %v, expected 137 after 9s", code, b.ended.Sub(began))
		}
	})
}

// A stop obeys at once where there is no child, and ends coprocesses too.
func TestStopEndsCoprocessesWithoutAChild(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		lasting("exporter")(b)
		b.run(env{"CLEAT_SERVER": "", "CLEAT_COPROCESS_EXPORTER": "exporter", "CLEAT_RESTART": "always"})
		b.child().Exit(1)
		time.Sleep(100 * time.Millisecond) // in backoff
		b.signals <- syscall.SIGTERM
		if code := b.wait(); code != 143 {
			t.Errorf("the exit code is %d", code)
		}
		if p := b.last("exporter"); p.Running() || !slices.Equal(p.Received(), []syscall.Signal{syscall.SIGTERM}) {
			t.Errorf("it was sent %v", p.Received())
		}
		if n := strings.Count(b.commands(), "exporter"); n != 1 {
			t.Errorf("it was started %d times", n)
		}
	})
}

// One that ends while the container drains is not started again.
func TestCoprocessIsNotStartedInAStop(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		lasting("exporter")(b)
		b.kernel.Script("app", func(p *processtest.Process) { p.Ignore(syscall.SIGTERM) })
		b.run(env{"CLEAT_SERVER": "", "CLEAT_COPROCESS_EXPORTER": "exporter"})
		child := b.child()
		time.Sleep(time.Second)
		b.signals <- syscall.SIGTERM
		time.Sleep(time.Second)
		b.last("exporter").Exit(1)
		time.Sleep(3 * time.Second)
		if n := strings.Count(b.commands(), "exporter"); n != 1 {
			t.Errorf("it was started %d times", n)
		}
		child.Exit(7)
		if code := b.wait(); code != 7 {
			t.Errorf("the exit code is %d", code)
		}
	})
}

func TestCommandThatCannotBeStartedEndsCoprocesses(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		lasting("proxy")(b)
		b.kernel.Fail("app", fs.ErrNotExist)
		b.run(env{"CLEAT_SERVER": "", "CLEAT_COPROCESS_PROXY": "proxy", "CLEAT_COPROCESS_PROXY_START": "before", "CLEAT_HOOK_POST_STOP": "post-stop"})
		if code := b.wait(); code != process.StatusNotFound {
			t.Errorf("the exit code is %d", code)
		}
		if b.commands() != "proxy" || b.last("proxy").Running() {
			t.Errorf("started: %s", b.commands())
		}
	})
}

// What coprocesses listen on is told from the child's.
func TestBesideIsPassedOn(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("b")
		lasting("exporter")(b)
		b.run(env{"CLEAT_COPROCESS_EXPORTER": "exporter"})
		b.child()
		time.Sleep(2 * time.Second)
		var beside string
		b.locked(func() { beside = fmt.Sprint(b.besides) })
		if want := fmt.Sprint([]int{b.last("exporter").Pid()}); beside != want {
			t.Errorf("the reader of listeners is told %s, expected %s", beside, want)
		}
	})
}
