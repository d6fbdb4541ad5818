package launcher

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
	"cleat/registry"
	"cleat/registry/client"
)

// commands lists the names of what was started, in order.
func (b *box) commands() string {
	var names []string
	for _, event := range b.kernel.Events() {
		if name, started := strings.CutPrefix(event, "start "); started {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// last returns the last process of that name.
func (b *box) last(name string) *processtest.Process {
	b.w.t.Helper()
	for _, p := range slices.Backward(b.kernel.Started()) {
		if p.Spec.Args[0] == name {
			return p
		}
	}
	b.w.t.Fatalf("no %s was started: %s", name, b.commands())
	return nil
}

// offers reports whether a container has a session that offers something.
func (w *world) offers(id string) bool {
	w.t.Helper()
	all, err := client.NewAPI(client.Config{Servers: []string{"http://cleatd:9640"}, Dial: w.dial}).Sessions(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.ContainsFunc(all.Sessions, func(s registry.SessionDetail) bool { return s.ID == id && len(s.Provides) > 0 })
}

// untilSignal is a process that ends well when it is told to.
func untilSignal(p *processtest.Process) {
	p.React(func(s syscall.Signal) {
		if s == syscall.SIGTERM {
			p.Exit(0)
		}
	})
}

// slow is a command that takes so long.
func slow(d time.Duration) func(*processtest.Process) {
	return func(p *processtest.Process) { p.EndAfter(d, exitZero) }
}

var allHooks = env{
	"CLEAT_HOOK_PRE_START": "pre-start a 'b c'", "CLEAT_HOOK_POST_START": "post-start", "CLEAT_HOOK_PRE_STOP": "pre-stop", "CLEAT_HOOK_POST_STOP": "post-stop",
}

// with returns the environment with more in it.
func (e env) with(more env) env {
	all := env{}
	for _, part := range []env{e, more} {
		maps.Copy(all, part)
	}
	return all
}

func TestHooksInOrder(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		provider(w, "db-1")
		b := w.newBox("b")
		b.kernel.Script("app", untilSignal)
		b.run(allHooks.with(env{"CLEAT_REQUIRE_DB": "mysql", "CLEAT_ENV_URL": "mysql://{{db.addr}}", "CLEAT_TOKEN": "secret", "CLEAT_USER": "app", "CLEAT_HOOK_PRE_START_USER": "root"}))
		child := b.child()
		time.Sleep(time.Second)
		b.signals <- syscall.SIGTERM
		if code := b.wait(); code != 0 {
			t.Errorf("the exit code is %d, expected the child's", code)
		}
		want := []string{"start pre-start", "end pre-start: exit status 0", "start app", "start post-start", "end post-start: exit status 0", "start pre-stop",
			"end pre-stop: exit status 0", "signal app SIGTERM", "end app: exit status 0", "start post-stop", "end post-stop: exit status 0"}
		if got := b.kernel.Events(); !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for name, told := range map[string]env{
			"pre-start":  {"CLEAT_HOOK": "PRE_START", "CLEAT_WHY": "first", "CLEAT_CHILD_PID": ""},
			"post-start": {"CLEAT_HOOK": "POST_START", "CLEAT_WHY": "first", "CLEAT_CHILD_PID": fmt.Sprint(child.Pid())},
			"pre-stop":   {"CLEAT_HOOK": "PRE_STOP", "CLEAT_WHY": "stop", "CLEAT_CHILD_PID": fmt.Sprint(child.Pid()), "CLEAT_CHILD_EXIT": ""},
			"post-stop":  {"CLEAT_HOOK": "POST_STOP", "CLEAT_WHY": "stop", "CLEAT_CHILD_PID": fmt.Sprint(child.Pid()), "CLEAT_CHILD_EXIT": "0"},
		} {
			hook := b.last(name)
			for variable, value := range told.with(env{"DB_HOST": "10.0.0.1", "DB_ADDRS": "10.0.0.1:3306", "URL": "mysql://10.0.0.1:3306", "CLEAT_TOKEN": ""}) {
				if got := getenv(hook, variable); got != value {
					t.Errorf("%s: %s is %q, expected %q", name, variable, got, value)
				}
			}
			user := "app"
			if name == "pre-start" {
				user = "root"
			}
			if hook.Spec.User != user || !hook.Spec.Whole || hook.Spec.Main || hook.Spec.Beside {
				t.Errorf("%s was started with %+v", name, hook.Spec)
			}
		}
		if args := b.last("pre-start").Spec.Args; !slices.Equal(args, []string{"pre-start", "a", "b c"}) {
			t.Errorf("PRE_START was given %q", args)
		}
		if getenv(child, "CLEAT_HOOK") != "" {
			t.Error("the child is told that it is a hook")
		}
	})
}

// A restart by change and a crash go through all of them, and each is told why.
func TestHooksOfRestarts(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("b")
		b.kernel.Script("app", untilSignal)
		b.run(allHooks.with(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_RESTART": "always"}), "app", "{{web.addr}}")
		b.child()
		whys := func() string {
			var all []string
			for _, p := range b.kernel.Started() {
				if why := getenv(p, "CLEAT_WHY"); why != "" {
					all = append(all, p.Spec.Args[0]+" "+why)
				}
			}
			return strings.Join(all, ", ")
		}
		time.Sleep(20 * time.Second)
		p.provide("192.0.2.2")
		w.eventually(5*time.Second, "the restart", func() bool { return b.starts() == 2 })
		time.Sleep(20 * time.Second)
		b.child().Exit(3)
		w.eventually(5*time.Second, "the start after the crash", func() bool { return b.starts() == 3 })
		want := "pre-start first, post-start first, pre-stop restart, post-stop restart, pre-start restart, post-start restart, post-stop crash, pre-start crash, post-start crash"
		if got := whys(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		var exits []string
		for _, p := range b.kernel.Started() {
			if p.Spec.Args[0] == "post-stop" {
				exits = append(exits, getenv(p, "CLEAT_CHILD_EXIT"))
			}
		}
		if !slices.Equal(exits, []string{"0", "3"}) {
			t.Errorf("POST_STOP was told the exits %q", exits)
		}
	})
}

func TestHooksOfALoss(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("b")
		b.kernel.Script("app", untilSignal)
		b.run(allHooks.with(env{"CLEAT_REQUIRE_WEB": "web?on-loss=stop"}))
		b.child()
		time.Sleep(time.Second)
		p.provide()
		w.eventually(5*time.Second, "POST_STOP", func() bool { return strings.HasSuffix(b.commands(), "post-stop") })
		if why := getenv(b.last("pre-stop"), "CLEAT_WHY") + getenv(b.last("post-stop"), "CLEAT_WHY"); why != "lossloss" {
			t.Errorf("the hooks are told %q", why)
		}
		p.provide("192.0.2.2")
		w.eventually(5*time.Second, "the start", func() bool { return b.starts() == 2 })
		if why := getenv(b.last("pre-start"), "CLEAT_WHY"); why != "first" {
			t.Errorf("PRE_START is told %q", why)
		}
	})
}

func TestPreStartFails(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("pre-start", func(p *processtest.Process) { p.Exit(1) })
		b.listen(80)
		b.run(env{"CLEAT_HOOK_PRE_START": "pre-start", "SERVICE_80_NAME": "web"})
		time.Sleep(100 * time.Second)
		if b.starts() > 0 {
			t.Fatal("the child was started, though PRE_START failed")
		}
		// At 0, 1, 3, 7, 15, 31, 61, 91 s.
		if n := len(b.kernel.Started()); n != 8 {
			t.Errorf("PRE_START ran %d times in 100 s, expected 8", n)
		}
		s := b.status()
		if want := "the child waits for the hook PRE_START, which failed: exit status 1"; s.Healthy || s.Why != want {
			t.Errorf("the status says %q, expected %q", s.Why, want)
		}
		if h := s.Hooks[0]; h.Runs != 8 || h.Error != "exit status 1" || h.Running || h.Name != "PRE_START" {
			t.Errorf("the status of the hook is %+v", h)
		}
		if i := s.Provides[0]; i.Status != registry.Starting || i.Reason != "waits for the hook PRE_START, which fails" || !i.Declared {
			t.Errorf("the instance is %+v", i)
		}
		if n := len(b.kernel.Ends()); n != 7 {
			t.Errorf("what was left behind was ended %d times, expected once before each retry", n)
		}
		if n := strings.Count(w.log.String(), "the hook PRE_START failed"); n != 1 {
			t.Errorf("the failure was logged %d times, expected once", n)
		}
		b.kernel.Script("pre-start", nil)
		b.child()
		w.eventually(time.Second, "the instance passes", func() bool {
			i := b.status().Provides[0]
			return i.Status == registry.Passing && i.Reason == ""
		})
		if s := b.status(); s.Hooks[0].Error != "" || !strings.HasPrefix(s.Why, "the child runs") && s.Healthy {
			t.Errorf("the status is %+v", s)
		}
	})
}

