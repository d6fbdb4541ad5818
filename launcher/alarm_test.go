package launcher

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeadlines()
		start := time.Now()
		d.at(alarmQuiet, start.Add(3*time.Second))
		d.at(alarmQuiet, start.Add(5*time.Second)) // in place of the earlier one
		d.by(alarmPoll, start.Add(2*time.Second))
		d.by(alarmPoll, start.Add(4*time.Second)) // it is due earlier already
		d.at(alarmStop, start.Add(time.Second))
		d.off(alarmStop)
		if d.isSet(alarmStop) || !d.isSet(alarmPoll) {
			t.Errorf("alarms that are set: stop %v, poll %v; expected only poll", d.isSet(alarmStop), d.isSet(alarmPoll))
		}
		type ring struct {
			alarm alarm
			at    time.Duration
		}
		var rings []ring
		for {
			d.arm()
			select {
			case <-d.timer.C:
				for _, a := range d.ringing(time.Now()) {
					rings = append(rings, ring{a, time.Since(start)})
				}
				continue
			case <-time.After(time.Minute):
			}
			break
		}
		if want := []ring{{alarmPoll, 2 * time.Second}, {alarmQuiet, 5 * time.Second}}; !slices.Equal(rings, want) {
			t.Errorf("rang %v, expected %v", rings, want)
		}
	})
}

func TestDeadlinesInThePastRingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeadlines()
		start := time.Now()
		d.at(alarmRetry, start.Add(-time.Hour))
		d.at(alarmNeed, start)
		d.at(alarmStop, start.Add(1))
		d.arm()
		<-d.timer.C
		if got, want := d.ringing(time.Now()), []alarm{alarmNeed, alarmRetry}; !slices.Equal(got, want) || time.Since(start) != 0 {
			t.Errorf("after %v rang %v, expected %v at once", time.Since(start), got, want)
		}
		d.off(alarmStop)
		d.arm() // nothing is left: an earlier time of the timer must not ring
		select {
		case <-d.timer.C:
			t.Error("the timer rings with no alarm set")
		case <-time.After(time.Minute):
		}
	})
}
