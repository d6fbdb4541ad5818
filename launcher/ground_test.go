package launcher

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cleat/launcher/control"
	"cleat/launcher/network"
	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
	"cleat/launcher/volume"
)

// fakeGround are a container's volumes and networks. All are there unless a test
// takes them away.
type fakeGround struct {
	changed chan struct{}
	prepare func(ctx context.Context, v volume.Volume) (volume.Prepared, error)

	mu      sync.Mutex
	missing map[string]error // by name
	looks   int
	awaited []string
	hang    bool // a look never ends by itself
}

func (g *fakeGround) config() Ground {
	g.changed = make(chan struct{}, 1)
	return Ground{
		Look: func(ctx context.Context, v volume.Volume) error {
			if g.isHanging() {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return g.why(v.Name)
		},
		Prepare: func(ctx context.Context, v volume.Volume) (volume.Prepared, error) {
			if g.prepare != nil {
				return g.prepare(ctx, v)
			}
			return volume.Prepared{}, nil
		},
		Up: func(n network.Network) (netip.Addr, error) {
			return netip.AddrFrom4([4]byte{10, 2, 0, 1}), g.why(n.Name)
		},
		Await: func(paths []string) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.awaited = paths
		},
		Changed: g.changed,
	}
}

func (g *fakeGround) isHanging() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hang
}

func (g *fakeGround) why(name string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.looks++
	return g.missing[name]
}

// set makes a volume or network missing, or there, and tells.
func (g *fakeGround) set(name string, why error) {
	g.mu.Lock()
	if g.missing == nil {
		g.missing = make(map[string]error)
	}
	g.missing[name] = why
	changed := g.changed
	g.mu.Unlock()
	select {
	case changed <- struct{}{}:
	default: // also before the container runs
	}
}

var errNotMounted = errors.New("nothing is mounted there")

func TestChildWaitsForVolumesAndNetworks(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("db")
		b.ground.set("data", errNotMounted)
		b.ground.set("back", errors.New("there is no such interface"))
		b.run(env{"CLEAT_VOLUME_DATA": "/data?mounted", "CLEAT_VOLUME_LOGS": "/logs", "CLEAT_NETWORK_BACK": "ethwe", "SERVICE_80_NAME": "db"})
		w.never(10*time.Minute, "the child is started", func() bool { return b.starts() > 0 })
		if !b.logged(`waiting for a volume volume=data path=/data why="nothing is mounted there"`) || !b.logged("waiting for a network network=back spec=ethwe") {
			t.Error("what is waited for is not said")
		}
		if n := strings.Count(w.log.String(), "waiting for a network"); n > 20 {
			t.Errorf("it was said %d times in ten minutes", n)
		}
		if b.logged("connected to a discovery server") {
			t.Error("the session began before the volumes and networks were there")
		}
		status := b.status()
		if status.State != "provisioning" || status.Healthy || !strings.Contains(status.Why, "ethwe") {
			t.Errorf("the status is %q, %v, %q", status.State, status.Healthy, status.Why)
		}
		if v := status.Volumes; len(v) != 2 || v[0].State != control.Awaited || v[0].Why != "nothing is mounted there" {
			t.Errorf("the volumes are %+v", v)
		}
		b.ground.set("back", nil)
		w.never(time.Minute, "the child is started without its volume", func() bool { return b.starts() > 0 })
		began := time.Now()
		b.ground.set("data", nil)
		b.child()
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("the child was started %v after the volume was there", took)
		}
		status = b.status()
		if v, n := status.Volumes, status.Networks; v[0].State != control.Ready || n[0].State != control.Ready || n[0].Address != "10.2.0.1" {
			t.Errorf("the volumes are %+v, the networks %+v", v, n)
		}
	})
}

func TestWaitForAVolumeIsOver(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("db")
		b.ground.set("data", errNotMounted)
		began := time.Now()
		b.run(env{"CLEAT_SERVER": "", "CLEAT_VOLUME_DATA": "/data?mounted&wait=30s", "CLEAT_VOLUME_A": "/a?provision=make+a&release=undo+a"})
		if code := b.wait(); code != 125 || time.Since(began).Round(time.Second) != 30*time.Second {
			t.Errorf("exit code %d after %v", code, time.Since(began))
		}
		if !b.logged("error: a volume was not there in time") {
			t.Error("it is not said")
		}
		if got := commands(b); !slices.Equal(got, []string{"make a", "undo a"}) {
			t.Errorf("commands %q", got)
		}
	})
}

