package health

import (
	"net/netip"
	"slices"
)

// Choose picks the address to check of those that a port listens on: one of all
// addresses if there is, IPv4 before IPv6, then loopback, then the others. The
// zero Addr when there is none.
func Choose(listening []netip.Addr) netip.Addr {
	var best netip.Addr
	for _, addr := range listening {
		addr = addr.Unmap()
		if addr.IsValid() && (!best.IsValid() || preference(addr) < preference(best) ||
			preference(addr) == preference(best) && addr.Less(best)) {
			best = addr
		}
	}
	return best
}

// preference is low for what is to be chosen.
func preference(addr netip.Addr) int {
	kinds := []bool{addr.IsUnspecified(), addr.IsLoopback(), !addr.IsLinkLocalUnicast(), true}
	kind := slices.Index(kinds, true) * 2
	if addr.Is6() {
		kind++
	}
	return kind
}
