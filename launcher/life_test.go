package launcher

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
)

// exitZero is a good end.
var exitZero = process.Exit{}

var mysql = env{"SERVICE_3306_NAME": "mysql"}

func provider(w *world, name string) *box {
	b := w.launch(name, mysql, "mysqld")
	b.listen(3306)
	return b
}

func TestConsumerWaitsForItsRequirement(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("wp")
		b.file("wp.conf.in", "db={{db.addr}} all={{each db sep=','}}{{addr}}{{end}}\n")
		b.run(env{
			"CLEAT_REQUIRE_DB":       "mysql",
			"CLEAT_TEMPLATE_CONF":    "%DIR%/wp.conf.in:%DIR%/wp.conf:HUP",
			"CLEAT_ENV_DATABASE_URL": "mysql://app@{{db.addr}}/blog",
			"UNTOUCHED":              "a=b=c",
		}, "wordpress", "--db={{db.host}}", "{{range}}")
		w.never(time.Minute, "the child is started without a database", func() bool { return b.starts() > 0 })
		db := provider(w, "db-1")
		child := b.child()
		address := "10.0.0.2:3306"
		for name, want := range map[string]string{
			"DB_HOST": "10.0.0.2", "DB_PORT": "3306", "DB_ADDR": address, "DB_ADDRS": address,
			"DATABASE_URL": "mysql://app@" + address + "/blog", "UNTOUCHED": "a=b=c",
		} {
			if got := getenv(child, name); got != want {
				t.Errorf("%s is %q, expected %q", name, got, want)
			}
		}
		if want := []string{"wordpress", "--db=10.0.0.2", "{{range}}"}; !slices.Equal(child.Spec.Args, want) {
			t.Errorf("the arguments are %q, expected %q", child.Spec.Args, want)
		}
		if got, want := b.read("wp.conf"), "db="+address+" all="+address+"\n"; got != want {
			t.Errorf("the file is %q, expected %q", got, want)
		}
		_ = db
	})
}

func TestProviderKilledAndBackElsewhere(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		first, second := provider(w, "db-1"), provider(w, "db-2")
		b := w.newBox("front")
		b.file("in", "{{each db sep=' '}}{{addr}}{{end}}")
		b.run(env{"CLEAT_REQUIRE_DB": "mysql?min=1", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:HUP"}, "front")
		child := b.child()
		w.eventually(time.Second, "both are in the file", func() bool { return b.endpoints() == "10.0.0.1:3306 10.0.0.2:3306" })
		first.crash()
		w.eventually(time.Second, "the killed one is out", func() bool { return b.read("out") == "10.0.0.2:3306" })
		w.eventually(time.Second, "the child is signalled", func() bool { return slices.Contains(child.Received(), syscall.SIGHUP) })
		// The last one is held.
		second.crash()
		w.never(time.Minute, "the last endpoint goes", func() bool { return b.read("out") != "10.0.0.2:3306" })
		provider(w, "db-3")
		w.eventually(time.Second, "the new one replaces the held one", func() bool { return b.read("out") == "10.0.0.4:3306" })
		if b.starts() != 1 || !child.Running() {
			t.Errorf("the child was started %d times", b.starts())
		}
	})
}

func TestFlapInsideTheQuietPeriodDoesNothing(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		provider(w, "db-0")
		b := w.newBox("front")
		b.file("in", "{{each db sep=' '}}{{addr}}{{end}}")
		b.run(env{"CLEAT_REQUIRE_DB": "mysql", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:HUP", "CLEAT_QUIET": "500ms:2s"}, "front")
		child := b.child()
		time.Sleep(10 * time.Second)
		// The connection flaps: lost and back within the quiet period.
		time.Sleep(10 * time.Second)
		signals, before := len(child.Received()), b.read("out")
		w.cutAll()
		w.never(20*time.Second, "a signal", func() bool { return len(child.Received()) > signals || b.read("out") != before })
	})
}

