package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cleat/launcher/address"
)

const (
	// innerEnv says that the test runs in a network namespace of its own.
	innerEnv = "CLEAT_TEST_NETWORK"
	// limit is how long anything real may take on a machine that is busy.
	limit = 10 * time.Second
)

// inNamespace runs the rest of the test in a process with a network namespace
// of its own, and reports whether this is that process.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(innerEnv) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a network namespace")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip (Debian package iproute2), to make interfaces")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), innerEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, unix.EPERM):
		t.Skip("needs the right to make a network namespace")
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("the test did not run:\n%s", out)
	}
	return false
}

func ip(t *testing.T, line string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", line, err, out)
	}
}

// watch runs a watcher until the test ends.
func watch(t *testing.T) <-chan struct{} {
	t.Helper()
	changed := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- NewWatcher(changed).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return changed
}

// told waits for the word that it is worth to look again, until the network is
// as expected: up by that address, or down for that reason.
func told(t *testing.T, changed <-chan struct{}, spec, want string) {
	t.Helper()
	s, err := address.ParseNetwork(spec)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(limit)
	for {
		addr, err := Look(Network{Spec: s})
		is := fmt.Sprint(addr)
		if err != nil {
			is = err.Error()
		}
		if strings.HasPrefix(is, want) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s: nobody told within %v, and still: %s; expected %s", spec, limit, is, want)
		}
	}
}

// TestNetworkIsTold lets an interface come and go, step by step.
func TestNetworkIsTold(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	changed := watch(t)
	for _, step := range []struct{ ip, spec, want string }{
		{"link set lo up", "ethwe", "there is no such interface"},
		{"link add ethwe type veth peer name peer", "ethwe", "the interface is down"},
		{"link set ethwe up", "ethwe", "the interface has no carrier"},
		{"link set peer up", "ethwe", "the interface has no IPv4 address"},
		{"address add 10.2.0.7/24 dev ethwe", "ethwe", "10.2.0.7"},
		{"address add 10.2.0.3/24 dev ethwe", "10.2.0.0/16", "10.2.0.3"},
		{"link add back type veth peer name peerb", "10.3.0.0/16", "no interface that is up"},
		{"link set peerb up", "10.3.0.0/16", "no interface that is up"},
		{"address add 10.3.0.1/16 dev back", "10.3.0.0/16", "no interface that is up"},
		{"link set back up", "10.3.0.0/16", "10.3.0.1"},
		{"address add fd00:2::1/64 dev ethwe", "ethwe:inet6", "fd00:2::1"}, // once nobody else has it
		{"link set peer down", "ethwe", "the interface has no carrier"},
		{"link set peer up", "inet", "10.3.0.1"},
		{"address del 10.3.0.1/16 dev back", "10.3.0.0/16", "no interface that is up"},
		{"link del ethwe", "ethwe", "there is no such interface"},
		{"link set lo up", "inet", "no interface that is up"},
		{"link set lo up", "lo", "127.0.0.1"},
	} {
		ip(t, step.ip)
		told(t, changed, step.spec, step.want)
	}
}

// TestNothingIsToldWhileNothingHappens: no polling.
func TestNothingIsToldWhileNothingHappens(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	changed := watch(t)
	<-changed // what may have been before
	ip(t, "link set lo up")
	<-changed
	for settled := false; !settled; {
		select {
		case <-changed:
		case <-time.After(100 * time.Millisecond):
			settled = true
		}
	}
	ip(t, "link add ethwe type veth peer name peer")
	select {
	case <-changed:
	case <-time.After(limit):
		t.Error("a new link was not told")
	}
}

// TestTentativeAddressDoesNotCount until the kernel has looked for others that
// have it.
func TestTentativeAddressDoesNotCount(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	changed := watch(t)
	ip(t, "link add ethwe type veth peer name peer")
	ip(t, "link set peer up")
	ip(t, "link set ethwe up")
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/ethwe/dad_transmits", []byte("2"), 0o644); err != nil {
		t.Skip("needs an IPv6 whose settings can be changed")
	}
	began := time.Now()
	ip(t, "address add fd00:2::1/64 dev ethwe")
	told(t, changed, "ethwe:inet6", "fd00:2::1")
	if took := time.Since(began); took < time.Second {
		t.Errorf("it counted %v after it was added, before the kernel had looked", took)
	}
}