func TestPreStartFailsForTooLong(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("pre-start", func(p *processtest.Process) { p.Exit(1) })
		began := time.Now()
		b.run(env{"CLEAT_SERVER": "", "CLEAT_HOOK_PRE_START": "pre-start", "CLEAT_HOOK_PRE_START_WAIT": "10s", "CLEAT_HOOK_POST_STOP": "post-stop"})
		if code := b.wait(); code != process.StatusOwn || b.ended.Sub(began) != 10*time.Second {
			t.Errorf("exit code %d after %v, expected 125 after 10s", code, b.ended.Sub(began))
		}
		if strings.Contains(b.commands(), "post-stop") {
			t.Error("POST_STOP ran without a child")
		}
	})
}

// A requirement's wait= bounds the first start as a whole.
func TestPreStartAndAWait(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		provider(w, "db-1")
		b := w.newBox("b")
		b.kernel.Script("pre-start", func(p *processtest.Process) { p.Exit(1) })
		b.run(env{"CLEAT_REQUIRE_DB": "mysql?wait=20s", "CLEAT_HOOK_PRE_START": "pre-start"})
		if code := b.wait(); code != process.StatusOwn {
			t.Errorf("exit code %d, expected 125", code)
		}
	})
}

func TestPreStartTakesTooLong(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("pre-start", func(*processtest.Process) {})
		b.run(env{"CLEAT_SERVER": "", "CLEAT_HOOK_PRE_START": "pre-start", "CLEAT_HOOK_PRE_START_TIMEOUT": "30s"})
		time.Sleep(10 * time.Second)
		if s := b.status(); s.State != "hooking" || !s.Hooks[0].Running || s.Healthy {
			t.Errorf("the status is %+v", s)
		}
		if !b.logged("waiting for the hook PRE_START") {
			t.Error("the wait is not told")
		}
		time.Sleep(20500 * time.Millisecond)
		if p := b.last("pre-start"); p.Running() || !slices.Equal(p.Received(), []syscall.Signal{syscall.SIGKILL}) {
			t.Error("it was not killed")
		}
		if s := b.status(); s.Hooks[0].Error != "killed: it took longer than 30s" {
			t.Errorf("the status says %q", s.Hooks[0].Error)
		}
	})
}

