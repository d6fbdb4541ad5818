package network

import (
	"net/netip"
	"time"

	"cleat/launcher/address"
)

// Network must be up before the child is started.
type Network struct {
	Name string // lower case
	Spec address.Spec
	Wait time.Duration // 0: for ever
}

// Look returns the address by which the network is up; the error tells what is
// missing.
func Look(n Network) (netip.Addr, error) { return n.Spec.Up() }
