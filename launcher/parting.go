package launcher

import (
	"syscall"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/settings"
)

// parting is the way of a child from the decision that it ends to the moment
// when nothing is left of it.
//
//	drained ──► PRE_STOP ──► coprocesses before ──► signal ──► ended ──► coprocesses after ──► POST_STOP ──► volumes released ──► over
//	                         (of a stop alone)                   │       (of a stop alone)         │
//	                                                             └─ to be started again ───────────┴──► waiting
//
// The exit code is recorded the moment that the child has ended. What follows
// that has a part of the stop's time that is kept for it
// ([settings.Settings.Afterwards]); the child is killed so much earlier.
type parting struct {
	signal syscall.Signal // the child is told to end with
	told   bool           // it was
	ended  struct {       // the last child
		pid  int
		exit process.Exit
		why  string
	}
	hook bool // POST_STOP is still to run, before life is over
}

// killTime returns when a child is killed that is to end from now on.
func (s *supervisor) killTime(began time.Time) time.Time {
	return began.Add(s.set.StopTimeout - s.set.Afterwards)
}

// finish ends the launcher's life: the exit code first, then what is still to
// be done. hook says that a child has ended just now.
func (s *supervisor) finish(code int, hook bool) {
	s.code = code
	s.record(code, s.endTime(hook)+s.releaseTime()+cleanUpTime)
	s.life = lifeEnding
	s.parting.hook = hook
	s.cancel(errStopping)
	s.abandonBatch()
	s.unwatch()
	s.alarm.offAll()
	if s.joined {
		s.Client.Leave(leaveTime) // nothing is offered any more
	}
	s.endCoprocesses(everyone, never)
	s.finishing()
}

// endTime is how long coprocesses and POST_STOP may still take.
func (s *supervisor) endTime(hook bool) time.Duration {
	var longest time.Duration
	for _, c := range s.coprocesses {
		if c.process != nil {
			longest = max(longest, c.Timeout)
		}
	}
	if hook || s.hooks.runs(settings.PostStop) {
		longest += s.set.Hooks[settings.PostStop].Timeout // 0 without it
	}
	return longest
}

// finishing goes on when a part of what is to be done has ended.
func (s *supervisor) finishing() {
	if s.life != lifeEnding || s.coprocessesRun(everyone) {
		return
	}
	if s.parting.hook {
		s.parting.hook = false
		s.postStop()
	}
	if s.hooks.run == nil {
		s.release()
	}
}

// hurryParting takes a further stop signal while the child is being stopped, or
// has ended: what runs for the stop is killed.
func (s *supervisor) hurryParting(sig syscall.Signal) {
	s.killHook(errHurried)
	if s.life == lifeStopping {
		s.parting.told = true
		s.send(s.stopSignalFor(sig))
	}
	s.killCoprocesses()
	if s.life == lifeEnding {
		s.parting.hook = false // there is no time for POST_STOP any more
		s.finishing()
	}
}