func TestWaitForANetworkIsOver(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("db")
		b.ground.set("back", errors.New("the interface is down"))
		b.run(env{"CLEAT_SERVER": "", "CLEAT_NETWORK_BACK": "10.2.0.0/16?wait=30s"})
		if code := b.wait(); code != 125 || !b.logged("error: a network was not up in time") {
			t.Errorf("exit code %d", code)
		}
	})
}

// commands lists the commands that were started, the child aside.
func commands(b *box) []string {
	var all []string
	for _, p := range b.kernel.Started() {
		if !p.Spec.Main {
			all = append(all, strings.Join(p.Spec.Args, " "))
		}
	}
	return all
}

// three are volumes that are made and undone.
func three() env {
	e := env{"CLEAT_SERVER": "", "CLEAT_USER": "1000:1000"}
	for _, name := range []string{"a", "b", "c"} {
		e["CLEAT_VOLUME_"+strings.ToUpper(name)] = "/" + name + "?mounted&provision=make+" + name + "&release=undo+" + name
	}
	return e
}

func TestProvisionedInOrderAndReleasedInReverse(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.launch("db", three())
		child := b.child()
		if got := commands(b); !slices.Equal(got, []string{"make a", "make b", "make c"}) {
			t.Errorf("commands %q", got)
		}
		for _, p := range b.kernel.Started() {
			if !p.Spec.Main && p.Spec.User != "" {
				t.Errorf("%q runs as %s, expected cleat's own user", p.Spec.Args, p.Spec.User)
			}
		}
		child.Exit(3)
		if code := b.wait(); code != 3 {
			t.Errorf("exit code %d", code)
		}
		if got := commands(b)[3:]; !slices.Equal(got, []string{"undo c", "undo b", "undo a"}) {
			t.Errorf("commands %q", got)
		}
	})
}

func TestFailedProvisionIsRolledBackAndTriedAgain(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("db")
		failing := true
		b.kernel.Script("make", func(p *processtest.Process) {
			if p.Spec.Args[1] == "c" && failing {
				p.Exit(1)
				return
			}
			p.Exit(0)
		})
		b.run(three())
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if got := commands(b); !slices.Equal(got, []string{"make a", "make b", "make c", "undo b", "undo a"}) {
			t.Errorf("commands %q", got)
		}
		if !b.logged("error: a provision command failed") {
			t.Error("the failure is not said")
		}
		if v := b.status().Volumes; v[2].Why != "exit status 1" {
			t.Errorf("the volumes are %+v", v)
		}
		failing = false
		b.child()
		if got := commands(b)[5:]; !slices.Equal(got, []string{"make a", "make b", "make c"}) {
			t.Errorf("commands %q", got)
		}
		b.signals <- syscall.SIGTERM
		if code := b.wait(); code != 143 {
			t.Errorf("exit code %d", code)
		}
		if got := commands(b)[8:]; !slices.Equal(got, []string{"undo c", "undo b", "undo a"}) {
			t.Errorf("commands %q", got)
		}
	})
}

// TestProvisionThatCannotBeStarted: nothing was made, nothing is undone.
func TestProvisionThatCannotBeStarted(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("db")
		b.kernel.Fail("make", fs.ErrNotExist)
		b.run(env{"CLEAT_SERVER": "", "CLEAT_VOLUME_A": "/a?provision=make+a&release=undo+a&wait=20s"})
		if code := b.wait(); code != 125 {
			t.Errorf("exit code %d", code)
		}
		if got := commands(b); len(got) > 0 {
			t.Errorf("commands %q", got)
		}
	})
}