// What moved on while PRE_START ran is looked at again.
func TestLossDuringPreStart(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		db := provider(w, "db-1")
		b := w.newBox("b")
		b.kernel.Script("pre-start", slow(20*time.Second))
		b.run(env{"CLEAT_REQUIRE_DB": "mysql?on-loss=stop", "CLEAT_HOOK_PRE_START": "pre-start"})
		time.Sleep(5 * time.Second)
		db.crash()
		w.never(time.Minute, "the child is started without what it needs", func() bool { return b.starts() > 0 })
		provider(w, "db-2")
		if host := getenv(b.child(), "DB_HOST"); host != "10.0.0.3" {
			t.Errorf("DB_HOST is %q", host)
		}
		if n := strings.Count(b.commands(), "pre-start"); n != 2 {
			t.Errorf("PRE_START ran %d times, expected again before the start", n)
		}
	})
}

func TestStopKillsHooksOfTheStart(t *testing.T) {
	for _, hook := range []string{"PRE_START", "POST_START"} {
		t.Run(hook, func(t *testing.T) {
			inWorld(t, -1, func(w *world) {
				b := w.newBox("b")
				b.kernel.Script("hook", func(*processtest.Process) {})
				b.run(env{"CLEAT_SERVER": "", "CLEAT_HOOK_" + hook: "hook"})
				time.Sleep(time.Second)
				began := time.Now()
				b.signals <- syscall.SIGTERM
				if code := b.wait(); code != 143 || b.ended.Sub(began) > 10*time.Millisecond {
					t.Errorf("exit code %d after %v, expected 143 at once", code, b.ended.Sub(began))
				}
				if b.last("hook").Running() {
					t.Error("it runs on")
				}
			})
		})
	}
}

