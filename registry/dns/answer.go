package dns

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// maxNames is the number of services that are named for one address.
const maxNames = 32

// worker answers one query after the other, with the same memory.
type worker struct {
	server *Server
	q      query
	t      target
	r      reply
}

// via is how a query came.
type via struct {
	tcp   bool
	local netip.Addr // the address that it was sent to; not valid: unknown
}

// next is what remains to be done about a query.
type next int8

const (
	nothingMore next = iota
	passOn           // the query belongs to another resolver
	follow           // the answer is an alias, whose address another resolver has
)

// answer returns the answer to a packet, nil if it deserves none; or what else
// is to be done. The answer is good until the next call.
func (w *worker) answer(packet []byte, by via) ([]byte, next) {
	q, s := &w.q, w.server
	rcode := q.parse(packet)
	if rcode == noAnswer {
		return nil, nothingMore
	}
	limit := maxTCP
	if !by.tcp {
		limit = min(q.size, maxUDP)
	}
	w.r.begin(q, limit)
	if rcode != dns.RcodeSuccess {
		return w.end(rcode, 0), nothingMore
	}
	if q.class != dns.ClassINET && q.class != dns.ClassANY || q.kind == dns.TypeAXFR || q.kind == dns.TypeIXFR {
		return w.end(dns.RcodeRefused, 0), nothingMore
	}
	w.t.resolve(q, s.packedDomain, s.domainLabels)
	switch w.t.place {
	case outside:
		return w.outside()
	case apex:
		return w.apex(by), nothingMore
	case self:
		return w.address(by.local), nothingMore
	case address:
		return w.address(w.t.addr), nothingMore
	}
	return w.below()
}

// end ends an answer.
func (w *worker) end(rcode int, flags uint16) []byte {
	if w.server.forwarder != nil {
		flags |= flagAvailable
	}
	w.server.answers[min(rcode, len(w.server.answers)-1)].Add(1)
	return w.r.end(&w.q, rcode, flags)
}

// known ends an answer about the domain.
func (w *worker) known() []byte {
	if w.r.answers > 0 || w.r.full {
		return w.end(dns.RcodeSuccess, flagAuthoritative)
	}
	return w.none(dns.RcodeSuccess)
}

// none ends an answer that says that there is none, and for how long.
func (w *worker) none(rcode int) []byte {
	var at [pointer]byte
	binary.BigEndian.PutUint16(at[:], uint16(pointerBit<<8|headerSize+int(w.q.at[w.q.labels-w.server.domainLabels])))
	if w.r.about(at[:], w.server.authority) {
		w.stamp()
		w.r.authority++
	}
	return w.end(rcode, flagAuthoritative)
}

// stamp sets the serial number in the SOA record that was just written.
func (w *worker) stamp() {
	const fromEnd = 5 * 4 // five numbers, of which the serial is the first
	binary.BigEndian.PutUint32(w.r.b[len(w.r.b)-fromEnd:], uint32(time.Now().Unix()))
}

// minimal answers a query for everything about a name that exists (RFC 8482).
func (w *worker) minimal() []byte {
	w.r.answer(w.server.minimal)
	return w.known()
}

// apex answers about the domain itself.
func (w *worker) apex(by via) []byte {
	switch w.q.kind {
	case dns.TypeSOA:
		if w.r.answer(w.server.authority) {
			w.stamp()
		}
	case dns.TypeNS:
		target := len(w.r.b) + pointer + fixedSize
		if w.r.answer(w.server.nameServer) && by.local.IsValid() {
			var at [pointer]byte
			binary.BigEndian.PutUint16(at[:], uint16(pointerBit<<8|target))
			if w.r.about(at[:], addressRecord(by.local.Unmap())) {
				w.r.extra++
			}
		}
	case dns.TypeANY:
		return w.minimal()
	}
	return w.known()
}