func TestStopKillsAProvisionAndReleasesIt(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("db")
		b.kernel.Script("make", func(p *processtest.Process) {
			if p.Spec.Args[1] == "a" {
				p.Exit(0)
			}
		})
		b.run(three())
		time.Sleep(time.Minute)
		began := time.Now()
		b.signals <- syscall.SIGTERM
		if code := b.wait(); code != 143 || time.Since(began) > 100*time.Millisecond {
			t.Errorf("exit code %d after %v", code, time.Since(began))
		}
		if got := commands(b); !slices.Equal(got, []string{"make a", "make b", "undo b", "undo a"}) {
			t.Errorf("commands %q", got)
		}
		if len(b.kernel.Running()) > 0 {
			t.Error("something runs on")
		}
	})
}

func TestStopWhileWaitingAndSeedingAndHanging(t *testing.T) {
	for _, what := range []string{"waiting", "seeding", "hanging"} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, 0, func(w *world) {
				b := w.newBox("db")
				switch what {
				case "waiting":
					b.ground.set("data", errNotMounted)
				case "seeding":
					b.ground.prepare = func(ctx context.Context, _ volume.Volume) (volume.Prepared, error) {
						<-ctx.Done()
						return volume.Prepared{}, context.Cause(ctx)
					}
				case "hanging":
					b.ground.hang = true
				}
				b.run(env{"CLEAT_VOLUME_DATA": "/data?seed=/seed"})
				time.Sleep(10 * time.Minute)
				want := map[string]string{"waiting": "nothing is mounted there", "seeding": "it is being filled from /seed", "hanging": "a file system does not answer"}[what]
				if v := b.status().Volumes; v[0].Why != want {
					t.Errorf("the volumes are %+v", v)
				}
				began := time.Now()
				b.signals <- syscall.SIGINT
				if code := b.wait(); code != 130 || time.Since(began) > 100*time.Millisecond {
					t.Errorf("exit code %d after %v", code, time.Since(began))
				}
			})
		})
	}
}

// TestReleaseThatHangs holds nothing up for longer than the stop may take.
func TestReleaseThatHangs(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("db")
		b.kernel.Script("undo", func(*processtest.Process) {})
		e := three()
		e["CLEAT_STOP_TIMEOUT"] = "6s"
		b.run(e)
		b.child()
		began := time.Now()
		b.signals <- syscall.SIGTERM
		b.wait()
		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("the end took %v", took)
		}
		if got := commands(b)[3:]; !slices.Equal(got, []string{"undo c", "undo b", "undo a"}) {
			t.Errorf("commands %q", got)
		}
		if !b.logged("error: cannot release a volume") {
			t.Error("it is not said")
		}
	})
}

// TestReleaseNeedsNoEvent: a life that ends because a wait is over, with no
// session and no signal, releases at once.
func TestReleaseNeedsNoEvent(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("db")
		e := three()
		e["CLEAT_SERVER"], e["CLEAT_REQUIRE_WEB"] = "http://cleatd:9640", "web?wait=10s"
		began := time.Now()
		b.run(e)
		if code := b.wait(); code != 125 || time.Since(began) > 10*time.Second+leaveTime {
			t.Errorf("exit code %d after %v", code, time.Since(began))
		}
		if got := commands(b)[3:]; !slices.Equal(got, []string{"undo c", "undo b", "undo a"}) {
			t.Errorf("commands %q", got)
		}
	})
}

// TestStopDuringARollback bounds a release that began when there was time.
func TestStopDuringARollback(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("db")
		b.kernel.Script("undo", func(*processtest.Process) {})
		b.kernel.Script("make", func(p *processtest.Process) {
			if p.Spec.Args[1] == "c" {
				p.Exit(1)
			}
			p.Exit(0)
		})
		b.run(three())
		time.Sleep(10 * time.Second)
		began := time.Now()
		b.signals <- syscall.SIGTERM
		if code := b.wait(); code != 143 || time.Since(began) != 9*time.Second {
			t.Errorf("exit code %d after %v", code, time.Since(began))
		}
		if got := commands(b); !slices.Equal(got, []string{"make a", "make b", "make c", "undo b", "undo a"}) {
			t.Errorf("commands %q", got)
		}
	})
}

