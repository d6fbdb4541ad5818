package dns_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cleat/registry"
	"cleat/registry/client"
	"cleat/registry/dns"
	"cleat/registry/server"
)

// world is a real server with real sessions, that answers DNS.
type world struct {
	*server.Server
	t      *testing.T
	events <-chan client.Event
	client *client.Client
	udp    string // where DNS is answered
}

// start starts a server with one session that provides the instances, and DNS on
// the address.
func start(t *testing.T, address string, instances ...registry.Instance) *world {
	t.Helper()
	none := time.Duration(0)
	srv, err := server.New(server.Config{Warming: &none})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := dns.Listen(t.Context(), address)
	if err != nil {
		listener.Close()
		t.Skipf("needs to listen on %s, which for port 53 takes root: %v", address, err)
	}
	d, err := dns.New(dns.Config{Registry: srv})
	if err != nil {
		t.Fatal(err)
	}
	c := client.New(client.Config{Servers: []string{"http://" + listener.Addr().String()}})
	c.Declare(registry.Declare{ID: "provider", Key: strings.Repeat("k", registry.MinKey), Namespace: "default", Provides: instances})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 3)
	go func() { ended <- srv.Serve(ctx, listener) }()
	go func() { ended <- d.Serve(ctx, l) }()
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	w := &world{Server: srv, t: t, events: c.Events(), client: c, udp: l.Addr().String()}
	await(t, "the instances", func() bool { return len(srv.Lookup([]byte("default"), []byte(instances[0].Service)).Instances) > 0 })
	return w
}

func await(t *testing.T, what string, there func() bool) {
	t.Helper()
	for began := time.Now(); !there(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// fleet is what a launcher might provide.
func fleet() []registry.Instance {
	all := []registry.Instance{
		{ID: "web:80", Service: "web", Address: "192.0.2.1", Port: 80, Status: registry.Passing, Tags: []string{"blue"}},
		{ID: "web:81", Service: "web", Address: "192.0.2.2", Port: 80, Status: registry.Warning},
		{ID: "web:82", Service: "web", Address: "192.0.2.3", Port: 80, Status: registry.Critical},
		{ID: "six:80", Service: "six", Address: "2001:db8::6", Port: 80, Status: registry.Passing},
		{ID: "down:80", Service: "down", Address: "192.0.2.4", Port: 80, Status: registry.Starting},
	}
	for n := range 200 {
		all = append(all, registry.Instance{
			ID: fmt.Sprintf("many:%d", n), Service: "many", Address: fmt.Sprintf("198.51.100.%d", n+1), Port: 80, Status: registry.Passing,
		})
	}
	return all
}

func TestDig(t *testing.T) {
	if _, err := exec.LookPath("dig"); err != nil {
		t.Skip("needs dig, from Debian's bind9-dnsutils")
	}
	w := start(t, "127.0.0.1:0", fleet()...)
	host, port, _ := net.SplitHostPort(w.udp)
	dig := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("dig", append([]string{"@" + host, "-p", port, "+tries=1", "+time=10"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("dig %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, transport := range []string{"+notcp", "+tcp"} {
		for _, test := range []struct {
			args []string
			want string
		}{
			{[]string{"web.default.cleat", "A"}, "192.0.2.1 192.0.2.2"},
			{[]string{"WEB.cleat", "A"}, "192.0.2.1 192.0.2.2"},
			{[]string{"six.cleat", "AAAA"}, "2001:db8::6"},
			{[]string{"_blue.web.cleat", "A"}, "192.0.2.1"},
			{[]string{"_web._tcp.cleat", "SRV"}, "1 1 80 c0000201.addr.cleat. 1 1 80 c0000202.addr.cleat."},
			{[]string{"c0000201.addr.cleat"}, "192.0.2.1"},
			{[]string{"-x", "192.0.2.1"}, "web.default.cleat."},
			{[]string{"cleat", "NS"}, "ns.cleat."},
			{[]string{"web.cleat", "AAAA"}, ""},
		} {
			lines := strings.Split(strings.TrimSpace(dig(append(test.args, transport, "+short")...)), "\n")
			slices.Sort(lines)
			if got := strings.Join(lines, " "); got != test.want {
				t.Errorf("dig %q %s: got %q, want %q", test.args, transport, got, test.want)
			}
		}
	}
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"web.cleat", "AAAA"}, []string{"status: NOERROR", "ANSWER: 0", "AUTHORITY: 1", "SOA"}},
		{[]string{"nothing.cleat"}, []string{"status: NXDOMAIN", "AUTHORITY: 1", "SOA"}},
		{[]string{"down.cleat"}, []string{"status: NOERROR", "ANSWER: 0"}},
		{[]string{"web.cleat"}, []string{" aa", "udp: 1232", "ANSWER: 2"}},
		{[]string{"web.cleat", "+edns=1", "+noednsneg"}, []string{"status: BADVERS"}},
		{[]string{"web.cleat", "+noedns", "+opcode=notify"}, []string{"status: NOTIMP"}},
		{[]string{"example.org"}, []string{"status: REFUSED", "recursion requested but not available"}},
		{[]string{"many.cleat", "+ignore", "+noedns"}, []string{" tc "}},
		{[]string{"many.cleat"}, []string{"ANSWER: 200", "Truncated, retrying in TCP mode"}},
	} {
		out := dig(test.args...)
		for _, want := range test.want {
			if !strings.Contains(out, want) {
				t.Errorf("dig %q does not say %q:\n%s", test.args, want, out)
			}
		}
	}
}

// TestDrainWaitsForDNS: a query makes a drain wait as long as the answer may be
// kept, and from its first moment on nobody is given the instance.
func TestDrainWaitsForDNS(t *testing.T) {
	w := start(t, "127.0.0.1:0",
		registry.Instance{ID: "a", Service: "web", Address: "192.0.2.1", Port: 80, Status: registry.Passing},
		registry.Instance{ID: "b", Service: "web", Address: "192.0.2.2", Port: 80, Status: registry.Passing})
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, w.udp)
	}}
	addresses := func() []string {
		found, err := resolver.LookupHost(t.Context(), "web.default.cleat.")
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(found)
		return found
	}
	if got := addresses(); len(got) != 2 {
		t.Fatalf("got %v", got)
	}
	began := time.Now()
	w.client.Drain(registry.Drain{IDs: []string{"a"}, Wait: registry.InMilliseconds(10 * time.Second)})
	await(t, "the drain", func() bool { return len(addresses()) == 1 })
	if got := addresses(); got[0] != "192.0.2.2" {
		t.Errorf("got %v", got)
	}
	for event := range w.events {
		if d, ok := event.(client.Drained); ok {
			if took := time.Since(began); !d.Blind || took < 2*time.Second || took > 9*time.Second {
				t.Errorf("drained after %v: %+v", took, d)
			}
			return
		}
	}
}

