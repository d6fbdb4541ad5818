package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"cleat/registry"
	"cleat/registry/server"
)

// table is a registry that a test fills.
type table struct {
	services   map[string]*server.Listing // by namespace, a space, name
	namespaces []string
	addresses  map[netip.Addr][]server.ServiceName
	warming    bool
}

func (t *table) Lookup(namespace, service []byte) *server.Listing {
	return t.services[string(namespace)+" "+string(service)]
}

func (t *table) HasNamespace(namespace []byte) bool {
	return slices.Contains(t.namespaces, string(namespace))
}

func (t *table) ServicesAt(addr netip.Addr, most int) []server.ServiceName {
	return t.addresses[addr][:min(most, len(t.addresses[addr]))]
}

func (t *table) Warming() bool { return t.warming }

func (t *table) add(instances ...registry.Instance) {
	for _, i := range instances {
		i.Namespace = or(i.Namespace, "default")
		i.Status = registry.Status(or(string(i.Status), string(registry.Passing)))
		i.Protocol = registry.Protocol(or(string(i.Protocol), string(registry.TCP)))
		if i.Port == 0 {
			i.Port = 80
		}
		key := i.Namespace + " " + i.Service
		l := &server.Listing{Instances: []registry.Instance{i}}
		if old := t.services[key]; old != nil {
			l.Instances = append(l.Instances, old.Instances...)
		}
		t.services[key] = l
		for at, c := range i.Namespace + "/" {
			if c == '/' {
				t.namespaces = append(t.namespaces, i.Namespace[:at])
			}
		}
		if addr, err := netip.ParseAddr(i.Address); err == nil && i.Status.Serving() {
			t.addresses[addr] = append(t.addresses[addr], server.ServiceName{Namespace: i.Namespace, Service: i.Service})
		}
	}
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func newTable(instances ...registry.Instance) *table {
	t := &table{services: make(map[string]*server.Listing), addresses: make(map[netip.Addr][]server.ServiceName)}
	t.add(instances...)
	return t
}

// fleet is a registry with one of everything.
func fleet() *table {
	return newTable(
		registry.Instance{ID: "my1", Service: "mysql", Address: "192.0.2.1", Port: 3306, Tags: []string{"Primary", "v8"}, Zone: "eu-1", Attributes: map[string]string{"weight": "7", "role": `a\b`}},
		registry.Instance{ID: "my2", Service: "mysql", Address: "192.0.2.2", Port: 3306, Tags: []string{"replica", "v8"}, Zone: "eu-2", Status: registry.Warning},
		registry.Instance{ID: "my3", Service: "mysql", Address: "192.0.2.3", Port: 3306, Tags: []string{"replica"}, Zone: "eu-3", Status: registry.Draining},
		registry.Instance{ID: "web6", Service: "web", Namespace: "dev/alice", Address: "2001:db8::1", Port: 8080},
		registry.Instance{ID: "mix4", Service: "mix", Address: "192.0.2.4"},
		registry.Instance{ID: "mix6", Service: "mix", Address: "2001:db8::4"},
		registry.Instance{ID: "mixn", Service: "mix", Address: "mix.example.org"},
		registry.Instance{ID: "ext", Service: "ext", Address: "db.example.org", Port: 5432},
		registry.Instance{ID: "dns1", Service: "dns", Address: "192.0.2.5", Port: 53, Protocol: registry.UDP},
		registry.Instance{ID: "down1", Service: "down", Address: "192.0.2.6", Status: registry.Critical},
		registry.Instance{ID: "down2", Service: "down", Address: "192.0.2.7", Status: registry.Starting},
		registry.Instance{ID: "down3", Service: "down", Address: "192.0.2.8", Status: registry.Maintenance},
		registry.Instance{ID: "two1", Service: "two", Address: "192.0.2.9", Port: 1},
		registry.Instance{ID: "two2", Service: "two", Address: "192.0.2.9", Port: 2},
	)
}

func newWorker(t testing.TB, r Registry, config Config) *worker {
	t.Helper()
	config.Registry = r
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return &worker{server: s}
}

var here = via{local: netip.MustParseAddr("127.0.0.1")}

// ask packs a query, has it answered and checks what holds for every answer.
func ask(t testing.TB, w *worker, q *dns.Msg, by via) *dns.Msg {
	t.Helper()
	packet, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	answer, then := w.answer(packet, by)
	if then == passOn {
		t.Fatalf("%s was to be passed on", q.Question[0].Name)
	}
	if answer == nil {
		t.Fatalf("%v is not answered", q.Question)
	}
	size := dns.MinMsgSize
	if opt := q.IsEdns0(); opt != nil {
		size = min(max(size, int(opt.UDPSize())), maxUDP)
	}
	if !by.tcp && len(answer) > size {
		t.Errorf("the answer has %d bytes; the client takes %d", len(answer), size)
	}
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		t.Fatalf("the answer cannot be read: %v\n%x", err, answer)
	}
	if m.Id != q.Id || !m.Response || m.RecursionDesired != q.RecursionDesired {
		t.Errorf("the header is %+v", m.MsgHdr)
	}
	if (m.IsEdns0() != nil) != (q.IsEdns0() != nil) {
		t.Errorf("OPT in the query: %v, in the answer: %v", q.IsEdns0(), m.IsEdns0())
	}
	for _, rr := range m.Answer {
		if rr.Header().Ttl != 2 {
			t.Errorf("the TTL of %v is not 2 s", rr)
		}
		if len(q.Question) == 1 && rr.Header().Name != q.Question[0].Name {
			t.Errorf("the owner of %v is not the question's name %s", rr, q.Question[0].Name)
		}
	}
	return m
}

