package launcher

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cleat/launcher/control"
	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
	"cleat/registry"
	"cleat/registry/client"
)

// Seeds are tried from 1 on, or one alone; a failure names its seed.
var (
	chaosSeeds = flag.Int("chaos", 200, "number of random sequences that TestChaos plays")
	chaosFirst = flag.Uint64("chaos.first", 1, "the seed of the first one")
)

// TestChaos plays random sequences of what may happen to containers, and checks
// what must hold whatever happens; see [chaos.check], [chaos.atRest] and
// [chaos.atEnd]. To play one again: go test -run TestChaos -chaos 1 -chaos.first SEED
func TestChaos(t *testing.T) {
	for n := range uint64(*chaosSeeds) {
		seed := *chaosFirst + n
		warming := []time.Duration{0, 0, 14 * time.Second}[seed%3]
		inWorld(t, warming, func(w *world) {
			c := &chaos{world: w, random: rand.New(rand.NewPCG(seed, 0)), seed: seed}
			defer func() {
				if w.t.Failed() {
					w.t.Logf("seed %d: play it again with -run TestChaos -chaos 1 -chaos.first %d", seed, seed)
				}
			}()
			c.play()
		}) // which ends the test if it fails
	}
}

const (
	// chaosEvents is how many things happen in one sequence.
	chaosEvents = 60
	// chaosRest is within which time everything that is left alone is in
	// effect and acknowledged: the longest distance between two restarts by
	// change, a wait in the server's queue, and the slowest retry.
	chaosRest = 2*mostGap + grantTime + time.Minute
	// chaosOver is how much longer than CLEAT_STOP_TIMEOUT an end may take: the
	// longer one of a goodbye and releases that have come into need.
	chaosOver = max(leaveTime, leastRelease) + 100*time.Millisecond
)

// chaos is one sequence.
type chaos struct {
	*world
	seed    uint64
	random  *rand.Rand
	web, db *puppet
	all     []*victim
	calm    atomic.Bool // nothing fails by itself any more
}

// demanded is a request that was made.
type demanded struct {
	control.Request
	at time.Time
}

// chaosAnswer is within which time every request is answered: the longest waits
// for a render, with two checks and what an earlier child left behind, behind
// another that is under way.
const chaosAnswer = 3 * time.Minute

// victim is a container in it.
type victim struct {
	*box
	c        *chaos
	timeout  time.Duration // CLEAT_STOP_TIMEOUT
	mapped   bool          // 143 becomes 0
	waits    bool          // with wait=
	aliases  []string
	freely   bool // it may be restarted without regard to the distance
	asked    []demanded
	version  int
	grounded bool // it has volumes and a network

	hooks     []string // that it has
	hookWaits bool     // PRE_START may fail for 20 s
	hurried   bool     // there was more than one stop signal

	stopped  bool
	stopAt   time.Time
	signal   syscall.Signal
	had      bool   // a child when it was stopped
	starts   int    // of any command until then, those of the stop aside
	files    string // until then
	count    atomic.Int64
	launched time.Time
	ending   time.Time     // when what follows the last child began
	rest     time.Duration // that the init stage was told then
}

func (c *chaos) one(of int) bool { return c.random.IntN(of) == 0 }

func (c *chaos) pick(texts ...string) string { return texts[c.random.IntN(len(texts))] }

func (c *chaos) play() {
	c.web, c.db = c.world.puppet("p-web"), c.world.puppet("p-db")
	c.shuffle(c.web, "web")
	c.shuffle(c.db, "db")
	for n := range 1 + c.random.IntN(3) {
		c.all = append(c.all, c.victim(n))
	}
	for range chaosEvents {
		c.happen()
		time.Sleep(c.gap())
		c.check()
		if c.t.Failed() {
			return
		}
	}
	c.rest()
	c.atRest()
	for _, v := range c.all {
		v.stop(syscall.SIGTERM)
	}
	time.Sleep(time.Minute)
	c.check()
	c.atEnd()
}

// gap is the time between two events: often within a quiet period or an
// action, sometimes long.
func (c *chaos) gap() time.Duration {
	switch c.random.IntN(4) {
	case 0:
		return time.Duration(c.random.IntN(int(120 * time.Millisecond)))
	case 1, 2:
		return time.Duration(c.random.IntN(int(3 * time.Second)))
	}
	return time.Duration(c.random.IntN(int(20 * time.Second)))
}