// address answers about a name that has one address, or none that is known.
func (w *worker) address(addr netip.Addr) []byte {
	addr = addr.Unmap().WithZone("")
	switch {
	case w.q.kind == dns.TypeANY:
		return w.minimal()
	case w.q.kind == dns.TypeA && addr.Is4(), w.q.kind == dns.TypeAAAA && addr.Is6():
		w.r.answer(addressRecord(addr))
	}
	return w.known()
}

// below answers about services.
func (w *worker) below() ([]byte, next) {
	s, t := w.server, &w.t
	exists := false
	if len(t.service) > 0 && len(t.namespace) > 0 {
		if listing := s.registry.Lookup(t.namespace, t.service); listing != nil && len(listing.Instances) > 0 {
			chosen := s.sets(listing).choose(t)
			if chosen.serving() {
				return w.records(chosen)
			}
			exists = chosen.exists || bytes.Equal(w.q.label(0), labelZone)
		}
	}
	switch {
	case s.registry.Warming() && !t.reserved:
		return w.end(dns.RcodeServerFailure, 0), nothingMore
	case exists, t.reserved, w.hasBelow():
		return w.none(dns.RcodeSuccess), nothingMore
	}
	return w.none(dns.RcodeNameError), nothingMore
}

// hasBelow reports whether there are names below one that is no service.
func (w *worker) hasBelow() bool {
	rest := w.q.labels - w.server.domainLabels
	space := &w.t.space // of a service's namespace, which is done with
	if w.server.registry.HasNamespace(joinNamespace(space[:0], &w.q, 0, rest)) {
		return true
	}
	first := w.q.label(0)
	return (bytes.Equal(first, labelTCP) || bytes.Equal(first, labelUDP)) &&
		w.server.registry.HasNamespace(joinNamespace(space[:0], &w.q, 1, rest))
}

// records answers with what there is to be said about instances that serve.
func (w *worker) records(m *set) ([]byte, next) {
	alias := false
	switch w.q.kind {
	case dns.TypeA, dns.TypeAAAA, dns.TypeCNAME:
		m.addresses.Do(m.byAddress)
		alias = len(m.aliases) > 0
	case dns.TypeSRV:
		m.ports.Do(m.byPort)
	case dns.TypeTXT:
		m.described.Do(m.describe)
	}
	switch w.q.kind {
	case dns.TypeA:
		w.r.some(m.a)
	case dns.TypeAAAA:
		w.r.some(m.aaaa)
	case dns.TypeSRV:
		w.r.services(m)
	case dns.TypeTXT:
		w.r.some(m.texts)
	case dns.TypeANY:
		return w.minimal(), nothingMore
	}
	then := nothingMore
	if alias {
		w.r.answer(m.aliases[rand.IntN(len(m.aliases))]) // two would be an error
		if w.server.forwarder != nil && w.q.kind != dns.TypeCNAME && w.q.flags&flagWanted != 0 {
			then = follow
		}
	}
	if w.r.full && w.r.limit <= maxUDP {
		return w.end(dns.RcodeSuccess, flagAuthoritative|flagTruncated), then
	}
	return w.known(), then
}

// outside answers about names that are not in the domain.
func (w *worker) outside() ([]byte, next) {
	s := w.server
	addr, reverse := reverseAddress(&w.q)
	if reverse {
		if names := s.registry.ServicesAt(addr, maxNames); len(names) > 0 {
			if w.q.kind == dns.TypePTR || w.q.kind == dns.TypeANY {
				for _, name := range names {
					w.r.answer(pack(&dns.PTR{Hdr: dns.RR_Header{Rrtype: dns.TypePTR}, Ptr: serviceName(name.Namespace, name.Service, s.domain)}))
				}
			}
			return w.end(dns.RcodeSuccess, flagAuthoritative), nothingMore
		}
	}
	switch {
	case s.forwarder != nil && w.q.flags&flagWanted != 0:
		return nil, passOn
	case reverse && s.registry.Warming():
		return w.end(dns.RcodeServerFailure, 0), nothingMore
	}
	return w.end(dns.RcodeRefused, 0), nothingMore
}
