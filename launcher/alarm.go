package launcher

import "time"

// alarm is one of the supervisor's deadlines. Each has at most one time set; an
// alarm that rings when the state has moved on is harmless, because the state
// decides what it means.
type alarm int

const (
	alarmQuiet     alarm = iota // the quiet period after a change is over
	alarmPoll                   // look at the listening sockets again
	alarmProgress               // say what is still waited for
	alarmNeed                   // a requirement's own time is over (optional, fallback, wait, a ghost)
	alarmRetry                  // try a failed render or action again
	alarmRestart                // the next restart by change is allowed
	alarmBackoff                // start the child again after it ended by itself
	alarmProof                  // a child that offers nothing has run long enough
	alarmSettled                // the child has had its time to apply a signal
	alarmDrained                // the drain has taken as long as it may
	alarmLinger                 // look at the established connections again
	alarmStop                   // the stop has taken as long as it may
	alarmBegin                  // the session begins, though no address is known yet
	alarmDeclare                // an address is missing: look for it again
	alarmHook                   // try a failed PRE_START again
	alarmCoprocess              // a coprocess is to be started again, or killed
	alarmTask                   // a task is due
	alarmUse                    // find out what the child uses
	alarmReport                 // the next report may go
	alarmGround                 // a volume is tried again, or its or a network's wait is over
	alarms
)

// deadlines keeps the times of the alarms, and the one timer that wakes the loop
// for them.
type deadlines struct {
	due   [alarms]time.Time
	timer *time.Timer
}

func newDeadlines() *deadlines {
	d := &deadlines{timer: time.NewTimer(time.Hour)}
	d.timer.Stop()
	return d
}

// at sets the alarm's time, in place of an earlier one.
func (d *deadlines) at(a alarm, t time.Time) { d.due[a] = t }

// by sets the alarm's time unless it is already due earlier.
func (d *deadlines) by(a alarm, t time.Time) {
	if d.due[a].IsZero() || t.Before(d.due[a]) {
		d.due[a] = t
	}
}

// off clears the alarm.
func (d *deadlines) off(a alarm) { d.due[a] = time.Time{} }

// offAll clears every alarm.
func (d *deadlines) offAll() { clear(d.due[:]) }

// isSet reports whether the alarm has a time.
func (d *deadlines) isSet(a alarm) bool { return !d.due[a].IsZero() }

// ringing clears and returns the alarms whose time has come.
func (d *deadlines) ringing(now time.Time) []alarm {
	var rung []alarm
	for a, t := range d.due {
		if !t.IsZero() && !now.Before(t) {
			d.due[a] = time.Time{}
			rung = append(rung, alarm(a))
		}
	}
	return rung
}

// arm sets the timer to the earliest deadline.
func (d *deadlines) arm() {
	var first time.Time
	for _, t := range d.due {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if first.IsZero() {
		d.timer.Stop()
		return
	}
	d.timer.Reset(time.Until(first))
}
