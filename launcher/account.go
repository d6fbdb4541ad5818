package launcher

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"cleat/registry"
)

// Progress is told after progressFirst, then at doubling distances up to
// progressMost, so that a long wait is neither silent nor a flood.
const (
	progressFirst = time.Second
	progressMost  = time.Minute
)

// say logs a message unless it is the same as the last one of its subject: one
// line for each change of state.
func (s *supervisor) say(subject string, level slog.Level, message string, args ...any) {
	text := message + fmt.Sprint(args...)
	if s.said[subject] == text {
		return
	}
	s.said[subject] = text
	s.log.Log(context.Background(), level, message, args...)
}

// unsay forgets what was said of a subject, so that it is said again when it
// comes back.
func (s *supervisor) unsay(subject string) { delete(s.said, subject) }

// prefix is what precedes the lines of a command; empty: nothing does.
func (s *supervisor) prefix(name string) string {
	if !s.set.LogChild {
		return ""
	}
	printable := func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}
	return strings.Map(printable, name) + " | "
}

// startProgress sees to it that a wait is told of.
func (s *supervisor) startProgress(now time.Time) {
	if !s.alarm.isSet(alarmProgress) {
		s.wait.began, s.wait.next = now, progressFirst
		s.alarm.at(alarmProgress, now.Add(progressFirst))
	}
}

// progress tells what is waited for.
func (s *supervisor) progress() {
	now := time.Now()
	switch {
	case s.life == lifeHooking:
		s.log.Info("waiting for the hook PRE_START", "for", round(now.Sub(s.wait.began)))
	case s.groundProgress(now.Sub(s.wait.began)):
	case s.life != lifeWaiting || s.begun:
		return
	default:
		for _, n := range s.waitedFor() {
			s.log.Info("waiting for a requirement", "alias", n.Alias, "requirement", n.Text, "why", s.why(n), "for", round(now.Sub(s.wait.began)))
		}
	}
	s.wait.next = min(2*s.wait.next, progressMost)
	s.alarm.at(alarmProgress, now.Add(s.wait.next))
}

// cycled takes word that this container and others wait for each other.
func (s *supervisor) cycled(c registry.Cycle) {
	s.cycle = c
	if len(c.Links) == 0 || s.begun {
		s.unsay("cycle")
		return
	}
	s.say("cycle", slog.LevelWarn, "containers wait for each other, and none will start", "cycle", c,
		"hint", "optional=true in one of the requirements")
}

// why tells why a requirement is not met.
func (s *supervisor) why(n *need) string {
	why := s.whyUnmet(n)
	if l := s.cycle.Links; !s.begun && len(l) > 0 && l[0].ID == s.set.ID && l[0].Service == n.Filter.Service {
		why += "; they wait for this container: " + s.cycle.String()
	}
	return why
}

func (s *supervisor) whyUnmet(n *need) string {
	switch {
	case !s.session && !n.view.Known():
		return "no discovery server has answered"
	case !n.view.Known():
		return "the discovery server has not answered yet"
	case n.Self && !n.cached.IsZero() && !s.session:
		return "no discovery server has answered, and the cache knows of no other node"
	case n.Self && n.view.Warming:
		return "the discovery server is warming up"
	case n.Self:
		return "another node founds, and does not serve yet"
	}
	return fmt.Sprintf("%d of %d instances are there", len(n.view.Endpoints), n.Min)
}
