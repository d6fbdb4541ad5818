package launcher

import (
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/control"
	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
	"cleat/registry"
)

// ask asks the container's launcher and waits for the answer up to a minute.
func (b *box) ask(do control.Do, more ...string) control.Answer {
	b.w.t.Helper()
	return b.answer(b.begin(do, more...))
}

// begin asks without waiting for the answer. For set, more are the changes; one
// of them may be "port=...".
func (b *box) begin(do control.Do, more ...string) control.Request {
	b.w.t.Helper()
	r := control.NewRequest(do, nil)
	for _, text := range more {
		var err error
		if port, found := strings.CutPrefix(text, "port="); found {
			r.Port, err = control.ParsePort(port)
		} else {
			var c control.Change
			c, err = control.ParseChange(text)
			r.Changes = append(r.Changes, c)
		}
		if err != nil {
			b.w.t.Fatal(err)
		}
	}
	select {
	case b.asks <- r:
	case <-time.After(time.Second):
		b.w.t.Fatalf("%s: the loop takes no request", b.name)
	}
	return r
}

func (b *box) answer(r control.Request) control.Answer {
	b.w.t.Helper()
	select {
	case a := <-r.Answers():
		return a
	case <-time.After(time.Minute):
		b.w.t.Fatalf("%s: no answer to %s", b.name, r.Do)
		return control.Answer{}
	}
}

// done asks for something that is to be done, and returns what was.
func (b *box) do(do control.Do, more ...string) string {
	b.w.t.Helper()
	a := b.ask(do, more...)
	if a.Refused != nil {
		b.w.t.Fatalf("%s: %s was refused: %v", b.name, do, a.Refused)
	}
	return a.Done
}

// refused asks for something that is to be refused, and returns why.
func (b *box) refused(do control.Do, more ...string) string {
	b.w.t.Helper()
	a := b.ask(do, more...)
	if a.Refused == nil {
		b.w.t.Fatalf("%s: %s was not refused: %q", b.name, do, a.Done)
	}
	return a.Refused.Error()
}

func (b *box) status() control.Status {
	b.w.t.Helper()
	a := b.ask(control.DoStatus)
	if a.Status == nil {
		b.w.t.Fatalf("%s: there is no status: %+v", b.name, a)
	}
	return *a.Status
}

// proxied is a consumer of the service web with a file and a signal.
func proxied(w *world, requirement string) *box {
	b := w.newBox("front")
	b.file("in", "{{each web sep=' '}}{{addr}}{{end}}")
	b.run(env{"CLEAT_REQUIRE_WEB": requirement, "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:HUP"}, "front")
	return b
}

func backend(w *world, name string, more env) *box {
	b := w.newBox(name)
	e := env{"SERVICE_80_NAME": "web", "SERVICE_80_TAGS": "blue"}
	maps.Copy(e, more)
	b.listen(80)
	b.run(e, "web")
	return b
}

func TestStatusInEveryPhase(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := proxied(w, "web?min=1")
		time.Sleep(time.Second)
		s := b.status()
		if s.State != "waiting" || s.Healthy || !strings.Contains(s.Why, "waits for web") || s.Child.PID != 0 || s.Child.Command != "front" {
			t.Errorf("while it waits: %+v", s)
		}
		if r := s.Requires[0]; r.Standing != control.Unmet || r.Why == "" || r.Min != 1 || len(r.Endpoints) != 0 {
			t.Errorf("an unmet requirement: %+v", r)
		}
		if s.Server == nil || !s.Server.Connected || s.Server.URL != "http://cleatd:9640" {
			t.Errorf("the server: %+v", s.Server)
		}
		provider := backend(w, "web-1", nil)
		child := b.child()
		time.Sleep(10 * time.Second)
		s = b.status()
		if !s.Healthy || s.Child.PID != child.Pid() || s.Now.Sub(s.Child.Started) < 9*time.Second || s.Child.Restarts != 0 {
			t.Errorf("while it runs: %+v", s)
		}
		if r := s.Requires[0]; r.Standing != control.Met || r.Used != 1 || !r.Endpoints[0].Chosen || !r.Endpoints[0].Listed || r.Revision == 0 {
			t.Errorf("a requirement that is met: %+v", r)
		}
		if len(s.Templates) != 1 || s.Templates[0].SHA256 != hexSum([]byte(b.read("out"))) || s.Templates[0].Action != "SIGHUP" || s.Templates[0].Wrote.IsZero() {
			t.Errorf("the templates: %+v", s.Templates)
		}
		p := provider.status()
		if len(p.Provides) != 1 || p.Provides[0].Status != registry.Passing || p.Provides[0].ListensOn != "80" || !p.Provides[0].Declared {
			t.Errorf("what is provided: %+v", p.Provides)
		}
		provider.crash()
		time.Sleep(time.Minute)
		s = b.status()
		if r := s.Requires[0]; r.Standing != control.Held || r.Why == "" || r.Listed != 0 || r.Used != 1 || r.Endpoints[0].Listed {
			t.Errorf("a requirement that is held: %+v", r)
		}
		w.killServer()
		time.Sleep(time.Minute)
		s = b.status()
		if s.Server.Connected || s.Server.Error == "" || !s.Healthy {
			t.Errorf("without a server: %+v, healthy %v", s.Server, s.Healthy)
		}
	})
}

