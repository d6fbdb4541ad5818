package health

import (
	"slices"
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	for _, test := range []struct {
		name     string
		interval time.Duration
		serving  []bool
		random   float64
		want     []time.Duration
	}{
		{"eager until it serves", 3 * s, []bool{false, false, false, false, false, false, true, false, true}, 0.25,
			[]time.Duration{250 * ms, 500 * ms, s, 2 * s, 3 * s, 3 * s, 2250 * ms, 3 * s, 3 * s}},
		{"at once", 10 * s, []bool{true, true, false, false}, 0.9, []time.Duration{s, 10 * s, 10 * s, 10 * s}},
		{"the random gap is never nothing", 10 * s, []bool{true}, 0.99999, []time.Duration{100 * time.Microsecond}},
		{"and never more than the interval", 10 * s, []bool{true}, 0, []time.Duration{10 * s}},
		{"a short interval is never exceeded", 100 * ms, []bool{false, false, true}, 0, []time.Duration{100 * ms, 100 * ms, 100 * ms}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var plan schedule
			var got []time.Duration
			for _, serving := range test.serving {
				var gap time.Duration
				plan, gap = plan.next(test.interval, serving, test.random)
				got = append(got, gap.Round(time.Microsecond))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestScheduleOfWhatNeverServes(t *testing.T) {
	var plan schedule
	for i := range 200 {
		var gap time.Duration
		plan, gap = plan.next(24*time.Hour, false, 0.5)
		if gap <= 0 || gap > 24*time.Hour {
			t.Fatalf("gap %d is %v", i, gap)
		}
	}
}
