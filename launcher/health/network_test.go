package health

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"cleat/registry"
)

// TestCheckerOverTheNetwork leads a real server through a life.
func TestCheckerOverTheNetwork(t *testing.T) {
	var code atomic.Int32
	code.Store(503)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(code.Load())) }))
	defer server.Close()
	c := New(nil, "")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	target := Target{ID: "web", Check: Check{Kind: HTTP, Path: "/", Interval: 10 * time.Millisecond}, Addr: netip.MustParseAddrPort(server.Listener.Addr().String())}
	c.Set(target)
	expect := func(want registry.Status) {
		t.Helper()
		select {
		case <-c.Changed():
		case <-time.After(10 * time.Second):
			t.Fatal("no change")
		}
		if got := c.Take(); len(got) != 1 || got[0].Status != want {
			t.Errorf("got %+v, want %s", got, want)
		}
	}
	expect(registry.Critical)
	code.Store(200)
	expect(registry.Passing)
	code.Store(429)
	expect(registry.Warning)
	server.Close()
	expect(registry.Critical)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