func TestHealth(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := backend(w, "web-1", nil)
		b.child()
		w.eventually(time.Second, "it is healthy", func() bool { return b.status().Healthy })
		b.do(control.DoDrain)
		if s := b.status(); !s.Healthy || s.Provides[0].Status != registry.Draining {
			t.Errorf("while it drains: %v, %s: %+v", s.Healthy, s.Why, s.Provides)
		}
		b.listen()
		w.eventually(5*time.Second, "it is not healthy without a listener", func() bool {
			s := b.status()
			return !s.Healthy && s.Why == "web (port 80) is critical: nothing listens on port 80"
		})
		b.listen(80)
		w.eventually(5*time.Second, "it is healthy again", func() bool { return b.status().Healthy })
	})
	inWorld(t, -1, func(w *world) {
		b := w.launch("plain", env{"CLEAT_SERVER": "", "SERVICE_80_NAME": "web"})
		b.child()
		if s := b.status(); !s.Healthy || s.Server != nil {
			t.Errorf("a plain PID 1: %v, %s", s.Healthy, s.Why)
		}
		for _, do := range []control.Do{control.DoDrain, control.DoUndrain, control.DoSet} {
			if why := b.refused(do, "tag+=x"); !strings.Contains(why, "no discovery server") {
				t.Errorf("%s: %s", do, why)
			}
		}
	})
}

func TestDrainAsked(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		one, two := backend(w, "web-1", nil), backend(w, "web-2", nil)
		b := proxied(w, "web")
		child := b.child()
		w.eventually(5*time.Second, "both are used", func() bool { return len(strings.Fields(b.read("out"))) == 2 })
		time.Sleep(10 * time.Second)
		signals := len(child.Received())
		answer := one.do(control.DoDrain)
		// The answer came after the consumer had applied it.
		if b.read("out") != "10.0.0.2:80" || len(child.Received()) != signals+1 {
			t.Errorf("answered %q, and the consumer has %q", answer, b.read("out"))
		}
		if !strings.Contains(answer, "1 acknowledged") {
			t.Errorf("the answer is %q", answer)
		}
		// It stays drained over a restart of its child, and a lost connection.
		one.do(control.DoRestart)
		w.eventually(10*time.Second, "the child is started again", func() bool { return one.starts() == 2 })
		w.cutAll()
		w.never(20*time.Second, "it is used", func() bool { return strings.Contains(b.read("out"), "10.0.0.1:80") })
		one.do(control.DoUndrain)
		w.eventually(5*time.Second, "it is used again", func() bool { return len(strings.Fields(b.read("out"))) == 2 })
		if !two.status().Healthy || one.status().Child.Restarts != 1 {
			t.Error("something happened to the providers")
		}
	})
}

func TestDrainAskedWithoutServer(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := backend(w, "web-1", nil)
		b.child()
		time.Sleep(5 * time.Second)
		w.killServer()
		time.Sleep(5 * time.Second)
		if answer := b.do(control.DoDrain); !strings.Contains(answer, "the next one is told so") {
			t.Errorf("the answer is %q", answer)
		}
		w.serve(0)
		c := proxied(w, "web?optional=true")
		w.never(20*time.Second, "it is used", func() bool { return c.read("out") != "" })
	})
}

