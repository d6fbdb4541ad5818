package address

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestParseSpecs(t *testing.T) {
	for _, text := range []string{
		"route", "inet", "inet6", "eth0", "eth0:inet", "eth0:inet6", "eth0[0]", "eth0[999]", "br-0", "eth0.100", "eth0.100:inet6", "docker0",
		"10.0.0.0/8", "fd00::/8", "0.0.0.0/0", "static:192.0.2.12", "static:fd00::1", "env:HOST_IP", "abcdefghijklmno", "wg0", "route0",
		"docker", "docker:static:192.0.2.1", "docker:env:HOST_IP", "docker0:inet6",
	} {
		specs, err := ParseSpecs(text)
		if err != nil || len(specs) != 1 || specs[0].String() != text {
			t.Errorf("%q: got %v, %v", text, specs, err)
		}
	}
	specs, err := ParseSpecs(" eth0 ,, route,inet ")
	if err != nil || len(specs) != 3 || specs[0].name != "eth0" || specs[1].kind != route || specs[2].family != inet {
		t.Errorf("got %v, %v", specs, err)
	}
	// The host's bits of a network do not matter.
	if specs, _ := ParseSpecs("10.1.2.3/8"); specs[0].prefix != netip.MustParsePrefix("10.0.0.0/8") {
		t.Errorf("got %v", specs[0].prefix)
	}
}

func TestParseSpecsMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                    "the list has nothing in it; " + wanted,
		" , ":                 "the list has nothing in it; " + wanted,
		"docker:":             `"docker:": this is no such spec; ` + wanted,
		"docker:eth0":         `"docker:eth0": after docker: the host's address is expected, as static:ADDRESS or env:NAME`,
		"docker:docker":       `"docker:docker": after docker: the host's address is expected, as static:ADDRESS or env:NAME`,
		"docker:static:x":     `"docker:static:x": this is not an IP address`,
		"10.0.0.1":            `"10.0.0.1": this is an address; write static:10.0.0.1`,
		"fd00::1":             `"fd00::1": this is an address; write static:fd00::1`,
		"10.0.0.0/33":         `"10.0.0.0/33": this is not a network, such as 10.0.0.0/8 or fd00::/8`,
		"::ffff:10.0.0.0/104": `"::ffff:10.0.0.0/104": this is not a network, such as 10.0.0.0/8 or fd00::/8`,
		"static:":             `"static:": this is not an IP address`,
		"static:host":         `"static:host": this is not an IP address`,
		"static:0.0.0.0":      `"static:0.0.0.0": nobody could connect to the unspecified address`,
		"static:224.0.0.1":    `"static:224.0.0.1": nobody could connect to a multicast address`,
		"static:fe80::1%eth0": `"static:fe80::1%eth0": the address has a zone, which means nothing on another host`,
		"env:":                `"env:": env: needs the name of a variable, such as env:HOST_IP`,
		"env:A-B":             `"env:A-B": env: needs the name of a variable, such as env:HOST_IP`,
		"eth0[x]":             `"eth0[x]": this is no such spec; ` + wanted,
		"eth0[]":              `"eth0[]": the index is not a number from 0 to 999`,
		"eth0[1000]":          `"eth0[1000]": the index is not a number from 0 to 999`,
		"eth0:ipv4":           `"eth0:ipv4": this is no such spec; ` + wanted,
		"abcdefghijklmnop":    `"abcdefghijklmnop": this is no such spec; ` + wanted,
		"eth 0":               `"eth 0": this is no such spec; ` + wanted,
		"[0]":                 `"[0]": this is no such spec; ` + wanted,
		":inet":               `":inet": this is no such spec; ` + wanted,
		"docker:x,eth0,env:":  `"docker:x": after docker: the host's address`,
	} {
		_, err := ParseSpecs(text)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got\n%v\nwant\n%s", text, err, want)
		}
	}
	if _, err := ParseSpecs("docker:x,eth0,env:"); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("not both mistakes are reported: %v", err)
	}
	if _, err := ParseSpecs(strings.Repeat("eth0,", 33)); err == nil || err.Error() != "the list has 33 specs; at most 32 are allowed" {
		t.Errorf("got %v", err)
	}
	if _, err := ParseSpecs(strings.Repeat("x", 5000)); err == nil || len(err.Error()) > 300 {
		t.Errorf("the message is %d bytes long", len(err.Error()))
	}
}

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// crowded has everything that is chosen from or skipped.
func crowded() []card {
	return sorted([]card{
		{name: "lo", up: true, addrs: addrs("::1", "127.0.0.1")},
		{name: "eth10", up: true, addrs: addrs("10.10.0.1")},
		{name: "eth2", up: true, addrs: addrs("fe80::2", "2001:db8::2", "172.16.0.9", "172.16.0.2")},
		{name: "br-0", up: false, addrs: addrs("10.0.0.1", "fd00::b")},
		{name: "eth2.100", up: true, addrs: addrs("192.0.2.100")},
		{name: "wg0", up: true, addrs: addrs("fe80::9")},
		{name: "zt0", up: true, addrs: addrs("169.254.7.7", "10.99.0.1")},
		{name: "none", up: true},
	})
}

