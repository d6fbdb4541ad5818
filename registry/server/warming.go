package server

import (
	"time"

	"cleat/registry"
)

// The numbers of warming.
const (
	// maxWarming bounds it, whatever comes.
	maxWarming = time.Minute
	// shortWarming is how long it lasts when nobody has had a server before.
	shortWarming = registry.ReconnectCap + time.Second
	// maxRestored is a bound on how long what is known from before the start is
	// held, should warming never end.
	maxRestored = 24 * time.Hour
	// maxKnown is the largest expire_after that a server asks for.
	maxKnown = beatsMissed * maxBeat
)

// warming is the time after a start in which the server knows that it does not
// know: launchers that had a session may not be back yet.
//
//	warming --nobody came who had a session, for the reconnect cap + 1 s--> warm
//	   |  ^
//	   |  +-- somebody who had a session comes: until none has for one cap
//	   +----- the cap + the largest expire_after is over, at most 60 s ----> warm
//	   ^                                                                      |
//	   +-- nobody was there for 60 s, and somebody who had a session comes: --+
//	       from a server that has gone, and the others will follow
type warming struct {
	on        bool
	never     bool      // it was turned off
	alone     time.Time // since when there was no session, when there was none
	began     time.Time
	least     time.Duration // with anybody known; 0: as computed
	knew      bool          // somebody came who had a session
	lastKnown time.Time
	largest   time.Duration // expire_after of anybody
}

// end returns when warming ends, as things are.
func (w warming) end() time.Time {
	if !w.knew {
		if w.least > 0 {
			return w.began.Add(min(w.least, shortWarming))
		}
		return w.began.Add(shortWarming)
	}
	end := w.began.Add(max(w.least, registry.ReconnectCap+w.largest))
	if late := w.lastKnown.Add(registry.ReconnectCap); late.After(end) {
		end = late
	}
	if last := w.began.Add(max(w.least, maxWarming)); end.After(last) {
		end = last
	}
	return end
}

// startWarming begins it, unless least is 0.
func (c *core) startWarming(least *time.Duration) {
	if least != nil {
		c.warming.never, c.warming.least = *least <= 0, *least
	}
	if !c.warming.never {
		c.beginWarming()
	}
}

func (c *core) beginWarming() {
	c.index.warming.Store(true)
	c.warming = warming{on: true, least: c.warming.least, alone: c.warming.alone, began: c.now, largest: expireAfter(minBeat)}
	c.schedule(c.warming.end())
	c.happened(Event{Kind: KindWarming, Cause: CauseBegan})
	c.log.Info("warming begins: nothing is concluded from what is missing", "at_least", shortWarming)
}

// warmingKnown notes that somebody came who had a session before.
func (c *core) warmingKnown(expire time.Duration) {
	if !c.warming.on {
		if c.warming.never || len(c.sessions) > 1 || c.now.Sub(c.warming.alone) < maxWarming {
			return
		}
		c.beginWarming()
	}
	c.warming.knew = true
	c.warming.lastKnown = c.now
	c.warming.largest = max(c.warming.largest, min(expire, maxKnown))
}

// endWarming ends it when its time is over: every session gets one complete
// view, from which it may conclude what it likes.
func (c *core) endWarming() {
	if !c.warming.on {
		return
	}
	if end := c.warming.end(); c.now.Before(end) {
		c.schedule(end)
		return
	}
	dropped := c.releaseRestored()
	c.warming.on = false
	c.index.warming.Store(false)
	for _, v := range c.views {
		v.revision = c.change()
		v.complete = nil
		v.added, v.dropped = nil, nil // the complete view has it all
	}
	c.dirty = nil
	for _, s := range c.sessions {
		for _, sub := range s.subs {
			sub.due = true
		}
		c.owe(s)
	}
	for _, services := range c.namespaces {
		for _, s := range services {
			s.gone = nil
			c.forget(s)
		}
	}
	c.happened(Event{Kind: KindWarming, Cause: CauseOver})
	c.log.Info("warming ends", "after", c.now.Sub(c.warming.began).Round(time.Millisecond), "sessions", len(c.sessions), "instances", len(c.instances), "unconfirmed", dropped)
}
