package dns

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"cleat/registry"
)

// serve answers on the address until the test ends, and then holds the server to
// leaving nothing behind.
func serve(t *testing.T, r Registry, address string, config Config) *Listener {
	t.Helper()
	config.Registry = r
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(t.Context(), address)
	if err != nil {
		t.Skipf("needs to listen on %s: %v", address, err)
	}
	before := runtime.NumGoroutine()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Serve does not end")
		}
		for range 1000 { // goroutines of the client and the runtime end a little later
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(time.Millisecond)
		}
		stacks := make([]byte, 1<<20)
		t.Errorf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
	})
	return l
}

func at(l *Listener, host string) string {
	return net.JoinHostPort(host, fmt.Sprint(l.Addr().Port()))
}

func exchange1(t *testing.T, network, address string, q *dns.Msg) *dns.Msg {
	t.Helper()
	client := dns.Client{Net: network, Timeout: 10 * time.Second, UDPSize: maxUDP}
	m, _, err := client.Exchange(q, address)
	if err != nil {
		t.Fatalf("%s over %s: %v", address, network, err)
	}
	return m
}

func TestSockets(t *testing.T) {
	for _, test := range []struct{ listen, ask string }{
		{"127.0.0.1:0", "127.0.0.1"},
		{"[::1]:0", "::1"},
		{"localhost:0", "127.0.0.1"},
		{":0", "127.0.0.1"},
		{":0", "127.0.0.77"}, // the answer must come from this address: the client is connected to it
		{":0", "::1"},
		{"0.0.0.0:0", "127.0.0.78"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(test.listen+"/"+test.ask+"/"+network, func(t *testing.T) {
				l := serve(t, fleet(), test.listen, Config{})
				m := exchange1(t, network, at(l, test.ask), question("mysql.cleat.", dns.TypeA))
				if got := brief(m); got != "192.0.2.1, 192.0.2.2" {
					t.Errorf("got %s", got)
				}
				kind := dns.TypeA
				if strings.Contains(test.ask, ":") {
					kind = dns.TypeAAAA
				}
				m = exchange1(t, network, at(l, test.ask), question("ns.cleat.", kind))
				if got := brief(m); got != test.ask {
					t.Errorf("the server says that it is at %s; it was asked at %s", got, test.ask)
				}
			})
		}
	}
}

func TestTruncatedOverUDPWholeOverTCP(t *testing.T) {
	l := serve(t, many(500), "127.0.0.1:0", Config{})
	m := exchange1(t, "udp", l.Addr().String(), question("many.cleat.", dns.TypeA))
	if !m.Truncated || len(m.Answer) < 20 {
		t.Errorf("over UDP: truncated: %v, %d records", m.Truncated, len(m.Answer))
	}
	m = exchange1(t, "tcp", l.Addr().String(), question("many.cleat.", dns.TypeA))
	if m.Truncated || len(m.Answer) != 500 {
		t.Errorf("over TCP: truncated: %v, %d records", m.Truncated, len(m.Answer))
	}
}

func TestManyAtTheSameTime(t *testing.T) {
	l := serve(t, fleet(), "127.0.0.1:0", Config{})
	var work sync.WaitGroup
	for n := range 8 {
		work.Go(func() {
			network := []string{"udp", "tcp"}[n%2]
			for range 50 {
				m := exchange1(t, network, l.Addr().String(), question("mysql.cleat.", dns.TypeSRV))
				if len(m.Answer) != 2 || len(m.Extra) != 2 {
					t.Errorf("got %v", m)
				}
			}
		})
	}
	work.Wait()
}

func TestGarbageCostsNobodyElse(t *testing.T) {
	l := serve(t, fleet(), "127.0.0.1:0", Config{})
	conn, err := net.Dial("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for n := range 200 {
		conn.Write(bytes.Repeat([]byte{0x80, byte(n)}, n)) // responses: never answered
	}
	conn.Write(nil)
	conn.Write(bytes.Repeat([]byte{0}, 9000)) // no question
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer := make([]byte, maxQuery)
	n, err := conn.Read(answer)
	if err != nil || n != headerSize || answer[3]&rcodeMask != dns.RcodeFormatError {
		t.Errorf("got %x, %v; want one answer, that the last one was wrong", answer[:n], err)
	}
	if m := exchange1(t, "udp", l.Addr().String(), question("mysql.cleat.", dns.TypeA)); len(m.Answer) != 2 {
		t.Errorf("got %v", m)
	}
}

