package health

import "time"

// eagerGap is the time between the first two checks while none has succeeded;
// it doubles up to the interval. Fast enough that a start is not held up, and
// in a second not more than two checks for a child that needs its time.
const eagerGap = 250 * time.Millisecond

// schedule says how far apart the starts of checks are.
type schedule struct {
	failed  int  // checks until the first success
	served  bool // there was one
	aligned bool // the random gap is over
}

// next takes the end of a check, with the status as it is now, and returns the
// gap between its start and the next one's. random is in [0,1).
func (s schedule) next(interval time.Duration, serving bool, random float64) (schedule, time.Duration) {
	switch {
	case s.aligned:
		return s, interval
	case s.served || serving:
		s.served, s.aligned = true, true
		return s, interval - time.Duration(random*float64(interval))
	}
	gap := interval
	// More doublings than these would only overflow.
	if s.failed < 30 {
		gap = min(gap, eagerGap<<s.failed)
	}
	s.failed++
	return s, gap
}
