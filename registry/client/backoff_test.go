package client

import (
	"testing"
	"time"

	"cleat/registry"
)

func TestBackoff(t *testing.T) {
	for failures, ceiling := range []time.Duration{
		50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
		1600 * time.Millisecond, 3200 * time.Millisecond, registry.ReconnectCap, registry.ReconnectCap,
	} {
		if got := backoff(failures, 0); got != 0 {
			t.Errorf("after %d failures it waits at least %v", failures, got)
		}
		if got := backoff(failures, 0.5); got != ceiling/2 {
			t.Errorf("after %d failures the middle is %v, want %v", failures, got, ceiling/2)
		}
	}
	if got := backoff(1<<30, 0.999999); got > registry.ReconnectCap {
		t.Errorf("after many failures it waits %v", got)
	}
}