// A consumer that is gone in the middle, and the loss of the server, do not
// leave anybody waiting.
func TestDrainAskedWhileTheServerDies(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		one := backend(w, "web-1", env{"CLEAT_DRAIN": "8s"})
		backend(w, "web-2", nil)
		b := w.newBox("front")
		b.kernel.Script("slow", func(*processtest.Process) {}) // never ends
		b.file("in", "{{each web sep=' '}}{{addr}}{{end}}")
		b.run(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:slow"}, "front")
		b.child()
		time.Sleep(70 * time.Second)
		r := one.begin(control.DoDrain)
		time.Sleep(time.Second)
		w.killServer()
		if a := one.answer(r); a.Refused != nil || !strings.Contains(a.Done, "lost") {
			t.Errorf("got %+v", a)
		}
	})
}

func TestReloadAsked(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		backend(w, "web-1", nil)
		b := proxied(w, "web")
		child := b.child()
		time.Sleep(10 * time.Second)
		signals := len(child.Received())
		if got := b.do(control.DoReload); got != "rendered 1, and nothing differs" {
			t.Errorf("got %q", got)
		}
		if len(child.Received()) != signals {
			t.Error("the child was signalled for nothing")
		}
		b.file("in", "new")
		if got, want := b.do(control.DoReload), "rendered 1, and wrote "+b.dir+"/out (SIGHUP)"; got != want {
			t.Errorf("got %q, expected %q", got, want)
		}
		w.eventually(time.Second, "the child is signalled", func() bool { return len(child.Received()) == signals+1 })
		actions := b.status().Actions
		if last := actions[len(actions)-1]; last.What != "SIGHUP" || last.Error != "" {
			t.Errorf("the last action is %+v", last)
		}
		b.file("in", "{{if}")
		if got := b.refused(control.DoReload); !strings.Contains(got, "last good version") || !strings.Contains(got, "in:1:") {
			t.Errorf("got %q", got)
		}
		if s := b.status(); s.Templates[0].Error == "" || s.Templates[0].SHA256 != hexSum([]byte("new")) {
			t.Errorf("the template is %+v", s.Templates[0])
		}
		b.file("in", "{{file '/nonexistent'}}")
		if got := b.refused(control.DoReload); !strings.Contains(got, "nothing was changed") || b.read("out") != "new" {
			t.Errorf("got %q, and the file %q", got, b.read("out"))
		}
		if s := b.status(); s.Render.Failed == "" {
			t.Errorf("the render is %+v", s.Render)
		}
	})
}

func TestReloadAskedBeforeTheStart(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := proxied(w, "web")
		time.Sleep(time.Second)
		if got := b.do(control.DoReload); !strings.Contains(got, "before the child starts") || !strings.Contains(got, "web") {
			t.Errorf("got %q", got)
		}
		b.file("in", "{{nonsense}}")
		backend(w, "web-1", nil)
		time.Sleep(10 * time.Second)
		if got := b.refused(control.DoReload); !strings.Contains(got, "nothing was changed") || b.starts() != 0 {
			t.Errorf("got %q, starts %d", got, b.starts())
		}
		b.file("in", "good")
		if got := b.do(control.DoReload); !strings.Contains(got, "wrote") {
			t.Errorf("got %q", got)
		}
		b.child()
	})
}

// A restart by request drains in place as one by change does, and does not wait
// for the distance.
func TestRestartAsked(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		one := backend(w, "web-1", nil)
		backend(w, "web-2", nil)
		b := proxied(w, "web")
		b.child()
		w.eventually(5*time.Second, "both are used", func() bool { return len(strings.Fields(b.read("out"))) == 2 })
		for n := range 3 {
			asked, before := time.Now(), one.child()
			one.do(control.DoRestart)
			var hidden time.Time
			w.eventually(3*time.Second, "it is hidden", func() bool { hidden = time.Now(); return b.read("out") == "10.0.0.2:80" })
			w.eventually(3*time.Second, "the child is told to end", func() bool { return !before.Running() })
			if !slices.Contains(before.Received(), syscall.SIGTERM) {
				t.Errorf("the child received %v", before.Received())
			}
			w.eventually(3*time.Second, "both are used again", func() bool { return len(strings.Fields(b.read("out"))) == 2 })
			if hidden.Sub(asked) > 2*time.Second {
				t.Errorf("restart %d began after %v", n, hidden.Sub(asked))
			}
		}
		s := one.status()
		if s.Child.Restarts != 3 || s.Child.LastExit == "" || one.starts() != 4 {
			t.Errorf("the child: %+v, starts %d", s.Child, one.starts())
		}
		if last := s.Actions[len(s.Actions)-1]; last.What != "restart" || last.Why != restartReason {
			t.Errorf("the last action is %+v", last)
		}
	})
}

