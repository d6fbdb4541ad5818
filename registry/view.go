package registry

import (
	"slices"
	"sort"
)

// View is the list of endpoints behind a filter, as a consumer knows it from
// its server. The zero value is the view of somebody who knows nothing yet.
//
//	unknown --complete--> known --differences--> known
//	                        |
//	            (connection lost: the view stays)
//	                        |
//	   complete, warming: what is there is added, explicit drops go,
//	                      nothing goes for being absent
//	   complete:          the view is what the server says
//
// A View is a value: [View.Apply] returns the next one and leaves the old one
// as it was, so that views may be handed to other goroutines.
type View struct {
	// Revision is that of the last message applied; 0 until the first.
	Revision Revision
	// Warming says that the server has just restarted and does not know yet
	// what it does not know: what is here counts, from what is missing nothing
	// may be concluded.
	Warming bool
	// Endpoints are sorted by (since, id).
	Endpoints []Endpoint
}

// Known reports whether a server has ever answered.
func (v View) Known() bool { return v.Revision != 0 }

// Apply returns the view after the server's message.
func (v View) Apply(m ViewMessage) View {
	next := View{Revision: m.Revision, Warming: m.Warming}
	if m.Complete && !m.Warming {
		next.Endpoints = sorted(slices.Clone(m.Add))
		return next
	}
	// An endpoint that is added replaces the one with its id. While the server
	// is warming it also replaces one at its address: two processes cannot share
	// a socket, and what the server does not remember it cannot drop.
	gone := make(map[string]bool, len(m.Add)+len(m.Drop))
	taken := make(map[string]bool, len(m.Add))
	for _, drop := range m.Drop {
		gone[drop.ID] = true
	}
	for _, e := range m.Add {
		gone[e.ID] = true
		if m.Warming {
			taken[string(e.Protocol)+e.Addr()] = true
		}
	}
	for _, e := range v.Endpoints {
		if !gone[e.ID] && !taken[string(e.Protocol)+e.Addr()] {
			next.Endpoints = append(next.Endpoints, e)
		}
	}
	next.Endpoints = append(next.Endpoints, m.Add...)
	sorted(next.Endpoints)
	return next
}

// sorted sorts endpoints in place. The generic sort would be one of its own for
// each type of element, 10 to 25 KB in every launcher; this one is the same for all.
func sorted(all []Endpoint) []Endpoint {
	sort.Slice(all, func(i, j int) bool { return all[i].Compare(all[j]) < 0 })
	return all
}

// Equal reports whether the two hold the same endpoints.
func (v View) Equal(other View) bool {
	return slices.EqualFunc(v.Endpoints, other.Endpoints, Endpoint.Equal)
}
