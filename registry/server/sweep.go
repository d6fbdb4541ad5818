package server

import (
	"time"
)

// The numbers of the beat.
const (
	// minBeat is how often launchers beat while there are few.
	minBeat = 3 * time.Second
	// maxBeat is how often they beat when there are many.
	maxBeat = 15 * time.Second
	// sessionsPerBeat is the number of sessions for which the beat is minBeat.
	// It grows by one minBeat with every so many more.
	sessionsPerBeat = 2000
	// beatsMissed is the number of beats after which a silent session is lost.
	beatsMissed = 3
	// beatsSilent is the number of beats after which a silent session counts
	// when the server asks itself whether many are being lost.
	beatsSilent = 2
	// sweepEvery is how often the server looks at all sessions.
	sweepEvery = time.Second
)

// beatEvery returns how often launchers should beat when there are so many
// sessions and they beat every now so far. It is slower at once, and faster
// again only when the number has fallen by a fifth more than it must, so that
// a number that goes up and down around a limit costs nothing.
func beatEvery(sessions int, now time.Duration) time.Duration {
	step := func(sessions int) time.Duration {
		return min(maxBeat, minBeat*time.Duration(max(1, (sessions+sessionsPerBeat-1)/sessionsPerBeat)))
	}
	if want := step(sessions); want >= now {
		return want
	}
	return min(now, step(sessions+sessions/4))
}

// expireAfter returns after how long a silent session is lost.
func expireAfter(beat time.Duration) time.Duration { return beatsMissed * beat }

// beat is how often launchers are asked to beat.
type beat struct {
	every time.Duration
	// When it becomes shorter, sessions are still given the longer time to
	// expire for a while: they must hear of it first.
	grace     time.Duration
	graceTill time.Time
}

func (b beat) expire(now time.Time) time.Duration {
	if now.Before(b.graceTill) {
		return max(b.grace, expireAfter(b.every))
	}
	return expireAfter(b.every)
}

// sweep is the look at all deadlines.
type sweep struct {
	last     time.Time
	wokeTill time.Time        // what is found closed until then closed while the server was away
	silent   int              // sessions silent for two beats
	silentOf map[*service]int // instances of theirs
}

// wake finds out whether the server itself was away: stopped, or starved. Then
// nobody can be blamed for silence, and every deadline starts again.
func (c *core) wake() {
	away := c.now.Sub(c.sweep.last)
	if away <= c.beat.every {
		return
	}
	heard := int64(c.now.Sub(c.start))
	for _, s := range c.sessions {
		s.heard.Store(heard)
	}
	later := func(t *time.Time) {
		if !t.IsZero() {
			*t = t.Add(away)
		}
	}
	later(&c.losses.gatherAt)
	later(&c.beat.graceTill)
	later(&c.warming.began)
	later(&c.warming.lastKnown)
	for _, d := range c.losses.departed {
		later(&d.at)
	}
	for _, cl := range c.claims {
		later(&cl.till)
	}
	for i := range c.held.all {
		later(&i.heldTill)
	}
	for d := range c.drains.all {
		d.shift(away)
	}
	for _, i := range c.timed {
		later(&i.kept.renewed)
		later(&i.kept.critical)
	}
	c.happened(Event{Kind: KindServer, Cause: CauseAway, Why: "for " + away.Round(time.Millisecond).String()})
	c.sweep.last = c.now
	c.sweep.wokeTill = c.now.Add(sweepEvery)
	c.sweep.silent, c.sweep.silentOf = 0, nil
	c.schedule(c.now.Add(sweepEvery))
	c.log.Warn("the server was away: every deadline starts again", "away", away.Round(time.Millisecond))
}

// sweepAll looks at all sessions.
func (c *core) sweepAll() {
	if next := c.sweep.last.Add(sweepEvery); c.now.Before(next) {
		c.schedule(next)
		return
	}
	c.sweep.last = c.now
	c.schedule(c.now.Add(sweepEvery))

	c.adjustBeat()
	lost := int64(c.now.Add(-c.beat.expire(c.now)).Sub(c.start))
	silent := int64(c.now.Add(-c.beat.expire(c.now) * beatsSilent / beatsMissed).Sub(c.start))
	var expired []*session
	c.sweep.silent, c.sweep.silentOf = 0, nil
	for _, s := range c.sessions {
		heard := s.heard.Load()
		if heard > silent {
			continue
		}
		if heard <= lost {
			expired = append(expired, s)
			continue
		}
		c.sweep.silent++
		if c.sweep.silentOf == nil {
			c.sweep.silentOf = make(map[*service]int)
		}
		for _, i := range s.provides {
			c.sweep.silentOf[i.service]++
		}
	}
	for _, s := range expired {
		c.expire(s, "silent for "+c.beat.expire(c.now).String())
		if s.cut != nil {
			s.cut()
		}
	}
	c.sweepKept()
	c.sweepMarks()
	c.release()
	c.losses.forgetRecent(c.now)
	for s := range c.losses.services {
		c.prune(s)
	}
	for id, d := range c.losses.departed {
		if c.now.Sub(d.at) > max(c.beat.every, maxHeld) {
			delete(c.losses.departed, id)
		}
	}
	for _, v := range c.encoded {
		v.complete = nil
	}
	clear(c.encoded)
	c.encoded = c.encoded[:0]
	c.findCycles()
}

// adjustBeat asks all launchers to beat faster or slower when their number says
// so.
func (c *core) adjustBeat() {
	every := beatEvery(len(c.sessions), c.beat.every)
	if every == c.beat.every {
		return
	}
	if every < c.beat.every {
		c.beat.grace = expireAfter(c.beat.every)
		c.beat.graceTill = c.now.Add(c.beat.grace)
	}
	c.beat.every = every
	for _, s := range c.sessions {
		c.welcome(s, nil)
	}
}
