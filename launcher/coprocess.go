package launcher

import (
	"log/slog"
	"slices"
	"syscall"
	"time"

	"cleat/launcher/control"
	"cleat/launcher/process"
	"cleat/launcher/settings"
)

// coprocess is a command that is kept running beside the child. Nothing that
// becomes of it touches the child.
//
//	idle ──the child's first start──► running ──ended──► backoff ──time is over──┐
//	                                    ▲  │                                      │
//	                                    └──┼──────────────────────────────────────┘
//	                                       │ the stop: TERM, its time is over: KILL
//	                                       ▼
//	                                     ended
//
// It survives restarts of the child.
type coprocess struct {
	settings.Coprocess
	process process.Process // nil: it does not run
	began   time.Time       // of that
	due     time.Time       // it is started again; zero: not
	kill    time.Time       // it was told to end, and is killed; zero: it was not
	giveUp  time.Time       // it was killed, and is not waited for any more; zero: it was not
	crashes int             // in a row
	status  control.Coprocess
}

// coprocessEnd is how one ended.
type coprocessEnd struct {
	of      *coprocess
	process process.Process
	exit    process.Exit
}

// coprocessStuck is how long a killed coprocess is waited for: only one that is
// stuck in the kernel needs more.
const coprocessStuck = time.Second

func newCoprocesses(set *settings.Settings) []*coprocess {
	var all []*coprocess
	for _, c := range set.Coprocesses {
		all = append(all, &coprocess{Coprocess: c, status: control.Coprocess{Name: c.Name, Command: c.Args[0]}})
	}
	return all
}

// Which coprocesses are meant.
func startsBefore(c *coprocess) bool { return c.StartBefore }
func startsAfter(c *coprocess) bool  { return !c.StartBefore }
func stopsBefore(c *coprocess) bool  { return c.StopBefore }
func everyone(*coprocess) bool       { return true }

// spec is how a coprocess is started, and where its stdout and stderr go: to
// those of cleat itself, as the child's do.
func (c *coprocess) spec(environ []string) process.Spec {
	return process.Spec{
		Args: c.Args, User: c.User, Beside: true, Whole: true,
		Env: append(slices.Clone(environ), settings.CoprocessVariable+"="+c.Name),
	}
}

// startCoprocesses starts those that have never been started.
func (s *supervisor) startCoprocesses(which func(*coprocess) bool) {
	for _, c := range s.coprocesses {
		if which(c) && c.began.IsZero() {
			s.startCoprocess(c)
		}
	}
	s.armCoprocesses()
}

func (s *supervisor) startCoprocess(c *coprocess) {
	now := time.Now()
	c.due, c.began = time.Time{}, now
	spec := c.spec(s.started.environ)
	spec.Prefix = s.prefix(c.Name)
	p, err := s.Kernel.Start(spec)
	if err != nil {
		c.status.Error = err.Error()
		c.wait(now)
		s.say("coprocess "+c.Name, slog.LevelWarn, "cannot start a coprocess; it will be tried again", "name", c.Name, "cause", err)
		return
	}
	c.process, c.status.Error = p, ""
	s.aside.Go(func() {
		select {
		case exit := <-p.Exited():
			select {
			case s.coprocessEnds <- coprocessEnd{c, p, exit}:
			case <-s.gone:
			}
		case <-s.gone: // stuck in the kernel
		}
	})
}

// wait sets when it is started again, as for a child that crashes.
func (c *coprocess) wait(now time.Time) {
	c.due = now.Add(crashWait(c.crashes))
	c.crashes++
}

// coprocessEnded takes the end of one.
func (s *supervisor) coprocessEnded(e coprocessEnd) {
	c := e.of
	if c.process != e.process {
		return // given up before
	}
	now := time.Now()
	c.process, c.kill, c.giveUp = nil, time.Time{}, time.Time{}
	c.status.LastExit, c.status.Ended = e.exit.String(), now
	if !s.life.stopping() {
		if now.Sub(c.began) >= healthyTime {
			c.crashes = 0
			s.unsay("coprocess " + c.Name)
		}
		c.status.Restarts++
		c.wait(now)
		s.say("coprocess "+c.Name, slog.LevelWarn, "a coprocess has ended; it will be started again", "name", c.Name, "status", e.exit.String())
	}
	s.coprocessesMoved()
}