// shuffle gives a service other instances.
func (c *chaos) shuffle(p *puppet, service string) {
	p.d.Provides = []registry.Instance{}
	for n := range c.random.IntN(4) {
		address := fmt.Sprintf("192.0.2.%d", 1+(n*3+c.random.IntN(3)))
		status := registry.Passing
		if c.one(5) {
			status = registry.Status(c.pick("starting", "critical", "draining", "warning"))
		}
		p.d.Provides = append(p.d.Provides, registry.Instance{ID: p.d.ID + ":" + address, Service: service, Address: address, Port: 80, Status: status})
	}
	p.client.Declare(p.d)
}

// victim launches a container with random settings.
func (c *chaos) victim(n int) *victim {
	v := &victim{box: c.newBox(fmt.Sprintf("box-%d", n)), c: c, launched: time.Now()}
	e := env{}
	// The two files come from the same view: whatever happens, they agree.
	v.write("")
	for name, file := range map[string]string{"A": "1", "B": "2"} {
		action := c.pick("HUP", "none", "restart", "act", "act", "USR1")
		e["CLEAT_TEMPLATE_"+name] = "%DIR%/in" + file + ":%DIR%/out" + file + ":" + action
		if c.one(3) {
			e["CLEAT_TEMPLATE_"+name+"_CHECK"] = "check {{staged}}"
		}
	}
	v.aliases = []string{"web"}
	text := "web?" + c.pick("", "on-loss=hold", "on-loss=stop", "on-loss=empty", "optional=true", "min=2", "fallback=192.0.2.99:80", "limit=1", "wait=90s")
	v.waits = strings.HasSuffix(text, "wait=90s")
	e["CLEAT_REQUIRE_WEB"] = text
	if c.one(2) {
		e["CLEAT_REQUIRE_DB"] = "db?" + c.pick("", "on-loss=stop", "optional=true")
		v.aliases = append(v.aliases, "db")
	}
	if c.one(2) {
		e["SERVICE_80_NAME"] = "tier"
		if c.one(2) {
			e["CLEAT_REQUIRE_PEERS"] = "self"
			v.aliases = append(v.aliases, "peers")
		}
	} else if c.one(2) {
		e["CLEAT_REQUIRE_TIER"] = "tier?optional=true"
		v.aliases = append(v.aliases, "tier")
	}
	for _, value := range e {
		v.freely = v.freely || strings.Contains(value, "on-loss=stop") // those restarts are not by change
	}
	command := []string{"app"}
	if c.one(2) {
		command = append(command, "{{each web}}{{addr}}{{end}}")
	}
	if c.one(3) {
		e["CLEAT_ENV_URL"] = "{{if web}}http://{{web.addr}}{{end}}"
	}
	e["CLEAT_RESTART"] = c.pick("never", "on-failure", "always", "always")
	v.timeout = time.Duration(2+c.random.IntN(8)) * time.Second
	e["CLEAT_STOP_TIMEOUT"] = v.timeout.String()
	e["CLEAT_QUIET"] = c.pick("100ms:2s", "0s:0s", "500ms:3s")
	if c.one(5) {
		e["CLEAT_DRAIN"] = "0s"
	}
	if c.one(5) {
		e["CLEAT_SPLAY"] = "3s"
	}
	if c.one(4) {
		e["CLEAT_KILL_GROUP"] = "true"
	}
	if v.mapped = c.one(4); v.mapped {
		e["CLEAT_MAP_EXIT"] = "143:0"
	}
	if c.one(4) {
		e["CLEAT_STOP_SIGNAL"] = "INT"
	}
	if v.grounded = c.one(2); v.grounded {
		v.giveGround(e)
	}
	v.established.Store(int32(c.random.IntN(2)))
	v.listen(80)
	v.rested = func(rest time.Duration) {
		if rest > 0 {
			v.ending, v.rest = time.Now(), rest
		}
	}
	v.commands(e)
	v.kernel.Script("app", v.app)
	v.kernel.Script("check", v.commandScript)
	v.kernel.Script("act", v.commandScript)
	v.kernel.Leftovers(func(ctx context.Context, _ time.Duration) {
		wait := time.NewTimer(time.Duration(v.mood("leftovers", 2000)) * time.Millisecond)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
	})
	v.run(e, command...)
	return v
}