func question(name string, kind uint16) *dns.Msg {
	q := new(dns.Msg)
	q.SetQuestion(name, kind)
	return q
}

// brief shows the answer section, sorted, as dig +short does.
func brief(m *dns.Msg) string {
	var lines []string
	for _, rr := range m.Answer {
		text := strings.TrimPrefix(rr.String(), rr.Header().String())
		if rr.Header().Rrtype == dns.TypeCNAME {
			text = "-> " + text
		}
		lines = append(lines, text)
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

func TestAnswers(t *testing.T) {
	const nodata, nxdomain, servfail, refused = "NODATA", "NXDOMAIN", "SERVFAIL", "REFUSED"
	tests := []struct {
		name string
		kind uint16
		want string
		cold string // the same while warming; empty: the same
	}{
		// names of services
		{"mysql.default.cleat.", dns.TypeA, "192.0.2.1, 192.0.2.2", ""},
		{"mysql.cleat.", dns.TypeA, "192.0.2.1, 192.0.2.2", ""},
		{"MySQL.Default.CLEAT.", dns.TypeA, "192.0.2.1, 192.0.2.2", ""},
		{"web.alice.dev.cleat.", dns.TypeAAAA, "2001:db8::1", ""},
		{"web.dev.alice.cleat.", dns.TypeAAAA, nxdomain, servfail},
		{"web.cleat.", dns.TypeA, nxdomain, servfail},
		{`web.alice/dev.cleat.`, dns.TypeAAAA, nxdomain, servfail},
		{`web.dev/alice.cleat.`, dns.TypeAAAA, nxdomain, servfail},
		{"a.b.c.d.e.f.g.cleat.", dns.TypeA, nxdomain, servfail},
		// kinds of none
		{"mysql.cleat.", dns.TypeAAAA, nodata, ""},
		{"mysql.cleat.", dns.TypeMX, nodata, ""},
		{"web.alice.dev.cleat.", dns.TypeA, nodata, ""},
		{"down.cleat.", dns.TypeA, nodata, servfail},
		{"down.cleat.", dns.TypeSRV, nodata, servfail},
		{"nothing.cleat.", dns.TypeA, nxdomain, servfail},
		{"default.cleat.", dns.TypeA, nodata, servfail},
		{"dev.cleat.", dns.TypeA, nodata, servfail},
		{"alice.dev.cleat.", dns.TypeA, nodata, servfail},
		{"alice.cleat.", dns.TypeA, nxdomain, servfail},
		{"_tcp.default.cleat.", dns.TypeSRV, nodata, servfail},
		{"_tcp.cleat.", dns.TypeSRV, nodata, servfail},
		{"_udp.alice.dev.cleat.", dns.TypeSRV, nodata, servfail},
		{"_tcp.nothing.cleat.", dns.TypeSRV, nxdomain, servfail},
		{"_zone.mysql.cleat.", dns.TypeA, nodata, servfail},
		// services, ports, tags, zones
		{"mysql.cleat.", dns.TypeSRV, "1 1 3306 c0000202.addr.cleat., 1 7 3306 c0000201.addr.cleat.", ""},
		{"_mysql._tcp.cleat.", dns.TypeSRV, "1 1 3306 c0000202.addr.cleat., 1 7 3306 c0000201.addr.cleat.", ""},
		{"_mysql._tcp.default.cleat.", dns.TypeA, "192.0.2.1, 192.0.2.2", ""},
		{"_mysql._udp.default.cleat.", dns.TypeSRV, nxdomain, servfail},
		{"_dns._udp.cleat.", dns.TypeSRV, "1 1 53 c0000205.addr.cleat.", ""},
		{"_web._tcp.alice.dev.cleat.", dns.TypeSRV, "1 1 8080 20010db8000000000000000000000001.addr.cleat.", ""},
		{"_primary.mysql.cleat.", dns.TypeA, "192.0.2.1", ""},
		{"_PRIMARY.mysql.cleat.", dns.TypeA, "192.0.2.1", ""},
		{"_primary._mysql._tcp.default.cleat.", dns.TypeSRV, "1 7 3306 c0000201.addr.cleat.", ""},
		{"_v8._replica.mysql.cleat.", dns.TypeA, "192.0.2.2", ""},
		{"_v8.mysql.cleat.", dns.TypeA, "192.0.2.1, 192.0.2.2", ""},
		{"_v8._primary._replica.mysql.cleat.", dns.TypeA, nxdomain, servfail},
		{"_other.mysql.cleat.", dns.TypeA, nxdomain, servfail},
		{"_eu-2._zone.mysql.cleat.", dns.TypeA, "192.0.2.2", ""},
		{"_eu-3._zone.mysql.cleat.", dns.TypeA, nodata, servfail},
		{"_eu-4._zone.mysql.cleat.", dns.TypeA, nxdomain, servfail},
		{"_eu-1._zone._eu-2._zone.mysql.cleat.", dns.TypeA, nxdomain, servfail},
		{"_v8._eu-1._zone._mysql._tcp.cleat.", dns.TypeA, "192.0.2.1", ""},
		{"_a._b._c._d._e._f._g._h._i.mysql.cleat.", dns.TypeA, nxdomain, servfail},
		{"mysql.cleat.", dns.TypeTXT, `"id=my1" "addr=192.0.2.1:3306" "zone=eu-1" "tag=Primary" "tag=v8" "attr.role=a\\b" "attr.weight=7", "id=my2" "addr=192.0.2.2:3306" "zone=eu-2" "tag=replica" "tag=v8"`, ""},
		{"two.cleat.", dns.TypeA, "192.0.2.9", ""},
		{"two.cleat.", dns.TypeSRV, "1 1 1 c0000209.addr.cleat., 1 1 2 c0000209.addr.cleat.", ""},
		{"mysql.cleat.", dns.TypeANY, `"RFC8482" ""`, ""},
		{"nothing.cleat.", dns.TypeANY, nxdomain, servfail},
		// host names
		{"ext.cleat.", dns.TypeA, "-> db.example.org.", ""},
		{"ext.cleat.", dns.TypeAAAA, "-> db.example.org.", ""},
		{"ext.cleat.", dns.TypeCNAME, "-> db.example.org.", ""},
		{"ext.cleat.", dns.TypeSRV, "1 1 5432 db.example.org.", ""},
		{"mix.cleat.", dns.TypeA, "192.0.2.4", ""},
		{"mix.cleat.", dns.TypeCNAME, nodata, ""},
		{"mix.cleat.", dns.TypeSRV, "1 1 80 20010db8000000000000000000000004.addr.cleat., 1 1 80 c0000204.addr.cleat., 1 1 80 mix.example.org.", ""},
		// addresses
		{"c0000201.addr.cleat.", dns.TypeA, "192.0.2.1", ""},
		{"C0A80001.addr.cleat.", dns.TypeA, "192.168.0.1", ""},
		{"c0000201.addr.cleat.", dns.TypeAAAA, nodata, ""},
		{"20010db8000000000000000000000001.addr.cleat.", dns.TypeAAAA, "2001:db8::1", ""},
		{"c00002.addr.cleat.", dns.TypeA, nxdomain, servfail},
		{"x0000201.addr.cleat.", dns.TypeA, nxdomain, servfail},
		{"addr.cleat.", dns.TypeA, nodata, ""},
		{"1.2.0.192.in-addr.arpa.", dns.TypePTR, "mysql.default.cleat.", ""},
		{"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.", dns.TypePTR, "web.alice.dev.cleat.", ""},
		{"1.2.0.192.in-addr.arpa.", dns.TypeA, nodata, ""},
		{"3.2.0.192.in-addr.arpa.", dns.TypePTR, refused, servfail}, // it drains
		{"300.2.0.192.in-addr.arpa.", dns.TypePTR, refused, ""},
		// the domain
		{"cleat.", dns.TypeNS, "ns.cleat.", ""},
		{"cleat.", dns.TypeA, nodata, ""},
		{"ns.cleat.", dns.TypeA, "127.0.0.1", ""},
		{"ns.cleat.", dns.TypeAAAA, nodata, ""},
		// others
		{"example.org.", dns.TypeA, refused, ""},
		{"mycleat.", dns.TypeA, refused, ""},
		{"cleat.org.", dns.TypeA, refused, ""},
		{".", dns.TypeNS, refused, ""},
		{"cleat.", dns.TypeAXFR, refused, ""},
		{"cleat.", dns.TypeIXFR, refused, ""},
	}
	for _, warming := range []bool{false, true} {
		r := fleet()
		r.warming = warming
		w := newWorker(t, r, Config{})
		for _, test := range tests {
			want := test.want
			if warming {
				want = or(test.cold, want)
			}
			t.Run(fmt.Sprintf("warming=%v/%s/%s", warming, test.name, dns.TypeToString[test.kind]), func(t *testing.T) {
				for range 2 { // the second from what the first has made
					m := ask(t, w, question(test.name, test.kind), here)
					got := brief(m)
					switch {
					case m.Rcode == dns.RcodeSuccess && len(m.Answer) == 0:
						got = nodata
					case m.Rcode != dns.RcodeSuccess:
						got = dns.RcodeToString[m.Rcode]
					}
					if got != want {
						t.Errorf("got  %s\nwant %s", got, want)
					}
					about := dns.IsSubDomain("cleat.", strings.ToLower(test.name))
					if none := got == nodata || got == nxdomain; none && about {
						checkNone(t, m)
					} else if len(m.Ns) > 0 {
						t.Errorf("there is an authority section: %v", m.Ns)
					}
					if ours := got != servfail && got != refused; m.Authoritative != ours {
						t.Errorf("authoritative: %v", m.Authoritative)
					}
					if m.RecursionAvailable || m.Truncated {
						t.Errorf("the header is %v", m.MsgHdr)
					}
				}
			})
		}
	}
}

// checkNone checks that an empty answer says for how long it may be kept.
func checkNone(t *testing.T, m *dns.Msg) {
	t.Helper()
	if len(m.Ns) != 1 {
		t.Fatalf("the authority section is %v; want a SOA", m.Ns)
	}
	soa, ok := m.Ns[0].(*dns.SOA)
	if !ok || !strings.EqualFold(soa.Hdr.Name, "cleat.") || soa.Hdr.Ttl != 2 || soa.Minttl != 2 || soa.Serial == 0 ||
		soa.Ns != "ns.cleat." || soa.Mbox != "hostmaster.cleat." {
		t.Errorf("the SOA is %v", m.Ns[0])
	}
}

func TestTheCaseOfTheQuestionIsKept(t *testing.T) {
	w := newWorker(t, fleet(), Config{})
	for _, name := range []string{"mYsQl.dEfAuLt.cLeAt.", "MYSQL.CLEAT."} {
		m := ask(t, w, question(name, dns.TypeA), here) // looks at the owners
		if m.Question[0].Name != name || len(m.Answer) != 2 {
			t.Errorf("asked for %s: got %v", name, m)
		}
	}
}

func TestTargetsResolve(t *testing.T) {
	w := newWorker(t, fleet(), Config{})
	for _, name := range []string{"mysql.cleat.", "web.alice.dev.cleat.", "mix.cleat.", "two.cleat."} {
		m := ask(t, w, question(name, dns.TypeSRV), here)
		given := make(map[string]string)
		for _, rr := range m.Extra {
			if given[rr.Header().Name] != "" {
				t.Errorf("%s: the address of %s is there twice", name, rr.Header().Name)
			}
			given[rr.Header().Name] = strings.TrimPrefix(rr.String(), rr.Header().String())
		}
		for _, rr := range m.Answer {
			target := rr.(*dns.SRV).Target
			if !strings.HasSuffix(target, ".addr.cleat.") {
				continue
			}
			found := brief(ask(t, w, question(target, dns.TypeA), here)) + brief(ask(t, w, question(target, dns.TypeAAAA), here))
			if found == "" || given[target] != found {
				t.Errorf("%s: %s resolves to %q; beside it stands %q", name, target, found, given[target])
			}
		}
	}
}

func TestSOAAndGlue(t *testing.T) {
	w := newWorker(t, fleet(), Config{Domain: "Disco.Example.org"})
	m := ask(t, w, question("disco.example.org.", dns.TypeSOA), here)
	if soa, ok := m.Answer[0].(*dns.SOA); !ok || soa.Minttl != 2 || soa.Serial == 0 || soa.Ns != "ns.disco.example.org." {
		t.Errorf("the SOA is %v", m.Answer)
	}
	m = ask(t, w, question("disco.example.org.", dns.TypeNS), here)
	if len(m.Extra) != 1 || m.Extra[0].Header().Name != "ns.disco.example.org." || m.Extra[0].(*dns.A).A.String() != "127.0.0.1" {
		t.Errorf("beside the NS stands %v", m.Extra)
	}
	m = ask(t, w, question("disco.example.org.", dns.TypeNS), via{})
	if len(m.Extra) != 0 {
		t.Errorf("the server's address is not known, and given as %v", m.Extra)
	}
	if got := brief(ask(t, w, question("mysql.disco.example.org.", dns.TypeSRV), here)); !strings.Contains(got, "c0000201.addr.disco.example.org.") {
		t.Errorf("got %s", got)
	}
}

// many is a service with so many instances, each at an address of its own.
func many(n int) *table {
	r := newTable()
	l := &server.Listing{}
	for i := range n {
		l.Instances = append(l.Instances, registry.Instance{
			ID: fmt.Sprint("i", i), Service: "many", Namespace: "default", Address: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String(),
			Port: 80, Protocol: registry.TCP, Status: registry.Passing,
		})
	}
	r.services["default many"] = l
	return r
}

func TestSizes(t *testing.T) {
	w := newWorker(t, many(5000), Config{})
	for _, kind := range []uint16{dns.TypeA, dns.TypeSRV, dns.TypeTXT} {
		for _, size := range []int{0, 100, 512, 800, 1232, 4096, 65535} {
			q := question("many.cleat.", kind)
			if size > 0 {
				q.SetEdns0(uint16(size), false)
			}
			m := ask(t, w, q, here) // looks at the size
			if !m.Truncated || len(m.Answer) < 5 {
				t.Errorf("%s with %d bytes: truncated: %v, with %d records", dns.TypeToString[kind], size, m.Truncated, len(m.Answer))
			}
			if extra := len(m.Extra) - len(q.Extra); kind == dns.TypeSRV && extra > len(m.Answer) {
				t.Errorf("SRV with %d bytes: %d records, %d addresses", size, len(m.Answer), extra)
			}
		}
		m := ask(t, w, question("many.cleat.", kind), via{tcp: true})
		if m.Truncated || len(m.Answer) < 1000 {
			t.Errorf("%s over TCP: truncated: %v, with %d records", dns.TypeToString[kind], m.Truncated, len(m.Answer))
		}
	}
	w = newWorker(t, many(16), Config{}) // SRV: fits without all of the addresses
	q := question("many.cleat.", dns.TypeSRV)
	q.SetEdns0(800, false)
	m := ask(t, w, q, here)
	if m.Truncated || len(m.Answer) != 16 || len(m.Extra)-1 >= 16 {
		t.Errorf("addresses must go before records: truncated: %v, %d records, %d more", m.Truncated, len(m.Answer), len(m.Extra)-1)
	}
}

func TestEveryInstanceComesFirst(t *testing.T) {
	const instances, rounds = 8, 4000
	w := newWorker(t, many(instances), Config{})
	for _, kind := range []uint16{dns.TypeA, dns.TypeSRV} {
		first := make(map[string]int)
		second := make(map[string]int)
		for range rounds {
			m := ask(t, w, question("many.cleat.", kind), here)
			if len(m.Answer) != instances {
				t.Fatalf("got %d records", len(m.Answer))
			}
			first[m.Answer[0].String()]++
			second[m.Answer[0].String()+m.Answer[1].String()]++
		}
		if len(first) != instances || len(second) != instances*(instances-1) {
			t.Errorf("%d came first, and %d pairs", len(first), len(second))
		}
		for rr, n := range first {
			// 500 are expected; 21 is the deviation, and six of it never happen.
			if n < rounds/instances-126 || n > rounds/instances+126 {
				t.Errorf("%s came first %d times of %d", rr, n, rounds)
			}
		}
	}
	w = newWorker(t, many(200), Config{}) // what is cut must not always be the same
	seen := make(map[string]bool)
	for range 200 {
		for _, rr := range ask(t, w, question("many.cleat.", dns.TypeA), here).Answer {
			seen[rr.String()] = true
		}
	}
	if len(seen) != 200 {
		t.Errorf("%d of 200 were ever in an answer that was cut", len(seen))
	}
}

func TestAliasesTakeTurns(t *testing.T) {
	r := newTable(
		registry.Instance{ID: "a", Service: "ext", Address: "a.example.org"},
		registry.Instance{ID: "b", Service: "ext", Address: "b.example.org"},
	)
	w := newWorker(t, r, Config{})
	seen := make(map[string]bool)
	for range 100 {
		seen[brief(ask(t, w, question("ext.cleat.", dns.TypeA), here))] = true
	}
	if len(seen) != 2 {
		t.Errorf("got %v; want one of two each time", seen)
	}
}

func TestFiltersThatAreRememberedAreBounded(t *testing.T) {
	r := newTable()
	for n := range 20 {
		r.add(registry.Instance{ID: fmt.Sprint(n), Service: "web", Address: "192.0.2.1", Tags: []string{fmt.Sprint("t", n), "all"}})
	}
	w := newWorker(t, r, Config{})
	for n := range 20 {
		for m := range 20 {
			ask(t, w, question(fmt.Sprintf("_all._t%d._t%d.web.cleat.", n, m), dns.TypeA), here)
			ask(t, w, question(fmt.Sprintf("_x%d-%d.web.cleat.", n, m), dns.TypeA), here)
		}
	}
	if n := len(w.server.sets(r.services["default web"]).filtered); n != maxFiltered {
		t.Errorf("%d are remembered; want %d", n, maxFiltered)
	}
}

func TestDomains(t *testing.T) {
	for domain, want := range map[string]string{"cleat": "cleat.", "Cleat.": "cleat.", "a.b-c.org.": "a.b-c.org."} {
		if got, err := CheckDomain(domain); got != want || err != nil {
			t.Errorf("%q: got %q, %v", domain, got, err)
		}
	}
	for _, domain := range []string{"", ".", "a..b", "-a", "a b", strings.Repeat("a", 64), strings.Repeat("a.", 60)} {
		if got, err := CheckDomain(domain); err == nil {
			t.Errorf("%q: got %q", domain, got)
		}
	}
	if _, err := New(Config{Registry: newTable(), Domain: "a b"}); err == nil {
		t.Error("New took a bad domain")
	}
	if _, err := New(Config{}); err == nil {
		t.Error("New took no registry")
	}
}
