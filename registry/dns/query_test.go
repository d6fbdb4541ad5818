package dns

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func packed(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatIsNoQuery(t *testing.T) {
	w := newWorker(t, fleet(), Config{})
	plain := packed(t, question("mysql.cleat.", dns.TypeA))
	for n := range headerSize {
		if answer, _ := w.answer(plain[:n], here); answer != nil {
			t.Errorf("%d bytes are answered", n)
		}
	}
	response := bytes.Clone(plain)
	response[2] |= 0x80
	if answer, _ := w.answer(response, here); answer != nil {
		t.Error("a response is answered")
	}
	for n := headerSize; n < len(plain); n++ {
		checkRcode(t, w, plain[:n], dns.RcodeFormatError, 0)
	}
	for _, count := range []uint16{0, 2, 65535} {
		b := bytes.Clone(plain)
		binary.BigEndian.PutUint16(b[4:], count)
		checkRcode(t, w, b, dns.RcodeFormatError, 0)
	}
	for opcode := range byte(16) {
		if opcode != dns.OpcodeQuery {
			b := bytes.Clone(plain)
			b[2] |= opcode << 3
			checkRcode(t, w, b, dns.RcodeNotImplemented, 0)
		}
	}
	loop := append(bytes.Clone(plain[:headerSize]), 0xc0, headerSize, 0, 1, 0, 1) // points to itself
	checkRcode(t, w, loop, dns.RcodeFormatError, 0)
	long := append(bytes.Clone(plain[:headerSize]), bytes.Repeat(append([]byte{63}, bytes.Repeat([]byte("a"), 63)...), 4)...)
	checkRcode(t, w, append(long, 0, 0, 1, 0, 1), dns.RcodeFormatError, 0)

	class := question("mysql.cleat.", dns.TypeA)
	class.Question[0].Qclass = dns.ClassCHAOS
	checkRcode(t, w, packed(t, class), dns.RcodeRefused, 1)

	twice := question("mysql.cleat.", dns.TypeA)
	twice.SetEdns0(1232, false)
	twice.Extra = append(twice.Extra, twice.Extra[0])
	checkRcode(t, w, packed(t, twice), dns.RcodeFormatError, 1)

	crowd := bytes.Clone(plain)
	binary.BigEndian.PutUint16(crowd[10:], 60000)
	checkRcode(t, w, crowd, dns.RcodeFormatError, 1)
}

// checkRcode checks an answer that says what is wrong with a packet.
func checkRcode(t *testing.T, w *worker, packet []byte, want, questions int) {
	t.Helper()
	answer, then := w.answer(packet, here)
	var m dns.Msg
	if then != nothingMore || m.Unpack(answer) != nil {
		t.Errorf("%x: got %x", packet, answer)
		return
	}
	if m.Rcode != want || len(m.Question) != questions || !bytes.Equal(answer[:2], packet[:2]) {
		t.Errorf("%x: got %v", packet, &m)
	}
}

func TestEDNS(t *testing.T) {
	w := newWorker(t, fleet(), Config{})
	q := question("mysql.cleat.", dns.TypeA)
	q.SetEdns0(4096, true)
	q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"})
	m := ask(t, w, q, here)
	opt := m.IsEdns0()
	if len(m.Answer) != 2 || opt.UDPSize() != 1232 || !opt.Do() || len(opt.Option) != 0 {
		t.Errorf("got %v", m)
	}
	q.IsEdns0().SetVersion(1)
	m = ask(t, w, q, here)
	if m.Rcode != dns.RcodeBadVers || m.IsEdns0().Version() != 0 || len(m.Answer) != 0 {
		t.Errorf("version 1: got %v", m)
	}
}

func TestNamesAreAsLongAsDNSAllows(t *testing.T) {
	label := strings.Repeat("a", 63)
	name := strings.Join([]string{label, label, label, strings.Repeat("b", 55)}, ".") + ".cleat."
	w := newWorker(t, fleet(), Config{})
	if m := ask(t, w, question(name, dns.TypeA), here); m.Rcode != dns.RcodeNameError || m.Question[0].Name != name {
		t.Errorf("got %v", m)
	}
	labels := strings.Repeat("a.", 124) + "cleat."
	if m := ask(t, w, question(labels, dns.TypeA), here); m.Rcode != dns.RcodeNameError {
		t.Errorf("got %v", m)
	}
}

// FuzzPacket throws packets at the server: it must neither fail nor say what
// another implementation cannot read, keep to the sizes, and agree with it about
// what was asked.
func FuzzPacket(f *testing.F) {
	for _, name := range []string{"mysql.cleat.", "_v8._mysql._tcp.default.cleat.", "_eu-1._zone.mysql.cleat.", "ext.cleat.", "c0000201.addr.cleat.",
		"1.2.0.192.in-addr.arpa.", "cleat.", "default.cleat.", "example.org.", "."} {
		for _, kind := range []uint16{dns.TypeA, dns.TypeSRV, dns.TypeTXT, dns.TypeANY, dns.TypePTR, dns.TypeNS} {
			q := question(name, kind)
			f.Add(packed(f, q), false)
			q.SetEdns0(1232, true)
			f.Add(packed(f, q), true)
		}
	}
	w := newWorker(f, fleet(), Config{})
	f.Fuzz(func(t *testing.T, packet []byte, tcp bool) {
		before := bytes.Clone(packet)
		answer, then := w.answer(packet, via{tcp: tcp, local: here.local})
		if !bytes.Equal(before, packet) {
			t.Fatal("the packet was changed")
		}
		if then != nothingMore {
			t.Fatal("something is to be passed on, and there is nobody to pass it to")
		}
		var q, m dns.Msg
		bad := q.Unpack(packet) != nil
		if answer == nil {
			if !bad && !q.Response {
				t.Fatalf("no answer to %v", &q)
			}
			return
		}
		if !tcp && len(answer) > maxUDP {
			t.Fatalf("the answer has %d bytes", len(answer))
		}
		if err := m.Unpack(answer); err != nil {
			t.Fatalf("the answer cannot be read: %v\n%x", err, answer)
		}
		if bad || len(m.Question) == 0 {
			return
		}
		if len(q.Question) != 1 || m.Question[0] != q.Question[0] || m.Id != q.Id || !m.Response {
			t.Fatalf("asked for %v, answered %v", &q, &m)
		}
	})
}
