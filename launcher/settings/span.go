package settings

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// span is a range of durations.
type span struct{ least, most time.Duration }

// The ranges of the settings that are durations.
var (
	// stopSpan: a stop may be immediate; longer than a day is a mistake.
	stopSpan = span{0, 24 * time.Hour}
	// quietSpan: longer than ten minutes without reacting is a mistake.
	quietSpan = span{0, 10 * time.Minute}
	// splaySpan: spreads a fleet's restarts over at most an hour.
	splaySpan = span{0, time.Hour}
	// settleSpan: a drain waits for it, so it must stay far below a stop.
	settleSpan = span{0, time.Minute}
	// waitSpan: less than 100 ms would be over before a server could answer.
	waitSpan = span{100 * time.Millisecond, 24 * time.Hour}
)

func (s span) String() string {
	return "a duration from " + duration(s.least) + " to " + duration(s.most)
}

// parse parses a duration in Go's syntax and keeps it in the range.
func (s span) parse(text string) (time.Duration, *Error) {
	d, err := time.ParseDuration(text)
	switch {
	case isNumber(text):
		return 0, wrong("a number without a unit", s.String(), fmt.Sprintf("write %ss for seconds or %sms for milliseconds", shorten(text), shorten(text)))
	case err != nil:
		return 0, wrong("this is not a duration", s.String(), "write a number and a unit, such as 500ms, 10s or 2m")
	case d < s.least || d > s.most:
		return 0, wrong("the duration is out of range", s.String(), "")
	}
	return d, nil
}

// duration writes a duration for people: 24h rather than 24h0m0s.
func duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func isNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil && strings.ContainsAny(text[len(text)-1:], "0123456789")
}
