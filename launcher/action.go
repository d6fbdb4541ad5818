package launcher

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/settings"
	"cleat/registry"
)

// actionTime is how long an action's command may take.
const actionTime = time.Minute

// debt is an action that has to be done until it succeeds or is overtaken.
type debt struct {
	attempts int // that failed
	settle   time.Duration
	problem  string // of the last one
}

// outcome is how an action's command ended.
type outcome struct {
	batch  *batch
	action settings.Action
	err    error
}

// runOwed runs the actions that are owed. The child runs.
func (s *supervisor) runOwed() {
	b := s.batch
	for _, action := range sortedActions(s.owed) {
		switch action.Kind {
		case settings.ActionSignal:
			if err := s.deliver(action.Signal); err != nil {
				s.actionFailed(action, fmt.Errorf("cannot send %s: %w", action, err))
				continue
			}
			s.actionWorked(action)
		case settings.ActionCommand:
			b.left++
			s.aside.Go(func() {
				err := s.runAction(b.work, action)
				select {
				case s.acted <- outcome{b, action, err}:
				case <-b.work.Done():
				}
			})
		}
	}
}

// actionEnded takes the end of an action's command.
func (s *supervisor) actionEnded(o outcome) {
	if s.batch != o.batch || s.life.stopping() {
		return // overtaken
	}
	if o.err == nil {
		s.actionWorked(o.action)
	} else {
		s.actionFailed(o.action, o.err)
	}
	s.batch.left--
	s.checkBatch()
}

// actionWorked gives the child its time: "nginx -s reload" and its like come
// back before the reload is done.
func (s *supervisor) actionWorked(action settings.Action) {
	s.settleFor(s.owed[action].settle)
	s.journal.acted(action.Shown(), "", nil)
	delete(s.owed, action)
	s.unsay("action " + action.String())
	if s.last = s.owedProblems(); s.last == "" {
		s.alarm.off(alarmRetry)
	}
}

// actionFailed sees to it that the action is tried again.
func (s *supervisor) actionFailed(action settings.Action, err error) {
	d := s.owed[action]
	s.journal.acted(action.Shown(), "", err)
	s.say("action "+action.String(), slog.LevelError, "an action failed; it will be tried again", "action", action.Shown(), "cause", err)
	s.alarm.by(alarmRetry, time.Now().Add(backoff(d.attempts, leastRetry, mostRetry)))
	d.attempts++
	d.problem = fmt.Sprintf("%s: %v", action.Shown(), err)
	s.owed[action] = d
	s.last = d.problem
}

// owedProblems tells why actions are still owed; empty when none is.
func (s *supervisor) owedProblems() string {
	var problems []string
	for _, action := range sortedActions(s.owed) {
		if d := s.owed[action]; d.problem != "" {
			problems = append(problems, d.problem)
		}
	}
	return strings.Join(problems, "; ")
}

// acknowledgeActed acknowledges views that are in place, with what is wrong
// with the actions for them if there is something.
func (s *supervisor) acknowledgeActed(views map[string]registry.Revision) {
	if problems := s.owedProblems(); problems != "" {
		s.acknowledge(views, problems)
		return
	}
	s.acknowledgeRendered(views)
}

// runAction runs an action's command, aside from the loop.
func (s *supervisor) runAction(ctx context.Context, action settings.Action) error {
	words, err := splitCommand(action.Command)
	if err != nil {
		return err
	}
	return runCommand(ctx, s.Kernel, process.Spec{Args: words, Env: s.set.ChildEnv, User: s.set.User}, actionTime)
}

func sortedActions(owed map[settings.Action]debt) []settings.Action {
	all := slices.Collect(maps.Keys(owed))
	sort.Slice(all, func(i, j int) bool { return all[i].String() < all[j].String() })
	return all
}
