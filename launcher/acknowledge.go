package launcher

import (
	"maps"
	"slices"

	"cleat/registry"
)

// acknowledge tells the server that views are in effect, or why they are not.
// What has been acknowledged already is not told again, a later failure neither:
// the report tells that. A failure is no acknowledgement that would end this,
// because what failed is tried again.
func (s *supervisor) acknowledge(views map[string]registry.Revision, failure string) {
	for key, revision := range maps.Clone(views) {
		last, waits := s.pending[key]
		if !waits {
			continue
		}
		if s.Client != nil {
			s.Client.Applied(registry.Applied{Filter: key, Revision: revision, Held: s.held(key), Error: registry.Cut(failure)})
		}
		if last == revision && failure == "" {
			delete(s.pending, key)
		}
	}
}

// acknowledgeRendered acknowledges views for which everything has been done but
// what a restart has yet to do: those wait for the child to pass.
func (s *supervisor) acknowledgeRendered(views map[string]registry.Revision) {
	now := make(map[string]registry.Revision, len(views))
	for key, revision := range views {
		switch {
		case !s.restartsFor(key) || s.restart == nil && s.unproven == nil:
			now[key] = revision
		case s.restart == nil:
			s.unproven[key] = revision
		}
	}
	s.acknowledge(now, "")
}

// restartsFor reports whether a view of the filter may restart the child.
func (s *supervisor) restartsFor(key string) bool {
	return slices.ContainsFunc(s.needs, func(n *need) bool { return n.key == key && s.uses.restart[n.Alias] })
}

// held reports whether an earlier view stays in effect in place of what the
// server says about the filter.
func (s *supervisor) held(key string) bool {
	return slices.ContainsFunc(s.needs, func(n *need) bool { return n.key == key && n.files.held })
}

// heldEverywhere reports whether every requirement of the filter holds an
// earlier view.
func (s *supervisor) heldEverywhere(key string) bool {
	return !slices.ContainsFunc(s.needs, func(n *need) bool { return n.key == key && !n.files.held })
}
