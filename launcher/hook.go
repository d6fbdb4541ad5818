package launcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"cleat/launcher/control"
	"cleat/launcher/process"
	"cleat/launcher/settings"
)

// Why a hook runs, as it is told.
const (
	whyFirst   = "first"   // the container's first start, or the one after on-loss=stop
	whyRestart = "restart" // the child is restarted: a change, or somebody asked for it
	whyCrash   = "crash"   // the child has ended by itself and is started again
	whyLoss    = "loss"    // on-loss=stop
	whyStop    = "stop"    // the container stops
	whyExit    = "exit"    // the child has ended by itself, and the container with it
)

var (
	errChildGone = errors.New("the child has ended")
	errHurried   = errors.New("there is no time left")
)

// hooks are the commands at the turns of the child's life. One runs at a time,
// each in the environment of the child that it belongs to.
//
//	rendered ──► PRE_START ──succeeded──► child started ──► POST_START
//	    ▲            │                          │
//	    └─ backoff ──┘ failed                   │ to be told to end
//	                                            ▼
//	           POST_STOP ◄──ended── signal ◄── PRE_STOP
//
// PRE_START and POST_START are killed when the stop begins, POST_START and
// PRE_STOP when the child has ended. PRE_STOP and POST_STOP belong to the stop,
// and have a part of its time. While POST_STOP runs nothing is started.
type hooks struct {
	run   *hookRun
	ended chan hookEnd
	last  chan struct{} // closed when the last one that was begun has ended

	why      string    // the next start
	failures int       // of PRE_START in a row
	failing  time.Time // since when
	results  map[settings.HookName]*control.Hook
}

// hookRun is a hook that runs.
type hookRun struct {
	name   settings.HookName
	cancel context.CancelCauseFunc
}

// hookEnd is how a hook ended.
type hookEnd struct {
	run  *hookRun
	took time.Duration
	err  error
}

func newHooks(set *settings.Settings) hooks {
	h := hooks{ended: make(chan hookEnd), last: make(chan struct{}), why: whyFirst, results: make(map[settings.HookName]*control.Hook)}
	close(h.last)
	for name, hook := range set.Hooks {
		h.results[name] = &control.Hook{Name: string(name), Command: hook.Args[0]}
	}
	return h
}

// runs reports whether that hook runs.
func (h *hooks) runs(name settings.HookName) bool { return h.run != nil && h.run.name == name }

// began reports whether that hook was ever begun.
func (h *hooks) began(name settings.HookName) bool {
	result, there := h.results[name]
	return there && !result.Began.IsZero()
}

