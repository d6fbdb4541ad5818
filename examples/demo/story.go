//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"cleat/registry"
)

const (
	// stepTime is how long a step may take until what it waits for counts as
	// not happening.
	stepTime = 10 * time.Second
	// backTime is how soon all instances must be back after the server is: two
	// beats, and the longest that a launcher waits before it tries again.
	backTime = 2*beat + registry.ReconnectCap
	beat     = 3 * time.Second
	// endTime is kept free at the end of a bounded run, for stopping.
	endTime = 1500 * time.Millisecond
	// gapTime and awayTime are the time between two steps and that without a
	// server, where there is time; the least ones where there is not.
	gapTime, leastGap   = 1500 * time.Millisecond, 300 * time.Millisecond
	awayTime, leastAway = 3 * time.Second, 700 * time.Millisecond
	// gaps is how many gaps there are.
	gaps = 6
	// stayLook is the time between two looks at what others do.
	stayLook = time.Second
)

// story is what the demo plays, and what came of it.
type story struct {
	*timeline
	world  *world
	load   *load
	length time.Duration // 0: until Ctrl-C
	steps  []*step
	flaws  int

	restarted time.Time // the server
}

// step is a part of the story, for the summary.
type step struct {
	name   string
	effect string // what took how long
	tally  *tally
	flaws  int
}

func newStory(t *timeline, w *world, length time.Duration) *story {
	return &story{timeline: t, world: w, load: newLoad(), length: length}
}

// errTimeOver says that a bounded run is at its end.
var errTimeOver = errors.New("the time of -for is over")

// play plays the story and returns the exit code.
func (s *story) play(ctx context.Context) int {
	began := time.Now()
	bounded := ctx
	if s.length > 0 {
		var cancel context.CancelFunc
		bounded, cancel = context.WithDeadlineCause(ctx, began.Add(s.length-endTime), errTimeOver)
		defer cancel()
	}
	for _, act := range []func(context.Context) error{s.raise, s.killBackend, s.addBackend, s.relocateBackend, s.killServer} {
		if err := act(bounded); err != nil {
			if ctx.Err() != nil {
				s.did("", "interrupted")
				return exitInterrupted
			}
			s.broken("%v", err)
			s.flaws++
			break
		}
	}
	if s.length == 0 && s.flaws == 0 {
		s.summary()
		s.invite()
		s.stay(ctx)
		s.gap()
		s.verdict()
		return 0
	}
	if s.flaws == 0 {
		s.settle(bounded)
	}
	s.load.end()
	s.summary()
	if s.flaws > 0 {
		return exitBroken
	}
	return 0
}

// begin begins a step: its requests count for it.
func (s *story) begin(ctx context.Context, name string) *step {
	st := &step{name: name, tally: s.load.step(ctx)}
	s.steps = append(s.steps, st)
	return st
}

// require notes a promise that was not kept.
func (s *story) require(st *step, kept bool, format string, args ...any) {
	if !kept {
		s.broken(format, args...)
		st.flaws++
		s.flaws++
	}
}

// pause lets the requests flow for a while.
func (s *story) pause(ctx context.Context) error { return sleep(ctx, s.scaled(leastGap, gapTime)) }