// write writes the templates' sources. Nothing else runs meanwhile, so that
// both are of one version.
func (v *victim) write(flaw string) {
	synctest.Wait()
	v.version++
	each := "{{each web sep=' '}}{{addr}}{{end}}\n"
	v.file("in1", fmt.Sprintf("v%d\n", v.version)+each+flaw)
	v.file("in2", fmt.Sprintf("v%d\n", v.version)+each)
}

// mood is a number below n that depends on the seed, the container and how
// many there were before.
func (v *victim) mood(what string, n uint64) int {
	h := fnv.New64a()
	fmt.Fprint(h, v.c.seed, v.name, what, v.count.Add(1))
	return int(h.Sum64() % n)
}

// app is the child.
func (v *victim) app(p *processtest.Process) {
	for _, other := range v.kernel.Running() {
		if other != p && other.Spec.Main {
			v.c.t.Errorf("%s: a child was started while another ran", v.name)
		}
	}
	v.checkStart(p)
	if !v.c.calm.Load() && v.mood("start", 10) == 0 {
		p.EndAfter(time.Duration(v.mood("life", 3000))*time.Millisecond, process.Exit{Code: v.mood("code", 4)})
	}
	p.React(func(s syscall.Signal) {
		switch s {
		case syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT:
			switch v.mood("end", 5) {
			case 0: // ignored
			case 1:
				p.EndAfter(time.Duration(v.mood("slow", 6000))*time.Millisecond, process.Exit{Code: v.mood("code", 4)})
			case 2:
				p.Crash(s)
			default:
				p.Exit(0)
			}
		default:
			if !v.c.calm.Load() && v.mood("reload", 20) == 0 {
				p.Crash(syscall.SIGSEGV)
			}
		}
	})
}

// commandScript is a check or an action.
func (v *victim) commandScript(p *processtest.Process) {
	switch m := v.mood("command", 12); {
	case v.c.calm.Load() || m < 6:
		p.Exit(0)
	case m < 8:
		p.Exit(1)
	case m < 11:
		p.EndAfter(time.Duration(v.mood("slow", 4000))*time.Millisecond, process.Exit{Code: v.mood("code", 2)})
	default: // hangs
	}
}

// happen makes one thing happen.
func (c *chaos) happen() {
	v := c.all[c.random.IntN(len(c.all))]
	up := c.server.Load() != nil
	switch c.random.IntN(27) {
	case 0, 1, 2, 3, 4:
		c.shuffle(c.web, "web")
	case 5, 6:
		c.shuffle(c.db, "db")
	case 7:
		c.web.conn.reset()
	case 8:
		if up {
			c.killServer()
		}
	case 9, 10, 11:
		if !up {
			c.serve([]time.Duration{0, 14 * time.Second}[c.random.IntN(2)])
		} else if c.one(2) {
			c.cutAll()
		}
	case 12:
		v.conn.reset()
	case 13:
		v.conn.gate.close()
	case 14:
		v.conn.gate.open()
	case 15:
		v.signals <- []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGWINCH, syscall.SIGCONT}[c.random.IntN(4)]
	case 16:
		for _, p := range v.kernel.Running() {
			if c.one(2) {
				p.Crash(syscall.SIGSEGV)
			} else {
				p.Exit(c.random.IntN(3))
			}
		}
	case 17:
		v.listen([][]uint16{nil, {80}, {80, 81}}[c.random.IntN(3)]...)
	case 18:
		v.write(c.pick("", "", "{{each nonsense}}", "{{"))
		v.tell()
	case 19:
		v.tell()
	case 20:
		switch c.random.IntN(12) {
		case 0:
			v.fail(fs.ErrNotExist)
		case 1:
			v.fail(errors.New("no"))
		default:
			v.fail(nil)
		}
	case 22, 23:
		v.demand([]control.Do{control.DoStatus, control.DoDrain, control.DoUndrain, control.DoReload, control.DoRestart}[c.random.IntN(5)])
	case 24, 25, 26:
		if v.grounded {
			v.shiftGround()
		}
	case 21:
		if c.one(5) {
			v.stop([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT}[c.random.IntN(2)])
		}
	}
}

// fail makes starts of the child fail, or not.
func (v *victim) fail(err error) {
	v.kernel.Fail("app", err)
}

