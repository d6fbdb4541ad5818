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
// The exit code is recorded the moment that the child has ended. All that
// follows has one deadline, until: CLEAT_STOP_TIMEOUT after the stop began, or
// after a child ended by itself. Of that time a part is kept for what follows
// ([settings.Settings.Afterwards]), and the child is killed so much earlier; each
// step leaves to those behind it what is kept for them, however long it takes.
// Only what is stuck in the kernel, where no KILL helps, and releases that have
// come into need (leastRelease) make it longer.
type parting struct {
	until  time.Time      // everything is over by then; zero: nothing has ended for good yet
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
	s.parting.until, s.parting.hook = s.stopAt, hook
	if s.stopAt.IsZero() {
		s.parting.until = time.Now().Add(s.set.StopTimeout)
	}
	s.record(code, s.endTime()+cleanUpTime)
	s.life = lifeEnding
	s.cancel(errStopping)
	s.abandonBatch()
	s.unwatch()
	s.alarm.offAll()
	if s.joined {
		s.Client.Leave(leaveTime) // nothing is offered any more
	}
	within := time.Until(s.parting.until) - s.set.Releasing
	if hook {
		within -= s.set.Hooks[settings.PostStop].Timeout // 0 without it
	}
	s.endCoprocesses(everyone, within)
	s.finishing()
}

// endTime is how long what follows the child's end may take: nothing, if there
// is nothing.
func (s *supervisor) endTime() time.Duration {
	_, hook := s.set.Hooks[settings.PostStop]
	hook = hook && s.parting.hook || s.hooks.runs(settings.PostStop)
	left := max(time.Until(s.parting.until), 0)
	switch {
	case s.ground.toRelease():
		return left + leastRelease
	case hook || s.coprocessesRun(everyone):
		return left
	}
	return 0
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
