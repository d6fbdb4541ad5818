package launcher

import (
	"strings"
	"testing"
	"time"
)

// A long wait is neither silent nor a flood: it is told after a second, then at
// doubling distances up to a minute, and says what for, why and for how long.
func TestProgress(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		w.launch("app", env{"CLEAT_REQUIRE_DB": "mysql"})
		time.Sleep(1100 * time.Millisecond)
		const line = `app: waiting for a requirement alias=db requirement=mysql why="0 of 1 instances are there" for=1s`
		if !strings.Contains(w.log.String(), line) {
			t.Errorf("the log does not say %q", line)
		}
		time.Sleep(time.Hour)
		if n := strings.Count(w.log.String(), "app: waiting for a requirement"); n < 60 || n > 70 {
			t.Errorf("an hour of waiting was told %d times, expected once a minute", n)
		}
	})
}
