package launcher

import (
	"slices"
	"time"

	"cleat/registry"
)

const (
	// grantTime is how long a restart may wait for the server to let it drain:
	// the server's queue is at most that long.
	grantTime = 5 * time.Minute
	// lingerPoll is how often the established connections are counted.
	lingerPoll = 50 * time.Millisecond
)

// drain is what is known of the drain under way.
//
//	none --ask--> asked --answered--> lingering --no connection, time over--> none
//	                |                     |
//	                +--- time over, nobody concerned, a second stop signal ---+
//
// It is the same for a restart in place (life is turning) and for the stop
// (draining, then lingering).
type drain struct {
	asked  bool // and neither answered nor given up
	ids    []string
	began  time.Time // when it was first asked for
	hidden bool      // the instances are declared as draining

	linger time.Time // until when connections may end; zero: not that far
}

// askInPlace asks the server to drain the instances before the child is told to
// end, and to be started again. Until it has answered they are not declared as
// draining: they serve on while others restart.
func (s *supervisor) askInPlace(began time.Time) {
	s.drain = drain{asked: true, ids: s.offers.ids(), began: began}
	s.alarm.at(alarmDrained, began.Add(grantTime+s.set.Drain))
	s.Client.Drain(registry.Drain{IDs: s.drain.ids, Wait: registry.InMilliseconds(s.set.Drain), InPlace: true})
}

// askForGood asks the server to drain the instances for good, in what is left
// of the time since the drain began.
func (s *supervisor) askForGood(began time.Time) {
	left := time.Until(began.Add(s.set.Drain))
	if left <= 0 {
		return
	}
	s.drain = drain{asked: true, ids: s.offers.ids(), began: began}
	s.alarm.at(alarmDrained, began.Add(s.set.Drain))
	s.Client.Drain(registry.Drain{IDs: s.drain.ids, Wait: registry.InMilliseconds(left)})
	s.overlay(true)
	s.declare()
}

// drained takes the server's word that a drain is over. One that nobody waits
// for is of a restart that was overtaken: the server hides the instances until
// it is told otherwise.
func (s *supervisor) drained(d registry.Drained) {
	if !s.drain.asked {
		if !s.life.stopping() && s.life != lifeHalting {
			s.redeclare()
		}
		return
	}
	if !sameIDs(d.IDs, s.drain.ids) {
		return
	}
	s.log.Info("drained", "took", round(time.Since(s.drain.began)), "acknowledged", d.Applied, "pending", d.Pending, "blind", d.Blind)
	s.drainOver(&d)
}

// drainOver goes on after a drain: with the server's answer, or without when it
// has taken too long.
func (s *supervisor) drainOver(answer *registry.Drained) {
	if !s.drain.asked {
		return
	}
	s.drain.asked = false
	s.alarm.off(alarmDrained)
	if answer == nil {
		s.log.Warn("a drain was not answered in time; going on", "after", round(time.Since(s.drain.began)))
	}
	s.overlay(true)
	s.declare()
	if answer == nil || answer.Alone {
		s.drainDone() // no time, or nobody has anywhere else to go
		return
	}
	s.drain.linger = time.Now().Add(s.set.Linger)
	if s.life == lifeDraining {
		s.life = lifeLingering
		s.drain.linger = earlier(s.drain.linger, s.drain.began.Add(s.set.Drain))
	}
	s.linger()
}

// linger waits until the established connections have ended, or the time for
// it has.
func (s *supervisor) linger() {
	if s.drain.linger.IsZero() || s.life != lifeLingering && s.life != lifeTurning {
		return
	}
	now := time.Now()
	if !now.Before(s.drain.linger) {
		s.drainDone()
		return
	}
	if s.Established != nil {
		var ports []uint16
		for _, of := range s.offers.list {
			if of.Protocol == registry.TCP {
				ports = append(ports, of.Port)
			}
		}
		if n, err := s.Established(ports); err == nil && n == 0 {
			s.drainDone()
			return
		}
	}
	s.alarm.at(alarmLinger, earlier(now.Add(lingerPoll), s.drain.linger))
}

// drainDone tells the child to end.
func (s *supervisor) drainDone() {
	if s.life == lifeTurning {
		s.halt()
		return
	}
	s.terminate()
}

// endDrain forgets the drain under way. The instances stay as they are
// declared.
func (s *supervisor) endDrain() {
	s.drain = drain{hidden: s.drain.hidden}
	s.alarm.off(alarmDrained)
	s.alarm.off(alarmLinger)
}

// redrain asks again for a drain that the loss of the connection interrupted.
func (s *supervisor) redrain() {
	switch {
	case !s.drain.asked:
	case s.life == lifeTurning && s.drain.hidden, s.life == lifeDraining:
		s.askForGood(s.drain.began)
	case s.life == lifeTurning:
		s.askInPlace(s.drain.began)
	}
}

// drainInterrupted takes the loss of the connection during a drain in place: if
// it does not come back in time, the restart goes without.
func (s *supervisor) drainInterrupted() {
	if s.life == lifeTurning && s.drain.asked {
		s.alarm.by(alarmDrained, time.Now().Add(s.set.Drain))
	}
}

// serving reports whether an instance may be in somebody's view.
func (s *supervisor) serving() bool {
	return slices.ContainsFunc(s.offers.list, func(of *offering) bool { return of.state.Serving() })
}

func sameIDs(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