func TestTCPConversation(t *testing.T) {
	l := serve(t, fleet(), "127.0.0.1:0", Config{})
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var all []byte // several queries at once are answered in their order
	for id := range uint16(5) {
		q := question("mysql.cleat.", dns.TypeA)
		q.Id = id
		all = append(all, prefixed(packed(t, q))...)
	}
	conn.Write(all)
	for id := range uint16(5) {
		answer, err := readMessage(conn, maxTCP)
		if err != nil || binary.BigEndian.Uint16(answer) != id {
			t.Fatalf("query %d: got %x, %v", id, answer, err)
		}
	}
	for _, bad := range [][]byte{prefixed([]byte("no")), prefixed(make([]byte, maxQuery+1))} {
		other, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		other.Write(bad)
		other.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := other.Read(make([]byte, 1)); n != 0 || errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			t.Errorf("%d bytes of garbage: read %d, %v; want the connection closed", len(bad), n, err)
		}
		other.Close()
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestConnectionsAreBounded(t *testing.T) {
	l := serve(t, fleet(), "127.0.0.1:0", Config{})
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	for range maxConnections {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Skipf("needs %d connections: %v", maxConnections, err)
		}
		conns = append(conns, conn)
	}
	began := time.Now()
	for { // until they are all accepted, and one too many is closed at once
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(crowdedWithin / 4))
		_, err = conn.Read(make([]byte, 1))
		conn.Close()
		if !isTimeout(err) {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("connections are taken without end")
		}
	}
	// Those that say nothing are soon gone, and there is room again.
	last := conns[len(conns)-1]
	last.SetReadDeadline(time.Now().Add(idleWithin))
	if _, err := last.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("an idle connection among too many: %v", err)
	}
	if m := exchange1(t, "udp", l.Addr().String(), question("mysql.cleat.", dns.TypeA)); len(m.Answer) != 2 {
		t.Errorf("got %v", m)
	}
}

func TestListen(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.tcp.Addr().(*net.TCPAddr).Port != int(l.Addr().Port()) {
		t.Error("UDP and TCP are on different ports")
	}
	for _, address := range []string{l.Addr().String(), "nonsense", "127.0.0.1"} {
		if other, err := Listen(t.Context(), address); err == nil || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: got %v, %v", address, other, err)
		}
	}
}

func TestServeSaysWhichListenerFailed(t *testing.T) {
	s, err := New(Config{Registry: fleet()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.tcp.Close()
	l.tcp = broken{}
	if err := s.Serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), "over TCP") {
		t.Errorf("got %v", err)
	}
}

// broken is a listener that fails.
type broken struct{}

func (broken) Accept() (net.Conn, error) { return nil, errors.New("broken") }
func (broken) Close() error              { return nil }
func (broken) Addr() net.Addr            { return &net.TCPAddr{} }

// upstream is another resolver.
type upstream struct {
	address netip.AddrPort
	mu      sync.Mutex
	asked   []string
}

// resolver starts a resolver whose answers a test makes.
func resolver(t *testing.T, answer func(w dns.ResponseWriter, q *dns.Msg)) *upstream {
	t.Helper()
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{address: l.Addr()}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		u.mu.Lock()
		u.asked = append(u.asked, w.RemoteAddr().Network()+" "+q.Question[0].String())
		u.mu.Unlock()
		answer(w, q)
	})
	var work sync.WaitGroup
	for _, s := range []*dns.Server{{PacketConn: l.udp, Handler: handler}, {Listener: l.tcp, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		work.Go(func() { s.ActivateAndServe() })
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	return u
}

func reply1(q *dns.Msg, rcode int, records ...string) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(q, rcode)
	m.RecursionAvailable = true
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	return m
}

