package launcher

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"cleat/launcher/control"
	"cleat/launcher/process"
	"cleat/launcher/settings"
)

// task is a command that runs from time to time, while the child runs.
//
//	idle ──the child's first start──► scheduled ◄──────────── ended, or killed: its
//	                                     │  ▲                 time is over, the child
//	               due, the child does   │  │                 has ended, the stop
//	               not run, or it runs   └──┘                        ▲
//	               itself: left out      │                           │
//	                                     └──due──► running ──────────┘
//
// The schedule goes on over restarts of the child.
type task struct {
	settings.Task
	next   time.Time
	run    *taskRun // nil: it does not run
	status control.Task
}

// taskRun is one run.
type taskRun struct{ cancel context.CancelCauseFunc }

// taskEnd is how a run ended.
type taskEnd struct {
	of   *task
	run  *taskRun
	took time.Duration
	err  error
}

func newTasks(set *settings.Settings) []*task {
	var all []*task
	for _, t := range set.Tasks {
		all = append(all, &task{Task: t, status: control.Task{Name: t.Name, Schedule: t.Text, Command: t.Args[0]}})
	}
	return all
}

// scheduleTasks begins the schedules, at the child's first start.
func (s *supervisor) scheduleTasks(now time.Time) {
	calendar := false
	for _, t := range s.tasks {
		if t.next.IsZero() {
			t.next = t.Next(now)
			calendar = calendar || t.Fields
		}
	}
	if zone := strings.TrimPrefix(s.env["TZ"], ":"); calendar && !strings.HasPrefix(zone, "/") { // a path is no name
		if _, err := time.LoadLocation(zone); err != nil {
			s.log.Warn("the time zone of TZ is not known here; tasks follow UTC", "zone", zone)
		}
	}
	s.armTasks()
}

// tasksDue runs what is due.
func (s *supervisor) tasksDue() {
	now := time.Now()
	for _, t := range s.tasks {
		if t.next.IsZero() || now.Before(t.next) {
			continue
		}
		t.next = t.Next(now)
		switch {
		case s.child == nil || s.life != lifeRunning && s.life != lifeTurning:
			t.status.LeftOut++
		case t.run != nil:
			t.status.LeftOut++
			s.say("late task "+t.Name, slog.LevelWarn, "a task is due while it still runs; this run is left out", "name", t.Name)
		default:
			s.runTask(t, now)
		}
	}
	s.armTasks()
}

func (s *supervisor) runTask(t *task, now time.Time) {
	ctx, cancel := context.WithCancelCause(s.work)
	run := &taskRun{cancel}
	t.run = run
	t.status.Running, t.status.Began = true, now
	spec := process.Spec{
		Args: t.Args, User: t.User, Whole: true,
		Env: append(slices.Clone(s.started.environ), settings.TaskVariable+"="+t.Name, s.childVariable()),
	}
	limit := t.Timeout
	s.aside.Go(func() {
		err := runCommand(ctx, s.Kernel, spec, limit)
		s.taskEnds <- taskEnd{t, run, time.Since(now), err}
	})
}

// taskEnded takes the end of a run.
func (s *supervisor) taskEnded(e taskEnd) {
	t := e.of
	e.run.cancel(nil)
	t.run = nil
	t.status.Runs++
	t.status.Running, t.status.Ended, t.status.Took, t.status.Error = false, time.Now(), e.took.Seconds(), ""
	s.unsay("late task " + t.Name)
	if e.err == nil {
		s.say("task "+t.Name, slog.LevelInfo, "a task has ended well", "name", t.Name)
		return
	}
	t.status.Failures++
	t.status.Error = e.err.Error()
	if s.child != nil && !s.life.stopping() { // else it was killed for that
		s.say("task "+t.Name, slog.LevelWarn, "a task failed", "name", t.Name, "cause", e.err)
	}
}

// killTasks kills those that run.
func (s *supervisor) killTasks(cause error) {
	for _, t := range s.tasks {
		if t.run != nil {
			t.run.cancel(cause)
		}
	}
}

// armTasks sets the alarm for the first one that is due.
func (s *supervisor) armTasks() {
	var first time.Time
	for _, t := range s.tasks {
		first = earlier(first, t.next)
	}
	s.alarm.at(alarmTask, first)
}

// taskStatus returns the tasks as those who ask see them.
func (s *supervisor) taskStatus() []control.Task {
	var all []control.Task
	for _, t := range s.tasks {
		status := t.status
		if !s.life.stopping() {
			status.Next = t.next
		}
		all = append(all, status)
	}
	return all
}