// scaled returns a time between least and most, as the length of the run
// allows.
func (s *story) scaled(least, most time.Duration) time.Duration {
	if s.length == 0 {
		return most
	}
	spare := max(0, s.length-shortest)
	return min(most, least+spare/(2*gaps))
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// raise starts everything, in the wrong order: who needs something first.
func (s *story) raise(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stepTime, errors.New("not within "+stepTime.String()))
	defer cancel()
	w := s.world
	began := time.Now()
	if err := w.startServer(); err != nil {
		return err
	}
	s.did("START", "cleatd, on %s", w.serverURL())
	if err := w.startFront(); err != nil {
		return err
	}
	s.did("", "front; it requires the service web, and waits for it")
	for n := range 3 {
		if _, err := w.startBackend(n + 1); err != nil {
			return err
		}
	}
	s.did("", "web-1, web-2 and web-3, on ports that the kernel chooses")
	at, err := w.configured(ctx, w.names(), began)
	if err != nil {
		return err
	}
	s.saw("front uses all three, %s after the first start", span(at.Sub(began)))
	var address string
	if err := until(ctx, func() bool {
		address = w.find(ctx, "front")
		return address != ""
	}); err != nil {
		return fmt.Errorf("front is not registered: %w", err)
	}
	s.counting(s.load.total)
	st := s.begin(ctx, "all is well")
	url := "http://" + address + "/"
	s.load.begin(url)
	s.saw("%d requests a second go to front, %s", rate, url)
	if err := s.pause(ctx); err != nil {
		return err
	}
	s.require(st, s.load.read(st.tally).failed == 0, "requests failed although nothing happened")
	st.effect = fmt.Sprintf("%s from nothing to everything", span(at.Sub(began)))
	return nil
}

// killBackend kills a backend with all that belongs to it.
func (s *story) killBackend(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stepTime, errors.New("not within "+stepTime.String()))
	defer cancel()
	w := s.world
	victim := w.backends[1]
	st := s.begin(ctx, "kill a backend")
	s.did("KILL", "%s is killed, launcher and child, with kill -9", victim.name)
	began := time.Now()
	victim.kill()
	w.removed(victim)
	at, err := w.configured(ctx, w.names(), began)
	if err != nil {
		return err
	}
	st.effect = span(at.Sub(began)) + " until front reloaded"
	s.saw("front reloaded after %s: %s", span(at.Sub(began)), list(w.names()))
	if err := s.pause(ctx); err != nil {
		return err
	}
	t := s.load.read(st.tally)
	s.note("front sent %s again to another backend, as nginx does: %d lost with %s, %d refused by its closed port until the reload",
		count(t.retried(), "request"), t.broken, victim.name, t.refused)
	if t.failed > 0 {
		s.note("%s failed; the first one: %s", count(t.failed, "request"), t.failure)
	}
	return nil
}

// addBackend starts another backend.
func (s *story) addBackend(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stepTime, errors.New("not within "+stepTime.String()))
	defer cancel()
	w := s.world
	st := s.begin(ctx, "add a backend")
	began := time.Now()
	added, err := w.startBackend(4)
	if err != nil {
		return err
	}
	s.did("ADD", "%s is started", added.name)
	at, err := w.configured(ctx, w.names(), began)
	if err != nil {
		return err
	}
	st.effect = span(at.Sub(began)) + " from its start to its use"
	s.saw("front reloaded after %s: %s", span(at.Sub(began)), list(w.names()))
	if err := s.pause(ctx); err != nil {
		return err
	}
	s.requireSmooth(st)
	return nil
}

