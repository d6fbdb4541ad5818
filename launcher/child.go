package launcher

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/settings"
)

const (
	// Between starts of a child that ends by itself (CLEAT_RESTART); a child
	// that has run for healthyTime begins anew.
	leastBackoff = 500 * time.Millisecond
	mostBackoff  = 30 * time.Second
	healthyTime  = 30 * time.Second
	// backoffJitter is the share of a backoff that is random.
	backoffJitter = 0.2
	// signalExit is added to a signal's number in the exit code of what it
	// ended.
	signalExit = 128
)

// childEnded takes the end of the child.
func (s *supervisor) childEnded(exit process.Exit) {
	code := s.exitCode(exit.Status())
	ran := time.Since(s.started.at)
	s.parting.ended.pid, s.parting.ended.exit = s.child.Pid(), exit
	s.child, s.exited = nil, nil
	s.killHook(errChildGone)
	s.killTasks(errChildGone)
	s.journal.childEnded(exit.String())
	s.alarm.off(alarmPoll)
	s.alarm.off(alarmProof)
	s.alarm.off(alarmStop)
	switch s.life {
	case lifeHalting:
		s.record(code, 0)
		s.parting.ended.why = s.restart.kind()
		s.log.Info("the child has ended for a restart", "status", exit.String(), "after", round(time.Since(s.restart.halted)))
		s.halted()
		return
	case lifeRunning, lifeTurning:
		if s.restarts(exit) {
			s.record(code, 0)
			s.parting.ended.why = whyCrash
			s.crashed(exit, ran)
			s.postStop()
			return
		}
	}
	s.parting.ended.why = whyExit
	if s.life.stopping() {
		s.parting.ended.why = whyStop
	}
	s.finish(code, true)
	s.log.Info("the child has ended", "status", exit.String(), "exit", code)
}

// restarts reports whether the policy starts the child again after this end.
func (s *supervisor) restarts(exit process.Exit) bool {
	switch s.set.Restart {
	case settings.RestartAlways:
		return true
	case settings.RestartOnFailure:
		return exit.Status() != 0
	}
	return false
}

// crashed waits before the child that ended by itself is started again.
func (s *supervisor) crashed(exit process.Exit, ran time.Duration) {
	if ran >= healthyTime {
		s.crashes = 0
	}
	wait := crashWait(s.crashes)
	s.crashes++
	s.counts.restarts++
	s.log.Warn("the child has ended; it will be started again", "status", exit.String(), "in", round(wait))
	s.restart = nil // overtaken
	s.alarm.off(alarmRestart)
	s.endDrain()
	s.overlay(false)
	s.life, s.hooks.why = lifeBackoff, whyCrash
	s.alarm.at(alarmBackoff, time.Now().Add(wait))
	s.childGone()
	s.acknowledge(s.effective.revisions, "") // nothing runs that could use anything else
}

// crashWait is how long after its end what has ended by itself is started again,
// after so many crashes in a row before.
func crashWait(crashes int) time.Duration {
	wait := backoff(crashes, leastBackoff, mostBackoff)
	return wait + time.Duration(float64(wait)*backoffJitter*rand.Float64())
}

// childGone is what the end of any child means for what comes next.
func (s *supervisor) childGone() {
	if !s.rendering {
		s.abandonBatch() // its actions were for that child
	}
	clear(s.owed) // the next one reads everything
	s.ground.stale = true
	s.unproven = nil
	s.offers.stopped()
	s.aim()
	s.declare()
}

func (s *supervisor) backoffOver() {
	if s.life == lifeBackoff {
		s.life = lifeWaiting
	}
}

// end ends the launcher's life without a child, with its own exit code.
func (s *supervisor) end(code int) {
	s.finish(s.exitCode(code), false)
}

// exitCode applies CLEAT_MAP_EXIT.
func (s *supervisor) exitCode(code int) int {
	if mapped, ok := s.set.MapExit[code]; ok {
		return mapped
	}
	return code
}

func (s *supervisor) record(code int, rest time.Duration) {
	if s.Record == nil {
		return
	}
	if err := s.Record(code, rest); err != nil {
		s.log.Error("cannot tell the init stage the exit code", "cause", err)
	}
}

// signalled takes a signal that the container received.
func (s *supervisor) signalled(sig syscall.Signal) {
	if slices.Contains(s.set.StopOn, sig) {
		s.stop(sig)
		return
	}
	s.send(sig)
}

// send gives the child a signal, rewritten as CLEAT_REWRITE says.
func (s *supervisor) send(sig syscall.Signal) {
	if to, rewritten := s.set.Rewrite[sig]; rewritten {
		sig = to
	}
	if sig == 0 {
		return
	}
	if err := s.deliver(sig); err != nil {
		s.log.Warn("cannot signal the child", "signal", process.SignalName(sig), "cause", err)
	}
}

// deliver gives the child, if one runs, or its group a signal.
func (s *supervisor) deliver(sig syscall.Signal) error {
	switch {
	case s.child == nil:
		return nil
	case s.set.KillGroup:
		return s.child.SignalGroup(sig)
	}
	return s.child.Signal(sig)
}

// stopSignalFor returns what the child is told to end with.
func (s *supervisor) stopSignalFor(received syscall.Signal) syscall.Signal {
	if s.set.StopSignal != 0 {
		return s.set.StopSignal
	}
	return received
}

// kill ends a child that did not end in time.
func (s *supervisor) kill() {
	if s.child == nil || s.life != lifeStopping && s.life != lifeHalting {
		return
	}
	s.log.Warn("the child did not end in time; killing it")
	_ = s.child.SignalGroup(syscall.SIGKILL) // one that has just ended is no failure
	_ = s.child.Signal(syscall.SIGKILL)
}

// round shortens a duration for people.
func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