func TestPostStartFailsAndEndsWithTheChild(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("post-start", func(p *processtest.Process) { p.EndAfter(time.Second, process.Exit{Code: 4}) })
		b.run(env{"CLEAT_SERVER": "", "CLEAT_HOOK_POST_START": "post-start", "CLEAT_RESTART": "always"})
		child := b.child()
		time.Sleep(10 * time.Second)
		if !child.Running() || b.starts() != 1 {
			t.Error("its failure has touched the child")
		}
		if s := b.status(); !s.Healthy || s.Hooks[0].Error != "exit status 4" || !strings.Contains(w.log.String(), "a hook failed") {
			t.Errorf("the status is %+v", s)
		}
		b.kernel.Script("post-start", func(*processtest.Process) {})
		child.Exit(1)
		w.eventually(5*time.Second, "the next start", func() bool { return b.starts() == 2 })
		hook := b.last("post-start")
		time.Sleep(time.Second)
		b.child().Exit(1)
		w.eventually(10*time.Millisecond, "it ends with its child", func() bool { return !hook.Running() })
	})
}

// PRE_STOP never takes what the child needs, and POST_STOP has its time kept.
func TestStopWithHooksThatHang(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("pre-stop", func(*processtest.Process) {})
		b.kernel.Script("post-stop", func(*processtest.Process) {})
		b.kernel.Script("app", func(p *processtest.Process) { p.Ignore(syscall.SIGTERM) })
		b.run(env{"CLEAT_SERVER": "", "CLEAT_HOOK_PRE_STOP": "pre-stop", "CLEAT_HOOK_POST_STOP": "post-stop", "CLEAT_HOOK_PRE_STOP_TIMEOUT": "9s"})
		child := b.child()
		began := time.Now()
		b.signals <- syscall.SIGTERM
		// 9 s, of which POST_STOP has 2: the child is killed after 7, and told to end after 3.5 at the latest.
		w.eventually(3501*time.Millisecond, "the child is told", func() bool { return len(child.Received()) > 0 })
		if took := time.Since(began); took < 3500*time.Millisecond {
			t.Errorf("PRE_STOP had %v", took)
		}
		<-child.Done()
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("the child was killed after %v, expected 7s", took)
		}
		w.eventually(time.Millisecond, "the exit is recorded before POST_STOP has ended", func() bool {
			var n int
			b.locked(func() { n = len(b.records) })
			return n == 1
		})
		if code := b.wait(); code != 137 || b.ended.Sub(began) != 9*time.Second {
			t.Errorf("exit code %d after %v, expected 137 after 9s", code, b.ended.Sub(began))
		}
	})
}

// The result of POST_STOP changes nothing; a child that has ended by itself has
// no PRE_STOP.
func TestPostStopFails(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("post-stop", func(p *processtest.Process) { p.EndAfter(time.Second, process.Exit{Code: 9}) })
		b.listen(80)
		b.run(env{"SERVICE_80_NAME": "web", "CLEAT_HOOK_PRE_STOP": "pre-stop", "CLEAT_HOOK_POST_STOP": "post-stop", "CLEAT_MAP_EXIT": "5:6"})
		time.Sleep(time.Second)
		child := b.child()
		if !w.offers("b") {
			t.Fatal("it is not offered while it runs")
		}
		child.Exit(5)
		w.eventually(200*time.Millisecond, "nobody is offered what has ended, while POST_STOP runs", func() bool { return !w.offers("b") })
		if code := b.wait(); code != 6 { // which the hook is not told
			t.Errorf("the exit code is %d, expected 6", code)
		}
		if b.commands() != "app post-stop" || getenv(b.last("post-stop"), "CLEAT_WHY") != "exit" || getenv(b.last("post-stop"), "CLEAT_CHILD_EXIT") != "5" {
			t.Errorf("started: %s", b.commands())
		}
		if !strings.Contains(w.log.String(), "a hook failed") {
			t.Error("the failure is not logged")
		}
	})
}