// A reload that was asked for while the child was being stopped for a lost
// requirement is answered, though nothing is rendered until that is met.
func TestReloadAskedBeforeAWait(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		backend := web(w, "web-1", nil)
		b := w.newBox("b")
		b.kernel.Script("app", func(p *processtest.Process) { p.Ignore(syscall.SIGTERM) })
		b.run(env{"CLEAT_REQUIRE_WEB": "web?on-loss=stop"})
		b.child()
		backend.signals <- syscall.SIGTERM
		w.eventually(10*time.Second, "the child is told to end", func() bool { return b.status().State == "halting" })
		if got := b.do(control.DoReload); !strings.Contains(got, "before the child starts; the child waits for web") {
			t.Errorf("the answer is %q", got)
		}
	})
}

func TestRestartAskedElsewhen(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		waiting := proxied(w, "web")
		time.Sleep(time.Second)
		if got := waiting.refused(control.DoRestart); !strings.Contains(got, "waits for web") {
			t.Errorf("while it waits: %q", got)
		}
		b := w.newBox("b")
		b.kernel.Script("app", func(p *processtest.Process) { p.EndAfter(time.Second, process.Exit{Code: 1}) })
		b.run(env{"CLEAT_RESTART": "always"})
		w.eventually(5*time.Minute, "a long backoff", func() bool { return b.status().Child.Restarts >= 6 && b.status().State == "backoff" })
		if s := b.status(); s.Healthy || !strings.Contains(s.Why, "exit status 1") {
			t.Errorf("between starts: %v, %s", s.Healthy, s.Why)
		}
		starts := b.starts()
		b.do(control.DoRestart)
		w.eventually(100*time.Millisecond, "it is started at once", func() bool { return b.starts() == starts+1 })
		stubborn := w.newBox("stubborn")
		stubborn.kernel.Script("app", func(p *processtest.Process) { p.Ignore(syscall.SIGTERM) })
		stubborn.run(nil)
		stubborn.child()
		stubborn.do(control.DoRestart)
		w.eventually(time.Second, "the child is told to end", func() bool { return stubborn.status().State == "halting" })
		if got := stubborn.do(control.DoRestart); !strings.Contains(got, "already") {
			t.Errorf("twice: %q", got)
		}
		stubborn.signals <- syscall.SIGTERM
		time.Sleep(time.Second)
		for _, do := range []control.Do{control.DoRestart, control.DoDrain, control.DoUndrain, control.DoReload, control.DoSet} {
			if got := stubborn.refused(do, "tag+=x"); !strings.Contains(got, "being stopped") {
				t.Errorf("%s while it stops: %q", do, got)
			}
		}
		if s := stubborn.status(); s.State != "stopping" {
			t.Errorf("the state is %s", s.State)
		}
		stubborn.wait()
	})
}

