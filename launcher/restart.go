package launcher

import (
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"time"
)

// restart is a restart of the child that a change asked for.
//
//	wanted --distance over--> turning (drain in place) --drained--> halting
//	   ^                                                               |
//	   +-- (running) <-- passing <-- started <-- rendered <-- ended ---+
type restart struct {
	reasons []string  // as of the last render; without any and without files there is none
	files   []string  // that have changed since the child was started
	at      time.Time // the distance to the last one is over
	waited  bool      // for the distance
	toWait  bool      // on-loss=stop: then wait as at the first start
	halted  time.Time // when the child was told to end
}

func (r *restart) why() string { return strings.Join(slices.Concat(r.reasons, r.files), ", ") }

// kind tells hooks why the child is restarted.
func (r *restart) kind() string {
	if r.toWait {
		return whyLoss
	}
	return whyRestart
}

// wantRestart asks for a restart of the child once the distance allows it, or
// for none any more when what asked for it has gone.
func (s *supervisor) wantRestart(reasons, files []string) {
	now := time.Now()
	switch {
	case s.restart == nil && len(reasons)+len(files) == 0:
		return
	case s.restart == nil:
		at := s.distance.next(now)
		s.restart = &restart{reasons: reasons, files: files, at: at, waited: at.After(now)}
		if s.restart.waited {
			s.log.Info("a restart waits for its distance to the last one", "in", round(at.Sub(now)), "why", s.restart.why())
		}
		return // the end of the batch sets the alarm
	}
	s.restart.reasons = reasons
	s.restart.files = append(s.restart.files, files...)
	slices.Sort(s.restart.files)
	s.restart.files = slices.Compact(s.restart.files)
	if s.restart.why() == "" && s.life == lifeRunning {
		s.log.Info("the restart is not needed any more")
		s.restart, s.dropped = nil, now
		s.alarm.off(alarmRestart)
	}
}

// stopForLoss ends the child because a requirement with on-loss=stop is not met
// any more.
func (s *supervisor) stopForLoss(aliases []string) {
	if s.life != lifeRunning && s.life != lifeTurning && s.life != lifeBackoff {
		return
	}
	if s.restart != nil && s.restart.toWait {
		return
	}
	s.log.Warn("stopping the child: a requirement is not met any more", "aliases", aliases, "on_loss", "stop")
	if s.child == nil {
		s.waitAgain()
		return
	}
	s.restart = &restart{toWait: true}
	s.turn()
}

// restartDue begins the restart.
func (s *supervisor) restartDue() {
	if s.restart == nil || s.life != lifeRunning || s.batch != nil {
		return // the batch first; its end sets the alarm again
	}
	if s.ground.lacking() {
		s.say("restart", slog.LevelWarn, "a restart waits for a volume or a network that is gone", "why", s.restart.why())
		return // the child runs on; the look that finds it sets the alarm again
	}
	s.unsay("restart")
	s.log.Info("restarting the child", "why", s.restart.why())
	s.journal.acted("restart", s.restart.why(), nil)
	s.turn()
}

// turn drains the container's instances, if somebody may be using them, before
// the child is told to end.
func (s *supervisor) turn() {
	s.life = lifeTurning
	s.alarm.off(alarmRestart)
	s.endDrain()
	switch {
	case !s.session || s.set.Drain <= 0 || !s.serving():
		s.halt()
	case s.restart.toWait:
		s.askForGood(time.Now())
	default:
		s.askInPlace(time.Now())
	}
}

// halt tells the child to end, so that it can be started again.
func (s *supervisor) halt() {
	now := time.Now()
	s.endDrain()
	s.abandonBatch() // the start renders anew
	s.life = lifeHalting
	s.restart.halted = now
	if !s.restart.toWait {
		// A change that came and went within the distance is one, too.
		waited := s.restart.waited || now.Sub(s.dropped) < s.distance.gap
		s.distance = s.distance.restarted(now, waited)
	}
	kill := s.killTime(now)
	s.alarm.at(alarmStop, kill)
	s.parting.signal = s.stopSignalFor(syscall.SIGTERM)
	s.preStop(s.restart.kind(), kill)
}

// halted goes on once the child has ended.
func (s *supervisor) halted() {
	toWait := s.restart.toWait
	s.restart = nil
	s.counts.restarts++
	s.life, s.hooks.why = lifeWaiting, whyRestart
	s.overlay(false)
	s.childGone()
	s.postStop()
	if toWait {
		s.waitAgain()
	}
}
