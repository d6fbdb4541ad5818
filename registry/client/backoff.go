package client

import (
	"time"

	"cleat/registry"
)

const (
	// firstReconnect is the longest wait before the first reconnect: short
	// enough that a launcher which only lost its connection is back before its
	// consumers' quiet period is over, and random below that, so that the
	// sessions of one server do not all come back in the same millisecond.
	firstReconnect = 50 * time.Millisecond
	// lasting is how long a session must have lasted for its end to be news. A
	// server that welcomes and closes at once is met with growing waits.
	lasting = registry.ReconnectCap
)

// backoff returns how long to wait after failures+1 attempts that failed, or
// sessions that ended soon, in a row: full jitter under a ceiling that begins
// at firstReconnect and doubles up to [registry.ReconnectCap]. random is in
// [0,1).
func backoff(failures int, random float64) time.Duration {
	ceiling := firstReconnect
	for range failures {
		if ceiling *= 2; ceiling >= registry.ReconnectCap {
			ceiling = registry.ReconnectCap
			break
		}
	}
	return time.Duration(random * float64(ceiling))
}