func TestSetAsked(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("db-1")
		b.listen(3306, 9104)
		b.run(env{"SERVICE_3306_NAME": "mysql", "SERVICE_9104_NAME": "metrics", "SERVICE_3306_TAGS": "replica"}, "mysqld")
		c := w.newBox("app")
		c.file("in", "{{each db sep=' '}}{{addr}} {{attr.role | default 'none'}} {{tags}}{{end}}")
		c.run(env{"CLEAT_REQUIRE_DB": "mysql?tag=primary", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:HUP"}, "app")
		b.child()
		w.never(10*time.Second, "a replica is taken for the primary", func() bool { return c.starts() > 0 })
		if got, want := b.do(control.DoSet, "port=3306", "tag+=primary", "tag-=replica", "attr.role=master"), "primary, role=master"; !strings.Contains(got, want) {
			t.Errorf("got %q, expected something with %q", got, want)
		}
		c.child()
		w.eventually(5*time.Second, "the file has it", func() bool { return c.read("out") == "10.0.0.1:3306 master primary" })
		s := b.status()
		if at := slices.IndexFunc(s.Provides, func(i control.Instance) bool { return i.Service == "metrics" }); len(s.Provides[at].Tags) != 0 {
			t.Errorf("the other port has %v", s.Provides[at].Tags)
		}
		if want := []string{"tag+=primary -port 3306", "tag-=replica -port 3306", "attr.role=master -port 3306"}; !slices.Equal(s.Changed, want) {
			t.Errorf("the changes are %q, expected %q", s.Changed, want)
		}
		// It is kept over a restart of the child.
		b.do(control.DoRestart)
		w.eventually(20*time.Second, "it is started again", func() bool { return b.starts() == 2 && b.status().Healthy })
		time.Sleep(5 * time.Second)
		if got := c.read("out"); got != "10.0.0.1:3306 master primary" {
			t.Errorf("after a restart the file has %q", got)
		}
		b.do(control.DoSet, "attr.role=", "port=3306")
		w.eventually(5*time.Second, "the attribute is gone", func() bool { return c.read("out") == "10.0.0.1:3306 none primary" })
		for _, wrong := range []struct {
			more []string
			want string
		}{
			{[]string{"attr.api_token=x"}, "smells of a secret"},
			{[]string{"tag+=http://a:hunter2@b/"}, "secret"},
			{[]string{"port=80", "tag+=x"}, "these are: 3306, 9104"},
			{[]string{"port=3306/udp", "tag+=x"}, "not registered"},
			{[]string{"tag+=" + strings.Repeat("x", 300)}, "tag"},
			{[]string{"tag+=good", "tag+=a\nb"}, "tag"},
		} {
			before := b.status().Provides
			got := b.refused(control.DoSet, wrong.more...)
			if !strings.Contains(got, wrong.want) || strings.Contains(got, "hunter2") {
				t.Errorf("%q: got %q, expected something with %q", wrong.more, got, wrong.want)
			}
			if after := b.status().Provides; !slices.EqualFunc(before, after, func(a, b control.Instance) bool { return a.Equal(b.Instance) }) {
				t.Errorf("%q has changed something", wrong.more)
			}
		}
		var many []string
		for i := range 70 {
			many = append(many, "tag+=t"+strings.Repeat("x", i))
		}
		if got := b.refused(control.DoSet, many...); !strings.Contains(got, "could not be registered") {
			t.Errorf("70 tags: %q", got)
		}
	})
}

// What would leave a node out of its own ring is refused.
func TestSetDoesNotLeaveOutOneself(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := backend(w, "web-1", env{"CLEAT_REQUIRE_RING": "self?tag=blue"})
		b.child()
		if got := b.refused(control.DoSet, "tag-=blue"); !strings.Contains(got, "leave out this container itself") {
			t.Errorf("got %q", got)
		}
		b.do(control.DoSet, "tag+=green")
	})
}

func TestChangesAreNotKeptTwice(t *testing.T) {
	var c changes
	of := new(offering)
	of.Port, of.Protocol, of.Tags = 80, registry.TCP, []string{"blue"}
	for range 3 {
		for _, text := range []string{"tag+=a", "tag-=a", "attr.x=1", "attr.x=2"} {
			change, err := control.ParseChange(text)
			if err != nil {
				t.Fatal(err)
			}
			c = c.with(published{Change: change})
		}
	}
	tags, attributes := c.apply(of)
	if len(c) != 2 || !slices.Equal(tags, []string{"blue"}) || attributes["x"] != "2" || of.Attributes != nil {
		t.Errorf("%d changes give %v %v", len(c), tags, attributes)
	}
}

func TestTheJournalIsBounded(t *testing.T) {
	j := newJournal()
	for range 3 * mostActions {
		j.acted("HUP", "", nil)
	}
	if len(j.actions) != mostActions {
		t.Errorf("%d actions are remembered", len(j.actions))
	}
}
