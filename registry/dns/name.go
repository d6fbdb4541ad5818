package dns

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"cleat/registry"
)

// maxDomain is the length in bytes of the longest domain: so that there is room
// for the names of addresses below it.
const maxDomain = 96

// The labels that have a meaning of their own.
var (
	labelTCP     = []byte("_tcp")
	labelUDP     = []byte("_udp")
	labelZone    = []byte("_zone")
	labelAddress = []byte("addr")
	labelSelf    = []byte("ns")
)

// CheckDomain returns the domain in the form in which it is used: in lower case,
// with a dot at its end.
func CheckDomain(domain string) (string, error) {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	if domain == "" || len(domain) > maxDomain {
		return "", fmt.Errorf("the domain is empty, or longer than %d bytes; expected something like cleat. or cluster.example.org", maxDomain)
	}
	for label := range strings.SplitSeq(domain, ".") {
		if err := registry.CheckName(label); err != nil {
			return "", fmt.Errorf("the domain %q is not made of names joined by dots: %w", domain, err)
		}
	}
	return domain + ".", nil
}

// packName returns a name as on the wire. Its labels have no dots in them.
func packName(name string) []byte {
	var b []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

// place is where a name is, seen from the domain.
type place int8

const (
	outside place = iota // not below the domain
	apex                 // the domain itself
	self                 // the server
	address              // <hexip>.addr
	below                // a service, or nothing
)

// target is what a name in the domain means. Its slices are parts of the query.
type target struct {
	place     place
	addr      netip.Addr
	service   []byte
	namespace []byte // as the registry writes it
	space     [maxName]byte

	filter   []byte // the labels that choose among the instances, as on the wire
	protocol registry.Protocol
	tags     [maxFilters][]byte
	tagCount int
	zone     []byte
	reserved bool // a name below which there are always others
}

// maxFilters is the number of tags that a name may have.
const maxFilters = 8

// resolve finds out what the name means.
func (t *target) resolve(q *query, domain []byte, domainLabels int) {
	t.place, t.service, t.namespace, t.filter, t.zone = outside, nil, nil, nil, nil
	t.protocol, t.tagCount, t.reserved = "", 0, false
	rest := q.labels - domainLabels
	if rest < 0 || !bytes.Equal(q.name[q.at[rest]:q.length], domain) {
		return
	}
	last := rest - 1
	switch {
	case rest == 0:
		t.place = apex
		return
	case rest == 1 && bytes.Equal(q.label(0), labelSelf):
		t.place = self
		return
	case bytes.Equal(q.label(last), labelAddress):
		if addr, ok := parseHex(q.label(0)); ok && rest == 2 {
			t.place, t.addr = address, addr
			return
		}
		t.reserved = rest == 1
	}
	t.place = below
	n := t.resolveFilter(q, rest)
	if t.service != nil {
		t.namespace = joinNamespace(t.space[:0], q, n, rest)
	}
}

// resolveFilter reads the labels before the namespace. It returns the number of
// them, and leaves the service empty when they name none.
func (t *target) resolveFilter(q *query, rest int) int {
	for n := 0; n < rest; n++ {
		label := q.label(n)
		if label[0] != '_' {
			t.service = label
			t.filter = q.name[:q.at[n]]
			return n + 1
		}
		if n+1 < rest {
			switch next := q.label(n + 1); {
			case bytes.Equal(next, labelTCP), bytes.Equal(next, labelUDP):
				t.service = label[1:]
				t.protocol = registry.UDP
				if bytes.Equal(next, labelTCP) {
					t.protocol = registry.TCP
				}
				t.filter = q.name[:q.at[n]]
				return n + 2
			case bytes.Equal(next, labelZone):
				if t.zone != nil && !bytes.Equal(t.zone, label[1:]) {
					return rest // in two zones at the same time
				}
				t.zone = label[1:]
				n++
				continue
			}
		}
		if t.tagCount == maxFilters {
			return rest
		}
		t.tags[t.tagCount] = label[1:]
		t.tagCount++
	}
	return rest
}

// joinNamespace appends the namespace that the labels from n to rest name, or
// default when there are none. DNS has the outermost last, the registry first.
func joinNamespace(b []byte, q *query, n, rest int) []byte {
	if n == rest {
		return append(b, registry.DefaultNamespace...)
	}
	for at := rest - 1; at >= n; at-- {
		if bytes.IndexByte(q.label(at), '/') >= 0 {
			return nil // what the registry writes as two names is two labels
		}
		b = append(b, q.label(at)...)
		if at > n {
			b = append(b, '/')
		}
	}
	return b
}

// parseHex reads the address that a label of <hexip>.addr holds.
func parseHex(label []byte) (netip.Addr, bool) {
	var b [16]byte
	switch len(label) {
	case 8, 32:
		n, err := hex.Decode(b[:], label)
		if err != nil {
			return netip.Addr{}, false
		}
		addr, ok := netip.AddrFromSlice(b[:n])
		return addr, ok
	}
	return netip.Addr{}, false
}

// hexName returns the label that stands for an address.
func hexName(addr netip.Addr) string {
	return hex.EncodeToString(addr.AsSlice())
}

// serviceName returns the name of a service below the domain.
func serviceName(namespace, service, domain string) string {
	labels := append([]string{service}, reversed(namespace)...)
	return strings.Join(labels, ".") + "." + domain
}

// reversed returns the parts of a namespace as DNS has them: the outermost last.
func reversed(namespace string) []string {
	parts := strings.Split(namespace, "/")
	slices.Reverse(parts)
	return parts
}

// The zones in which addresses have names.
var (
	reverse4 = packName("in-addr.arpa.")
	reverse6 = packName("ip6.arpa.")
)

const (
	reverse4Labels = 4 + 2
	reverse6Labels = 32 + 2
)

// reverseAddress returns the address that the name of a reverse zone stands for.
func reverseAddress(q *query) (netip.Addr, bool) {
	switch q.labels {
	case reverse4Labels:
		if !bytes.Equal(q.name[q.at[4]:q.length], reverse4) {
			break
		}
		var text []byte
		for n := 3; n >= 0; n-- {
			text = append(text, q.label(n)...)
			if n > 0 {
				text = append(text, '.')
			}
		}
		addr, err := netip.ParseAddr(string(text))
		return addr, err == nil && addr.Is4()
	case reverse6Labels:
		if !bytes.Equal(q.name[q.at[32]:q.length], reverse6) {
			break
		}
		var digits [32]byte
		for n := range digits {
			if len(q.label(n)) != 1 {
				return netip.Addr{}, false
			}
			digits[31-n] = q.label(n)[0]
		}
		return parseHex(digits[:])
	}
	return netip.Addr{}, false
}
