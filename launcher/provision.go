package launcher

import (
	"context"
	"errors"
	"time"

	"cleat/launcher/process"
)

const (
	// exitOwn is the exit code of cleat's own failures.
	exitOwn = process.StatusOwn
	// provisionTime is how long a provision command may take. Only one that
	// hangs needs longer than this to make a file system.
	provisionTime = time.Hour
	// rollbackTime is how long a release command may take to make room for
	// another attempt.
	rollbackTime = time.Minute
	// leastRelease is how long all release commands together have at least at the
	// end, even when the stop has used up its time.
	leastRelease = 500 * time.Millisecond
)

// provision runs the command that makes a volume.
func (s *supervisor) provision(v *volumeState) {
	s.ground.begin(s, workProvision, v, func() (r groundResult) {
		r.err = s.groundCommand(s.work, v.Provision, provisionTime)
		return r
	})
}

// groundCommand runs a command as cleat's own user: the child's can seldom
// mount anything.
func (s *supervisor) groundCommand(ctx context.Context, command string, most time.Duration) error {
	words, err := splitCommand(command)
	if err != nil {
		return err
	}
	return runCommand(ctx, s.Kernel, process.Spec{Args: words, Env: s.set.ChildEnv}, most)
}

// provisionEnded takes the end of a provision command. One that says that it
// has failed has undone its own work. Of one that was ended by a signal nobody
// knows how far it came: that is released like one that succeeded.
func (s *supervisor) provisionEnded(v *volumeState, r groundResult) {
	g := &s.ground
	if r.err == nil || interrupted(r.err) {
		v.provisioned = true
		g.undo = append(g.undo, v)
	}
	g.stale = true
	switch {
	case s.life.stopping():
	case r.err == nil:
		g.attempts, v.failed = 0, nil
		s.log.Info("provisioned a volume", "volume", v.Name, "path", v.Path, "took", round(r.took))
	default:
		v.failed = r.err
		s.groundFailed()
		s.log.Error("a provision command failed; what was provisioned is released, and all is tried again", "volume", v.Name, "path", v.Path,
			"in", round(time.Until(g.retry)), "cause", r.err)
		g.rolling = true
	}
}

// interrupted reports whether a command was started, and ended by a signal.
func interrupted(err error) bool {
	if exit, ok := errors.AsType[*process.ExitError](err); ok {
		return exit.Exit.Signal != 0
	}
	return errors.Is(err, process.ErrKilled)
}

// releaseNext releases the volume that was provisioned last. When none is left,
// the life is over, or begins anew.
func (s *supervisor) releaseNext() {
	g := &s.ground
	for len(g.undo) > 0 {
		last := len(g.undo) - 1
		v := g.undo[last]
		g.undo = g.undo[:last]
		v.provisioned, v.ready = false, false
		if v.Release == "" {
			continue
		}
		most := rollbackTime
		if s.life == lifeReleasing {
			most = s.releaseTime(1 + g.releases())
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		g.hurry = cancel
		g.begin(s, workRelease, v, func() (r groundResult) {
			defer cancel(nil)
			r.err = s.groundCommand(ctx, v.Release, most)
			return r
		})
		return
	}
	g.rolling = false
	if s.life == lifeReleasing {
		s.life = lifeOver
	}
}

func (s *supervisor) releaseEnded(v *volumeState, r groundResult) {
	s.ground.stale = true
	if r.err != nil {
		s.log.Error("cannot release a volume", "volume", v.Name, "path", v.Path, "cause", r.err)
		return
	}
	s.log.Info("released a volume", "volume", v.Name, "path", v.Path, "took", round(r.took))
}

// toRelease reports whether something is, or may yet turn out to be,
// provisioned.
func (g *ground) toRelease() bool {
	return len(g.undo) > 0 || g.work == workProvision || g.work == workRelease
}

// releases counts the release commands that are still to be run.
func (g *ground) releases() int {
	n := 0
	for _, v := range g.undo {
		if v.Release != "" {
			n++
		}
	}
	return n
}

// releaseTime is how long the next of so many release commands may take at the
// end: they share what is left evenly.
func (s *supervisor) releaseTime(left int) time.Duration {
	return max(time.Until(s.parting.until)/time.Duration(left), s.ground.least)
}

// release releases the volumes; then life is over.
func (s *supervisor) release() {
	g := &s.ground
	if !g.toRelease() {
		s.life = lifeOver
		return
	}
	s.life = lifeReleasing
	left := g.releases()
	if g.work == workRelease || g.work == workProvision {
		left++ // that one's, or the one that undoes it
	}
	g.least = leastRelease / time.Duration(max(left, 1))
	if g.work == workRelease { // it began when there was more time
		s.alarm.at(alarmGround, time.Now().Add(s.releaseTime(left)))
	}
	s.keep()
	s.endKeeping() // the file may be on a volume
	s.keeper, s.endKeeping = nil, func() {}
	s.stepGround() // nothing else may happen that would begin it
}