// Nothing is started while POST_STOP runs, and a stop lets it end.
func TestPostStopBeforeTheNextStart(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("post-stop", slow(1500*time.Millisecond))
		b.run(env{"CLEAT_SERVER": "", "CLEAT_HOOK_POST_STOP": "post-stop", "CLEAT_RESTART": "always"})
		b.child().Exit(1)
		began := time.Now()
		time.Sleep(time.Millisecond)
		w.eventually(5*time.Second, "the next start", func() bool { return b.starts() == 2 })
		if took := time.Since(began); took < 1500*time.Millisecond {
			t.Errorf("it was started %v after the end, while POST_STOP ran", took)
		}
		b.child().Exit(1)
		time.Sleep(time.Second)
		began = time.Now()
		b.signals <- syscall.SIGTERM
		if code := b.wait(); code != 143 || b.ended.Sub(began) != 500*time.Millisecond {
			t.Errorf("exit code %d after %v, expected 143 when POST_STOP has ended", code, b.ended.Sub(began))
		}
		if p := b.last("post-stop"); len(p.Received()) > 0 {
			t.Errorf("POST_STOP was sent %v", p.Received())
		}
	})
}

// Each further stop signal ends what the stop waits for.
func TestHurryEndsHooks(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		for _, hook := range []string{"pre-stop", "post-stop"} {
			b.kernel.Script(hook, func(*processtest.Process) {})
		}
		b.kernel.Script("app", func(p *processtest.Process) { p.Ignore(syscall.SIGTERM) })
		b.run(env{"CLEAT_SERVER": "", "CLEAT_HOOK_PRE_STOP": "pre-stop", "CLEAT_HOOK_POST_STOP": "post-stop", "CLEAT_STOP_TIMEOUT": "60s", "CLEAT_HOOK_POST_STOP_TIMEOUT": "20s"})
		child := b.child()
		b.signals <- syscall.SIGTERM
		time.Sleep(time.Second)
		if len(child.Received()) > 0 {
			t.Fatal("the child is told while PRE_STOP runs")
		}
		b.signals <- syscall.SIGTERM
		w.eventually(10*time.Millisecond, "the child is told", func() bool { return len(child.Received()) == 1 })
		w.eventually(10*time.Millisecond, "PRE_STOP is killed", func() bool { return !b.last("pre-stop").Running() })
		child.Exit(0)
		time.Sleep(time.Second)
		if !b.last("post-stop").Running() {
			t.Fatal("POST_STOP does not run")
		}
		b.signals <- syscall.SIGINT
		began := time.Now()
		if b.wait(); b.ended.Sub(began) > 10*time.Millisecond {
			t.Errorf("it ended %v after the last signal", b.ended.Sub(began))
		}
	})
}

// A stop while PRE_STOP of a restart runs goes on with it, and ends there.
func TestStopDuringPreStopOfARestart(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("b")
		b.kernel.Script("app", untilSignal)
		b.kernel.Script("pre-stop", slow(2*time.Second))
		b.run(allHooks.with(env{"CLEAT_REQUIRE_WEB": "web"}), "app", "{{web.addr}}")
		b.child()
		time.Sleep(20 * time.Second)
		p.provide("192.0.2.2")
		w.eventually(5*time.Second, "PRE_STOP", func() bool { return strings.HasSuffix(b.commands(), "pre-stop") })
		b.signals <- syscall.SIGTERM
		if code := b.wait(); code != 0 {
			t.Errorf("the exit code is %d", code)
		}
		if got, want := b.commands(), "pre-start app post-start pre-stop post-stop"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if getenv(b.last("post-stop"), "CLEAT_WHY") != "stop" {
			t.Error("POST_STOP is not told that it is the stop")
		}
	})
}

// The first stop signal after a child has ended by itself hurries nobody.
func TestStopSignalWhileEnding(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("post-stop", slow(1500*time.Millisecond))
		b.run(env{"CLEAT_SERVER": "", "CLEAT_HOOK_POST_STOP": "post-stop"})
		b.child().Exit(3)
		time.Sleep(500 * time.Millisecond)
		began := time.Now()
		b.signals <- syscall.SIGTERM // the first: POST_STOP goes on
		if code := b.wait(); code != 3 || b.ended.Sub(began) != time.Second {
			t.Errorf("exit code %d after %v, expected 3 after 1s", code, b.ended.Sub(began))
		}
	})
}
