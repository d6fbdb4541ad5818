package health

import (
	"net/netip"
	"strings"
	"testing"

	"cleat/internal/probe"
)

func TestChoose(t *testing.T) {
	for listening, want := range map[string]string{
		"":                             "invalid IP",
		"0.0.0.0 ::":                   "0.0.0.0",
		":: 0.0.0.0":                   "0.0.0.0",
		"10.0.0.1 ::":                  "::",
		"10.0.0.1 127.0.0.1":           "127.0.0.1",
		"::1 127.0.0.1":                "127.0.0.1",
		"10.0.0.2 10.0.0.1":            "10.0.0.1",
		"fe80::1%eth0 10.0.0.2 fd00::": "10.0.0.2",
		"fe80::1%eth0 fd00::1":         "fd00::1",
		"::ffff:10.0.0.1":              "10.0.0.1",
	} {
		var all []netip.Addr
		for text := range strings.FieldsSeq(listening) {
			all = append(all, netip.MustParseAddr(text))
		}
		if got := Choose(all).String(); got != want {
			t.Errorf("%q: %s, want %s", listening, got, want)
		}
	}
}

func TestReachable(t *testing.T) {
	for at, want := range map[string]string{
		"0.0.0.0:80": "127.0.0.1:80", "[::]:80": "[::1]:80", "10.0.0.1:80": "10.0.0.1:80",
		"[::ffff:0.0.0.0]:80": "127.0.0.1:80", "[fe80::1%eth0]:80": "[fe80::1%eth0]:80",
	} {
		if got := probe.Reachable(netip.MustParseAddrPort(at)).String(); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}
