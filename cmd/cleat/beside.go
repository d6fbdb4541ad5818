package main

import (
	"fmt"
	"time"

	"cleat/launcher/control"
)

// showBeside writes what runs before, beside and after the child.
func showBeside(v *screen, s control.Status) {
	if len(s.Hooks) > 0 {
		v.section("hooks")
	}
	for _, h := range s.Hooks {
		v.line(h.Name, h.Command, lastRun(s.Now, h.Running, h.Runs, h.Began, h.Ended, h.Took, h.Error))
	}
	if len(s.Coprocesses) > 0 {
		v.section("coprocesses")
	}
	for _, c := range s.Coprocesses {
		state := string(c.State)
		switch {
		case c.PID != 0:
			state += fmt.Sprintf(", pid %d, up %s", c.PID, span(s.Now.Sub(c.Started)))
		case c.State == control.Backoff:
			state += ", again in " + span(c.Next.Sub(s.Now))
		}
		last := ""
		if c.LastExit != "" {
			last = fmt.Sprintf("last: %s, %s ago", c.LastExit, span(s.Now.Sub(c.Ended)))
		}
		v.line(c.Name, c.Command, state, join("; ", fmt.Sprintf("restarts %d", c.Restarts), last, c.Error))
	}
	if len(s.Tasks) > 0 {
		v.section("tasks")
	}
	for _, t := range s.Tasks {
		next, left, failed := "", "", ""
		if !t.Next.IsZero() {
			next = "next in " + span(t.Next.Sub(s.Now))
		}
		if t.Failures > 0 {
			failed = fmt.Sprintf("%d of %d failed", t.Failures, t.Runs)
		}
		if t.LeftOut > 0 {
			left = fmt.Sprintf("left out %d", t.LeftOut)
		}
		v.line(t.Name, t.Schedule, t.Command, join("; ", lastRun(s.Now, t.Running, t.Runs, t.Began, t.Ended, t.Took, t.Error), failed, left, next))
	}
}

// lastRun tells of a command's last run.
func lastRun(now time.Time, running bool, runs int, began, ended time.Time, took float64, problem string) string {
	var last string
	switch {
	case runs == 0 && !running:
		return "has not run yet"
	case runs == 0:
	case problem != "":
		last = fmt.Sprintf("failed %s ago: %s", span(now.Sub(ended)), problem)
	default:
		last = fmt.Sprintf("done %s ago, took %s", span(now.Sub(ended)), span(time.Duration(took*float64(time.Second))))
	}
	if running {
		return join("; ", "runs for "+span(now.Sub(began)), last)
	}
	return last
}
