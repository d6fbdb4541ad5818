package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Query is what resolving may need.
type Query struct {
	// Servers are host:port of the discovery servers, for `route`.
	Servers []string
	// Env looks up `env:NAME`. Nil: no variable is set.
	Env func(name string) (string, bool)
	// Loopback says that the child listens on loopback only, so that `route` may give a loopback address.
	Loopback bool
	// Peer is the address that the discovery server sees, for `docker`. Invalid: none has told it yet.
	Peer netip.Addr
}

// Resolve returns the address of the first spec that matches; `docker` never
// does, because it is of ports (see [Find]). The error tells,
// for each spec, why it did not. With `route` and servers that are host names it
// asks the resolver, for at most [lookupTime] in all.
func Resolve(specs []Spec, q Query) (netip.Addr, error) {
	cards, err := readCards()
	if err != nil {
		return netip.Addr{}, err
	}
	return choose(specs, q, cards, source)
}

// lookupTime bounds the time for the host names of all servers together.
const lookupTime = 2 * time.Second

// source returns the source address of the route to host:port. It sends
// nothing: connecting a UDP socket only makes the kernel choose.
func source(ctx context.Context, target string) (netip.Addr, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", target)
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, errors.New("the socket has no address")
	}
	return local.AddrPort().Addr().Unmap().WithZone(""), nil
}

// somewhere are addresses that only the default route leads to: they are for
// documentation (RFC 5737, RFC 3849), and nothing is sent there.
var somewhere = []string{"192.0.2.1:9", "[2001:db8::1]:9"}

// sourceFunc is source; tests have others.
type sourceFunc func(ctx context.Context, target string) (netip.Addr, error)

// choose is Resolve over given interfaces and routes.
func choose(specs []Spec, q Query, cards []card, source sourceFunc) (netip.Addr, error) {
	var errs []error
	for _, s := range specs {
		addr, err := s.choose(q, cards, source)
		if err == nil {
			return addr, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.text, err))
	}
	return netip.Addr{}, fmt.Errorf("no address to advertise was found: %w", errors.Join(errs...))
}

func (s Spec) choose(q Query, cards []card, source sourceFunc) (netip.Addr, error) {
	switch s.kind {
	case route:
		return chooseRoute(q, cards, source)
	case ofInterface:
		return s.chooseOfInterface(cards)
	case inNetwork:
		return s.chooseInNetwork(cards)
	case ofFamily:
		if addr, ok := first(cards, s.family.has); ok {
			return addr, nil
		}
		return netip.Addr{}, errors.New("no interface that is up has such an address, loopback and link-local ones aside")
	case static:
		return s.addr, nil
	case fromEnv:
		return s.chooseFromEnv(q)
	case docker:
		return netip.Addr{}, errors.New("only a published port has such an address")
	}
	return netip.Addr{}, errors.New("this spec was not made by ParseSpecs")
}

// first returns the first address that serves everybody and is wanted.
func first(cards []card, wanted func(netip.Addr) bool) (netip.Addr, bool) {
	for _, c := range cards {
		if !c.up {
			continue
		}
		for _, addr := range c.addrs {
			if !local(addr) && wanted(addr) {
				return addr, true
			}
		}
	}
	return netip.Addr{}, false
}

// local reports whether an address means something only on its host or link.
func local(addr netip.Addr) bool {
	return addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified()
}

func (s Spec) chooseOfInterface(cards []card) (netip.Addr, error) {
	at := slices.IndexFunc(cards, func(c card) bool { return c.name == s.name })
	if at < 0 {
		var names []string
		for _, c := range cards {
			names = append(names, c.name)
		}
		return netip.Addr{}, fmt.Errorf("there is no such interface; there are %s", enumerate(names))
	}
	addrs := cards[at].addrs
	if s.index >= 0 {
		if s.index >= len(addrs) {
			return netip.Addr{}, fmt.Errorf("the interface has only %d addresses, counted from 0", len(addrs))
		}
		return addrs[s.index], nil
	}
	for _, addr := range addrs {
		if s.family.has(addr) {
			return addr, nil
		}
	}
	return netip.Addr{}, errors.New("the interface has no such address")
}

func (s Spec) chooseInNetwork(cards []card) (netip.Addr, error) {
	// A network within one of the local ranges names them.
	named := local(s.prefix.Addr()) && local(last(s.prefix))
	for _, c := range cards {
		if !c.up {
			continue
		}
		for _, addr := range c.addrs {
			if s.prefix.Contains(addr) && (named || !local(addr)) {
				return addr, nil
			}
		}
	}
	return netip.Addr{}, errors.New("no interface that is up has an address in this network, loopback and link-local ones aside unless named")
}

// last returns the last address of a network.
func last(prefix netip.Prefix) netip.Addr {
	bytes := prefix.Addr().AsSlice()
	for bit := prefix.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return addr
}

func (s Spec) chooseFromEnv(q Query) (netip.Addr, error) {
	var value string
	if q.Env != nil {
		value, _ = q.Env(s.name)
	}
	if value == "" {
		return netip.Addr{}, errors.New("the variable is not set")
	}
	addr, err := parseAddr(strings.TrimSpace(value))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("what the variable holds cannot be used: %w", err)
	}
	return addr, nil
}

func chooseRoute(q Query, cards []card, source sourceFunc) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	var errs []error
	var loopback netip.Addr
	for _, server := range q.Servers {
		addr, err := source(ctx, server)
		switch {
		case err != nil:
			errs = append(errs, err)
			continue
		case !local(addr), addr.IsLoopback() && q.Loopback:
			return addr, nil
		case addr.IsLoopback():
			loopback = addr
		}
		// The server is on this host or link: its route says nothing about
		// how everybody else comes here.
		break
	}
	for _, target := range somewhere {
		if addr, err := source(ctx, target); err == nil && !local(addr) {
			return addr, nil
		}
	}
	for _, f := range []family{inet, inet6} {
		if addr, ok := first(cards, f.has); ok {
			return addr, nil
		}
	}
	if loopback.IsValid() {
		return loopback, nil
	}
	if len(errs) == 0 {
		errs = append(errs, errors.New("there is neither a default route nor an address, loopback and link-local ones aside"))
	}
	return netip.Addr{}, errors.Join(errs...)
}

// maxNames is how many interfaces an error lists.
const maxNames = 16

func enumerate(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	if len(names) > maxNames {
		return strings.Join(names[:maxNames], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}