func TestManyChangesFewActions(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		provider(w, "db-0")
		b := w.newBox("front")
		b.file("in", "{{each db sep=' '}}{{addr}}{{end}}")
		b.run(env{"CLEAT_REQUIRE_DB": "mysql", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:HUP"}, "front")
		child := b.child()
		time.Sleep(5 * time.Second)
		for i := range 100 {
			db := w.newBox(fmt.Sprintf("many-%d", i))
			db.listen(3306)
			db.run(mysql, "mysqld")
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		if n := len(child.Received()); n < 1 || n > 2 {
			t.Errorf("100 changes in a second caused %d signals, expected 1 or 2", n)
		}
		if n := len(strings.Fields(b.read("out"))); n != 101 {
			t.Errorf("%d endpoints are in the file, expected 101", n)
		}
	})
}

func TestStopIsObeyedInEveryState(t *testing.T) {
	const limit = 100 * time.Millisecond
	states := map[string]func(w *world) *box{
		"waiting": func(w *world) *box {
			b := w.launch("b", env{"CLEAT_REQUIRE_DB": "mysql"})
			time.Sleep(time.Second)
			return b
		},
		"no server": func(w *world) *box {
			w.killServer()
			b := w.launch("b", env{"CLEAT_REQUIRE_DB": "mysql"})
			time.Sleep(10 * time.Second)
			return b
		},
		"checking": func(w *world) *box {
			b := w.newBox("b")
			b.file("in", "x")
			b.kernel.Script("check", func(*processtest.Process) {}) // runs until it is killed
			b.run(env{"CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out", "CLEAT_TEMPLATE_X_CHECK": "check {{staged}}"})
			time.Sleep(time.Second)
			return b
		},
		"render fails": func(w *world) *box {
			b := w.launch("b", env{"CLEAT_TEMPLATE_X": "%DIR%/none:%DIR%/out"})
			time.Sleep(10 * time.Second)
			return b
		},
		"backing off": func(w *world) *box {
			b := w.newBox("b")
			b.kernel.Script("app", func(p *processtest.Process) { p.Exit(1) })
			b.run(env{"CLEAT_RESTART": "always"})
			time.Sleep(20 * time.Second)
			return b
		},
		"running": func(w *world) *box {
			b := w.launch("b", nil)
			b.child()
			return b
		},
		"ending leftovers": func(w *world) *box {
			b := w.newBox("b")
			b.kernel.Script("app", func(p *processtest.Process) { p.EndAfter(time.Second, process.Exit{Code: 1}) })
			b.kernel.Leftovers(func(ctx context.Context, _ time.Duration) { <-ctx.Done() }) // stubborn ones
			b.run(env{"CLEAT_RESTART": "always"})
			time.Sleep(10 * time.Second)
			return b
		},
	}
	for name, reach := range states {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 0, func(w *world) {
				b := reach(w)
				at := time.Now()
				b.signals <- syscall.SIGTERM
				if code := b.wait(); code != 143 {
					t.Errorf("the exit code is %d, expected 143", code)
				}
				if took := b.ended.Sub(at); took > limit {
					t.Errorf("it took %v, expected at most %v", took, limit)
				}
				if len(b.kernel.Running()) > 0 {
					t.Errorf("something was left running: %v", b.kernel.Events())
				}
			})
		})
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		exit process.Exit
		env  env
		want int
	}{
		{process.Exit{Code: 0}, nil, 0},
		{process.Exit{Code: 3}, nil, 3},
		{process.Exit{Code: 255}, nil, 255},
		{process.Exit{Signal: syscall.SIGSEGV}, nil, 139},
		{process.Exit{Signal: syscall.SIGTERM}, env{"CLEAT_MAP_EXIT": "143:0"}, 0},
	} {
		inWorld(t, 0, func(w *world) {
			b := w.launch("b", c.env)
			b.child().End(c.exit)
			if got := b.wait(); got != c.want {
				t.Errorf("%v with %v gives %d, expected %d", c.exit, c.env, got, c.want)
			}
			if !slices.Equal(b.records, []int{c.want}) {
				t.Errorf("the records are %v, expected %d", b.records, c.want)
			}
		})
	}
}

func TestStartFailures(t *testing.T) {
	for want, failure := range map[int]error{127: fs.ErrNotExist, 126: fs.ErrPermission} {
		inWorld(t, 0, func(w *world) {
			b := w.newBox("b")
			b.kernel.Fail("app", fmt.Errorf("cannot start: %w", failure))
			b.run(env{"CLEAT_RESTART": "always"})
			if got := b.wait(); got != want {
				t.Errorf("%v gives %d, expected %d", failure, got, want)
			}
		})
	}
}

func TestRequirementWaitOver(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.launch("b", env{"CLEAT_REQUIRE_DB": "mysql?wait=30s"})
		began := time.Now()
		if got := b.wait(); got != 125 {
			t.Errorf("the exit code is %d, expected 125", got)
		}
		if took := b.ended.Sub(began); took < 30*time.Second || took > 31*time.Second {
			t.Errorf("it took %v, expected 30s", took)
		}
	})
}

func TestCrashLoop(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("app", func(p *processtest.Process) { p.EndAfter(10*time.Millisecond, process.Exit{Code: 1}) })
		b.run(env{"CLEAT_RESTART": "on-failure"})
		time.Sleep(time.Minute)
		if n := b.starts(); n < 4 || n > 8 {
			t.Errorf("%d starts in the first minute, expected 4 to 8", n)
		}
	})
}

func TestGraceThenKill(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("app", func(p *processtest.Process) { p.Ignore(syscall.SIGTERM) })
		b.run(env{"CLEAT_STOP_TIMEOUT": "7s"})
		b.child()
		at := time.Now()
		b.signals <- syscall.SIGTERM
		if got := b.wait(); got != 137 {
			t.Errorf("the exit code is %d, expected 137", got)
		}
		if took := b.ended.Sub(at); took < 7*time.Second || took > 7*time.Second+limitOver {
			t.Errorf("it took %v, expected 7s", took)
		}
	})
}

// limitOver is how much later than a limit something may end.
const limitOver = 100 * time.Millisecond

func TestSignalsAreForwardedAndRewritten(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("app", func(p *processtest.Process) { p.React(func(syscall.Signal) {}) })
		b.run(env{"CLEAT_REWRITE": "USR1:USR2,HUP:0", "CLEAT_STOP_ON": "TERM"})
		child := b.child()
		for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGINT, syscall.SIGWINCH} {
			b.signals <- s
		}
		w.eventually(time.Second, "three signals", func() bool { return len(child.Received()) >= 3 })
		if want := []syscall.Signal{syscall.SIGUSR2, syscall.SIGINT, syscall.SIGWINCH}; !slices.Equal(child.Received(), want) {
			t.Errorf("the child received %v, expected %v", child.Received(), want)
		}
	})
}
