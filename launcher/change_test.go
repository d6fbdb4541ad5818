package launcher

import (
	"os"
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

// puppet is a session that declares what the test says, at once.
type puppet struct {
	client *client.Client
	d      registry.Declare
	conn   *cuttable
}

func (w *world) puppet(name string) *puppet {
	p := &puppet{conn: new(cuttable), d: registry.Declare{
		ID: name, Key: newKey(), Namespace: "default", Provides: []registry.Instance{}, Requires: []registry.Require{},
	}}
	p.client = client.New(client.Config{Servers: []string{"http://cleatd:9640"}, Dial: p.conn.dialer(w.dial)})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = p.client.Run(w.t.Context())
	}()
	go func() {
		for {
			select {
			case <-p.client.Events():
			case <-stop:
				return
			}
		}
	}()
	w.puppets = append(w.puppets, func() {
		p.client.Leave(time.Second)
		<-done
		close(stop)
	})
	return p
}

// provide declares instances of web at the addresses, all passing.
func (p *puppet) provide(addresses ...string) {
	p.d.Provides = []registry.Instance{}
	for _, a := range addresses {
		p.d.Provides = append(p.d.Provides, registry.Instance{ID: p.d.ID + ":" + a, Service: "web", Address: a, Port: 80, Status: registry.Passing})
	}
	p.client.Declare(p.d)
}

// A view that goes to nothing and comes back within the quiet period causes no
// write and no signal.
func TestFlapToNothingAndBack(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1", "192.0.2.2")
		for name, requirement := range map[string]string{"hold": "web", "empty": "web?on-loss=empty", "optional": "web?optional=true"} {
			b := front(w, "front-"+name, env{"CLEAT_REQUIRE_WEB": requirement, "CLEAT_QUIET": "300ms:2s"})
			child := b.child()
			time.Sleep(5 * time.Second)
			before, signals := b.endpoints(), len(child.Received())
			for range 20 {
				p.provide()
				time.Sleep(10 * time.Millisecond)
				p.provide("192.0.2.1", "192.0.2.2")
				time.Sleep(5 * time.Second)
			}
			if b.endpoints() != before || len(child.Received()) != signals {
				t.Errorf("%s: %q became %q, with %d signals", name, before, b.endpoints(), len(child.Received())-signals)
			}
		}
	})
}

// The template's source changes, and then a file that it reads: rendered anew;
// one that no longer parses is reported and does not hold up the others.
func TestSourcesAreFollowed(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("front")
		b.file("in", "{{each web}}{{addr}}{{end}}")
		b.file("secret", "one")
		b.file("in2", "password={{file '"+b.dir+"/secret'}}")
		b.run(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:HUP", "CLEAT_TEMPLATE_Y": "%DIR%/in2:%DIR%/out2:USR1"}, "front")
		child := b.child()
		change := func() {
			b.changed <- struct{}{}
			time.Sleep(2 * time.Second)
		}
		b.file("secret", "two")
		change()
		if got := b.read("out2"); got != "password=two" {
			t.Errorf("the file is %q", got)
		}
		if want := []syscall.Signal{syscall.SIGUSR1}; !slices.Equal(child.Received(), want) {
			t.Errorf("the signals are %v, expected %v", child.Received(), want)
		}
		change() // nothing differs
		b.file("in", "{{each nonsense}}")
		b.file("secret", "three")
		change()
		if b.read("out") != "192.0.2.1:80" || b.read("out2") != "password=three" {
			t.Errorf("the files are %q and %q", b.read("out"), b.read("out2"))
		}
		p.provide("192.0.2.2")
		time.Sleep(2 * time.Second)
		if b.read("out") != "192.0.2.2:80" {
			t.Errorf("the last good version is not in use: %q", b.read("out"))
		}
		if !b.logged("error: a template cannot be used") || !strings.Contains(w.log.String(), "in:1:8: ") {
			t.Error("the log does not tell where the mistake is")
		}
		if strings.Contains(w.log.String(), "three") {
			t.Error("the log holds the secret")
		}
		os.Remove(b.dir + "/in")
		change()
		if b.read("out") != "192.0.2.2:80" || b.starts() != 1 {
			t.Errorf("a source that went away changed something: %q", b.read("out"))
		}
	})
}

// An endpoint that restarts in place counts as there where only a restart could
// change something, for a minute; files follow at once.
func TestRestartingEndpointIsWaitedFor(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p, q := w.puppet("p"), w.puppet("q")
		p.provide("192.0.2.1")
		argument := w.launch("argument", env{"CLEAT_REQUIRE_WEB": "web"}, "app", "{{web.addr}}")
		host := w.launch("host", env{"CLEAT_REQUIRE_WEB": "web"}, "app")
		argument.child()
		host.child()
		q.provide("192.0.2.2")
		f := front(w, "front", nil)
		time.Sleep(20 * time.Second)
		again := func(status registry.Status) {
			p.d.Provides[0].Status = status
			p.client.Declare(p.d)
		}
		again(registry.Starting)
		w.eventually(time.Second, "the file follows", func() bool { return f.read("out") == "192.0.2.2:80" })
		time.Sleep(50 * time.Second)
		again(registry.Passing)
		time.Sleep(time.Minute)
		if argument.starts() != 1 || host.starts() != 1 {
			t.Errorf("there were %d and %d starts, expected none for a restart in place", argument.starts(), host.starts())
		}
		again(registry.Starting)
		w.never(59*time.Second, "a restart within the minute", func() bool { return argument.starts()+host.starts() > 2 })
		w.eventually(5*time.Second, "both follow after it", func() bool { return argument.starts() == 2 && host.starts() == 2 })
		if got := argument.child().Spec.Args[1]; got != "192.0.2.2:80" {
			t.Errorf("the argument is %q", got)
		}
	})
}

