package launcher

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestQuiet(t *testing.T) {
	const least, most, splay = 100 * time.Millisecond, 2 * time.Second, 300 * time.Millisecond
	type event struct {
		at    time.Duration
		hurry bool
		due   time.Duration // of the period after it
	}
	tests := map[string]struct {
		splay  time.Duration
		events []event
	}{
		"one change": {0, []event{{at: 0, due: least}}},
		"each one extends it": {0, []event{
			{at: 0, due: 100 * time.Millisecond},
			{at: 50 * time.Millisecond, due: 150 * time.Millisecond},
			{at: 140 * time.Millisecond, due: 240 * time.Millisecond},
		}},
		"up to max after the first": {0, []event{
			{at: 0, due: least},
			{at: 1950 * time.Millisecond, due: most},
			{at: 1999 * time.Millisecond, due: most},
		}},
		"the splay comes once": {splay, []event{
			{at: 0, due: least + splay},
			{at: 350 * time.Millisecond, due: 450 * time.Millisecond},
		}},
		"a change never shortens it": {splay, []event{
			{at: 0, due: least + splay},
			{at: 10 * time.Millisecond, due: least + splay},
		}},
		"a drain waits only min, and no splay": {splay, []event{{at: 0, hurry: true, due: least}}},
		"a drain shortens what has begun": {splay, []event{
			{at: 0, due: least + splay},
			{at: 20 * time.Millisecond, hurry: true, due: 120 * time.Millisecond},
		}},
		"a drain does not lengthen what has begun": {0, []event{
			{at: 0, due: least},
			{at: 60 * time.Millisecond, hurry: true, due: least},
		}},
		"nothing extends it after a drain": {splay, []event{
			{at: 0, hurry: true, due: least},
			{at: 50 * time.Millisecond, due: least},
			{at: 60 * time.Millisecond, hurry: true, due: least},
			{at: 90 * time.Millisecond, due: least},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var q quiet
			for _, e := range test.events {
				q = q.changed(dawn.Add(e.at), least, most, test.splay, e.hurry)
				if got := q.due.Sub(dawn); got != e.due {
					t.Errorf("after the change at %v it is due at %v, expected %v", e.at, got, e.due)
				}
			}
		})
	}
}

func TestQuietIsNeverLongerThanMax(t *testing.T) {
	const least, most = 100 * time.Millisecond, 2 * time.Second
	var q quiet
	for at := time.Duration(0); at < most; at += 10 * time.Millisecond {
		if q = q.changed(dawn.Add(at), least, most, 0, false); q.due.After(dawn.Add(most)) {
			t.Fatalf("after a change at %v it is due at %v", at, q.due.Sub(dawn))
		}
	}
	if q.due != dawn.Add(most) {
		t.Errorf("a change every 10ms ends it after %v, expected %v", q.due.Sub(dawn), most)
	}
}

func TestQuietOfNothing(t *testing.T) {
	q := quiet{}.changed(dawn, 0, 0, 0, false)
	if q.due != dawn {
		t.Errorf("CLEAT_QUIET=0s:0s: due after %v, expected at once", q.due.Sub(dawn))
	}
}

func TestDistanceDoublesWhileChangesKeepComing(t *testing.T) {
	d := distance{gap: leastGap}
	now := dawn
	if got := d.next(now); got != now {
		t.Errorf("the first restart may begin after %v, expected at once", got.Sub(now))
	}
	d = d.restarted(now, false)
	var gaps []string
	for range 8 {
		at := d.next(now.Add(time.Millisecond)) // the next change comes at once
		gaps = append(gaps, at.Sub(now).String())
		now = at
		d = d.restarted(now, true)
	}
	want := []string{"10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s", "5m0s"}
	if !slices.Equal(gaps, want) {
		t.Errorf("the distances are %v, expected %v", gaps, want)
	}
}

func TestDistanceIsShortAgainAfterOneWithoutAChange(t *testing.T) {
	d := distance{last: dawn, gap: 40 * time.Second}
	late := dawn.Add(80 * time.Second) // one whole distance after the last one was over
	if at := d.next(late); at != late {
		t.Errorf("the restart has to wait for %v, expected to begin at once", at.Sub(late))
	}
	if got := d.restarted(late, false); got != (distance{late, leastGap}) {
		t.Errorf("the distance is %+v, expected %v", got, leastGap)
	}
	early := late.Add(-time.Millisecond)
	if got := d.restarted(early, false); got != (distance{early, 40 * time.Second}) {
		t.Errorf("the distance is %+v, expected to stay 40s", got)
	}
}

func TestPingPongSlowsDown(t *testing.T) {
	// Two containers that require each other: each one's restart is a change
	// for the other, 2s later.
	const hour, reaction = time.Hour, 2 * time.Second
	var d [2]distance
	for i := range d {
		d[i].gap = leastGap
	}
	restarts := 0
	now, who := dawn, 0
	for now.Before(dawn.Add(hour)) {
		at := d[who].next(now)
		d[who] = d[who].restarted(at, at.After(now))
		restarts++
		now, who = at.Add(reaction), 1-who
	}
	if most := 45; restarts > most {
		t.Errorf("%d restarts in an hour, expected at most %d", restarts, most)
	}
}

func TestBackoff(t *testing.T) {
	const least, most = time.Second, 30 * time.Second
	var waits []string
	for n := range 7 {
		waits = append(waits, backoff(n, least, most).String())
	}
	if want := []string{"1s", "2s", "4s", "8s", "16s", "30s", "30s"}; !slices.Equal(waits, want) {
		t.Errorf("the waits are %v, expected %v", waits, want)
	}
	if got := backoff(1_000_000_000, least, most); got != most {
		t.Errorf("the wait after many failures is %v, expected %v", got, most)
	}
	if got := fmt.Sprint(backoff(3, least, least)); got != "1s" {
		t.Errorf("the wait is %s, expected never more than the most", got)
	}
}