// relocateBackend starts a backend in place of another, and then stops that.
func (s *story) relocateBackend(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stepTime, errors.New("not within "+stepTime.String()))
	defer cancel()
	w := s.world
	old := w.backends[0]
	st := s.begin(ctx, "relocate a backend")
	began := time.Now()
	added, err := w.startBackend(5)
	if err != nil {
		return err
	}
	s.did("MOVE", "%s is started, in place of %s", added.name, old.name)
	at, err := w.configured(ctx, w.names(), began)
	if err != nil {
		return err
	}
	s.saw("front reloaded after %s: %s", span(at.Sub(began)), list(w.names()))

	if err := s.pause(ctx); err != nil {
		return err
	}
	s.did("", "%s is told to stop, with TERM", old.name)
	began = time.Now()
	old.stop()
	w.removed(old)
	if at, err = w.configured(ctx, w.names(), began); err != nil {
		return err
	}
	s.saw("front reloaded after %s, without it; its child still runs", span(at.Sub(began)))
	select {
	case <-old.ended:
	case <-ctx.Done():
		return fmt.Errorf("%s does not end: %w", old.name, context.Cause(ctx))
	}
	took := time.Since(began)
	drains := old.said("drained", began)
	if len(drains) == 0 {
		return fmt.Errorf("%s stopped without a drain", old.name)
	}
	acknowledged, drained := drains[0].number("acknowledged"), time.Duration(drains[0].number("took"))
	s.saw("drain acknowledged by %s in %s; now its child stops", count(int(acknowledged), "launcher"), span(drained))
	s.saw("%s ended after %s, %s", old.name, span(took), old.status())
	s.note("of these, 100 ms were the quiet period (CLEAT_QUIET), and 500 ms what a child has to apply a signal (CLEAT_TEMPLATE_<NAME>_SETTLE)")
	s.require(st, acknowledged == 1, "the drain was acknowledged by %d launchers; front is 1", acknowledged)
	s.require(st, old.command.ProcessState.Success(), "%s ended with %s", old.name, old.status())
	st.effect = span(drained) + " until the drain was over"
	if err := s.pause(ctx); err != nil {
		return err
	}
	s.requireSmooth(st)
	return nil
}

// killServer kills cleatd and starts it again, with an empty memory.
func (s *story) killServer(ctx context.Context) error {
	w := s.world
	before, err := w.footprint()
	if err != nil {
		return err
	}
	st := s.begin(ctx, "kill the server")
	s.did("CRASH", "cleatd is killed with kill -9; all that it knew is gone")
	died := time.Now()
	w.server.kill()
	away := s.scaled(leastAway, awayTime)
	if err := sleep(ctx, away); err != nil {
		return err
	}
	s.saw("%.1f s without a server: %s", away.Seconds(), count(len(w.front.said(reloadedMessage, died)), "reload"))
	s.restarted = time.Now()
	if err := w.startServer(); err != nil {
		return err
	}
	s.did("", "cleatd is started again, empty")
	returning, cancel := context.WithTimeoutCause(ctx, backTime, errors.New("not within "+backTime.String()))
	defer cancel()
	if err := until(returning, func() bool {
		passing, _ := w.registered(returning)
		return passing["web"] == len(w.backends) && passing["front"] == 1
	}); err != nil {
		return fmt.Errorf("not all instances came back: %w", err)
	}
	st.effect = since(s.restarted) + " until all were back"
	s.saw("all %d instances are back after %s", len(w.backends)+1, since(s.restarted))
	if err := s.pause(ctx); err != nil {
		return err
	}
	s.untouched(st, before, died)
	s.requireSmooth(st)
	return nil
}

// untouched checks that nothing has changed since the server died.
func (s *story) untouched(st *step, before footprint, died time.Time) {
	after, err := s.world.footprint()
	if err != nil {
		s.require(st, false, "%v", err)
		return
	}
	reloads := len(s.world.front.said(reloadedMessage, died))
	s.require(st, reloads == 0, "front was told to reload")
	s.require(st, after.file == before.file, "front's configuration was written")
	s.require(st, slices.Equal(after.pids, before.pids), "processes were touched: %v before, %v after", before.pids, after.pids)
	if reloads == 0 && after.file == before.file && slices.Equal(after.pids, before.pids) {
		s.saw("front's file is the same, and so are all %d processes", len(after.pids))
	}
}

// requireSmooth requires that no request of the step failed, or had to be sent
// again.
func (s *story) requireSmooth(st *step) {
	t := s.load.read(st.tally)
	s.require(st, t.failed == 0, "%s failed; the first one: %s", count(t.failed, "request"), t.failure)
	s.require(st, t.retried() == 0, "front had to send %s again", count(t.retried(), "request"))
}

// footprint is what the server's death must not change.
type footprint struct {
	file string // of the front: inode, time and text
	pids []int  // of all launchers and children
}

