package launcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"cleat/launcher/settings"
	"cleat/registry"
)

// batch is what is done about the changes of one quiet period.
//
//	render --files in place--> actions --all ended--> acknowledged
//	   |                          |
//	   +-- failed: with the error-+-- one failed: with the error, and tried again
//
// The end of the child abandons it: the next start renders everything anew.
type batch struct {
	work   context.Context // ends when the batch is abandoned
	cancel context.CancelCauseFunc
	views  map[string]registry.Revision // that it puts into effect, by filter
	left   int                          // actions that have not ended
	settle time.Time                    // until then the child applies what it was told; zero: nothing is waited for
}

// errOvertaken is why the work of a batch was ended.
var errOvertaken = errors.New("the child is started anew")

// batchRender is what the render of a batch gave, and how the child would be
// started if nothing but the views of others counted.
type batchRender struct {
	batch *batch
	rendered
	steadyCommand []string
	steadyEnv     []string
	steadyErr     error
}

func (s *supervisor) newBatch(views map[string]registry.Revision) {
	s.batch = &batch{views: views}
	s.batch.work, s.batch.cancel = context.WithCancelCause(s.work)
}

// beginBatch renders what has changed.
func (s *supervisor) beginBatch() {
	next := s.snapshot()
	if !s.dirty && s.failures == 0 && next.same(s.effective) {
		s.effective.revisions = next.revisions
		s.acknowledgeActed(next.revisions)
		return
	}
	s.newBatch(next.revisions)
	s.rendering, s.dirty, s.again = true, false, false
	s.alarm.off(alarmRetry)
	s.next = next
	// A change of a self alias never restarts the child: with the views that it
	// was started with, only the others can make a difference.
	steady := next.child
	steady.Views, steady.Self = maps.Clone(next.child.Views), s.started.self
	maps.Copy(steady.Views, s.started.views)
	b, in := s.batch, next.rendering(s.set.ChildEnv)
	s.aside.Go(func() {
		r := batchRender{batch: b, rendered: s.files.render(b.work, in)}
		if r.err == nil {
			r.steadyCommand, r.steadyEnv, _, r.steadyErr = s.files.command(steady)
		}
		s.rendered <- r
	})
}

// batchRendered goes on with the batch once its files are in place.
func (s *supervisor) batchRendered(r batchRender) {
	s.rendering = false
	if s.batch != r.batch || s.life.stopping() {
		return // a start has overtaken it, or the stop
	}
	s.noteRender(r.rendered)
	if r.err != nil {
		s.renderFailed(r.err)
		s.acknowledge(s.batch.views, r.err.Error())
		s.endBatch()
		return
	}
	s.renderWorked(r.rendered)
	if s.child != nil {
		var changed []string
		for _, c := range r.changed {
			switch c.action.Kind {
			case settings.ActionSignal, settings.ActionCommand:
				d := s.owed[c.action]
				s.owed[c.action] = debt{settle: max(c.settle, d.settle)}
			case settings.ActionRestart:
				changed = append(changed, c.destination+" has changed")
			}
		}
		s.wantRestart(s.reasons(r), changed)
		s.runOwed()
	}
	s.checkBatch()
}

// reasons tells why a restart of the child would be needed, other than for a
// file.
func (s *supervisor) reasons(r batchRender) []string {
	var reasons []string
	if r.steadyErr == nil {
		if !slices.Equal(r.steadyCommand, s.started.command) {
			reasons = append(reasons, "an argument has changed")
		}
		if !slices.Equal(r.steadyEnv, s.started.env) {
			reasons = append(reasons, "a CLEAT_ENV_ value has changed")
		}
	}
	for _, n := range s.needs {
		addr, given := s.started.given[n.Alias]
		if given && !n.Self && !s.uses.anywhere[n.Alias] && !n.child.has(addr) {
			reasons = append(reasons, fmt.Sprintf("%s, the endpoint of %s, has left", addr, n.Alias))
		}
	}
	return reasons
}

// settleFor keeps the batch open until the child has had its time to apply
// what an action told it.
func (s *supervisor) settleFor(d time.Duration) {
	b, until := s.batch, time.Now().Add(d)
	if d == 0 || !until.After(b.settle) {
		return
	}
	if b.settle.IsZero() {
		b.left++
	}
	b.settle = until
	s.alarm.at(alarmSettled, until)
}

// settled says that the child has had its time to apply what it was told.
func (s *supervisor) settled() {
	if s.batch != nil && !s.batch.settle.IsZero() {
		s.batch.settle = time.Time{}
		s.batch.left--
		s.checkBatch()
	}
}

// checkBatch ends the batch when its last action has ended.
func (s *supervisor) checkBatch() {
	if s.batch.left == 0 {
		s.acknowledgeActed(s.batch.views)
		s.endBatch()
	}
}

// endBatch goes on with what has waited for the batch: the next one, or a
// restart.
func (s *supervisor) endBatch() {
	s.batch.cancel(nil)
	s.batch = nil
	if s.again {
		s.again = false
		s.alarm.by(alarmQuiet, time.Now())
	}
	if s.restart != nil && s.life == lifeRunning {
		s.alarm.at(alarmRestart, s.restart.at)
	}
}

// abandonBatch ends the batch's work without a result.
func (s *supervisor) abandonBatch() {
	if s.batch != nil {
		s.batch.cancel(errOvertaken)
		s.batch = nil
		s.alarm.off(alarmSettled)
	}
}

// retry tries again what has failed: a render, or actions.
func (s *supervisor) retry() {
	switch {
	case s.life != lifeRunning && s.life != lifeTurning:
		// Waiting: advance tries again, now that the alarm is off.
	case s.batch != nil || s.rendering:
		s.alarm.at(alarmRetry, time.Now().Add(leastRetry))
	case s.failures > 0:
		s.beginBatch()
	case len(s.owed) > 0:
		s.newBatch(s.effective.revisions) // not those that have come since
		s.runOwed()
		s.checkBatch()
	}
}

// renderFailed logs the failure of a render and sees to a retry.
func (s *supervisor) renderFailed(err error) {
	s.say("render", slog.LevelError, "cannot render the configuration; nothing was changed", "cause", err)
	s.last = err.Error()
	s.alarm.at(alarmRetry, time.Now().Add(backoff(s.failures, leastRetry, mostRetry)))
	s.failures++
}

// renderWorked takes over what a good render has put into place.
func (s *supervisor) renderWorked(r rendered) {
	s.effective = s.next
	s.failures, s.last = 0, ""
	s.unsay("render")
	for _, c := range r.changed {
		s.counts.renders++
		s.log.Info("wrote a file", "file", c.destination, "action", c.action.Shown())
	}
}

// noteRender takes what is worth knowing of any render.
func (s *supervisor) noteRender(r rendered) {
	s.journal.rendered(r)
	s.reloaded(r)
	if r.uses.anywhere != nil {
		s.uses = r.uses
	}
	if s.Watch != nil && len(r.watch) > 0 && !s.life.stopping() {
		s.Watch(r.watch)
	}
	if problem := joinSorted(slices.Clone(r.problems)); problem != nil {
		s.say("source", slog.LevelError, "a template cannot be used; its last good version stays in use", "cause", problem)
	} else {
		s.unsay("source")
	}
	if len(r.absent) > 0 {
		s.say("absent", slog.LevelWarn, "left out", "what", strings.Join(r.absent, ", "))
	} else {
		s.unsay("absent")
	}
}
