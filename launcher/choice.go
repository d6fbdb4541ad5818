package launcher

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"sort"

	"cleat/registry"
)

// weight is how much the consumer likes the endpoint: rendezvous (highest
// random weight) hashing, Thaler and Ravishankar 1998. Every consumer has its
// own order of preference, so consumers spread over endpoints, and one endpoint
// more or less moves only the consumers that it concerns.
func weight(consumer, endpoint string) uint64 {
	sum := sha256.Sum256([]byte(consumer + "\x00" + endpoint))
	return binary.BigEndian.Uint64(sum[:])
}

// preferred returns the endpoint that the consumer likes best, and false when
// there is none.
func preferred(consumer string, endpoints []registry.Endpoint) (registry.Endpoint, bool) {
	var best registry.Endpoint
	var most uint64
	for i, e := range endpoints {
		if w := weight(consumer, e.ID); i == 0 || w > most {
			best, most = e, w
		}
	}
	return best, len(endpoints) > 0
}

// limited returns the n endpoints that the consumer likes best, the one named
// keep among them if it is there, in their old order.
func limited(consumer string, endpoints []registry.Endpoint, n int, keep string) []registry.Endpoint {
	if n <= 0 || len(endpoints) <= n {
		return endpoints
	}
	weights := make([]uint64, len(endpoints))
	order := make([]int, len(endpoints))
	for i, e := range endpoints {
		weights[i], order[i] = weight(consumer, e.ID), i
		if e.ID == keep {
			weights[i] = math.MaxUint64
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return weights[order[i]] > weights[order[j]] })
	best := make([]registry.Endpoint, 0, n)
	for _, i := range slices.Sorted(slices.Values(order[:n])) {
		best = append(best, endpoints[i])
	}
	return best
}
