package address

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sort"
	"strings"
)

// card is a network interface as the choice sees it.
type card struct {
	name    string
	up      bool
	running bool         // it has a carrier as well
	addrs   []netip.Addr // sorted as the package says
}

// readCards returns the interfaces of this network namespace, sorted.
func readCards() ([]card, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("the network interfaces cannot be read: %w", err)
	}
	var cards []card
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			// It is gone since the list was read.
			continue
		}
		c := card{name: i.Name, up: i.Flags&net.FlagUp != 0, running: i.Flags&net.FlagRunning != 0}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				c.addrs = append(c.addrs, prefix.Addr().Unmap().WithZone(""))
			}
		}
		cards = append(cards, c)
	}
	return sorted(cards), nil
}

// sorted puts interfaces and their addresses into the package's order.
func sorted(cards []card) []card {
	for i := range cards {
		addrs := cards[i].addrs
		sort.Slice(addrs, func(i, j int) bool { return compareAddrs(addrs[i], addrs[j]) < 0 })
	}
	sort.Slice(cards, func(i, j int) bool { return compareNames(cards[i].name, cards[j].name) < 0 })
	return cards
}

func compareAddrs(a, b netip.Addr) int {
	last := func(addr netip.Addr) int {
		if addr.IsLinkLocalUnicast() {
			return 1
		}
		return 0
	}
	first, second := a.As16(), b.As16()
	return cmp.Or(cmp.Compare(last(a), last(b)), slices.Compare(first[:], second[:]))
}

// compareNames compares names with numbers in them by the numbers' values. A
// number is a run of digits; leading zeros decide only between equals.
func compareNames(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		n, m := digits(x), digits(y)
		if n > 0 && m > 0 {
			p, q := strings.TrimLeft(x[:n], "0"), strings.TrimLeft(y[:m], "0")
			if c := cmp.Or(cmp.Compare(len(p), len(q)), strings.Compare(p, q)); c != 0 {
				return c
			}
			x, y = x[n:], y[m:]
			continue
		}
		if x[0] != y[0] {
			return cmp.Compare(x[0], y[0])
		}
		x, y = x[1:], y[1:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

// digits is the length of the run of digits at the beginning.
func digits(text string) int {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return i
		}
	}
	return len(text)
}