// runHook begins a hook, in place of one that runs. It is killed when it has
// taken as long as it may, or within. Variables are added to the child's. False:
// there is none of that name.
func (s *supervisor) runHook(name settings.HookName, within time.Duration, variables ...string) bool {
	s.killHook(errHurried)
	hook, there := s.set.Hooks[name]
	if !there {
		return false
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	limit := hook.Timeout
	if within < limit {
		limit = max(within, 0)
	}
	run := &hookRun{name, cancel}
	s.hooks.run = run
	result := s.hooks.results[name]
	result.Running, result.Began = true, time.Now()
	before, ended := s.hooks.last, make(chan struct{})
	s.hooks.last = ended
	spec := process.Spec{
		Args: hook.Args, User: hook.User, Whole: true, Ahead: name == settings.PreStart,
		Env: slices.Concat(s.started.environ, []string{settings.HookVariable + "=" + string(name)}, variables),
	}
	s.aside.Go(func() {
		began := time.Now()
		select {
		case <-before: // which has been killed
		case <-ctx.Done():
		}
		err := runCommand(ctx, s.Kernel, spec, limit)
		close(ended)
		s.hooks.ended <- hookEnd{run, time.Since(began), err}
	})
	return true
}

// killHook kills the hook that runs, if one does.
func (s *supervisor) killHook(cause error) {
	if s.hooks.run != nil {
		s.hooks.run.cancel(cause)
		s.hooks.run = nil
	}
}

// hookEnded takes the end of a hook.
func (s *supervisor) hookEnded(e hookEnd) {
	e.run.cancel(nil)
	current := s.hooks.run == e.run
	s.noteHook(e, current)
	if !current {
		return // it was killed, and life goes on already
	}
	s.hooks.run = nil
	switch e.run.name {
	case settings.PreStart:
		s.preStarted(e.err)
	case settings.PreStop:
		s.preStopped()
	case settings.PostStop:
		s.finishing()
	}
}

// noteHook keeps how a hook ended, and tells when that is bad. That PRE_START
// failed is told by preStarted.
func (s *supervisor) noteHook(e hookEnd, current bool) {
	result := s.hooks.results[e.run.name]
	if current || s.hooks.run == nil || s.hooks.run.name != e.run.name {
		result.Running = false
	}
	result.Runs++
	result.Ended, result.Took, result.Error = time.Now(), e.took.Seconds(), ""
	subject := "hook " + string(e.run.name)
	if e.err == nil {
		s.unsay(subject)
		return
	}
	result.Error = e.err.Error()
	if e.run.name != settings.PreStart && current {
		s.say(subject, slog.LevelWarn, "a hook failed", "hook", string(e.run.name), "cause", e.err)
	}
}

// preStart runs PRE_START before the child is started with what s.started says.
// False: there is none.
func (s *supervisor) preStart() bool {
	if !s.runHook(settings.PreStart, never, settings.WhyVariable+"="+s.hooks.why) {
		return false
	}
	s.life = lifeHooking
	s.startProgress(time.Now())
	return true
}

// never is longer than anything may take.
const never = time.Duration(1<<63 - 1)

// preStarted takes the end of PRE_START: the child is started when it succeeded,
// else it is tried again, from the render on.
func (s *supervisor) preStarted(err error) {
	if s.life != lifeHooking {
		return
	}
	s.life = lifeWaiting
	if err == nil {
		s.hooks.failures = 0
		s.last = ""
		s.tellWaiting(nil)
		s.unsay("hook " + string(settings.PreStart))
		if s.stillWanted() {
			s.start()
		}
		return
	}
	now := time.Now()
	if s.hooks.failures == 0 {
		s.hooks.failing = now
	}
	s.last = fmt.Sprintf("%s: %v", settings.PreStart, err)
	limit := s.set.Hooks[settings.PreStart].Wait
	if limit > 0 && now.Sub(s.hooks.failing) >= limit {
		s.log.Error("the hook PRE_START has failed for too long", "cause", err, "wait", limit)
		s.end(process.StatusOwn)
		return
	}
	s.say("hook "+string(settings.PreStart), slog.LevelError, "the hook PRE_START failed; the child is not started, and it will be tried again", "cause", err)
	again := now.Add(backoff(s.hooks.failures, leastRetry, mostRetry))
	if limit > 0 {
		again = earlier(again, s.hooks.failing.Add(limit))
	}
	s.hooks.failures++
	s.tellWaiting(nil)
	s.alarm.at(alarmHook, again)
}

// postStart runs POST_START beside the child.
func (s *supervisor) postStart() {
	s.runHook(settings.PostStart, never, settings.WhyVariable+"="+s.hooks.why, s.childVariable())
}

// preStop runs PRE_STOP, in at most half of the time that is left until the
// child is killed, and then tells the child to end.
func (s *supervisor) preStop(why string, kill time.Time) {
	s.parting.told = false
	if !s.runHook(settings.PreStop, time.Until(kill)/2, settings.WhyVariable+"="+why, s.childVariable()) {
		s.preStopped()
	}
}

// preStopped goes on with the stop of the child: the coprocesses that stop
// before it, then its own signal.
func (s *supervisor) preStopped() {
	if s.child == nil || s.parting.told {
		return
	}
	if s.life == lifeStopping {
		kill := s.alarm.due[alarmStop]
		if s.endCoprocesses(stopsBefore, time.Until(kill)/2) {
			return // the end of the last one goes on
		}
	}
	s.parting.told = true
	s.send(s.parting.signal)
}

// postStop runs POST_STOP for the child that has ended.
func (s *supervisor) postStop() bool {
	within := never
	if s.life == lifeEnding {
		within = time.Until(s.parting.until) - s.set.Releasing
	}
	e := s.parting.ended
	return s.runHook(settings.PostStop, within, settings.WhyVariable+"="+e.why,
		settings.PIDVariable+"="+strconv.Itoa(e.pid), settings.ExitVariable+"="+strconv.Itoa(e.exit.Status()))
}

// childVariable tells a command the pid of the child.
func (s *supervisor) childVariable() string {
	if s.child == nil {
		return settings.PIDVariable + "="
	}
	return settings.PIDVariable + "=" + strconv.Itoa(s.child.Pid())
}

// hookStatus returns the hooks as those who ask see them.
func (s *supervisor) hookStatus() []control.Hook {
	var all []control.Hook
	for _, name := range []settings.HookName{settings.PreStart, settings.PostStart, settings.PreStop, settings.PostStop} {
		if result, there := s.hooks.results[name]; there {
			all = append(all, *result)
		}
	}
	return all
}
