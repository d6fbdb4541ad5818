package launcher

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cleat/launcher/control"
)

// again starts the container anew, on the same host and with the same files.
func (b *box) again(environment env, command ...string) *box {
	b.w.t.Helper()
	next := b.w.newBox(b.name)
	next.dir = b.dir
	next.listen(80)
	next.run(environment, command...)
	return next
}

// keptFront is a consumer of web with a cache.
func keptFront(w *world, more env) (*box, env) {
	w.t.Helper()
	b := w.newBox("front")
	b.file("in", "{{each web}}{{addr}} {{end}}")
	environment := env{
		"CLEAT_CACHE": "%DIR%/cache", "CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:HUP",
	}
	maps.Copy(environment, more)
	b.run(environment, "front")
	return b, environment
}

// A container that restarts while no server answers starts after 5 s from what
// it knew, says so, and follows the server when that is there again.
func TestCacheStartsWithoutServer(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		web(w, "web-1", nil)
		two := web(w, "web-2", nil)
		b, environment := keptFront(w, nil)
		w.eventually(3*time.Second, "both are in the file", func() bool { return b.endpoints() == "10.0.0.1:80 10.0.0.2:80" })
		time.Sleep(3 * time.Second) // it is written
		w.killServer()
		b.crash()
		if err := os.Remove(filepath.Join(b.dir, "out")); err != nil {
			t.Fatal(err)
		}

		began := time.Now()
		c := b.again(environment, "front")
		c.child()
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("it started after %v, expected 5s", took)
		}
		if got := c.endpoints(); got != "10.0.0.1:80 10.0.0.2:80" {
			t.Errorf("the file has %q", got)
		}
		if !c.logged("warning: no discovery server has answered; using the last good views from the cache") {
			t.Error("it did not say so")
		}
		s := c.status()
		if r := s.Requires[0]; r.Standing != control.Cached || r.Cached.IsZero() || !strings.Contains(r.Why, "from the cache") {
			t.Errorf("the status says %+v", r)
		}
		signals := len(c.child().Received())

		// Away for ever: nothing changes.
		w.never(time.Hour, "something is touched", func() bool {
			return c.starts() != 1 || len(c.child().Received()) != signals || c.endpoints() != "10.0.0.1:80 10.0.0.2:80"
		})
		// It comes back, warming, and one of the two is gone: only its end says so.
		two.crash()
		w.serve(14 * time.Second)
		w.never(13*time.Second, "an endpoint goes while the server is warming", func() bool {
			return c.endpoints() != "10.0.0.1:80 10.0.0.2:80" || c.starts() != 1
		})
		w.eventually(20*time.Second, "the server's view rules", func() bool { return c.endpoints() == "10.0.0.1:80" })
		if r := c.status().Requires[0]; r.Standing != control.Met || !r.Cached.IsZero() {
			t.Errorf("the status says %+v", r)
		}
	})
}

// A server that answers in time is right, whatever the cache says, and one that
// knows of less than min is waited for.
func TestCacheGivesWayToServer(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		one := web(w, "web-1", nil)
		b, environment := keptFront(w, nil)
		b.child()
		time.Sleep(3 * time.Second)
		b.crash()
		one.crash()
		time.Sleep(5 * time.Second)
		c := b.again(environment, "front")
		w.never(time.Minute, "it starts from the cache", func() bool { return c.starts() > 0 })
		web(w, "web-3", nil)
		c.child()
		if got := c.endpoints(); got != "10.0.0.4:80" {
			t.Errorf("the file has %q", got)
		}
		// What the server said last counts: none is there.
		for _, other := range w.boxes {
			if other.name == "web-3" {
				other.crash()
			}
		}
		time.Sleep(5 * time.Second)
		c.crash()
		d := b.again(environment, "front")
		time.Sleep(5 * time.Second)
		w.killServer()
		d.crash()
		e := b.again(environment, "front")
		w.never(time.Minute, "it starts from what it was told to be gone", func() bool { return e.starts() > 0 })
	})
}