func (w *world) footprint() (footprint, error) {
	info, err := os.Stat(w.configuration())
	if err != nil {
		return footprint{}, err
	}
	text, err := os.ReadFile(w.configuration())
	if err != nil {
		return footprint{}, err
	}
	f := footprint{file: fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino, info.ModTime(), string(text))}
	for _, p := range append([]*process{w.front}, w.backends...) {
		f.pids = append(f.pids, p.pids()...)
	}
	slices.Sort(f.pids)
	return f, nil
}

// settle waits for the server to know that it knows everything, or for the end
// of the run, and checks that this changes nothing either.
func (s *story) settle(ctx context.Context) {
	st := s.begin(ctx, "the server warms up")
	from := time.Now()
	st.effect = "still under way at the end"
	if until(ctx, func() bool { return !s.warming(ctx) }) == nil {
		st.effect = since(s.restarted) + " after its start it was over"
		s.saw("cleatd's warming is over, %s after its start", since(s.restarted))
		_ = s.pause(ctx) // until the end at the latest
	}
	reloads := s.world.front.said(reloadedMessage, from)
	s.require(st, len(reloads) == 0, "front was told to reload")
	s.requireSmooth(st)
}

// warming asks the server.
func (s *story) warming(ctx context.Context) bool {
	_, warming := s.world.registered(ctx)
	return warming
}

// stay keeps the requests flowing, and tells what others do meanwhile.
func (s *story) stay(ctx context.Context) {
	from, warming, failed := time.Now(), true, s.load.total().failed
	for sleep(ctx, stayLook) == nil {
		for _, reload := range s.world.front.said(reloadedMessage, from) {
			from = reload.Time.Add(1)
			s.saw("front reloaded: %s", list(reload.names("backends")))
		}
		if warming {
			if warming = s.warming(ctx); !warming {
				s.saw("cleatd's warming is over: what it does not list is gone")
			}
		}
		if now := s.load.total().failed; now > failed {
			s.saw("%s failed", count(now-failed, "request"))
			failed = now
		}
	}
}

// invite tells what there is to look at.
func (s *story) invite() {
	w := s.world
	s.gap()
	s.note("Everything stays up until Ctrl-C. Try, in another terminal:")
	for _, command := range []string{
		"export CLEAT_SERVER=" + w.serverURL() + " PATH=" + w.dir + ":$PATH",
		"cleat services",
		"cleat watch web",
		"cleat status -socket " + w.socket("front"),
		"curl $CLEAT_SERVER/api/v1/sessions",
		"cat " + w.configuration(),
		"tail -f " + filepath.Join(w.logs, "front.log"),
		fmt.Sprintf("kill %d    # stops %s", w.backends[0].command.Process.Pid, w.backends[0].name),
		"SERVICE_NAME=web cleat run -- python3 -m http.server 8099    # joins",
	} {
		s.command(command)
	}
	s.gap()
}

// summary tells what came of every step.
func (s *story) summary() {
	rows := [][]string{{"step", "took effect", "requests", "retried", "failed", "slowest", ""}}
	for _, st := range s.steps {
		t := s.load.read(st.tally)
		verdict := "ok"
		if st.flaws > 0 {
			verdict = "BROKEN"
		}
		rows = append(rows, []string{st.name, st.effect, fmt.Sprint(t.requests), fmt.Sprint(t.retried()), fmt.Sprint(t.failed), span(t.slowest), verdict})
	}
	s.table(rows)
	s.verdict()
}

// verdict says it in one line.
func (s *story) verdict() {
	total := s.load.total()
	requests := count(total.requests, "request")
	switch {
	case s.flaws > 0:
		s.closing(red, "%s, %d failed. Not everything that is promised happened.", requests, total.failed)
	case total.failed > 0:
		s.closing(green, "%s, %d failed with a backend that was killed. All that is promised happened.", requests, total.failed)
	default:
		s.closing(green, "%s, none failed. All that is promised happened.", requests)
	}
}

// list joins names as a sentence does.
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
