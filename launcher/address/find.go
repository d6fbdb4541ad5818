package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Port is a port of the child's own.
type Port struct {
	Number uint16
	UDP    bool
}

// String returns the port as the engine writes it, such as 53/udp.
func (p Port) String() string {
	protocol := "tcp"
	if p.UDP {
		protocol = "udp"
	}
	return strconv.Itoa(int(p.Number)) + "/" + protocol
}

// Answer is what [Find] has found.
type Answer struct {
	// Wide is the address for a port that is not published, Local the one for
	// a child that listens on loopback alone. Invalid: there is none.
	Wide, Local netip.Addr
	// Err tells, for each spec, why it did not give Wide.
	Err error
	// Published is where others reach the ports that the container engine has
	// published. An invalid address: the host's is not known before the
	// discovery server has told what it sees (Query.Peer).
	Published map[Port]netip.AddrPort
	// Near says that an address in Published is known to lead to the port on
	// this host only.
	Near bool
	// Engine tells why the container engine could not be asked. Nil: it was
	// asked, or did not need to be.
	Engine error
}

// Find returns the addresses to advertise. Unlike [Resolve] it asks the
// container engine for `docker`, unless a spec before that gives an address;
// that takes at most [engineTime].
func Find(specs []Spec, q Query) Answer {
	cards, err := readCards()
	if err != nil {
		return Answer{Err: err}
	}
	var dialer net.Dialer
	return find(specs, q, machine{cards: cards, source: source, ids: containerIDs, gateway: defaultGateway, dial: dialer.DialContext})
}

// machine is what Find needs to know of the machine; tests have others.
type machine struct {
	cards   []card
	source  sourceFunc
	ids     func() []string // the container's own id, as far as it can be told
	gateway func() netip.Addr
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

func find(specs []Spec, q Query, m machine) Answer {
	var a Answer
	q.Loopback = false
	a.Wide, a.Err = choose(specs, q, m.cards, m.source)
	local := q
	local.Loopback = true
	if a.Local, _ = choose(specs, local, m.cards, m.source); !a.Local.IsValid() {
		a.Local = a.Wide
	}
	at := slices.IndexFunc(specs, func(s Spec) bool { return s.kind == docker })
	if at < 0 {
		return a
	}
	if at > 0 {
		if _, err := choose(specs[:at], q, m.cards, m.source); err == nil {
			return a // one before it decides, for every port
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), engineTime)
	defer cancel()
	all, err := inspect(ctx, q, m)
	if err != nil {
		a.Engine = err
		return a
	}
	host, near := specs[at].hostAddress(q, m)
	a.Published = make(map[Port]netip.AddrPort)
	for port, bindings := range all {
		on, wild := pick(bindings, host, specs[at].host != nil)
		if on.Port() != 0 {
			a.Published[port] = on
			a.Near = a.Near || wild && near
		}
	}
	if a.Err != nil {
		a.Err = fmt.Errorf("%w; %w", a.Err, published(all, a.Published))
	}
	return a
}

// hostAddress returns the addresses under which others reach this host. Near
// says that they are known to do so on this host only; no addresses at all, that
// they are to be waited for.
func (s Spec) hostAddress(q Query, m machine) (host []netip.Addr, near bool) {
	if s.host != nil {
		if addr, err := s.host.choose(q, m.cards, m.source); err == nil {
			return []netip.Addr{addr}, false
		}
		return []netip.Addr{{}}, false // none of any family
	}
	peer := q.Peer.Unmap()
	if !peer.IsValid() {
		return nil, false
	}
	own := slices.ContainsFunc(m.cards, func(c card) bool { return slices.Contains(c.addrs, peer) })
	if !own && !local(peer) {
		return []netip.Addr{peer}, false // the host's, which translates this container's
	}
	return []netip.Addr{m.gateway()}, true
}

// pick chooses among the bindings of one port: a host address that was named
// (forced) decides for all; otherwise a specific one comes before the wildcard,
// which any of the host's addresses serves. Port 0: there is none that others
// reach. Wild says that the wildcard was taken.
func pick(bindings []netip.AddrPort, host []netip.Addr, forced bool) (on netip.AddrPort, wild bool) {
	bindings = slices.Clone(bindings)
	sort.Slice(bindings, func(i, j int) bool { return bindings[i].Compare(bindings[j]) < 0 })
	for _, b := range bindings {
		if !forced && !local(b.Addr()) {
			return b, false
		}
	}
	for _, b := range bindings {
		if !b.Addr().IsUnspecified() && (!forced || local(b.Addr())) {
			continue
		}
		if host == nil {
			return netip.AddrPortFrom(netip.Addr{}, b.Port()), true
		}
		for _, addr := range host {
			if addr.IsValid() && addr.Is4() == b.Addr().Is4() {
				return netip.AddrPortFrom(addr, b.Port()), true
			}
		}
	}
	return netip.AddrPort{}, false
}

// published says what the engine has published, for an error.
func published(all map[Port][]netip.AddrPort, used map[Port]netip.AddrPort) error {
	var texts []string
	for port := range all {
		text := port.String()
		if _, ok := used[port]; !ok {
			text += " (at no address that others reach)"
		}
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		return errors.New("no port of this container is published")
	}
	slices.Sort(texts)
	return errors.New("published are " + strings.Join(texts[:min(len(texts), maxNames)], ", "))
}
