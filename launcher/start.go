package launcher

import (
	"errors"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/settings"
	"cleat/registry"
	"cleat/templates"
)

const (
	// proofTime is how long a child that offers nothing must run until it is
	// taken to have started well.
	proofTime = 500 * time.Millisecond
	// proofLimit is how long after its start it is given up to wait until a
	// child passes: others are then told that it does not.
	proofLimit = 30 * time.Second
	// Between failing renders before a first start, and after it.
	leastRetry = time.Second
	mostRetry  = 30 * time.Second
	// leftoverGrace is how long what an earlier child left behind has between
	// TERM and KILL.
	leftoverGrace = 500 * time.Millisecond
)

var errStopping = errors.New("the container is being stopped")

// started is what the child was started with, last.
type started struct {
	at      time.Time
	command []string
	env     []string          // of the CLEAT_ENV_ variables
	environ []string          // all
	given   map[string]string // alias → host:port that it knows through <ALIAS>_HOST and the like
	views   map[string]templates.View
	self    templates.Self
	// revisions are those of the views that are in effect when it passes.
	revisions map[string]registry.Revision
}

// judge looks at every requirement again, and acts on what has become of them.
func (s *supervisor) judge() {
	now := time.Now()
	again := s.restore(now)
	var gone []string
	for _, n := range s.needs {
		before := n.files.held
		standing, at := n.judge(s.consumer, now)
		again = earlier(again, at)
		if standing == lost {
			gone = append(gone, n.Alias)
		}
		if n.files.held != before {
			if n.files.held {
				s.log.Warn("holding the last endpoints of a requirement", "alias", n.Alias, "requirement", n.Text, "listed", len(n.view.Endpoints), "min", n.Min)
			} else {
				s.log.Info("a requirement is met again", "alias", n.Alias, "listed", len(n.view.Endpoints))
			}
		}
	}
	if !again.IsZero() {
		s.alarm.at(alarmNeed, again)
	}
	if len(gone) > 0 {
		s.stopForLoss(gone)
	}
}

// waitedFor returns the needs that keep a first start from happening.
func (s *supervisor) waitedFor() []*need {
	var waited []*need
	for _, n := range s.needs {
		if standing, _ := n.judge(s.consumer, time.Now()); standing != met {
			waited = append(waited, n)
		}
	}
	return waited
}

// lost reports whether a requirement with on-loss=stop has been lost.
func (s *supervisor) lost() bool {
	return slices.ContainsFunc(s.needs, func(n *need) bool {
		standing, _ := n.judge(s.consumer, time.Now())
		return standing == lost
	})
}

// advance starts the child when nothing stands against it.
func (s *supervisor) advance() {
	if s.life != lifeWaiting {
		return
	}
	if s.rendering {
		s.abandonBatch() // the start renders anew
		return
	}
	now := time.Now()
	if !s.ground.stands() {
		s.startProgress(now)
		if s.ground.lacking() {
			s.tellWaiting(nil)
		}
		return
	}
	if !s.begun {
		waited := s.waitedFor()
		if s.waitOver(waited, now) {
			return
		}
		if len(waited) > 0 {
			s.startProgress(now)
			s.acknowledge(s.pending, "") // no child is concerned yet
			s.tellWaiting(waited)
			return
		}
		s.tellWaiting(nil)
		if now.Before(s.quiet.due) {
			s.alarm.by(alarmQuiet, s.quiet.due)
			return
		}
		if s.failures > 0 && s.alarm.isSet(alarmRetry) && s.quiet.due.IsZero() {
			return // nothing has changed since it failed
		}
	}
	if s.hooks.run != nil || s.alarm.isSet(alarmHook) {
		return // POST_STOP of the last child, or PRE_START has failed
	}
	s.prepare()
}

// tellWaiting tells those who wait for this container what it waits for itself,
// as the reason of its instances.
func (s *supervisor) tellWaiting(waited []*need) {
	var texts []string
	for _, n := range waited {
		texts = append(texts, n.Text)
	}
	if s.ground.lacking() {
		texts = append(texts, "a volume or a network that is gone")
	}
	if s.hooks.failures > 0 {
		texts = append(texts, "the hook PRE_START, which fails")
	}
	why := ""
	if len(texts) > 0 {
		why = "waits for " + strings.Join(texts, ", ")
	}
	if s.offers.waits != why {
		s.offers.waits = why
		s.declare()
	}
}

// waitOver ends the launcher when a requirement's wait is over before the first
// start.
func (s *supervisor) waitOver(waited []*need, now time.Time) bool {
	var next time.Time
	for _, n := range s.needs {
		if n.Wait <= 0 || !slices.Contains(waited, n) && s.failures+s.hooks.failures == 0 {
			continue
		}
		if at := s.consumer.began.Add(n.Wait); now.Before(at) {
			next = earlier(next, at)
			continue
		}
		s.log.Error("a requirement was not met in time", "alias", n.Alias, "requirement", n.Text, "wait", n.Wait,
			"listed", len(n.view.Endpoints), "min", n.Min, "last_error", s.last)
		s.end(process.StatusOwn)
		return true
	}
	if !next.IsZero() {
		s.alarm.by(alarmNeed, next)
	}
	return false
}