// With its key, a restarted launcher is the same one: its predecessor, which the
// network has cut off, is fenced at once, and its instances keep their since.
func TestCacheKeepsIdentity(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		environment := env{"SERVICE_80_NAME": "web", "CLEAT_CACHE": "%DIR%/cache"}
		b := w.newBox("web-1")
		b.listen(80)
		b.run(environment, "web")
		b.child()
		time.Sleep(3 * time.Second)
		info, err := os.Stat(filepath.Join(b.dir, "cache"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("the cache: %v, %v", info, err)
		}
		// The first one is still there.
		c := b.again(environment, "web")
		w.eventually(time.Second, "the first one is fenced", func() bool {
			return strings.Contains(w.log.String(), "a session took over from an earlier one of its launcher")
		})
		c.child()
		time.Sleep(3 * time.Second)
		f := front(w, "front", nil)
		f.child()
		if strings.Contains(w.log.String(), "conflict") {
			t.Error("there was a conflict")
		}
		if data, err := os.ReadFile(filepath.Join(b.dir, "cache")); err != nil || !strings.Contains(string(data), `"web-1:80":`) {
			t.Errorf("the since is not in the cache: %s, %v", data, err)
		}
	})
}

// The cache is better knowledge than a fallback, and an optional requirement has
// it after its second.
func TestCacheBeforeFallback(t *testing.T) {
	for requirement, wait := range map[string]time.Duration{
		"web?fallback=192.0.2.1:80": 5 * time.Second, "web?optional=true": time.Second, "web?wait=3s": 3 * time.Second,
	} {
		inWorld(t, 0, func(w *world) {
			web(w, "web-1", nil)
			b, environment := keptFront(w, env{"CLEAT_REQUIRE_WEB": requirement})
			w.eventually(5*time.Second, "it is in the file", func() bool { return b.endpoints() == "10.0.0.1:80" })
			time.Sleep(3 * time.Second)
			w.killServer()
			b.crash()
			os.Remove(filepath.Join(b.dir, "out"))
			began := time.Now()
			c := b.again(environment, "front")
			c.child()
			if took := time.Since(began); took < wait || took > wait+500*time.Millisecond {
				t.Errorf("%s: it started after %v, expected %v", requirement, took, wait)
			}
			if got := c.endpoints(); got != "10.0.0.1:80" {
				t.Errorf("%s: the file has %q", requirement, got)
			}
		})
	}
}

