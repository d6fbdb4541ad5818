package address

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRealInterfaces resolves on the machine as it is.
func TestRealInterfaces(t *testing.T) {
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 {
			continue
		}
		got, err := Resolve(specs(t, i.Name), Query{})
		if err != nil || !got.IsLoopback() {
			t.Errorf("%s: got %v, %v", i.Name, got, err)
		}
	}
	got, err := Resolve(specs(t, "127.0.0.0/8"), Query{})
	if err != nil || got != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("got %v, %v", got, err)
	}
	got, err = Resolve(specs(t, "route"), Query{Servers: []string{"127.0.0.1:9"}, Loopback: true})
	if err != nil || got != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("got %v, %v", got, err)
	}
	// Without Loopback it is another one wherever there is another one.
	got, err = Resolve(specs(t, "route"), Query{Servers: []string{"127.0.0.1:9"}})
	other, none := Resolve(specs(t, "inet,inet6"), Query{})
	if err != nil || got.IsLoopback() != (none != nil) {
		t.Errorf("got %v, %v; there is %v, %v", got, err, other, none)
	}
}

func specs(t *testing.T, text string) []Spec {
	t.Helper()
	all, err := ParseSpecs(text)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// enterNamespace puts the test's thread into a network namespace of its own,
// where setup (lines for ip) is done. The thread ends with the test.
func enterNamespace(t *testing.T, setup string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a network namespace")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip (Debian package iproute2), to make interfaces")
	}
	// Never unlocked, so that the thread is not used for anything else.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("needs the right to make a network namespace: %v", err)
	}
	for line := range strings.Lines(strings.TrimSpace(setup)) {
		// A child is started from this thread and lives in its namespace.
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.TrimSpace(line), err, out)
		}
	}
}

func TestNamespace(t *testing.T) {
	enterNamespace(t, `
		link set lo up
		link add eth2 type veth peer name peer2
		link add eth10 type veth peer name peer10
		link add br-0 type veth peer name peerb
		link add eth0.100 type veth peer name peerv
		address add 10.2.0.2/24 dev eth2
		address add 10.2.0.1/24 dev eth2
		address add fd00:2::1/64 dev eth2 nodad
		address add 10.10.0.1/24 dev eth10
		address add 10.3.0.1/24 dev br-0
		address add 10.4.0.1/24 dev eth0.100
		link set eth2 up
		link set peer2 up
		link set eth10 up
		link set peer10 up
		link set eth0.100 up
		link set peerv up
		route add default via 10.10.0.254 dev eth10
		-6 route add default via fd00:2::fe dev eth2`)
	server := func(text string) Query { return Query{Servers: []string{text}} }
	for _, test := range []struct {
		specs string
		query Query
		want  string
	}{
		{"eth2", Query{}, "10.2.0.1"},
		{"eth2:inet6", Query{}, "fd00:2::1"},
		{"eth2[1]", Query{}, "10.2.0.2"},
		{"eth0.100", Query{}, "10.4.0.1"},
		{"br-0", Query{}, "10.3.0.1"}, // it is down, but named
		{"10.3.0.0/24,10.4.0.0/24", Query{}, "10.4.0.1"},
		{"inet", Query{}, "10.4.0.1"}, // eth0.100 comes before eth2
		{"inet6", Query{}, "fd00:2::1"},
		{"route", server("10.4.0.9:9640"), "10.4.0.1"},
		{"route", server("192.0.2.9:9640"), "10.10.0.1"}, // the default route
		{"route", server("[fd00:2::9]:9640"), "fd00:2::1"},
		{"route", server("[2001:db8::9]:9640"), "fd00:2::1"},
		{"route", server("127.0.0.1:9640"), "10.10.0.1"},
		{"route", server("[::1]:9640"), "10.10.0.1"},
		{"route", server("10.2.0.2:9640"), "10.2.0.2"}, // a server on this host, by an address that others know
		{"route", Query{Servers: []string{"127.0.0.1:9640"}, Loopback: true}, "127.0.0.1"},
		{"route", Query{}, "10.10.0.1"},
	} {
		got, err := Resolve(specs(t, test.specs), test.query)
		if err != nil || got.String() != test.want {
			t.Errorf("%s %v: got %v, %v; want %s", test.specs, test.query.Servers, got, err, test.want)
		}
	}
}

// TestNamespaceWithoutRoutes is an internal network: addresses, and no way out.
func TestNamespaceWithoutRoutes(t *testing.T) {
	enterNamespace(t, `
		link set lo up
		link add eth0 type veth peer name peer0
		address add 10.5.0.1/24 dev eth0
		link set eth0 up
		link set peer0 up`)
	got, err := Resolve(specs(t, "route"), Query{Servers: []string{"127.0.0.1:9640"}})
	if err != nil || got.String() != "10.5.0.1" {
		t.Errorf("got %v, %v", got, err)
	}
	got, err = Resolve(specs(t, "route"), Query{Servers: []string{"192.0.2.9:9640"}})
	if err != nil || got.String() != "10.5.0.1" {
		t.Errorf("an unreachable server: got %v, %v", got, err)
	}
}

// TestNamespaceWithNothing is a container without any network.
func TestNamespaceWithNothing(t *testing.T) {
	enterNamespace(t, "link set lo up")
	got, err := Resolve(specs(t, "route"), Query{Servers: []string{"127.0.0.1:9640"}})
	if err != nil || got.String() != "127.0.0.1" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := Resolve(specs(t, "route,inet"), Query{Servers: []string{"192.0.2.9:9640"}}); err == nil {
		t.Errorf("got %v", got)
	}
}
