package listeners

import (
	"errors"
	"fmt"
)

// Established counts the established TCP connections to the ports, whoever holds them. The kernel looks through its
// connections for it, so it is for the moments before a stop, not for every second.
//
// The error is [errors.ErrUnsupported] where netlink is forbidden.
func (r *Reader) Established(ports []uint16) (int, error) {
	d, viaNetlink := r.source.(*diag)
	if !viaNetlink {
		return 0, fmt.Errorf("count established connections: %w", errors.ErrUnsupported)
	}
	total := 0
	for _, port := range ports {
		n, err := d.established(port)
		if err != nil {
			return 0, fmt.Errorf("count established connections: %w", err)
		}
		total += n
	}
	return total, nil
}
