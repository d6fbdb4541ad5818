package dns

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"cleat/registry"
	"cleat/registry/server"
)

// The numbers of records.
const (
	// ttl is how long, in seconds, an answer may be kept: as long as a drain
	// waits for readers that cannot acknowledge. It goes for "none" as well, and
	// is not 0, because some resolvers then replace it by minutes, and others
	// ask again for every connection.
	ttl = 2
	// priority is that of all instances: no one is preferred to another.
	priority = 1
	// defaultWeight is that of an instance without an attribute weight.
	defaultWeight = 1
	// maxText is the length in bytes of one text in a TXT record.
	maxText = 255
)

// record is a packed record without its owner: type, class, TTL, length, data.
type record []byte

// appendRecord appends a record's head to b; so many bytes of data must follow.
func appendRecord(b []byte, kind uint16, size int) []byte {
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
	b = binary.BigEndian.AppendUint32(b, ttl)
	return binary.BigEndian.AppendUint16(b, uint16(size))
}

// pack returns a record as it is after its owner, or nil when DNS cannot hold it.
func pack(rr dns.RR) record {
	*rr.Header() = dns.RR_Header{Name: ".", Rrtype: rr.Header().Rrtype, Class: dns.ClassINET, Ttl: ttl}
	b := make([]byte, dns.Len(rr)+pointer)
	end, err := dns.PackRR(rr, b, 0, nil, false)
	if err != nil {
		return nil
	}
	return slices.Clip(b[1:end]) // without the root that stands for the owner
}

func addressRecord(addr netip.Addr) record {
	data := addr.AsSlice()
	kind := dns.TypeA
	if addr.Is6() {
		kind = dns.TypeAAAA
	}
	return append(appendRecord(make([]byte, 0, fixedSize+len(data)), kind, len(data)), data...)
}

// set is what there is to be said about some instances of one service. Each kind
// of records is made when it is first asked for: in a service that changes
// often, that is most of what an answer costs.
type set struct {
	server    *Server
	exists    bool                 // there are instances, whatever their status
	instances []*registry.Instance // those that serve

	addresses sync.Once // makes the next three
	a, aaaa   []record
	aliases   []record // CNAME, for instances known by a host name only

	ports    sync.Once // makes the next two
	services []serviceRecord
	holders  int // distinct addresses among them

	described sync.Once // makes the next
	texts     []record
}

// serviceRecord is an SRV record, and the address record of its target.
type serviceRecord struct {
	record
	address record // nil: the target is a host name, which is somebody else's
	holder  int    // which of the set's addresses that is
}

// targetOffset is where the target begins in an SRV record: after priority,
// weight and port.
const targetOffset = fixedSize + 6

// newSet returns the set of those instances that are matched and serve. The
// listing stays as it is.
func (s *Server) newSet(listing *server.Listing, match func(*registry.Instance) bool) *set {
	m := &set{server: s}
	for n := range listing.Instances {
		i := &listing.Instances[n]
		if match != nil && !match(i) {
			continue
		}
		m.exists = true
		if i.Status.Serving() {
			m.instances = append(m.instances, i)
		}
	}
	return m
}

// serving reports whether at least one instance serves.
func (m *set) serving() bool { return len(m.instances) > 0 }

// byAddress makes the address records, each once.
func (m *set) byAddress() {
	seen := make(map[string]struct{}, len(m.instances))
	for _, i := range m.instances {
		if _, twice := seen[i.Address]; twice {
			continue
		}
		seen[i.Address] = struct{}{}
		switch addr, err := netip.ParseAddr(i.Address); {
		case err != nil:
			if alias := pack(&dns.CNAME{Hdr: dns.RR_Header{Rrtype: dns.TypeCNAME}, Target: dns.Fqdn(i.Address)}); alias != nil {
				m.aliases = append(m.aliases, alias)
			}
		case addr.Is4():
			m.a = append(m.a, addressRecord(addr))
		default:
			m.aaaa = append(m.aaaa, addressRecord(addr))
		}
	}
	if len(m.a)+len(m.aaaa) > 0 {
		m.aliases = nil // an alias cannot stand beside anything else
	}
}

// byPort makes the SRV records.
func (m *set) byPort() {
	holders := make(map[string]serviceRecord, len(m.instances)) // by address, without ports
	m.services = make([]serviceRecord, 0, len(m.instances))
	for _, i := range m.instances {
		addr, err := netip.ParseAddr(i.Address)
		if err != nil {
			if srv := pack(&dns.SRV{
				Hdr: dns.RR_Header{Rrtype: dns.TypeSRV}, Priority: priority, Weight: weightOf(i), Port: i.Port, Target: dns.Fqdn(i.Address),
			}); srv != nil {
				m.services = append(m.services, serviceRecord{record: srv})
			}
			continue
		}
		holder, known := holders[i.Address]
		if !known {
			holder = serviceRecord{address: addressRecord(addr), holder: len(holders)}
			holders[i.Address] = holder
		}
		holder.record = m.server.serviceOf(i, addr)
		m.services = append(m.services, holder)
	}
	m.holders = len(holders)
}

// serviceOf returns the SRV record of an instance at an address.
func (s *Server) serviceOf(i *registry.Instance, addr netip.Addr) record {
	label := hexName(addr)
	size := targetOffset - fixedSize + 1 + len(label) + len(s.packedAddresses)
	b := appendRecord(make([]byte, 0, fixedSize+size), dns.TypeSRV, size)
	b = binary.BigEndian.AppendUint16(b, priority)
	b = binary.BigEndian.AppendUint16(b, weightOf(i))
	b = binary.BigEndian.AppendUint16(b, i.Port)
	b = append(b, byte(len(label)))
	return append(append(b, label...), s.packedAddresses...)
}

// weightOf returns the attribute weight, if it is one.
func weightOf(i *registry.Instance) uint16 {
	if text, found := i.Attributes["weight"]; found {
		if w, err := strconv.ParseUint(text, 10, 16); err == nil {
			return uint16(w)
		}
	}
	return defaultWeight
}

// describe makes the TXT records.
func (m *set) describe() {
	for _, i := range m.instances {
		if text := pack(&dns.TXT{Hdr: dns.RR_Header{Rrtype: dns.TypeTXT}, Txt: texts(i)}); text != nil {
			m.texts = append(m.texts, text)
		}
	}
}

// texts returns what a TXT record says about an instance. What is too long for
// one text is left out.
func texts(i *registry.Instance) []string {
	all := []string{"id=" + i.ID, "addr=" + net.JoinHostPort(i.Address, strconv.Itoa(int(i.Port)))}
	if i.Zone != "" {
		all = append(all, "zone="+i.Zone)
	}
	for _, tag := range i.Tags {
		all = append(all, "tag="+tag)
	}
	for _, key := range slices.Sorted(maps.Keys(i.Attributes)) {
		all = append(all, fmt.Sprintf("attr.%s=%s", key, i.Attributes[key]))
	}
	all = slices.DeleteFunc(all, func(text string) bool { return len(text) > maxText })
	for n, text := range all {
		all[n] = escape(text)
	}
	return all
}

// escape protects the bytes that the library would read as an escape.
func escape(text string) string { return strings.ReplaceAll(text, `\`, `\\`) }