// demand asks the launcher for something.
func (v *victim) demand(do control.Do) {
	r := control.NewRequest(do, nil)
	select {
	case v.asks <- r:
		v.asked = append(v.asked, demanded{r, time.Now()})
	case <-v.done:
		return
	case <-time.After(cleanUpTime): // a loop that has ended takes none
		if !v.over() {
			v.c.t.Errorf("%s: the loop takes no request", v.name)
		}
	}
	// Such a restart keeps no distance, and is none by change.
	v.freely = v.freely || do == control.DoRestart
}

// tell says that sources may have changed.
func (v *victim) tell() {
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// over reports whether the container has ended.
func (v *victim) over() bool {
	select {
	case <-v.done:
		return true
	default:
		return false
	}
}

// stop sends a stop signal and takes note of how things are when it has been
// taken. A second one hurries.
func (v *victim) stop(sig syscall.Signal) {
	synctest.Wait()
	if v.over() {
		return
	}
	if v.stopped {
		v.hurried = true
		v.signals <- sig
		return
	}
	if state := v.status().State; state == string(lifeEnding) || state == string(lifeReleasing) {
		v.hurried = true // or the next one hurries
		v.signals <- sig // it ends already, by itself
		return
	}
	v.stopped, v.stopAt, v.signal, v.had = true, time.Now(), sig, v.main() != nil
	v.signals <- sig
	synctest.Wait()
	v.starts, v.files = len(v.lasting()), v.outputs()
	if want := v.mapOf(128 + int(sig)); !v.had && !slices.Equal(v.last(), []int{want}) {
		v.c.t.Errorf("%s: without a child the stop was not taken at once: the last record is %v, expected %d", v.name, v.last(), want)
	}
}

// last returns the last exit code that was recorded, if there is one.
func (v *victim) last() []int {
	var last []int
	v.locked(func() { last = slices.Clone(v.records[max(0, len(v.records)-1):]) })
	return last
}

// main returns the child that runs, if one does.
func (v *victim) main() *processtest.Process {
	for _, p := range v.kernel.Running() {
		if p.Spec.Main {
			return p
		}
	}
	return nil
}

func (v *victim) outputs() string { return v.read("out1") + "|" + v.read("out2") }

// check checks what holds at every moment.
func (c *chaos) check() {
	synctest.Wait()
	for _, v := range c.all {
		mains := 0
		for _, p := range v.kernel.Running() {
			if p.Spec.Main {
				mains++
			}
		}
		if mains > 1 {
			c.t.Errorf("%s: %d children run", v.name, mains)
		}
		// Whatever version the sources are of, both files list the same.
		_, one, _ := strings.Cut(v.read("out1"), "\n")
		_, two, _ := strings.Cut(v.read("out2"), "\n")
		if one != two {
			c.t.Errorf("%s: the files are of different views: %q and %q", v.name, one, two)
		}
		if v.stopped {
			if all := v.lasting(); len(all) != v.starts {
				c.t.Errorf("%s: %d commands were started after the stop: %v", v.name, len(all)-v.starts, all[v.starts].Spec.Args)
			}
			for _, p := range v.kernel.Running() {
				if !p.Spec.Main && !ofStop(p) && !isCoprocess(p) && !releases(p) {
					c.t.Errorf("%s: %v runs on after the stop", v.name, p.Spec.Args)
				}
			}
			if v.outputs() != v.files {
				c.t.Errorf("%s: a file was written after the stop", v.name)
			}
			if !v.over() && time.Since(v.stopAt) > v.timeout+chaosOver {
				c.t.Errorf("%s: it has not ended %v after the stop, with CLEAT_STOP_TIMEOUT=%v", v.name, time.Since(v.stopAt), v.timeout)
			}
		}
		v.asked = slices.DeleteFunc(v.asked, func(d demanded) bool {
			select {
			case <-d.Answers():
				return true
			default:
				return v.over() // whoever asked sees the socket close
			}
		})
		for _, d := range v.asked {
			if time.Since(d.at) > chaosAnswer {
				c.t.Errorf("%s: %s was not answered", v.name, d.Do)
			}
		}
		if v.over() && len(v.kernel.Running()) > 0 {
			c.t.Errorf("%s: it has ended, and left %v running", v.name, v.kernel.Running()[0].Spec.Args)
		}
	}
}

// rest lets everything come to rest: what is broken is whole, and everybody is
// left alone.
func (c *chaos) rest() {
	c.calm.Store(true)
	if c.server.Load() == nil {
		c.serve(0)
	}
	for _, v := range c.all {
		v.conn.gate.open()
		v.fail(nil)
		v.listen(80)
		v.settleGround()
		v.demand(control.DoUndrain)
		v.write("")
		v.tell()
		for _, p := range v.kernel.Running() {
			if !p.Spec.Main {
				p.Exit(0) // what hangs
			}
		}
	}
}

// atRest checks what holds once nothing happens for long enough: every view is
// acknowledged without an error, or held; files are what the sources say.
func (c *chaos) atRest() {
	wrong := func() string {
		sessions, err := client.NewAPI(client.Config{Servers: []string{"http://cleatd:9640"}, Dial: c.dial}).Sessions(c.t.Context())
		if err != nil {
			return err.Error()
		}
		for _, v := range c.all {
			if v.over() || v.stopped {
				continue
			}
			at := slices.IndexFunc(sessions.Sessions, func(s registry.SessionDetail) bool { return s.ID == v.name })
			if at < 0 {
				return v.name + " has no session"
			}
			s := sessions.Sessions[at]
			if len(s.Requires) != len(v.aliases) {
				return fmt.Sprintf("%s requires %v", v.name, s.Requires)
			}
			for _, r := range s.Requires {
				if r.Error != "" {
					return fmt.Sprintf("%s has acknowledged %s with an error: %s", v.name, r.Alias, r.Error)
				}
				if r.Applied != r.Revision {
					return fmt.Sprintf("%s has not acknowledged %s: %d of %d", v.name, r.Alias, r.Applied, r.Revision)
				}
			}
			if state := s.Report.State; state != "running" && state != "waiting" {
				return v.name + " is " + state
			}
			if v.main() == nil && len(s.Report.Unmet) == 0 {
				return v.name + " does not run, and waits for nothing"
			}
			if v.main() != nil && !strings.HasPrefix(v.read("out1"), fmt.Sprintf("v%d\n", v.version)) {
				return fmt.Sprintf("%s has the file %q, and the source is v%d", v.name, v.read("out1"), v.version)
			}
		}
		return ""
	}
	deadline := time.Now().Add(chaosRest)
	for {
		what := wrong()
		if what == "" {
			return
		}
		if !time.Now().Before(deadline) {
			c.t.Errorf("after %v of rest: %s", chaosRest, what)
			return
		}
		time.Sleep(5 * time.Second)
		c.check()
		if c.t.Failed() {
			return
		}
	}
}

// atEnd checks the exit codes.
func (c *chaos) atEnd() {
	for _, v := range c.all {
		if !v.over() {
			c.t.Errorf("%s: it has not ended", v.name)
			continue
		}
		if got, want := v.code, v.want(); !slices.Contains(want, got) {
			c.t.Errorf("%s: the exit code is %d, expected one of %v; the end was %q", v.name, got, want, tail(v.kernel.Events()))
		}
		if !slices.Equal(v.last(), []int{v.code}) {
			c.t.Errorf("%s: the exit code is %d, and the last record is %v", v.name, v.code, v.last())
		}
		if took := v.ended.Sub(v.ending); took > min(v.timeout+chaosOver, v.rest) {
			c.t.Errorf("%s: what follows the child took %v, with CLEAT_STOP_TIMEOUT=%v; the init stage was told %v", v.name, took, v.timeout, v.rest)
		}
		if there := v.provisioned(); len(there) > 0 {
			c.t.Errorf("%s: %v were provisioned, and not released", v.name, there)
		}
		v.distances()
		v.checkHooks()
	}
}

// lasting lists what was started, the hooks of the stop and what gives volumes
// back aside.
func (v *victim) lasting() []*processtest.Process {
	return slices.DeleteFunc(v.kernel.Started(), func(p *processtest.Process) bool { return ofStop(p) || releases(p) })
}

// checkStart checks what holds when a child is started: PRE_START has succeeded
// for it, and no hook runs that must have ended before.
func (v *victim) checkStart(child *processtest.Process) {
	for _, other := range v.kernel.Running() {
		if isHook(other) {
			v.c.t.Errorf("%s: the child was started while %s ran", v.name, commandOf(other))
		}
	}
	if !v.hooked("pre-start") {
		return
	}
	for _, event := range slices.Backward(v.kernel.Events()) {
		switch {
		case event == "end pre-start: exit status 0":
			return
		case strings.HasPrefix(event, "end pre-start"), strings.HasPrefix(event, "end app"):
			v.c.t.Errorf("%s: the child was started after %q", v.name, event)
			return
		}
	}
	v.c.t.Errorf("%s: the child was started without PRE_START", v.name)
}

// checkHook checks what holds when a hook is started: it is the only one, and
// its child is there, or is not.
func (v *victim) checkHook(hook *processtest.Process) {
	name := commandOf(hook)
	for _, other := range v.kernel.Running() {
		if other != hook && isHook(other) {
			v.c.t.Errorf("%s: %s was started while %s ran", v.name, name, commandOf(other))
		}
	}
	if runs, should := v.main() != nil, name == "post-start" || name == "pre-stop"; runs && !should {
		v.c.t.Errorf("%s: %s was started while the child ran", v.name, name)
	}
}

// checkCoprocess checks what holds when a coprocess is started.
func (v *victim) checkCoprocess(p *processtest.Process) {
	for _, other := range v.kernel.Running() {
		if other != p && commandOf(other) == commandOf(p) {
			v.c.t.Errorf("%s: %s runs twice", v.name, commandOf(p))
		}
	}
}

// checkTask checks what holds when a task is started: it runs once, beside a
// child.
func (v *victim) checkTask(p *processtest.Process) {
	v.checkCoprocess(p)
}

// checkHooks checks at the end that POST_STOP ran once for each child that has
// ended, and PRE_STOP at most once.
func (v *victim) checkHooks() {
	ended, before, after := 0, 0, 0
	for _, event := range v.kernel.Events() {
		switch {
		case event == "start app":
			before, after = 0, 0
		case event == "start pre-stop":
			before++
		case strings.HasPrefix(event, "end app"):
			ended++
		case event == "start post-stop":
			after++
			ended--
		}
		if before > 1 || after > 1 {
			v.c.t.Errorf("%s: PRE_STOP ran %d times and POST_STOP %d times for one child", v.name, before, after)
			return
		}
	}
	if v.hooked("post-stop") && ended != 0 && !(v.hurried && ended == 1) {
		v.c.t.Errorf("%s: POST_STOP was left out %d times", v.name, ended)
	}
}

// distances checks that the restarts by change kept their distance, from one
// moment at which the child was told to end to the next.
func (v *victim) distances() {
	if v.freely {
		return
	}
	var before time.Time
	for line := range strings.Lines(v.w.log.String()) {
		clock, rest, _ := strings.Cut(line, " ")
		text, found := strings.CutPrefix(rest, v.name+": the child has ended for a restart ")
		if !found {
			continue
		}
		_, after, _ := strings.Cut(strings.TrimSpace(text), "after=")
		took, err := time.ParseDuration(after)
		ended, err2 := time.Parse("15:04:05.000", clock)
		if err := errors.Join(err, err2); err != nil {
			v.c.t.Fatal(err)
		}
		told := ended.Add(-took)
		// The log is cut to milliseconds.
		if gap := told.Sub(before); !before.IsZero() && gap < leastGap-5*time.Millisecond {
			v.c.t.Errorf("%s: two restarts by change were %v apart", v.name, gap)
		}
		before = told
	}
}

// want returns the exit codes that are right for what happened.
func (v *victim) want() []int {
	if v.stopped && !v.had {
		return []int{v.mapOf(128 + int(v.signal))}
	}
	last := ""
	for _, event := range v.kernel.Events() {
		if strings.HasPrefix(event, "end app: ") || event == "fail app" {
			last = event
		}
	}
	var code int
	switch {
	case last == "fail app":
		return []int{126, 127}
	case v.hookWaits && !v.stopped && v.code == 125 && strings.Contains(v.w.log.String(), v.name+": error: the hook PRE_START has failed for too long"):
		return []int{125}
	case v.waits && !v.stopped && (last == "" || v.ended.Sub(v.launched) >= 90*time.Second && v.code == 125):
		return []int{125}
	case strings.HasPrefix(last, "end app: exit status "):
		fmt.Sscanf(last, "end app: exit status %d", &code)
	default:
		name := strings.TrimPrefix(last, "end app: killed by ")
		for n := syscall.Signal(1); n < 32; n++ {
			if process.SignalName(n) == name {
				code = 128 + int(n)
			}
		}
	}
	return []int{v.mapOf(code)}
}

func (v *victim) mapOf(code int) int {
	if v.mapped && code == 143 {
		return 0
	}
	return code
}

func tail(events []string) []string { return events[max(0, len(events)-6):] }