// coprocessesMoved goes on with what has waited for the end of coprocesses.
func (s *supervisor) coprocessesMoved() {
	s.armCoprocesses()
	switch {
	case s.life == lifeEnding:
		s.finishing()
	case s.life == lifeStopping && s.hooks.run == nil && !s.coprocessesRun(stopsBefore):
		s.preStopped()
	}
}

// endCoprocesses tells those that run to end, in their own time and at most
// within. It reports whether one runs.
func (s *supervisor) endCoprocesses(which func(*coprocess) bool, within time.Duration) bool {
	now := time.Now()
	for _, c := range s.coprocesses {
		if !which(c) {
			continue
		}
		c.due = time.Time{}
		if c.process == nil || !c.kill.IsZero() {
			continue
		}
		c.kill = now.Add(max(min(c.Timeout, within), 0))
		_ = c.process.Signal(syscall.SIGTERM) // one that cannot be told is killed
	}
	s.armCoprocesses()
	return s.coprocessesRun(which)
}

// killCoprocesses kills those that were told to end.
func (s *supervisor) killCoprocesses() {
	now := time.Now()
	for _, c := range s.coprocesses {
		if !c.kill.IsZero() {
			c.kill = now
		}
	}
	s.coprocessesDue()
}

// coprocessesRun reports whether one runs.
func (s *supervisor) coprocessesRun(which func(*coprocess) bool) bool {
	return slices.ContainsFunc(s.coprocesses, func(c *coprocess) bool { return c.process != nil && which(c) })
}

// coprocessesDue does what is due: starts, and kills.
func (s *supervisor) coprocessesDue() {
	now := time.Now()
	for _, c := range s.coprocesses {
		switch {
		case !c.due.IsZero() && !now.Before(c.due):
			if s.life.stopping() {
				c.due = time.Time{}
				continue
			}
			s.startCoprocess(c)
		case c.process == nil:
		case !c.giveUp.IsZero() && !now.Before(c.giveUp):
			s.log.Warn("a coprocess does not end, though it was killed", "name", c.Name)
			c.process, c.kill, c.giveUp = nil, time.Time{}, time.Time{}
		case c.giveUp.IsZero() && !c.kill.IsZero() && !now.Before(c.kill):
			c.giveUp = now.Add(coprocessStuck)
			_ = c.process.SignalGroup(syscall.SIGKILL) // what cannot be killed is given up
		}
	}
	s.coprocessesMoved()
}

// armCoprocesses sets the alarm for the first thing that is due.
func (s *supervisor) armCoprocesses() {
	var first time.Time
	for _, c := range s.coprocesses {
		first = earlier(first, c.due)
		if !c.giveUp.IsZero() {
			first = earlier(first, c.giveUp)
		} else {
			first = earlier(first, c.kill)
		}
	}
	s.alarm.at(alarmCoprocess, first)
}

// beside returns the pids of the coprocesses that run: what these listen on is
// not found as a port of the child's.
func (s *supervisor) beside() []int {
	var pids []int
	for _, c := range s.coprocesses {
		if c.process != nil {
			pids = append(pids, c.process.Pid())
		}
	}
	return pids
}

// coprocessStatus returns the coprocesses as those who ask see them.
func (s *supervisor) coprocessStatus() []control.Coprocess {
	var all []control.Coprocess
	for _, c := range s.coprocesses {
		status := c.status
		switch {
		case c.process != nil && !c.kill.IsZero():
			status.State = control.Ending
		case c.process != nil:
			status.State = control.Running
		case !c.due.IsZero():
			status.State, status.Next = control.Backoff, c.due
		case c.began.IsZero():
			status.State = control.Idle
		default:
			status.State = control.Ended
		}
		if c.process != nil {
			status.PID, status.Started = c.process.Pid(), c.began
		}
		all = append(all, status)
	}
	return all
}