func TestOrder(t *testing.T) {
	var names []string
	for _, c := range crowded() {
		names = append(names, c.name)
	}
	if want := []string{"br-0", "eth2", "eth2.100", "eth10", "lo", "none", "wg0", "zt0"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	if got, want := crowded()[1].addrs, addrs("172.16.0.2", "172.16.0.9", "2001:db8::2", "fe80::2"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, pair := range [][2]string{{"eth2", "eth10"}, {"eth02", "eth10"}, {"eth", "eth0"}, {"eth9", "ethx"}, {"a1b2", "a1b10"}, {"eth1", "eth01"}, {"99999999999999999999998", "99999999999999999999999"}} {
		first := compareNames(pair[0], pair[1])
		if second := compareNames(pair[1], pair[0]); first == 0 || first != -second {
			t.Errorf("%q: %d and %d", pair, first, second)
		}
		if pair[0] != "eth1" && first > 0 {
			t.Errorf("%q are in the wrong order", pair)
		}
	}
}

// nowhere is a machine without routes.
func nowhere(context.Context, string) (netip.Addr, error) {
	return netip.Addr{}, errors.New("network is unreachable")
}

func TestChoose(t *testing.T) {
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"HOST_IP": " 198.51.100.7\n", "V6": "::ffff:198.51.100.8", "BAD": "hunter2", "ZERO": "::"}[name]
		return value, ok
	}
	for _, test := range []struct{ specs, want string }{
		{"eth2", "172.16.0.2"},
		{"eth2:inet", "172.16.0.2"},
		{"eth2:inet6", "2001:db8::2"},
		{"eth2[0]", "172.16.0.2"},
		{"eth2[1]", "172.16.0.9"},
		{"eth2[2]", "2001:db8::2"},
		{"eth2[3]", "fe80::2"},
		{"eth2.100", "192.0.2.100"},
		{"br-0", "10.0.0.1"},        // named, though it is down
		{"lo", "127.0.0.1"},         // named, though it is loopback
		{"lo:inet6", "::1"},         //
		{"wg0:inet6", "fe80::9"},    // named, though it is link-local
		{"zt0", "10.99.0.1"},        // link-local ones come last
		{"inet", "172.16.0.2"},      // br-0 is down
		{"inet6", "2001:db8::2"},    //
		{"10.0.0.0/8", "10.10.0.1"}, // br-0 is down, eth10 comes before zt0
		{"10.99.0.0/16", "10.99.0.1"},
		{"127.0.0.0/8", "127.0.0.1"},
		{"::1/128", "::1"},
		{"169.254.0.0/16", "169.254.7.7"},
		{"fe80::/10", "fe80::2"},
		{"0.0.0.0/0", "172.16.0.2"}, // names nothing, so loopback is skipped
		{"::/0", "2001:db8::2"},
		{"static:203.0.113.1", "203.0.113.1"},
		{"static:::ffff:203.0.113.1", "203.0.113.1"},
		{"env:HOST_IP", "198.51.100.7"},
		{"env:V6", "198.51.100.8"},
		{"eth7,wg0,none,eth2[9],env:NO,env:BAD,203.0.113.0/24,eth10", "10.10.0.1"},
	} {
		specs, err := ParseSpecs(test.specs)
		if err != nil {
			t.Fatal(err)
		}
		got, err := choose(specs, Query{Env: env}, crowded(), nowhere)
		if err != nil || got.String() != test.want {
			t.Errorf("%s: got %v, %v; want %s", test.specs, got, err, test.want)
		}
	}
}

func TestChooseNothing(t *testing.T) {
	specs, err := ParseSpecs("eth7,wg0,none[0],10.200.0.0/16,env:NO,env:BAD,env:ZERO,inet,inet6,route")
	if err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) {
		return map[string]string{"BAD": "hunter2", "ZERO": "0.0.0.0"}[name], true
	}
	cards := sorted([]card{{name: "wg0", up: true, addrs: addrs("fe80::9")}, {name: "none", up: true}, {name: "br-0", addrs: addrs("10.200.0.1")}})
	_, err = choose(specs, Query{Env: env, Servers: []string{"127.0.0.1:1"}}, cards, nowhere)
	const want = `no address to advertise was found: eth7: there is no such interface; there are br-0, none, wg0
wg0: the interface has no such address
none[0]: the interface has only 0 addresses, counted from 0
10.200.0.0/16: no interface that is up has an address in this network, loopback and link-local ones aside unless named
env:NO: the variable is not set
env:BAD: what the variable holds cannot be used: this is not an IP address
env:ZERO: what the variable holds cannot be used: nobody could connect to the unspecified address
inet: no interface that is up has such an address, loopback and link-local ones aside
inet6: no interface that is up has such an address, loopback and link-local ones aside
route: network is unreachable`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if _, err := choose([]Spec{{}}, Query{}, cards, nowhere); err == nil {
		t.Error("a spec that nobody parsed was taken")
	}
	if _, err := choose(specs[4:5], Query{}, cards, nowhere); err == nil {
		t.Error("a variable was found without an environment")
	}
}