// asker resolves names with the C library that it is built with, and prints the
// addresses, or why there are none.
const asker = `
#include <netdb.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
	for (int i = 1; i < argc; i++) {
		struct addrinfo hints, *all, *a;
		memset(&hints, 0, sizeof hints);
		hints.ai_socktype = SOCK_STREAM;
		int err = getaddrinfo(argv[i], "80", &hints, &all);
		printf("%s:", argv[i]);
		if (err) { printf(" none\n"); continue; }
		for (a = all; a; a = a->ai_next) {
			char host[256];
			getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof host, 0, 0, NI_NUMERICHOST);
			printf(" %s", host);
		}
		printf("\n");
	}
	return 0;
}
`

// TestCLibraries resolves names with glibc and musl, which ask only port 53 of
// the servers in /etc/resolv.conf: in a mount namespace with another one.
func TestCLibraries(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, for port 53 and a mount namespace")
	}
	if _, err := exec.LookPath("unshare"); err != nil {
		t.Skip("needs unshare, from Debian's util-linux")
	}
	if out, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("needs to make a mount namespace: %v: %s", err, out)
	}
	address := netip.AddrFrom4([4]byte{127, byte(os.Getpid() >> 16), byte(os.Getpid() >> 8), byte(os.Getpid())})
	start(t, netip.AddrPortFrom(address, 53).String(), fleet()...)
	dir := t.TempDir()
	conf := filepath.Join(dir, "resolv.conf")
	text := fmt.Sprintf("nameserver %s\nsearch default.cleat cleat\noptions ndots:2 timeout:10 attempts:1\n", address)
	source := filepath.Join(dir, "asker.c")
	for file, content := range map[string]string{conf: text, source: asker} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := func(t *testing.T, command ...string) string {
		t.Helper()
		args := append([]string{"--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, conf}, command...)
		out, err := exec.Command("unshare", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", command, err, out)
		}
		return string(out)
	}
	t.Run("getent", func(t *testing.T) {
		if _, err := exec.LookPath("getent"); err != nil {
			t.Skip("needs getent, from Debian's libc-bin")
		}
		for name, want := range map[string][]string{
			"web.default.cleat": {"192.0.2.1", "192.0.2.2"}, "web": {"192.0.2.1", "192.0.2.2"}, "six.cleat": {"2001:db8::6"},
		} {
			out := elsewhere(t, "getent", "ahosts", name)
			for _, address := range want {
				if !strings.Contains(out, address+" ") {
					t.Errorf("%s: %s is not in\n%s", name, address, out)
				}
			}
		}
		if out := elsewhere(t, "getent", "hosts", "192.0.2.1"); !strings.Contains(out, "web.default.cleat") {
			t.Errorf("the name of an address: got %s", out)
		}
	})
	for compiler, needs := range map[string]string{"gcc": "gcc", "musl-gcc": "musl-tools"} {
		t.Run(compiler, func(t *testing.T) {
			if _, err := exec.LookPath(compiler); err != nil {
				t.Skipf("needs %s, from Debian's %s", compiler, needs)
			}
			binary := filepath.Join(dir, compiler)
			if out, err := exec.Command(compiler, "-o", binary, source).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			out := elsewhere(t, binary, "web.default.cleat", "web", "six.cleat", "down.cleat", "nothing.cleat", "many.cleat")
			found := make(map[string][]string)
			for line := range strings.Lines(out) {
				name, addresses, _ := strings.Cut(strings.TrimSpace(line), ":")
				found[name] = strings.Fields(addresses)
				slices.Sort(found[name])
			}
			for name, want := range map[string]string{
				"web.default.cleat": "192.0.2.1 192.0.2.2", "web": "192.0.2.1 192.0.2.2", "six.cleat": "2001:db8::6",
				"down.cleat": "none", "nothing.cleat": "none",
			} {
				if got := strings.Join(found[name], " "); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			// musl before 1.2.4 knows no TCP: it has to do with what fits.
			if got := len(found["many.cleat"]); got < 20 {
				t.Errorf("many.cleat: got %d addresses", got)
			}
		})
	}
}
