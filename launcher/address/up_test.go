package address

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestUp(t *testing.T) {
	addrs := func(texts ...string) (all []netip.Addr) {
		for _, text := range texts {
			all = append(all, netip.MustParseAddr(text))
		}
		return all
	}
	cards := sorted([]card{
		{name: "lo", up: true, running: true, addrs: addrs("127.0.0.1", "::1")},
		{name: "eth0", up: true, running: true, addrs: addrs("10.1.0.2", "fe80::1")},
		{name: "eth1", up: true, running: false, addrs: addrs("10.2.0.2")},
		{name: "eth2", up: false, addrs: addrs("10.3.0.2")},
		{name: "eth3", up: true, running: true, addrs: addrs("fd00::1", "fd00::2", "fe80::2")},
		{name: "eth4", up: true, running: true},
	})
	waiting := addrs("fd00::1")
	for _, test := range []struct{ spec, want string }{
		{"eth0", "10.1.0.2"},
		{"eth0:inet6", "the interface has no IPv6 address that can be used yet"},
		{"eth0[1]", "fe80::1"},
		{"eth0[2]", "the interface has only 2 addresses"},
		{"eth1", "the interface has no carrier"},
		{"eth2", "the interface is down"},
		{"eth3", "the interface has no IPv4 address"},
		{"eth3:inet6", "fd00::2"},
		{"eth4:inet6", "the interface has no IPv6 address"},
		{"eth9", "there is no such interface"},
		{"10.1.0.0/16", "10.1.0.2"},
		{"10.2.0.0/16", "no interface that is up has an address in this network"},
		{"10.3.0.0/16", "no interface that is up has an address in this network"},
		{"fd00::/16", "fd00::2"},
		{"127.0.0.0/8", "127.0.0.1"},
		{"0.0.0.0/0", "10.1.0.2"},
		{"inet", "10.1.0.2"},
		{"inet6", "fd00::2"},
		{"lo", "127.0.0.1"},
	} {
		spec, err := ParseNetwork(test.spec)
		if err != nil {
			t.Fatal(err)
		}
		addr, err := spec.up(cards, waiting)
		got := addr.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %s, expected %s", test.spec, got, test.want)
		}
	}
}

func TestParseTentative(t *testing.T) {
	table := `00000000000000000000000000000001 01 80 10 80       lo
fd000002000000000000000000000001 2f 40 00 40    ethwe
fd000002000000000000000000000002 2f 40 00 08    ethwe
fd000002000000000000000000000003 2f 40 00 80    ethwe
nonsense
zz000002000000000000000000000003 2f 40 00 40    ethwe
`
	want := []netip.Addr{netip.MustParseAddr("fd00:2::1"), netip.MustParseAddr("fd00:2::2")}
	if got := parseTentative([]byte(table)); !slices.Equal(got, want) {
		t.Errorf("got %v, expected %v", got, want)
	}
}
