package launcher

import (
	"reflect"
	"sort"
	"time"

	"cleat/registry"
)

const (
	// reportDistance is the least time between two reports.
	reportDistance = time.Second
	// firstUse is how long after its start a child is first asked what it uses.
	firstUse = 5 * time.Second
	// useEvery is how often later: what a child uses changes all the time, and
	// on its own it is told no more often.
	useEvery = time.Minute
)

// reporter is what the server was told of the launcher and its child.
type reporter struct {
	last  registry.Report
	at    time.Time // when that was
	use   *registry.Use
	using bool // it is being found out aside
	used  chan *registry.Use
	// since when each instance has been as it is, by id.
	checks map[string]registry.ReportedCheck
}

func newReporter() reporter {
	return reporter{used: make(chan *registry.Use, 1), checks: make(map[string]registry.ReportedCheck)}
}

// report tells the server how things are, when that has changed; not more often
// than reportDistance allows.
func (s *supervisor) report() {
	if s.Client == nil || s.life == lifeEnding || s.life == lifeOver {
		return // nobody hears it any more
	}
	now := time.Now()
	r := s.makeReport(now)
	if reflect.DeepEqual(r, s.reporter.last) {
		return
	}
	if next := s.reporter.at.Add(reportDistance); !s.reporter.at.IsZero() && now.Before(next) {
		s.alarm.by(alarmReport, next) // the loop comes here again
		return
	}
	s.alarm.off(alarmReport)
	s.reporter.last, s.reporter.at = r, now
	s.Client.Report(r)
}

// makeReport returns how things are. It shares no memory that changes.
func (s *supervisor) makeReport(now time.Time) registry.Report {
	r := registry.Report{
		State: string(s.life), Restarts: s.counts.restarts, Renders: s.counts.renders,
		LastError: s.last, Version: s.Version,
		Checks: s.reportedChecks(now), Parts: s.reportedParts(),
	}
	if use := s.reporter.use; use != nil && s.child != nil {
		r.Use = new(*use)
	}
	for _, n := range s.needs {
		if n.files.held {
			r.Held = append(r.Held, n.Alias)
		}
		if !n.cached.IsZero() {
			r.Cached = append(r.Cached, n.Alias)
		}
	}
	if s.life == lifeWaiting && !s.begun {
		for _, n := range s.waitedFor() {
			r.Unmet = append(r.Unmet, n.Alias)
		}
	}
	if s.counts.starts > 0 {
		c := s.childStatus()
		r.Child = &registry.ReportedChild{
			Command: c.Command, PID: c.PID, Started: wire(c.Started), Starts: s.counts.starts, LastExit: c.LastExit, Ended: wire(c.Ended),
		}
	}
	if j := s.journal; len(j.files) > 0 || j.render.Failed != "" {
		r.Render = &registry.ReportedRender{At: wire(j.render.At), Files: len(j.files), Error: j.render.Failed}
	}
	for _, a := range s.journal.actions[max(0, len(s.journal.actions)-registry.MaxReportedActions):] {
		r.Actions = append(r.Actions, registry.ReportedAction{At: wire(a.At), What: a.What, Why: a.Why, Error: a.Error})
	}
	r.Limit()
	return r
}

// reportedChecks tells how the instances are, those that do not pass first.
func (s *supervisor) reportedChecks(now time.Time) []registry.ReportedCheck {
	if len(s.offers.list) == 0 {
		return nil
	}
	checks := make([]registry.ReportedCheck, 0, len(s.offers.list))
	for _, i := range s.ownStatuses() {
		c := registry.ReportedCheck{ID: i.ID, Status: i.Status, Reason: i.Reason, Since: wire(now)}
		if last, known := s.reporter.checks[i.ID]; known && last.Status == c.Status {
			c.Since = last.Since
		}
		s.reporter.checks[i.ID] = c
		checks = append(checks, c)
	}
	rank := func(c registry.ReportedCheck) int {
		if c.Status.Serving() {
			return 1
		}
		return 0
	}
	sort.SliceStable(checks, func(i, j int) bool { return rank(checks[i]) < rank(checks[j]) })
	return checks[:min(len(checks), registry.MaxReportedChecks)]
}

// askUse finds out aside what the child uses, and sees to the next time.
func (s *supervisor) askUse() {
	s.alarm.at(alarmUse, time.Now().Add(useEvery))
	if s.child == nil || s.Use == nil || s.Client == nil || !s.session || s.reporter.using {
		return
	}
	s.reporter.using = true
	pid := s.child.Pid()
	s.aside.Go(func() {
		use, err := s.Use(pid)
		if err != nil {
			s.reporter.used <- nil // it has ended, or /proc cannot be read
			return
		}
		s.reporter.used <- &registry.Use{CPU: registry.InMilliseconds(use.CPU), Memory: use.Memory, Processes: use.Processes}
	})
}

// used takes what the child uses.
func (s *supervisor) used(use *registry.Use) {
	s.reporter.using = false
	if s.child != nil {
		s.reporter.use = use
	}
}

// wire is a time as it is told: in whole milliseconds, in no zone of its own.
func wire(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Round(0).UTC().Truncate(time.Millisecond)
}
