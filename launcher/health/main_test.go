package health

import (
	"fmt"
	"net/netip"
	"os"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

// TestMain holds the tests to leave no goroutine of this package behind.
func TestMain(m *testing.M) {
	code := m.Run()
	deadline := time.Now().Add(5 * time.Second)
	for code == 0 {
		var stacks strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		left := strings.Count(stacks.String(), "health.check") + strings.Count(stacks.String(), "health.(*") + strings.Count(stacks.String(), "http.(*persistConn)") + strings.Count(stacks.String(), "process.(*")
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			fmt.Fprintln(os.Stderr, "goroutines are left:\n"+stacks.String())
			code = 1
		}
		time.Sleep(10 * time.Millisecond)
	}
	os.Exit(code)
}

// loopback is where the targets of tests listen that nobody connects to.
var loopback = netip.MustParseAddrPort("127.0.0.1:80")