// prepare ends what an earlier child left behind and renders everything anew.
func (s *supervisor) prepare() {
	s.tellWaiting(nil)
	s.life, s.rendering = lifePreparing, true
	s.quiet, s.dirty, s.again = quiet{}, false, false
	s.alarm.off(alarmQuiet)
	s.alarm.off(alarmRetry)
	s.next = s.snapshot()
	in, again := s.next.rendering(s.set.ChildEnv), s.counts.restarts > 0 || s.hooks.began(settings.PreStart)
	s.aside.Go(func() {
		if again {
			s.Kernel.EndLeftovers(s.work, leftoverGrace)
		}
		s.preparing <- s.files.render(s.work, in)
	})
}

// prepared takes the result of prepare.
func (s *supervisor) prepared(r rendered) {
	s.rendering = false
	if s.life != lifePreparing {
		return
	}
	s.life = lifeWaiting
	s.noteRender(r)
	if r.err != nil {
		s.renderFailed(r.err)
		s.acknowledge(s.next.revisions, r.err.Error())
		if s.started.at.IsZero() {
			return // nothing good to start with yet
		}
	} else {
		s.renderWorked(r)
	}
	switch {
	case !s.stillWanted():
		return
	case !s.begun && !s.next.same(s.snapshot()) && (s.quiet.due.IsZero() || time.Now().Before(s.quiet.due)):
		return // moved on meanwhile, and not quiet yet
	}
	if r.err != nil {
		s.log.Warn("starting with the last good configuration")
		s.started.revisions = nil
	} else {
		environ, given := s.variables(r.env)
		s.started = started{
			at: s.started.at, command: r.command, env: r.env, environ: environ, given: given,
			views: s.ownViews(), self: s.effective.child.Self, revisions: maps.Clone(s.effective.revisions),
		}
	}
	if !s.preStart() {
		s.start()
	}
}

// stillWanted looks again, after something that took its time, whether nothing
// stands against a start.
func (s *supervisor) stillWanted() bool {
	switch {
	case s.begun && s.lost():
		s.waitAgain()
		return false
	case !s.begun && len(s.waitedFor()) > 0:
		return false // lost meanwhile
	case s.ground.lacking():
		return false // gone meanwhile
	}
	return true
}

// start starts the child with what s.started says. When it passes, the views of
// the revisions are in effect.
func (s *supervisor) start() {
	s.startCoprocesses(startsBefore)
	child, err := s.Kernel.Start(process.Spec{
		Args: s.started.command, Env: s.started.environ, User: s.set.User, Main: true,
		Prefix: s.prefix(path.Base(s.started.command[0])),
	})
	if err != nil {
		s.log.Error("cannot start the command", "cause", err)
		s.end(process.StartError(err))
		return
	}
	now := time.Now()
	s.child, s.exited = child, child.Exited()
	s.started.at = now
	s.life, s.begun = lifeRunning, true
	s.unproven = make(map[string]registry.Revision)
	maps.Copy(s.unproven, s.started.revisions)
	s.log.Info("started", "command", s.started.command[0], "pid", child.Pid())
	s.offers.started(now)
	s.counts.starts++
	s.reporter.use = nil // of the one before
	s.alarm.at(alarmUse, now.Add(firstUse))
	s.alarm.off(alarmProgress)
	s.alarm.at(alarmProof, now.Add(proofTime))
	s.poll()
	if s.again || s.dirty || !s.quiet.due.IsZero() {
		s.alarm.by(alarmQuiet, now.Add(s.set.QuietMin))
	}
	s.startCoprocesses(startsAfter)
	s.scheduleTasks(now)
	s.postStart()
}

// proven acknowledges the views that a child was started with once it passes,
// and says that it does not when that takes too long.
func (s *supervisor) proven() {
	if s.life != lifeRunning || s.unproven == nil {
		return
	}
	failure := ""
	switch ran := time.Since(s.started.at); {
	case len(s.offers.list) == 0 && ran < proofTime:
		return
	case s.offers.passing(), s.set.AutoPorts && s.serving(): // one found before may be gone for good
	case ran >= proofLimit:
		failure = "the child was started, and does not pass"
	default:
		s.alarm.at(alarmProof, s.started.at.Add(proofLimit))
		return
	}
	revisions := s.unproven
	s.unproven = nil
	s.acknowledge(revisions, failure)
}

// waitAgain waits as at the first start.
func (s *supervisor) waitAgain() {
	s.life, s.begun = lifeWaiting, false
	s.restart, s.unproven = nil, nil
	s.hooks.why = whyFirst
	s.consumer.began = time.Now()
	for _, n := range s.needs {
		n.reached, n.files.held, n.child.held = false, false, false
	}
	s.judge()
}
