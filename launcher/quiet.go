package launcher

import "time"

// quiet is the time between a first change and what is done about it, in which
// more changes may come: each one extends it by min, up to max after the first.
// A drain, which somebody waits for, ends it after min at the latest. The zero
// value is no quiet period.
type quiet struct {
	first   time.Time
	due     time.Time
	hurried bool // by a drain: further changes do not extend it
}

// changed returns the quiet period after a change at now; splay is added to
// its first due time only, and not in a hurry.
func (q quiet) changed(now time.Time, least, most, splay time.Duration, hurry bool) quiet {
	if q.first.IsZero() {
		q.first = now
	} else {
		splay = 0
	}
	switch due := now.Add(least); {
	case hurry && !q.hurried:
		q.hurried = true
		if q.due.IsZero() || due.Before(q.due) {
			q.due = due
		}
	case !q.hurried:
		due = due.Add(splay)
		if last := q.first.Add(most + splay); due.After(last) {
			due = last
		}
		if due.After(q.due) {
			q.due = due
		}
	}
	return q
}

// distance keeps restarts by change apart, so that two containers that require
// each other cannot restart each other for ever.
type distance struct {
	last time.Time     // when the last restart began
	gap  time.Duration // that the next one keeps from it
}

const (
	// leastGap is the distance between restarts by change, to begin with.
	leastGap = 10 * time.Second
	// mostGap is what it doubles up to while changes keep coming.
	mostGap = 5 * time.Minute
)

// next returns when a restart asked for at now may begin.
func (d distance) next(now time.Time) time.Time {
	if at := d.last.Add(d.gap); at.After(now) {
		return at
	}
	return now
}

// restarted returns the distance after a restart that began at now; waited says
// that it had to wait for the distance to end.
func (d distance) restarted(now time.Time, waited bool) distance {
	switch {
	case waited:
		return distance{now, min(2*d.gap, mostGap)}
	case d.gap > leastGap && now.Before(d.last.Add(2*d.gap)):
		return distance{now, d.gap} // not one whole distance without a change yet
	}
	return distance{now, leastGap}
}

// backoff is the wait before attempt n (from 0) of something that fails: least
// doubled n times, at most most.
func backoff(n int, least, most time.Duration) time.Duration {
	for range n {
		if least *= 2; least >= most {
			return most
		}
	}
	return least
}