// No cache is ever a reason not to start, and what is not of this launcher is
// not used.
func TestCacheThatCannotBeUsed(t *testing.T) {
	for name, spoil := range map[string]struct {
		do   func(t *testing.T, path string, environment env)
		says string
		own  bool // the file is written anew
	}{
		"damaged": {func(t *testing.T, path string, _ env) {
			data, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, data[:len(data)/2], 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, "damaged", true},
		"foreign": {func(t *testing.T, path string, _ env) {
			if err := os.WriteFile(path, []byte("[client]\npassword=x\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "no cache of cleat", false},
		"newer": {func(t *testing.T, path string, _ env) {
			if err := os.WriteFile(path, []byte("cleat cache 2\n{}"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "version", true},
		"other namespace": {func(_ *testing.T, _ string, e env) { e["CLEAT_NAMESPACE"] = "other" }, "namespace", true},
		"other id":        {func(_ *testing.T, _ string, e env) { e["CLEAT_ID"] = "front-2" }, "launcher", true},
		"other servers":   {func(_ *testing.T, _ string, e env) { e["CLEAT_SERVER"] = "http://other:9640" }, "other discovery servers", true},
		"other filter":    {func(_ *testing.T, _ string, e env) { e["CLEAT_REQUIRE_WEB"] = "web?tag=x" }, "", true},
		"a directory": {func(t *testing.T, path string, _ env) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "no regular file", false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 0, func(w *world) {
				web(w, "web-1", nil)
				b, environment := keptFront(w, nil)
				b.child()
				time.Sleep(3 * time.Second)
				path := filepath.Join(b.dir, "cache")
				b.crash()
				w.killServer()
				spoil.do(t, path, environment)
				before, _ := os.ReadFile(path)
				c := b.again(environment, "front")
				w.never(time.Minute, "it starts from what is not its own", func() bool { return c.starts() > 0 })
				if spoil.says != "" && (!c.logged("warning: the cache cannot be used") || !strings.Contains(w.log.String(), spoil.says)) {
					t.Error("it did not say so")
				}
				w.serve(0)
				c.w.eventually(10*time.Second, "it waits for the server", func() bool { return c.status().Server.Connected })
				time.Sleep(5 * time.Second)
				after, _ := os.ReadFile(path)
				if changed := string(before) != string(after); changed != spoil.own {
					t.Errorf("the file was changed: %v, expected %v", changed, spoil.own)
				}
			})
		})
	}
}

// A file system that takes nothing costs one warning.
func TestCacheThatCannotBeWritten(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		web(w, "web-1", nil)
		b, _ := keptFront(w, env{"CLEAT_CACHE": "/proc/version/cache"})
		b.child()
		time.Sleep(10 * time.Minute)
		if n := strings.Count(w.log.String(), "the cache cannot be written"); n != 1 {
			t.Errorf("it was said %d times, expected once", n)
		}
		began := time.Now()
		b.signals <- 15
		b.wait()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
}

// A ring: a founder that restarts without a server joins those that it knew, and
// founds nothing anew while it does not know who is there.
func TestCacheOfSelf(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		environment := env{"SERVICE_80_NAME": "ring", "CLEAT_REQUIRE_RING": "self", "CLEAT_CACHE": "%DIR%/cache"}
		node := func(name string) *box {
			b := w.newBox(name)
			b.listen(80)
			b.run(environment, "ring", "{{if self.first}}found{{else}}join {{ring.first.addr}}{{end}}")
			b.child()
			time.Sleep(3 * time.Second)
			return b
		}
		one := node("ring-1")
		lonely := one.child().Spec.Args[1]
		two := node("ring-2")
		if lonely != "found" {
			t.Fatalf("the first one got %q", lonely)
		}
		w.killServer()
		one.crash()
		again := one.again(environment, "ring", "{{if self.first}}found{{else}}join {{ring.first.addr}}{{end}}")
		if got := again.child().Spec.Args[1]; got != "join 10.0.0.2:80" {
			t.Errorf("the founder came back with %q", got)
		}
		if two.starts() != 1 {
			t.Error("the other one was touched")
		}
	})
}

// Alone in its cache, a node waits for a server to say that it is.
func TestCachedAloneFoundsNothing(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		environment := env{"SERVICE_80_NAME": "ring", "CLEAT_REQUIRE_RING": "self", "CLEAT_CACHE": "%DIR%/cache"}
		b := w.newBox("ring-1")
		b.listen(80)
		b.run(environment, "ring")
		b.child()
		time.Sleep(3 * time.Second)
		w.killServer()
		b.crash()
		c := b.again(environment, "ring")
		w.never(time.Minute, "it founds without knowing", func() bool { return c.starts() > 0 })
		w.serve(0)
		c.child()
	})
}

// A view that is held is kept as it is in effect.
func TestCacheOfAHeldView(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		one := web(w, "web-1", nil)
		b, environment := keptFront(w, nil)
		b.child()
		one.crash()
		time.Sleep(3 * time.Second) // lost, and held
		if r := b.status().Requires[0]; r.Standing != control.Held {
			t.Fatalf("the requirement is %s", r.Standing)
		}
		b.crash()
		w.killServer()
		c := b.again(environment, "front")
		c.child()
		if got := c.endpoints(); got != "10.0.0.1:80" {
			t.Errorf("the file has %q", got)
		}
	})
}