func TestSeedingThatFailsIsTriedAgain(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("db")
		tries := 0
		b.ground.prepare = func(context.Context, volume.Volume) (volume.Prepared, error) {
			if tries++; tries < 4 {
				return volume.Prepared{}, syscall.ENOSPC
			}
			return volume.Prepared{Seeded: true, Entries: 7}, nil
		}
		b.run(env{"CLEAT_SERVER": "", "CLEAT_VOLUME_DATA": "/data?seed=/seed"})
		b.child()
		if tries != 4 || !b.logged("error: cannot prepare a volume; it will be tried again") || !b.logged("seeded a volume") {
			t.Errorf("%d tries", tries)
		}
	})
}

// TestVolumeThatVanishesHarmsNobody: the child runs on, a restart by change
// waits, and so does the start after the child's end.
func TestVolumeThatVanishesHarmsNobody(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		db := provider(w, "db-1")
		b := w.newBox("app")
		b.run(env{"CLEAT_VOLUME_DATA": "/data?mounted", "CLEAT_NETWORK_BACK": "ethwe", "CLEAT_REQUIRE_DB": "mysql", "CLEAT_RESTART": "always"}, "app", "{{db.addr}}")
		child := b.child()
		time.Sleep(time.Minute)
		b.ground.set("data", errNotMounted)
		b.ground.set("back", errors.New("the interface is down"))
		time.Sleep(time.Second)
		if !b.logged("warning: a volume is gone; the child is left alone") || !b.logged("warning: a network is gone; the child is left alone") {
			t.Error("it is not said")
		}
		status := b.status()
		if !status.Healthy || status.Volumes[0].State != control.Gone || status.Networks[0].State != control.Gone {
			t.Errorf("the status is %v, %+v, %+v", status.Healthy, status.Volumes, status.Networks)
		}
		// The argument changes: the restart waits.
		db.crash()
		provider(w, "db-2")
		w.never(10*time.Minute, "the child that runs is harmed", func() bool { return !child.Running() || len(child.Received()) > 0 })
		if !b.logged("warning: a restart waits for a volume or a network that is gone") {
			t.Error("that a restart waits is not said")
		}
		b.ground.set("back", nil)
		w.never(time.Minute, "the child that runs is harmed", func() bool { return !child.Running() })
		b.ground.set("data", nil)
		w.eventually(time.Minute, "the child is restarted", func() bool { return b.starts() == 2 })
		child = b.child()
		// Gone again, and the child ends by itself.
		b.ground.set("data", errNotMounted)
		time.Sleep(time.Minute)
		child.Exit(1)
		w.never(10*time.Minute, "the child is started without its volume", func() bool { return b.starts() > 2 })
		if why := b.status().Why; !strings.Contains(why, "the child waits for the volume data (/data): nothing is mounted there") {
			t.Errorf("the status says %q", why)
		}
		b.ground.set("data", nil)
		w.eventually(time.Second, "the child is started", func() bool { return b.starts() == 3 })
	})
}

// TestVolumeThatNoEventTells is found by looking now and then.
func TestVolumeThatNoEventTells(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("app")
		b.ground.set("data", errNotMounted)
		b.run(env{"CLEAT_SERVER": "", "CLEAT_VOLUME_DATA": "/data"})
		time.Sleep(10 * time.Minute)
		b.ground.mu.Lock()
		looks, awaited := b.ground.looks, b.ground.awaited
		b.ground.missing = nil
		b.ground.mu.Unlock()
		if looks > 30 || !slices.Equal(awaited, []string{"/data"}) {
			t.Errorf("%d looks in ten minutes, waiting for %q", looks, awaited)
		}
		w.eventually(2*progressMost, "the child is started", func() bool { return b.starts() == 1 })
		if b.ground.awaited != nil {
			t.Errorf("waiting for %q", b.ground.awaited)
		}
	})
}

// TestRestTimeCoversReleases: the init stage must not end what is being
// released.
func TestRestTimeCoversReleases(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("db")
		var rest time.Duration
		b.rested = func(d time.Duration) { rest = d }
		b.kernel.Script("undo", func(p *processtest.Process) { p.EndAfter(2*time.Second, process.Exit{}) })
		b.run(three())
		b.child().Exit(0)
		began := time.Now()
		b.wait()
		if took := time.Since(began); took != 6*time.Second || rest < took+cleanUpTime {
			t.Errorf("the end took %v, and the init stage was told %v", took, rest)
		}
	})
}
