package dns

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/miekg/dns"
)

// The sizes of answers.
const (
	// maxUDP is the size in bytes of the largest answer over UDP: what goes
	// through every network without being fragmented.
	maxUDP = 1232
	// maxTCP is the size in bytes of the largest message over TCP.
	maxTCP = dns.MaxMsgSize
)

// owner is a pointer to the question's name.
const owner = pointerBit<<8 | headerSize

// reply is an answer that is being written. It belongs to one goroutine, which
// uses it for one answer after the other.
type reply struct {
	b         []byte
	limit     int // without the OPT record
	full      bool
	answers   uint16
	authority uint16
	extra     uint16

	deck   []int    // 0, 1, 2, ...
	swaps  []int    // to be undone
	placed []placed // SRV records in this answer
	seen   []uint32 // by holder: the round in which its address was added
	round  uint32
}

// placed is an SRV record in the answer.
type placed struct {
	target int // where its target begins
	at     int // its index in the set
}

// begin starts the answer to a query: a header and the question.
func (r *reply) begin(q *query, limit int) {
	r.b = append(r.b[:0], make([]byte, headerSize)...)
	if q.end > 0 {
		r.b = append(r.b, q.packet[headerSize:q.end]...)
	}
	if r.limit = limit; q.edns {
		r.limit -= optSize
	}
	r.full, r.answers, r.authority, r.extra = false, 0, 0, 0
}

// fits reports whether so many more bytes do.
func (r *reply) fits(size int) bool { return len(r.b)+size <= r.limit }

// answer appends a record about the question's name. It reports whether it fits.
func (r *reply) answer(rr record) bool {
	if !r.fits(pointer + len(rr)) {
		r.full = true
		return false
	}
	r.b = binary.BigEndian.AppendUint16(r.b, owner)
	r.b = append(r.b, rr...)
	r.answers++
	return true
}

// about appends a record whose owner is written out. It reports whether it fits.
func (r *reply) about(name []byte, rr record) bool {
	if !r.fits(len(name) + len(rr)) {
		return false
	}
	r.b = append(r.b, name...)
	r.b = append(r.b, rr...)
	return true
}

// some appends the records in a random order, as many as fit.
func (r *reply) some(records []record) {
	if len(records) == 1 {
		r.answer(records[0])
		return
	}
	for n := range records {
		if !r.answer(records[r.draw(n, len(records))]) {
			break
		}
	}
	r.undraw()
}

// services appends SRV records in a random order, as many as fit, and then as
// many addresses of their targets as fit: a cut answer has records rather than
// addresses, and only missing records make it one.
func (r *reply) services(m *set) {
	r.placed = r.placed[:0]
	for n := range m.services {
		at := r.draw(n, len(m.services))
		target := len(r.b) + pointer + targetOffset
		if !r.answer(m.services[at].record) {
			break
		}
		r.placed = append(r.placed, placed{target, at})
	}
	r.undraw()
	if len(r.seen) < m.holders {
		r.seen = make([]uint32, m.holders)
		r.round = 0
	}
	if r.round++; r.round == 0 { // it has gone round
		clear(r.seen)
		r.round = 1
	}
	for _, p := range r.placed {
		srv := &m.services[p.at]
		if srv.address == nil || p.target >= maxPointer || r.seen[srv.holder] == r.round {
			continue
		}
		if !r.fits(pointer + len(srv.address)) {
			return
		}
		r.seen[srv.holder] = r.round
		r.b = binary.BigEndian.AppendUint16(r.b, uint16(pointerBit<<8|p.target))
		r.b = append(r.b, srv.address...)
		r.extra++
	}
}

// draw returns the n-th card of a shuffled deck of the numbers below of. Called
// with 0, 1, 2, ..., it gives every number once. After some of them, the deck
// must be put in order again by undraw, which costs as much as the draws.
func (r *reply) draw(n, of int) int {
	for len(r.deck) < of {
		r.deck = append(r.deck, len(r.deck))
	}
	other := n + rand.IntN(of-n)
	r.deck[n], r.deck[other] = r.deck[other], r.deck[n]
	r.swaps = append(r.swaps, other)
	return r.deck[n]
}

func (r *reply) undraw() {
	for n := len(r.swaps) - 1; n >= 0; n-- {
		other := r.swaps[n]
		r.deck[n], r.deck[other] = r.deck[other], r.deck[n]
	}
	r.swaps = r.swaps[:0]
}

// end completes the answer with an OPT record, if the query had one, and the
// header.
func (r *reply) end(q *query, rcode int, flags uint16) []byte {
	if q.edns {
		r.b = append(r.b, 0)
		r.b = binary.BigEndian.AppendUint16(r.b, dns.TypeOPT)
		r.b = binary.BigEndian.AppendUint16(r.b, maxUDP)
		security := byte(0)
		if q.security {
			security = 0x80
		}
		r.b = append(r.b, byte(rcode>>4), 0, security, 0, 0, 0)
		r.extra++
	}
	questions := uint16(0)
	if q.end > 0 {
		questions = 1
	}
	flags |= flagResponse | q.flags&(opcodeMask<<opcodeShift|flagWanted|flagCheckDisabled) | uint16(rcode&rcodeMask)
	for n, v := range []uint16{q.id, flags, questions, r.answers, r.authority, r.extra} {
		binary.BigEndian.PutUint16(r.b[2*n:], v)
	}
	return r.b
}