func TestForwarding(t *testing.T) {
	good := resolver(t, func(w dns.ResponseWriter, q *dns.Msg) {
		switch name := q.Question[0].Name; {
		case name == "big.example.org." && w.RemoteAddr().Network() == "udp":
			m := reply1(q, dns.RcodeSuccess)
			m.Truncated = true
			w.WriteMsg(m)
		case name == "big.example.org.":
			var records []string
			for n := range 200 {
				records = append(records, fmt.Sprintf("big.example.org. 60 IN A 198.51.100.%d", n))
			}
			w.WriteMsg(reply1(q, dns.RcodeSuccess, records...))
		case name == "nothing.example.org.":
			w.WriteMsg(reply1(q, dns.RcodeNameError))
		case strings.HasSuffix(name, ".arpa."):
			w.WriteMsg(reply1(q, dns.RcodeSuccess, name+" 60 IN PTR host.example.org."))
		default:
			forged := reply1(q, dns.RcodeSuccess, name+" 60 IN A 203.0.113.66")
			forged.Id++
			if w.RemoteAddr().Network() == "udp" {
				w.WriteMsg(forged) // comes first, and must not count
			}
			w.WriteMsg(reply1(q, dns.RcodeSuccess, name+" 60 IN A 198.51.100.1"))
		}
	})
	lame := resolver(t, func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(reply1(q, dns.RcodeServerFailure)) })
	l := serve(t, fleet(), "127.0.0.1:0", Config{Upstreams: []netip.AddrPort{lame.address, good.address}})
	address := l.Addr().String()
	for _, network := range []string{"udp", "tcp"} {
		for name, want := range map[string]string{"Www.Example.org.": "198.51.100.1", "ext.cleat.": "-> db.example.org., 198.51.100.1", "mysql.cleat.": "192.0.2.1, 192.0.2.2"} {
			m := exchange1(t, network, address, question(name, dns.TypeA))
			if got := brief(m); got != want {
				t.Errorf("%s over %s: got %s, want %s", name, network, got, want)
			}
			if !m.RecursionAvailable {
				t.Errorf("%s: recursion is not said to be available", name)
			}
		}
		if m := exchange1(t, network, address, question("nothing.example.org.", dns.TypeA)); m.Rcode != dns.RcodeNameError {
			t.Errorf("over %s: got %v", network, m)
		}
		m := exchange1(t, network, address, question("4.3.2.1.in-addr.arpa.", dns.TypePTR))
		if got := brief(m); got != "host.example.org." {
			t.Errorf("an address of somebody else: got %s", got)
		}
		m = exchange1(t, network, address, question("big.example.org.", dns.TypeA))
		if network == "udp" && !m.Truncated || network == "tcp" && len(m.Answer) != 200 {
			t.Errorf("over %s: truncated: %v, %d records", network, m.Truncated, len(m.Answer))
		}
	}
	q := question("www.example.org.", dns.TypeA)
	q.RecursionDesired = false
	if m := exchange1(t, "udp", address, q); m.Rcode != dns.RcodeRefused {
		t.Errorf("without recursion desired: got %v", m)
	}
	good.mu.Lock()
	defer good.mu.Unlock()
	for _, asked := range append(good.asked, lame.asked...) {
		if strings.Contains(strings.ToLower(asked), "cleat.") {
			t.Errorf("a name of the domain was passed on: %s", asked)
		}
	}
}

// TestAliasWithinTheDomain: a host name in the domain is this server's own matter.
func TestAliasWithinTheDomain(t *testing.T) {
	u := resolver(t, func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(reply1(q, dns.RcodeNameError)) })
	r := newTable(registry.Instance{ID: "a", Service: "loop", Address: "loop.cleat"})
	l := serve(t, r, "127.0.0.1:0", Config{Upstreams: []netip.AddrPort{u.address}})
	if got := brief(exchange1(t, "udp", l.Addr().String(), question("loop.cleat.", dns.TypeA))); got != "-> loop.cleat." {
		t.Errorf("got %s", got)
	}
	if len(u.asked) > 0 {
		t.Errorf("passed on: %v", u.asked)
	}
}

func TestForwardingIsBounded(t *testing.T) {
	w := newWorker(t, fleet(), Config{Upstreams: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}})
	f := w.server.forwarder
	for range maxForwards {
		if !f.begin() {
			t.Fatal("too few")
		}
	}
	if f.begin() {
		t.Error("too many")
	}
	answer := w.server.answerTCP(t.Context(), packed(t, question("example.org.", dns.TypeA)), here)
	m := new(dns.Msg)
	if err := m.Unpack(answer[prefixSize:]); err != nil || m.Rcode != dns.RcodeServerFailure {
		t.Errorf("got %v, %v", m, err)
	}
	if m := ask(t, w, question("mysql.cleat.", dns.TypeA), here); len(m.Answer) != 2 {
		t.Errorf("the domain is not answered meanwhile: %v", m)
	}
}

func TestUpstreamThatIsAway(t *testing.T) {
	gone, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away := gone.Addr()
	gone.Close()
	l := serve(t, fleet(), "127.0.0.1:0", Config{Upstreams: []netip.AddrPort{away}})
	if m := exchange1(t, "udp", l.Addr().String(), question("example.org.", dns.TypeA)); m.Rcode != dns.RcodeServerFailure || m.Authoritative {
		t.Errorf("got %v", m)
	}
	if m := exchange1(t, "udp", l.Addr().String(), question("ext.cleat.", dns.TypeA)); m.Rcode != dns.RcodeServerFailure || len(m.Answer) != 0 {
		t.Errorf("an alias that cannot be followed: got %v", m)
	}
}