// Restarts by change keep their distance, which doubles while changes keep coming.
func TestRestartsKeepTheirDistance(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.launch("b", env{"CLEAT_REQUIRE_WEB": "web"}, "app", "{{each web}}{{addr}}{{end}}")
		b.child()
		time.Sleep(time.Minute)
		var at []time.Time
		starts := b.starts()
		for i := range 600 {
			if i%2 == 0 {
				p.provide("192.0.2.2")
			} else {
				p.provide("192.0.2.1")
			}
			time.Sleep(time.Second)
			if n := b.starts(); n > starts {
				starts = n
				at = append(at, time.Now())
			}
		}
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < 9*time.Second {
				t.Errorf("two restarts were %v apart", gap)
			}
		}
		if len(at) < 4 || len(at) > 8 {
			t.Errorf("%d restarts in ten minutes of changes: %v", len(at), at)
		}
	})
}

// A stop that comes in the middle of a restart is the stop.
func TestRestartBecomesTheStop(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.newBox("b")
		b.kernel.Script("app", func(p *processtest.Process) {
			p.React(func(s syscall.Signal) {
				if s == syscall.SIGTERM {
					p.EndAfter(3*time.Second, process.Exit{Code: 5})
				}
			})
		})
		b.run(env{"CLEAT_REQUIRE_WEB": "web"}, "app", "{{web.addr}}")
		child := b.child()
		p.provide("192.0.2.2")
		w.eventually(time.Second, "the restart begins", func() bool { return len(child.Received()) > 0 })
		b.signals <- syscall.SIGTERM
		if code := b.wait(); code != 5 || b.starts() != 1 {
			t.Errorf("the exit code is %d after %d starts", code, b.starts())
		}
		if n := len(child.Received()); n != 1 {
			t.Errorf("the child was told %d times", n)
		}
	})
}

// A provider whose connection breaks in the middle of its drain drains again in
// the time left.
func TestDrainSurvivesTheConnection(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		old := web(w, "web-1", nil)
		web(w, "web-2", nil)
		f := front(w, "front", nil)
		f.child()
		time.Sleep(10 * time.Second)
		child := old.child()
		at := time.Now()
		old.signals <- syscall.SIGTERM
		time.Sleep(50 * time.Millisecond)
		w.cutAll()
		w.eventually(10*time.Second, "the backend is told to stop", func() bool { return len(child.Received()) > 0 })
		if f.endpoints() != "10.0.0.2:80" {
			t.Errorf("the backend was told to stop while the file held %q", f.endpoints())
		}
		if took := time.Since(at); took > 4*time.Second+limitOver {
			t.Errorf("the drain took %v", took)
		}
	})
}

// The whole of a small system is stopped at once, in every order that may come.
func TestEverythingStopsAtOnce(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		db := provider(w, "db-1")
		var all []*box
		for _, name := range []string{"web-1", "web-2"} {
			all = append(all, web(w, name, env{"CLEAT_REQUIRE_DB": "mysql"}))
		}
		f := front(w, "front", nil)
		f.child()
		all = append(all, f, db)
		time.Sleep(10 * time.Second)
		at := time.Now()
		for _, b := range all {
			b.signals <- syscall.SIGTERM
		}
		for _, b := range all {
			b.wait()
			if took := b.ended.Sub(at); took > time.Second+limitOver {
				t.Errorf("%s took %v to stop", b.name, took)
			}
		}
	})
}

// The chosen endpoint is kept while others come and go.
func TestChosenEndpointIsKept(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.launch("b", env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_ENV_URL": "http://{{web.addr}}"})
		b.child()
		time.Sleep(time.Minute)
		all := []string{"192.0.2.1"}
		for _, more := range []string{"192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"} {
			all = append(all, more)
			p.provide(all...)
			time.Sleep(30 * time.Second)
		}
		if b.starts() != 1 {
			t.Errorf("others coming restarted the child %d times", b.starts()-1)
		}
		p.provide(all[1:]...)
		w.eventually(5*time.Second, "its own going restarts it", func() bool { return b.starts() == 2 })
	})
}

// A drain waits for the consumer's command, and then for the child to apply
// what that has told it: "nginx -s reload" ends long before the reload does.
func TestDrainWaitsForTheCommand(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		old := web(w, "web-1", nil)
		web(w, "web-2", nil)
		b := w.newBox("front")
		b.file("in", "{{each web sep=' '}}{{addr}}{{end}}")
		b.kernel.Script("reload", func(p *processtest.Process) { p.EndAfter(2*time.Second, exitZero) })
		b.run(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:reload now"}, "front")
		b.child()
		time.Sleep(10 * time.Second)
		child := old.child()
		at := time.Now()
		old.signals <- syscall.SIGTERM
		w.eventually(10*time.Second, "the backend is told to stop", func() bool { return len(child.Received()) > 0 })
		if took := time.Since(at); took < 2600*time.Millisecond || took > 2800*time.Millisecond {
			t.Errorf("the drain took %v, expected the command's 2s, the quiet period's 100ms and 500ms to settle", took)
		}
	})
}
