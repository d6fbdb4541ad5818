package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestNames(t *testing.T) {
	tests := []struct {
		name    string
		args    []string
		environ []string
		listen  []string
		asked   bool
		domain  string
		says    []string // in the errors; none: it is accepted
	}{
		{name: "nothing", listen: []string{"127.0.0.1:8600"}, domain: "cleat."},
		{name: "off", args: []string{"-dns", ""}, asked: true, domain: "cleat."},
		{name: "off in the environment", environ: []string{"CLEATD_DNS=off"}, asked: true, domain: "cleat."},
		{name: "both families", args: []string{"-dns", "127.0.0.1:53, [::1]:53"}, listen: []string{"127.0.0.1:53", "[::1]:53"}, asked: true, domain: "cleat."},
		{name: "the environment", environ: []string{"CLEATD_DNS=localhost:53", "CLEATD_DOMAIN=Disco.Example.org"}, listen: []string{"localhost:53"}, asked: true, domain: "disco.example.org."},
		{name: "other machines", args: []string{"-dns", ":53"}, says: []string{`-dns is ":53"`, "-open"}},
		{name: "other machines and open", args: []string{"-dns", ":53", "-open"}, listen: []string{":53"}, asked: true, domain: "cleat."},
		{name: "no port", environ: []string{"CLEATD_DNS=localhost"}, says: []string{`CLEATD_DNS is "localhost"`, "host:port"}},
		{name: "a bad domain", args: []string{"-domain", "a b"}, says: []string{`-domain is "a b"`}},
		{name: "a host as upstream", args: []string{"-dns-upstream", "192.0.2.1,example.org"}, says: []string{`-dns-upstream is "example.org"`, "192.0.2.53"}},
		{name: "upstream port 0", args: []string{"-dns-upstream", "192.0.2.1:0"}, says: []string{`"192.0.2.1:0"`}},
		{name: "itself", args: []string{"-dns-upstream", "127.0.0.1:8600"}, says: []string{"own address"}},
		{name: "itself by another name", args: []string{"-dns", ":53", "-open", "-dns-upstream", "127.0.0.53"}, says: []string{"own address"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := parse(test.args, test.environ, io.Discard)
			if len(test.says) == 0 {
				if err != nil || !slices.Equal(s.names.listen, test.listen) || s.names.asked != test.asked || s.names.domain != test.domain {
					t.Errorf("got %+v, %v", s.names, err)
				}
				return
			}
			for _, says := range test.says {
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("the error does not say %q: %v", says, err)
				}
			}
		})
	}
	s, err := parse([]string{"-dns-upstream", "192.0.2.1, 192.0.2.2:5353,2001:db8::1,[2001:db8::2]:54"}, nil, io.Discard)
	want := []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("192.0.2.2:5353"),
		netip.MustParseAddrPort("[2001:db8::1]:53"), netip.MustParseAddrPort("[2001:db8::2]:54"),
	}
	if err != nil || !slices.Equal(s.names.upstreams, want) {
		t.Errorf("got %v, %v", s.names.upstreams, err)
	}
}

// TestProcessAnswersDNS asks the program itself.
func TestProcessAnswersDNS(t *testing.T) {
	d := start(t, "-dns", "127.0.0.1:0", "-warming", "0", "-domain", "disco.example.org")
	address := awaitDNS(d.log)
	go io.Copy(io.Discard, d.log)
	for _, network := range []string{"udp", "tcp"} {
		var q dns.Msg
		q.SetQuestion("web.disco.example.org.", dns.TypeA)
		client := dns.Client{Net: network}
		m, _, err := client.Exchange(&q, address)
		// Until the server has begun, it does not know that there is nothing.
		for end := time.Now().Add(10 * time.Second); err == nil && m.Rcode == dns.RcodeServerFailure && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
			m, _, err = client.Exchange(&q, address)
		}
		if err != nil || m.Rcode != dns.RcodeNameError {
			t.Errorf("over %s: got %v, %v", network, m, err)
		}
	}
}

// TestDNSPortInUse: a default that is taken costs DNS alone; what was asked for
// must be.
func TestDNSPortInUse(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.LocalAddr().String()
	var errs strings.Builder
	if code := run(t.Context(), []string{"-listen", "127.0.0.1:0", "-dns", address}, nil, io.Discard, &errs); code != exitFailed || !strings.Contains(errs.String(), address) {
		t.Errorf("asked for: exit %d, %q", code, errs.String())
	}
	errs.Reset()
	log := newLog(&errs, settings{})
	listeners, err := openDNS(t.Context(), log, names{listen: []string{address}})
	if err != nil || len(listeners) > 0 || !strings.Contains(errs.String(), "DNS is not answered") {
		t.Errorf("by default: got %v, %v, %q", listeners, err, errs.String())
	}
}

// awaitDNS reads the log until it says where DNS is answered.
func awaitDNS(log *bufio.Reader) string {
	for {
		line, err := log.ReadString('\n')
		if err != nil {
			return ""
		}
		var entry struct{ Msg, Address string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "cleatd answers DNS" {
			return entry.Address
		}
	}
}
