package launcher

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cleat/launcher/process/processtest"
)

// Backends come and go while consumers crash, lose their connections and are
// told other things. When a backend's drain was answered, and so ended before
// its time, no consumer uses the backend any more: neither its file nor the
// arguments of its child name it.
func TestRelocationsDropNothing(t *testing.T) {
	answered := 0
	for seed := range uint64(20) {
		inWorld(t, 0, func(w *world) {
			defer func() {
				if w.t.Failed() {
					w.t.Logf("seed %d", seed)
				}
			}()
			r := &relocations{world: w, random: rand.New(rand.NewPCG(seed, 1))}
			r.play()
			answered += int(r.answered.Load())
		})
	}
	// Consumers that must restart keep their distance, and some drains run out.
	if answered < 20 {
		t.Errorf("only %d drains were answered", answered)
	}
}

// relocations is one sequence of them.
type relocations struct {
	*world
	random    *rand.Rand
	consumers []*box
	backends  []*mover
	next      int
	answered  atomic.Int64 // counted by the supervisors of the backends
}

// mover is an instance of web.
type mover struct {
	*box
	address string
	stopped time.Time
}

// relocationDrain is the backends' CLEAT_DRAIN.
const relocationDrain = 4 * time.Second

func (r *relocations) play() {
	for range 3 {
		r.start()
	}
	for n, action := range []string{"HUP", "reload", "restart", "none"} {
		b := r.newBox(fmt.Sprintf("consumer-%d", n))
		b.file("in", "{{each web sep=' '}}{{addr}}{{end}}")
		e := env{
			"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:" + action, "CLEAT_RESTART": "always",
			"CLEAT_QUIET": []string{"100ms:2s", "0s:0s", "300ms:1s"}[r.random.IntN(3)],
		}
		b.kernel.Script("reload", func(p *processtest.Process) { p.EndAfter(300*time.Millisecond, exitZero) })
		b.kernel.Script("app", func(p *processtest.Process) { p.Ignore(syscall.SIGHUP) })
		command := []string{"app"}
		if n == 3 {
			command = append(command, "{{each web sep=','}}{{addr}}{{end}}")
		}
		b.run(e, command...)
		r.consumers = append(r.consumers, b)
	}
	time.Sleep(10 * time.Second)
	for range 40 {
		c := r.consumers[r.random.IntN(len(r.consumers))]
		switch r.random.IntN(8) {
		case 0, 1:
			if len(r.backends) < 6 {
				r.start()
			}
		case 2, 3, 4:
			if len(r.backends) > 2 {
				r.stop(r.random.IntN(len(r.backends)))
			}
		case 5:
			c.conn.reset()
		case 6:
			for _, p := range c.kernel.Running() {
				p.Crash(syscall.SIGSEGV)
			}
		case 7:
			c.changed <- struct{}{}
		}
		time.Sleep(time.Duration(r.random.IntN(int(4 * time.Second))))
		synctest.Wait()
	}
	time.Sleep(10 * time.Second)
}

func (r *relocations) start() {
	r.next++
	b := &mover{box: r.newBox(fmt.Sprintf("web-%d", r.next))}
	b.address = fmt.Sprintf("10.0.0.%d:80", 1+len(r.boxes))
	b.listen(80)
	b.kernel.Script("web", func(p *processtest.Process) {
		p.React(func(s syscall.Signal) {
			if s == syscall.SIGTERM {
				r.told(b)
				p.Exit(0)
			}
		})
	})
	b.run(env{"SERVICE_80_NAME": "web", "CLEAT_DRAIN": relocationDrain.String()}, "web")
	r.backends = append(r.backends, b)
}

func (r *relocations) stop(n int) {
	b := r.backends[n]
	r.backends = append(r.backends[:n:n], r.backends[n+1:]...)
	b.stopped = time.Now()
	b.signals <- syscall.SIGTERM
}

// told is called when the backend's child is told to end.
func (r *relocations) told(b *mover) {
	if b.stopped.IsZero() || time.Since(b.stopped) >= relocationDrain {
		return // the time was over
	}
	r.answered.Add(1)
	for _, c := range r.consumers {
		for _, p := range c.kernel.Running() {
			if p.Spec.Main && strings.Contains(" "+strings.Join(p.Spec.Args[1:], ",")+",", b.address+",") {
				r.t.Errorf("%s was told to end after %v, and %s runs with %v", b.name, time.Since(b.stopped), c.name, p.Spec.Args)
			}
		}
		if strings.Contains(" "+c.read("out")+" ", " "+b.address+" ") {
			r.t.Errorf("%s was told to end after %v, and %s has the file %q", b.name, time.Since(b.stopped), c.name, c.read("out"))
		}
	}
}
