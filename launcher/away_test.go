package launcher

import (
	"testing"
	"time"

	"cleat/registry"
	"cleat/registry/client"
)

func TestWithoutRequirementsNothingIsWaitedFor(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		began := time.Now()
		b := w.newBox("web-1")
		b.listen(80)
		b.run(env{"SERVICE_80_NAME": "web"}, "web")
		b.child()
		if took := time.Since(began); took > 15*time.Millisecond {
			t.Errorf("it took %v to start without a server", took)
		}
		time.Sleep(time.Hour)
		w.serve(0)
		f := front(w, "front", nil)
		if got := getenv(f.child(), "WEB_HOST"); got != "10.0.0.1" {
			t.Errorf("WEB_HOST is %q", got)
		}
	})
}

func TestFallbackWhenNoServerAnswers(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		began := time.Now()
		b := w.launch("app", env{"CLEAT_REQUIRE_DB": "mysql?fallback=192.0.2.1:3306"})
		if got := getenv(b.child(), "DB_ADDR"); got != "192.0.2.1:3306" {
			t.Errorf("DB_ADDR is %q", got)
		}
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("the fallback was used after %v, expected 5s", took)
		}
	})
}

func TestOptionalWaitsOneSecond(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		began := time.Now()
		b := w.launch("app", env{"CLEAT_REQUIRE_DB": "mysql?optional=true"})
		if got := getenv(b.child(), "DB_ADDR"); got != "" {
			t.Errorf("DB_ADDR is %q", got)
		}
		if took := time.Since(began); took < time.Second || took > 1100*time.Millisecond {
			t.Errorf("it started after %v, expected 1s", took)
		}
	})
}

// The server is killed and restarted empty, twice: no file changes, no child is
// touched, and all instances are back within two beats.
func TestServerRestartsEmpty(t *testing.T) {
	inWorld(t, 14*time.Second, func(w *world) {
		time.Sleep(20 * time.Second)
		one, two := web(w, "web-1", nil), web(w, "web-2", nil)
		b := front(w, "front", nil)
		child := b.child()
		w.eventually(2*time.Second, "both are in the file", func() bool { return b.endpoints() == "10.0.0.1:80 10.0.0.2:80" })
		time.Sleep(10 * time.Second)
		signals := len(child.Received())
		untouched := func() bool {
			return b.endpoints() == "10.0.0.1:80 10.0.0.2:80" && len(child.Received()) == signals &&
				b.starts()+one.starts()+two.starts() == 3
		}
		for range 2 {
			w.killServer()
			w.never(time.Minute, "something is touched while the server is away", func() bool { return !untouched() })
			w.serve(14 * time.Second)
			w.never(time.Minute, "something is touched when the server is back", func() bool { return !untouched() })
		}
		// One that died while the server was away is gone once warming is over.
		w.killServer()
		two.crash()
		time.Sleep(time.Minute)
		w.serve(14 * time.Second)
		w.never(13*time.Second, "it goes while the server is warming", func() bool { return !untouched() })
		w.eventually(20*time.Second, "it is gone", func() bool { return b.read("out") == "10.0.0.1:80" })
	})
}

// All connections are cut at the same time: no file changes.
func TestAllConnectionsCut(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		for i := range 4 {
			web(w, "web-"+string(rune('a'+i)), nil)
		}
		b := front(w, "front", nil)
		child := b.child()
		time.Sleep(10 * time.Second)
		before, signals := b.read("out"), len(child.Received())
		for range 3 {
			w.cutAll()
			w.never(30*time.Second, "a file changes", func() bool { return b.read("out") != before || len(child.Received()) != signals })
		}
	})
}

// A crash of the child is no reason to be passing, and no reason to leave.
func TestCrashedChildIsNotPassing(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		web(w, "web-1", nil)
		crashing := web(w, "web-2", env{"CLEAT_RESTART": "always"})
		b := front(w, "front", nil)
		b.child()
		w.eventually(2*time.Second, "both are in the file", func() bool { return b.endpoints() == "10.0.0.1:80 10.0.0.2:80" })
		crashing.child().Exit(1)
		w.eventually(400*time.Millisecond, "the crashed one is out", func() bool { return b.read("out") == "10.0.0.1:80" })
		w.eventually(5*time.Second, "it is back", func() bool { return b.endpoints() == "10.0.0.1:80 10.0.0.2:80" })
	})
}

// Two that wait for each other can be found out: the server shows of each what
// it waits for.
func TestWaitingIsTold(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		for name, other := range map[string]string{"a": "b", "b": "a"} {
			b := w.newBox(name)
			b.listen(80)
			b.run(env{"SERVICE_80_NAME": name, "CLEAT_REQUIRE_OTHER": other}, name)
		}
		time.Sleep(time.Minute)
		api := client.NewAPI(client.Config{Servers: []string{"http://cleatd:9640"}, Dial: w.dial})
		for name, want := range map[string]string{"a": "waits for b", "b": "waits for a"} {
			detail, err := api.Service(w.t.Context(), registry.Filter{Service: name, Namespace: "default"})
			if err != nil || len(detail.Instances) != 1 || detail.Instances[0].Status != registry.Starting || detail.Instances[0].Reason != want {
				t.Errorf("%s: %+v, %v; expected one that %s", name, detail.Instances, err, want)
			}
		}
	})
}
