package health

import (
	"context"
	"net/netip"
	"time"

	"cleat/internal/probe"
	"cleat/registry"
)

// Target is one port that is checked.
type Target struct {
	ID    string // of the instance
	Check Check
	// Addr is what the child listens on ([Choose]); all addresses (0.0.0.0, ::)
	// are checked through loopback. The zero value: it does not listen.
	Addr netip.AddrPort
	// Env is the environment of commands and scripts, "NAME=value" each; they
	// also get SERVICE_IP and SERVICE_PORT. Nobody changes it later.
	Env []string
}

// overtime is how long a check may take to end when its timeout is over. All of
// them end at once but a process that is stuck in the kernel.
const overtime = 2 * time.Second

// target is a Target and all that is known of it. The Checker's lock guards it.
type target struct {
	Target // Check with its defaults

	run      *run // the one that has not ended, perhaps from before it listened last; nil: none
	next     time.Time
	schedule schedule

	judgement probe.Judgement
	last      probe.Outcome  // that the status is made of
	since     time.Time      // of the status critical; zero: it is not
	reported  time.Time      // TTL: when the last report came, or since when one is waited for
	early     *probe.Outcome // TTL: a report that came before it listened

	result  Result // as told last; no status: nothing was told
	changed bool   // and not yet taken
}

// run is one check.
type run struct {
	began  time.Time
	cancel context.CancelFunc
	stale  bool // its outcome means nothing any more
	late   bool // it has been judged for not ending
}

// listens says whether the child listens.
func (t *target) listens() bool { return t.Addr.IsValid() }

// forget takes away all that is known, and ends a check that runs.
func (t *target) forget() {
	if t.run != nil {
		t.run.stale, t.run.late = true, false // it is given time again
		t.run.cancel()
	}
	t.judgement, t.last, t.since, t.early = probe.Judgement{}, probe.Outcome{}, time.Time{}, nil
	t.result, t.changed = Result{}, false
}

// begin is called when the child listens, or listens elsewhere.
func (t *target) begin(now time.Time) {
	t.schedule, t.next, t.reported = schedule{}, now, now
	if t.Check.Initial != "" {
		t.judgement.Status = t.Check.Initial
		t.schedule.served = t.Check.Initial.Serving()
		t.settle(probe.Outcome{Status: t.Check.Initial, Reason: "not checked yet"}, now)
	}
}

// ended takes the end of a check, and says when the next one is due.
func (t *target) ended(r *run, o probe.Outcome, now time.Time, random float64) {
	t.run = nil
	if r.stale {
		// A check that begin has asked for may have waited for this.
		return
	}
	if !r.late {
		t.judge(o, now)
	}
	var gap time.Duration
	t.schedule, gap = t.schedule.next(t.Check.Interval, t.judgement.Status.Serving(), random)
	t.next = r.began.Add(gap)
}

// judge takes an outcome.
func (t *target) judge(o probe.Outcome, now time.Time) {
	t.judgement = t.judgement.Next(o.Status, t.Check.Rise, t.Check.Fall)
	switch t.judgement.Status {
	case o.Status:
		t.settle(o, now)
	case "":
	default:
		// By several outcomes, that agree on less than the last one: its reason
		// is still the best there is. While they are too few, nothing changes.
		if t.judgement.Status != t.last.Status {
			o.Status = t.judgement.Status
			t.settle(o, now)
		}
	}
}

// settle makes an outcome the status.
func (t *target) settle(o probe.Outcome, now time.Time) {
	t.last = o
	switch {
	case o.Status != registry.Critical:
		t.since = time.Time{}
	case t.since.IsZero():
		t.since = now
	}
	t.tell(now)
}

// tell makes the result of what is known now.
func (t *target) tell(now time.Time) {
	r := Result{ID: t.ID, Status: t.last.Status, Reason: t.last.Reason, Output: t.last.Output}
	if after := t.Check.DeregisterAfter; after > 0 && !t.since.IsZero() {
		r.Withdrawn = now.Sub(t.since) >= after
	}
	if r.Status != t.result.Status || r.Reason != t.result.Reason || r.Withdrawn != t.result.Withdrawn {
		t.result, t.changed = r, true
	}
}

// report takes what the child says of itself.
func (t *target) report(o probe.Outcome, now time.Time) {
	t.reported = now
	if !t.listens() {
		t.early = &o
		return
	}
	t.judgement = probe.Judgement{Status: o.Status}
	t.settle(o, now)
}

// due says that a check is to be started.
func (t *target) due(now time.Time) bool {
	return t.listens() && t.Check.Kind != TTL && t.run == nil && !now.Before(t.next)
}

// pass looks at what is over by now.
func (t *target) pass(now time.Time) {
	if !t.listens() {
		return
	}
	if t.Check.Kind == TTL && !now.Before(t.reported.Add(t.Check.TTL)) && t.judgement.Status != registry.Critical {
		t.judgement = probe.Judgement{Status: registry.Critical}
		t.settle(probe.Critical("no report for %v", t.Check.TTL), now)
	}
	if r := t.run; r != nil && !r.late && !now.Before(t.overdue()) {
		r.late = true
		t.judge(probe.Critical("a check does not end, though it was killed"), now)
	}
	if !t.since.IsZero() {
		t.tell(now)
	}
}

// overdue is when the check that runs should have ended. One from before the
// port listened last was killed then.
func (t *target) overdue() time.Time {
	if t.run.stale {
		return t.next.Add(overtime)
	}
	return t.run.began.Add(t.Check.Timeout + overtime)
}

// deadline is when something will be over next; the zero time: never.
func (t *target) deadline() time.Time {
	var first time.Time
	at := func(when time.Time) {
		if first.IsZero() || when.Before(first) {
			first = when
		}
	}
	switch r := t.run; {
	case !t.listens():
		return first
	case t.Check.Kind == TTL:
		if t.judgement.Status != registry.Critical {
			at(t.reported.Add(t.Check.TTL))
		}
	case r == nil:
		at(t.next)
	case !r.late:
		at(t.overdue())
	}
	if t.Check.DeregisterAfter > 0 && !t.since.IsZero() && !t.result.Withdrawn {
		at(t.since.Add(t.Check.DeregisterAfter))
	}
	return first
}
