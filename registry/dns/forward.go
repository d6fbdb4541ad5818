package dns

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// The numbers of passing on.
const (
	// maxForwards is the number of queries that wait for other resolvers at the
	// same time; further ones fail at once. Each takes a socket.
	maxForwards = 256
	// upstreamWithin is how long one resolver may take before the next is asked.
	upstreamWithin = 2 * time.Second
	// forwardWithin is how long all of them may take: most clients wait 5 s.
	forwardWithin = 4500 * time.Millisecond
	// maxForeign is the size in bytes of the largest answer that is taken from
	// another resolver: its client said what it takes.
	maxForeign = dns.MaxMsgSize
)

// forwarder passes queries on.
type forwarder struct {
	upstreams []netip.AddrPort
	slots     chan struct{}
}

func newForwarder(upstreams []netip.AddrPort) *forwarder {
	return &forwarder{upstreams: slices.Clone(upstreams), slots: make(chan struct{}, maxForwards)}
}

// begin takes a slot. It reports whether there was one.
func (f *forwarder) begin() bool {
	select {
	case f.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (f *forwarder) end() { <-f.slots }

// fail answers the worker's query with a failure.
func (w *worker) fail() []byte {
	w.r.begin(&w.q, maxUDP)
	return w.end(dns.RcodeServerFailure, 0)
}

// complete answers a query with the help of other resolvers.
func (s *Server) complete(ctx context.Context, then next, packet, answer []byte, tcp bool) []byte {
	ctx, cancel := context.WithTimeout(ctx, forwardWithin)
	defer cancel()
	if then == follow {
		return s.followAlias(ctx, packet, answer, tcp)
	}
	foreign, err := s.forwarder.ask(ctx, packet, tcp)
	if err != nil {
		w := &worker{server: s}
		w.q.parse(packet)
		return w.fail()
	}
	return foreign
}

// followAlias adds to an answer, which is an alias, what it stands for: simple
// clients do not ask again.
func (s *Server) followAlias(ctx context.Context, packet, answer []byte, tcp bool) []byte {
	var q, own, foreign dns.Msg
	if q.Unpack(packet) != nil || own.Unpack(answer) != nil || len(own.Answer) != 1 {
		return answer
	}
	alias, ok := own.Answer[0].(*dns.CNAME)
	if !ok || dns.IsSubDomain(s.domain, alias.Target) {
		return answer
	}
	var ask dns.Msg
	ask.SetQuestion(alias.Target, q.Question[0].Qtype)
	packed, err := ask.Pack()
	if err != nil {
		return answer
	}
	got, err := s.forwarder.ask(ctx, packed, tcp)
	if err == nil && !tcp && binary.BigEndian.Uint16(got[2:])&flagTruncated != 0 {
		got, err = s.forwarder.ask(ctx, packed, true)
	}
	if err != nil || foreign.Unpack(got) != nil {
		own.Answer, own.Rcode = nil, dns.RcodeServerFailure
	} else {
		own.Answer = append(own.Answer, foreign.Answer...)
		own.Rcode = foreign.Rcode
	}
	size := maxTCP
	if !tcp {
		size = dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDP)
		}
	}
	own.Truncate(size)
	full, err := own.Pack()
	if err != nil {
		return answer
	}
	return full
}

var errNoAnswer = errors.New("no resolver has answered")

// ask passes a query on as it is, but for its id, and returns the answer as it
// is. A resolver that fails or refuses is one more reason to ask the next.
func (f *forwarder) ask(ctx context.Context, packet []byte, tcp bool) ([]byte, error) {
	id := binary.BigEndian.Uint16(packet)
	own := slices.Clone(packet)
	var last []byte
	for _, upstream := range f.upstreams {
		binary.BigEndian.PutUint16(own, uint16(rand.Uint32()))
		answer, err := exchange(ctx, upstream, own, tcp)
		if err != nil {
			continue
		}
		binary.BigEndian.PutUint16(answer, id)
		last = answer
		switch binary.BigEndian.Uint16(answer[2:]) & rcodeMask {
		case dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeNotImplemented:
		default:
			return answer, nil
		}
	}
	if last != nil {
		return last, nil
	}
	return nil, errNoAnswer
}

// exchange asks one resolver. Each query has a socket, and so a port, of its
// own, and only an answer to the same question counts: that is what makes it
// hard to slip in another.
func exchange(ctx context.Context, upstream netip.AddrPort, packet []byte, tcp bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, upstreamWithin)
	defer cancel()
	network := "udp"
	if tcp {
		network = "tcp"
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, upstream.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ended := context.AfterFunc(ctx, func() { conn.Close() })
	defer ended()
	if tcp {
		if _, err := conn.Write(prefixed(packet)); err != nil {
			return nil, err
		}
		answer, err := readMessage(conn, maxTCP)
		if err == nil && !answers(packet, answer) {
			err = errNoAnswer
		}
		return answer, err
	}
	if _, err := conn.Write(packet); err != nil {
		return nil, err
	}
	answer := make([]byte, maxForeign)
	for {
		n, err := conn.Read(answer)
		if err != nil {
			return nil, err
		}
		if answers(packet, answer[:n]) {
			return answer[:n], nil
		}
	}
}

// answers reports whether a message is the answer to a query.
func answers(packet, message []byte) bool {
	if len(message) < headerSize || !bytes.Equal(message[:2], packet[:2]) {
		return false
	}
	if binary.BigEndian.Uint16(message[2:])&flagResponse == 0 {
		return false
	}
	if binary.BigEndian.Uint16(message[4:]) == 0 { // some leave it out of an error
		return binary.BigEndian.Uint16(message[2:])&rcodeMask != dns.RcodeSuccess
	}
	end := skipName(packet, headerSize) + 4
	return end <= len(packet) && end <= len(message) && bytes.EqualFold(packet[headerSize:end], message[headerSize:end])
}