// routes is a machine with these routes: source addresses by target.
type routes map[string]string

func (r routes) source(_ context.Context, target string) (netip.Addr, error) {
	if addr, ok := r[target]; ok {
		return netip.MustParseAddr(addr), nil
	}
	return netip.Addr{}, errors.New("network is unreachable")
}

func TestRoute(t *testing.T) {
	const byDefault, byDefault6 = "192.0.2.1:9", "[2001:db8::1]:9"
	only := sorted([]card{{name: "lo", up: true, addrs: addrs("127.0.0.1", "::1")}})
	for _, test := range []struct {
		name     string
		servers  []string
		loopback bool // the child listens there only
		routes   routes
		cards    []card
		want     string
	}{
		{"the source of the route", []string{"10.0.0.9:1"}, false, routes{"10.0.0.9:1": "10.0.0.1", byDefault: "172.16.0.2"}, crowded(), "10.0.0.1"},
		{"also over IPv6", []string{"[fd00::9]:1"}, false, routes{"[fd00::9]:1": "fd00::1"}, crowded(), "fd00::1"},
		{"the first server with a route", []string{"a:1", "b:1"}, false, routes{"b:1": "10.0.0.1"}, crowded(), "10.0.0.1"},
		{"a server on loopback: the default route", []string{"127.0.0.1:1"}, false, routes{"127.0.0.1:1": "127.0.0.1", byDefault: "172.16.0.9"}, crowded(), "172.16.0.9"},
		{"a server on loopback: the default route over IPv6", []string{"[::1]:1"}, false, routes{"[::1]:1": "::1", byDefault6: "2001:db8::2"}, crowded(), "2001:db8::2"},
		{"a server on loopback, and a child there too", []string{"127.0.0.1:1"}, true, routes{"127.0.0.1:1": "127.0.0.1", byDefault: "172.16.0.9"}, crowded(), "127.0.0.1"},
		{"a server elsewhere, and a child on loopback", []string{"a:1"}, true, routes{"a:1": "10.0.0.1"}, crowded(), "10.0.0.1"},
		{"a server on loopback, no default route: any address", []string{"127.0.0.1:1"}, false, routes{"127.0.0.1:1": "127.0.0.1"}, crowded(), "172.16.0.2"},
		{"a server on loopback, nothing else at all", []string{"127.0.0.1:1"}, false, routes{"127.0.0.1:1": "127.0.0.1"}, only, "127.0.0.1"},
		{"a server on the link", []string{"[fe80::9%eth2]:1"}, false, routes{"[fe80::9%eth2]:1": "fe80::2", byDefault: "172.16.0.2"}, crowded(), "172.16.0.2"},
		{"no server", nil, false, routes{byDefault: "172.16.0.2"}, crowded(), "172.16.0.2"},
		{"no server, no route", nil, false, nil, crowded(), "172.16.0.2"},
		{"no server, nothing at all", nil, false, nil, only, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			specs, _ := ParseSpecs("route")
			got, err := choose(specs, Query{Servers: test.servers, Loopback: test.loopback}, test.cards, test.routes.source)
			if test.want == "" {
				if err == nil {
					t.Fatalf("got %v", got)
				}
				return
			}
			if err != nil || got.String() != test.want {
				t.Errorf("got %v, %v; want %s", got, err, test.want)
			}
		})
	}
}

func TestLast(t *testing.T) {
	for prefix, want := range map[string]string{"10.0.0.0/8": "10.255.255.255", "127.0.0.0/7": "127.255.255.255", "fe80::/10": "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::1/128": "::1"} {
		if got := last(netip.MustParsePrefix(prefix).Masked()); got.String() != want {
			t.Errorf("%s: got %s, want %s", prefix, got, want)
		}
	}
}

// FuzzParseSpecs: an error, or specs that can be written and parsed again.
func FuzzParseSpecs(f *testing.F) {
	for _, seed := range []string{"route,eth0:inet6,eth0[1],10.0.0.0/8,inet,inet6,static:192.0.2.12,env:HOST_IP", "docker", "br-0,eth0.100", "[,],:inet", "::1/128"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		specs, err := ParseSpecs(text)
		if err != nil {
			return
		}
		var texts []string
		for _, s := range specs {
			texts = append(texts, s.String())
		}
		again, err := ParseSpecs(strings.Join(texts, ","))
		if err != nil || !slices.Equal(again, specs) {
			t.Errorf("%q: got %v, %v", text, again, err)
		}
		if addr, err := choose(specs, Query{}, crowded(), nowhere); err == nil && (addr.IsUnspecified() || addr.Zone() != "" || addr.Is4In6()) {
			t.Errorf("%q gives %v", text, addr)
		}
	})
}
