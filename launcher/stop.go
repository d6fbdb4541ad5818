package launcher

import (
	"syscall"
	"time"

	"cleat/launcher/process"
)

// stop begins the stop of the container; it is obeyed in every state. A second
// one hurries.
//
//	any state --stop--> draining --drained--> lingering --no connection--> stopping --ended--> over
//	                       |                      |                           |
//	                       +---- second stop, time over, nobody concerned ----+-- time over: KILL
func (s *supervisor) stop(sig syscall.Signal) {
	if s.life.stopping() {
		s.hurry(sig)
		return
	}
	now := time.Now()
	before := s.life
	s.stopSignal, s.stopAt = sig, now.Add(s.set.StopTimeout)
	s.log.Info("stopping", "signal", process.SignalName(sig))
	s.cancel(errStopping) // renders, checks, actions
	s.abandonBatch()
	s.restart = nil
	s.endDrain()
	for _, a := range []alarm{alarmQuiet, alarmRetry, alarmRestart, alarmBackoff, alarmNeed, alarmProgress, alarmSettled, alarmProof, alarmPoll} {
		s.alarm.off(a)
	}
	s.acknowledge(s.pending, "") // nothing will use what it offers any more
	switch {
	case s.child == nil:
		s.end(signalExit + int(sig))
	case before == lifeHalting: // told to end already: the restart becomes the stop
		s.life = lifeStopping
		s.alarm.by(alarmStop, s.stopAt)
	case s.session && s.set.Drain > 0 && len(s.offers.list) > 0:
		s.life = lifeDraining
		s.askForGood(now)
	default:
		s.terminate()
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
	case lifeStopping:
		s.send(s.stopSignalFor(sig))
	}
}

// terminate tells the child to end.
func (s *supervisor) terminate() {
	s.endDrain()
	s.life = lifeStopping
	s.send(s.stopSignalFor(s.stopSignal))
	s.alarm.at(alarmStop, s.stopAt)
}
