package e2e

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"cleat/registry"
)

// where returns the address and port under which an instance is registered.
func (y *yard) where(service string) (netip.AddrPort, error) {
	var detail registry.ServiceDetail
	if err := getJSON(y.api()+"/api/v1/services/"+service, &detail); err != nil {
		return netip.AddrPort{}, err
	}
	if len(detail.Instances) != 1 || detail.Instances[0].Status != registry.Passing {
		return netip.AddrPort{}, fmt.Errorf("the instances of %s are %+v, expected one that passes", service, detail.Instances)
	}
	addr, err := netip.ParseAddr(detail.Instances[0].Address)
	return netip.AddrPortFrom(addr, detail.Instances[0].Port), err
}

// of is the yard as a part of the test sees it.
func (y *yard) of(t *testing.T) *yard {
	part := *y
	part.t = t
	return &part
}

// waitWhere waits until an instance is registered somewhere that is right.
func (y *yard) waitWhere(service string, right func(netip.AddrPort) bool) netip.AddrPort {
	y.t.Helper()
	var at netip.AddrPort
	WaitFor(y.t, softwareStart, func() (err error) {
		if at, err = y.where(service); err == nil && !right(at) {
			err = fmt.Errorf("%s is registered at %s", service, at)
		}
		return err
	})
	return at
}

// secondNetwork makes a network with IPv6, and returns its name and its range of IPv4.
func secondNetwork(t *testing.T) (name string, prefix netip.Prefix) {
	t.Helper()
	var err error
	for range networkAttempts {
		part := make([]byte, 1)
		_, _ = rand.Read(part)
		name, prefix = fmt.Sprintf("cleat-e2e-%s-second-%d", run, part[0]), netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 214, part[0], 0}), 24)
		if _, err = docker("network", "create", "--label", dockerLabel+"="+run, "--subnet", prefix.String(),
			"--ipv6", "--subnet", fmt.Sprintf("fd00:214:%x::/64", part[0]), name); err == nil {
			t.Cleanup(func() { _, _ = docker("network", "rm", name) })
			return name, prefix
		}
	}
	t.Fatal(err)
	return "", netip.Prefix{}
}

// TestContainerAddresses has containers on two networks, one of them with IPv6, and the server on the first: each
// spec gives the address that it says, for TCP and for UDP, and what the server sees is compared.
func TestContainerAddresses(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	y := newYard(t, must(t, smallImage))
	y.startServer()
	second, prefix := secondNetwork(t)
	address := func(c *container, network, field string) string {
		return c.inspect(fmt.Sprintf("{{(index .NetworkSettings.Networks %q).%s}}", network, field))
	}
	first := func(c *container) string { return address(c, y.name, "IPAddress") }
	onSecond := func(c *container) string { return address(c, second, "IPAddress") }
	six := func(c *container) string { return address(c, second, "GlobalIPv6Address") }
	// Which network the engine makes eth0 is its own choice.
	card := func(name string, family string) func(c *container) string {
		return func(c *container) string {
			out, err := exec.Command("nsenter", "-t", c.inspect("{{.State.Pid}}"), "-n", "ip", "-o", family, "address", "show", "dev", name, "scope", "global").Output()
			fields := strings.Fields(string(out))
			if err != nil || len(fields) < 4 {
				c.t.Errorf("ip address show dev %s: %v: %s", name, err, out)
				return ""
			}
			addr, _, _ := strings.Cut(fields[3], "/")
			return addr
		}
	}
	const mismatch = "the server sees another address than the one advertised"
	for _, test := range []struct {
		name, specs string
		want        func(c *container) string
	}{
		{"route", "route", first},
		{"none", "", first},
		{"network", prefix.String() + ",route", onSecond},
		{"wide", "10.128.0.0/9,route", card("eth0", "-4")}, // both are within
		{"eth0", "eth0", card("eth0", "-4")},
		{"eth1", "eth1", card("eth1", "-4")},
		{"fallback", "eth9,eth1", card("eth1", "-4")},
		{"six", "inet6", six},
		{"six-range", "fd00:214::/32", six},
		{"six-card", "eth0:inet6,eth1:inet6", six},
		{"static", "static:192.0.2.77", func(*container) string { return "192.0.2.77" }},
		{"env", "env:HOST_IP", func(*container) string { return "192.0.2.78" }},
		{"env-missing", "env:OTHER,route", first},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			y := y.of(t)
			options := []string{
				"--network", y.name, "-e", "CLEAT_SERVER=" + y.api(), "-e", "CLEAT_ID=" + test.name, "-e", "HOST_IP=192.0.2.78",
				"-e", "SERVICE_8080_NAME=" + test.name, "-e", "SERVICE_5353_UDP_NAME=" + test.name + "-udp",
			}
			if test.specs != "" {
				options = append(options, "-e", "CLEAT_ADVERTISE="+test.specs)
			}
			c := createContainer(t, test.name, append(options, y.image, "/testchild", "listen", ":8080", "udp::5353")...)
			mustDocker(t, "network", "connect", second, c.id)
			mustDocker(t, "start", c.id)
			want := ""
			for _, service := range []string{test.name, test.name + "-udp"} {
				at := y.waitWhere(service, netip.AddrPort.IsValid)
				want = test.want(c)
				if got := at.Addr().String(); got != want {
					t.Errorf("%s is registered at %s, expected %s", service, got, want)
				}
			}
			if addr, err := netip.ParseAddr(want); err == nil && addr.Is4() && want != first(c) { // other families cannot be compared
				c.waitLog(10*time.Second, mismatch)
			} else if strings.Contains(c.log(), mismatch) {
				t.Errorf("it warns, and should not")
			}
		})
	}
}

// TestContainerMoves connects a running container to another network and cuts it off from the first one, where the
// server is too: once the session is back, by the other network, the address follows.
func TestContainerMoves(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	y := newYard(t, must(t, smallImage))
	server := y.startServer()
	second, _ := secondNetwork(t)
	mustDocker(t, "network", "connect", second, server.id)
	serverSecond := server.inspect(fmt.Sprintf("{{(index .NetworkSettings.Networks %q).IPAddress}}", second))
	c := y.run("mover", []string{"SERVICE_8080_NAME=mover", "CLEAT_SERVER=" + y.api() + ",http://" + serverSecond + ":9640"}, "/testchild", "listen", ":8080")
	before := y.waitWhere("mover", netip.AddrPort.IsValid)
	mustDocker(t, "network", "connect", second, c.id)
	mustDocker(t, "network", "disconnect", y.name, c.id)
	after := y.waitWhere("mover", func(at netip.AddrPort) bool { return at != before })
	if want := c.inspect(fmt.Sprintf("{{(index .NetworkSettings.Networks %q).IPAddress}}", second)); after.Addr().String() != want {
		t.Errorf("it is registered at %s, expected %s", after, want)
	}
	if lines := strings.Split(c.log(), "\n"); !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "ready 1") }) ||
		strings.Count(c.log(), "started command=") != 1 {
		t.Error("the child was started more than once")
	}
}
