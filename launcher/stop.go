package launcher

import (
	"syscall"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/settings"
)

// stop begins the stop of the container; it is obeyed in every state. A second
// one hurries.
//
//	any state --stop--> draining --drained--> lingering --no connection--> stopping --ended--> ending --> over
//	                       |                      |                           |
//	                       +---- second stop, time over, nobody concerned ----+-- time over: KILL
//
// Stopping and ending have parts of their own, see [parting].
func (s *supervisor) stop(sig syscall.Signal) {
	if s.life.stopping() {
		s.hurry(sig)
		return
	}
	now := time.Now()
	before := s.life
	s.stopSignal, s.stopAt = sig, now.Add(s.set.StopTimeout)
	s.log.Info("stopping", "signal", process.SignalName(sig))
	s.cancel(errStopping) // renders, checks, actions, tasks
	if !s.hooks.runs(settings.PreStop) && !s.hooks.runs(settings.PostStop) {
		s.killHook(errStopping) // those two belong to a stop
	}
	s.abandonBatch()
	s.unwatch()
	s.restart = nil
	s.endDrain()
	for _, a := range []alarm{alarmQuiet, alarmRetry, alarmRestart, alarmBackoff, alarmNeed, alarmProgress, alarmSettled, alarmProof, alarmPoll, alarmHook, alarmTask} {
		s.alarm.off(a)
	}
	s.acknowledge(s.pending, "") // nothing will use what it offers any more
	switch {
	case s.child == nil:
		s.end(signalExit + int(sig))
	case before == lifeHalting: // told to end already: the restart becomes the stop
		s.life = lifeStopping
		s.parting.signal = s.stopSignalFor(sig)
		s.alarm.by(alarmStop, s.killTime(now))
	case s.session && s.set.Drain > 0 && len(s.offers.list) > 0:
		s.life = lifeDraining
		s.askForGood(now)
	default:
		s.terminate()
	}
}

// unwatch ends the watching of files, once nothing will be rendered any more: that
// takes the kernel some 10 ms, better beside the stop than after it.
func (s *supervisor) unwatch() {
	if s.Watch != nil {
		s.Watch(nil)
	}
}

// sameStop is within which the same signal counts as the first one: some send
// it to the process and to its group, as timeout of coreutils does.
const sameStop = 100 * time.Millisecond

// hurry takes a further stop signal: no more waiting for others. A child that
// was told to end already is told again.
func (s *supervisor) hurry(sig syscall.Signal) {
	if sig == s.stopSignal && time.Until(s.stopAt) > s.set.StopTimeout-sameStop {
		return
	}
	switch s.life {
	case lifeDraining, lifeLingering:
		s.log.Info("stopping at once", "signal", process.SignalName(sig))
		s.terminate()
	case lifeEnding:
		if s.stopAt.IsZero() { // the child has ended by itself: this is the first
			s.stopSignal, s.stopAt = sig, time.Now().Add(s.set.StopTimeout)
			return
		}
		s.hurryParting(sig)
	case lifeStopping:
		s.hurryParting(sig)
	}
}

// terminate tells the child to end, after PRE_STOP.
func (s *supervisor) terminate() {
	s.endDrain()
	s.life = lifeStopping
	kill := s.killTime(s.stopAt.Add(-s.set.StopTimeout))
	s.alarm.at(alarmStop, kill)
	s.parting.signal = s.stopSignalFor(s.stopSignal)
	s.preStop(whyStop, kill)
}
