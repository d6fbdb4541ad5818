package dns

import (
	"slices"
	"strings"
	"sync"

	"cleat/registry"
	"cleat/registry/server"
)

// maxFiltered is how many filters of one listing are remembered; others are
// applied anew for each query.
const maxFiltered = 256

// sets are all that was made of one listing.
type sets struct {
	server  *Server
	listing *server.Listing
	all     *set

	labels sync.Once       // makes the next two
	tags   map[string]bool // in lower case
	zones  map[string]bool

	mu       sync.RWMutex
	filtered map[string]*set
}

// sets returns what was made of the listing.
func (s *Server) sets(listing *server.Listing) *sets {
	return listing.Derived(s, s.makeSets).(*sets)
}

func (s *Server) newSets(listing *server.Listing) *sets {
	return &sets{server: s, listing: listing, all: s.newSet(listing, nil)}
}

// label notes the tags and zones that there are.
func (m *sets) label() {
	m.tags, m.zones = make(map[string]bool), make(map[string]bool)
	for _, i := range m.listing.Instances {
		for _, tag := range i.Tags {
			m.tags[lower(tag)] = true
		}
		m.zones[i.Zone] = true
	}
}

// nothing is the set of a filter that no instance passes.
var nothing = &set{}

// choose returns the set of the instances that the name chooses.
func (m *sets) choose(t *target) *set {
	if len(t.filter) == 0 && t.protocol == "" {
		return m.all
	}
	// What is not there is found out without looking at every instance.
	m.labels.Do(m.label)
	if t.zone != nil && !m.zones[string(t.zone)] {
		return nothing
	}
	for _, tag := range t.tags[:t.tagCount] {
		if !m.tags[string(tag)] {
			return nothing
		}
	}
	var space [maxName + len(registry.UDP)]byte
	key := append(append(space[:0], t.filter...), t.protocol...)
	m.mu.RLock()
	chosen := m.filtered[string(key)]
	m.mu.RUnlock()
	if chosen != nil {
		return chosen
	}
	chosen = m.server.newSet(m.listing, t.match)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.filtered == nil {
		m.filtered = make(map[string]*set)
	}
	if len(m.filtered) < maxFiltered {
		m.filtered[string(key)] = chosen
	}
	return chosen
}

// match reports whether the name chooses the instance.
func (t *target) match(i *registry.Instance) bool {
	if t.protocol != "" && i.Protocol != t.protocol || t.zone != nil && i.Zone != string(t.zone) {
		return false
	}
	for _, tag := range t.tags[:t.tagCount] {
		if !slices.ContainsFunc(i.Tags, func(has string) bool { return lower(has) == string(tag) }) {
			return false
		}
	}
	return true
}

// lower returns the text as DNS compares it: only the letters of ASCII have a
// case there.
func lower(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}
