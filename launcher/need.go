package launcher

import (
	"slices"
	"sort"
	"time"

	"cleat/launcher/settings"
	"cleat/registry"
	"cleat/templates"
)

const (
	// optionalWait is how long an optional requirement waits for the server's
	// first answer.
	optionalWait = time.Second
	// fallbackWait is how long no server may answer at the first start before
	// a fallback is used.
	fallbackWait = 5 * time.Second
	// ghostTime is how long an endpoint that restarts in place counts as there
	// in what only a restart of the child could change.
	ghostTime = time.Minute
)

// need is a requirement and what the launcher makes of the server's view.
//
//	unknown --view--> under min --view--> met --view under min--> held
//	                     |                 ^                       |
//	                     +----- view ------+--------- view --------+
//
// Under min, a fallback is used when there is one; else, once it has been met,
// on-loss decides: hold (drawn above), empty (passed on), stop (back to the
// start). A view from the cache, see keep.go, is like one of a server that is
// warming. While the server is warming, nothing is concluded from what is missing:
// what is in effect stays.
type need struct {
	settings.Requirement
	key     string // the canonical filter
	view    registry.View
	ghosts  []ghost
	reached bool // the view has had min since the child was last stopped for the lack of it
	// cached is when the view was noted that came from the cache; zero: a server
	// has said since what there is.
	cached time.Time

	// What templates get follows the view at once; what only a restart of the
	// child could change also counts those as there that restart in place.
	files selection
	child selection
}

// ghost is an endpoint that has left the view to restart in place.
type ghost struct {
	endpoint registry.Endpoint
	until    time.Time
}

// selection is a view in effect.
type selection struct {
	good      []registry.Endpoint // the last list with at least min, for hold
	endpoints []registry.Endpoint // after prefer and limit; for self: all, this one too
	chosen    string              // id of the chosen endpoint; empty: none
	held      bool
	fallback  bool // it is the fallback
}

// consumer is what a need must know of the launcher that has it.
type consumer struct {
	id       string
	zone     string
	own      map[string]bool // ids of the instances it provides
	began    time.Time       // when it began to wait
	answered bool            // some server has welcomed it
}

// standing is how a need stands.
type standing int

const (
	unmet standing = iota
	met
	kept // met before, and now not: a child that runs goes on, a first start waits
	lost // on-loss=stop: met before, and now not
)

// viewed takes the server's next view, and reports whether something left it
// in a drain, which somebody waits for.
func (n *need) viewed(v registry.View, m registry.ViewMessage, now time.Time) (drained bool) {
	for _, drop := range m.Drop {
		if drop.Why == registry.WhyDraining || drop.Why == registry.WhyRestarting {
			drained = true
		}
		if drop.Why != registry.WhyRestarting {
			continue
		}
		if i := slices.IndexFunc(n.view.Endpoints, func(e registry.Endpoint) bool { return e.ID == drop.ID }); i >= 0 {
			n.ghosts = append(n.ghosts, ghost{n.view.Endpoints[i], now.Add(ghostTime)})
		}
	}
	n.view = v
	if !v.Warming {
		n.cached = time.Time{}
	}
	return drained
}

// judge brings the selections up to date and tells how the need stands. It
// returns when it wants to be asked again although no view has come; the zero
// time for never.
func (n *need) judge(c consumer, now time.Time) (standing, time.Time) {
	var again time.Time
	n.ghosts = slices.DeleteFunc(n.ghosts, func(g ghost) bool {
		at := func(e registry.Endpoint) bool { return addressOf(e) == addressOf(g.endpoint) }
		if slices.ContainsFunc(n.view.Endpoints, at) || !now.Before(g.until) {
			return true
		}
		again = earlier(again, g.until)
		return false
	})
	if n.Self {
		n.files = selection{endpoints: n.view.Endpoints, chosen: stay(n.files.chosen, c, others(n.view.Endpoints, c))}
		n.child = n.files
		return n.judgeSelf(c), again
	}
	listed := n.view.Endpoints
	under := !n.view.Known() || len(listed) < n.Min
	if !under {
		n.reached = true
		n.pass(c, listed)
		return met, again
	}
	switch {
	case len(n.Fallback) > 0 && n.view.Known() && !n.view.Warming:
		n.fallBack(c)
		return met, again
	case len(n.Fallback) > 0 && !n.view.Known() && (n.Optional || !c.answered):
		if at := c.began.Add(n.patience()); now.Before(at) {
			return unmet, earlier(again, at)
		}
		n.fallBack(c)
		return met, again
	case n.files.fallback && n.view.Warming:
		return n.short(), again
	case n.reached && (n.view.Warming || n.OnLoss == settings.Hold):
		n.files = n.files.hold(n.Requirement, c, listed)
		n.child = n.child.hold(n.Requirement, c, n.withGhosts(listed))
		return n.short(), again
	case n.reached && n.OnLoss == settings.Empty:
		n.pass(c, listed)
		return n.short(), again
	case n.reached && n.OnLoss == settings.Stop:
		return lost, again
	case n.Optional && n.view.Known():
		n.pass(c, listed)
		return met, again
	case n.Optional:
		if at := c.began.Add(n.patience()); now.Before(at) {
			return unmet, earlier(again, at)
		}
		n.pass(c, nil)
		return met, again
	}
	return unmet, again
}

// short is how a need stands that was met and is under min by now.
func (n *need) short() standing {
	if n.Optional {
		return met
	}
	return kept
}

// patience is how long a first start waits for a server's answer, where it can
// do without.
func (n *need) patience() time.Duration {
	switch {
	case n.Optional:
		return optionalWait
	case n.Wait > 0:
		return min(fallbackWait, n.Wait)
	}
	return fallbackWait
}

// judgeSelf: exactly one node founds, and the others join.
func (n *need) judgeSelf(c consumer) standing {
	first, found := founder(n.view.Endpoints)
	if found && (first.Status.Serving() || !n.view.Warming && c.own[first.ID]) {
		return met
	}
	return unmet
}

// pass puts the listed endpoints into effect.
func (n *need) pass(c consumer, listed []registry.Endpoint) {
	n.files = n.files.follow(n.Requirement, c, listed)
	n.child = n.child.follow(n.Requirement, c, n.withGhosts(listed))
}

// fallBack puts the fallback into effect.
func (n *need) fallBack(c consumer) {
	n.pass(c, n.Fallback)
	n.files.fallback, n.child.fallback = true, true
}

// withGhosts returns the listed endpoints and those that restart in place.
func (n *need) withGhosts(listed []registry.Endpoint) []registry.Endpoint {
	if len(n.ghosts) == 0 {
		return listed
	}
	gone := make([]registry.Endpoint, 0, len(n.ghosts))
	for _, g := range n.ghosts {
		gone = append(gone, g.endpoint)
	}
	return union(listed, gone)
}

// follow returns the selection when the server's list is in effect as it is.
func (s selection) follow(r settings.Requirement, c consumer, listed []registry.Endpoint) selection {
	candidates := near(r, c, listed)
	chosen := stay(s.chosen, c, candidates)
	return selection{good: listed, endpoints: limited(c.id, candidates, r.Limit, chosen), chosen: chosen}
}

// hold returns the selection when the last good list stays in effect, joined by
// what the server lists. The chosen endpoint is one that the server lists, if
// there is any; so a zone that is preferred is looked for in each list apart.
func (s selection) hold(r settings.Requirement, c consumer, listed []registry.Endpoint) selection {
	choice := near(r, c, listed)
	candidates := union(choice, near(r, c, s.good))
	if len(choice) == 0 {
		choice = candidates
	}
	chosen := stay(s.chosen, c, choice)
	return selection{good: s.good, endpoints: limited(c.id, candidates, r.Limit, chosen), chosen: chosen, held: true}
}

// view returns what templates see of the selection.
func (n *need) templateView(s selection, c consumer) templates.View {
	endpoints := s.endpoints
	if n.Self {
		endpoints = others(endpoints, c)
	}
	v := templates.View{Endpoints: make([]templates.Endpoint, 0, len(endpoints))}
	for _, e := range endpoints {
		v.Endpoints = append(v.Endpoints, templateEndpoint(e))
		if e.ID == s.chosen {
			v.Chosen = &v.Endpoints[len(v.Endpoints)-1]
		}
	}
	if n.Self {
		if first, found := founder(s.endpoints); found {
			e := templateEndpoint(first)
			v.First = &e
		}
	} else if len(endpoints) > 0 {
		v.First = &v.Endpoints[0]
	}
	return v
}

// has reports whether an endpoint has that host:port, before prefer and limit.
func (s selection) has(addr string) bool {
	at := func(e registry.Endpoint) bool { return e.Addr() == addr }
	return slices.ContainsFunc(s.endpoints, at) || slices.ContainsFunc(s.good, at)
}

// founder returns the oldest endpoint that serves or, while none does, the
// oldest of all.
func founder(endpoints []registry.Endpoint) (registry.Endpoint, bool) {
	for _, e := range endpoints {
		if e.Status.Serving() {
			return e, true
		}
	}
	if len(endpoints) > 0 {
		return endpoints[0], true
	}
	return registry.Endpoint{}, false
}

// near returns this zone's endpoints when the requirement prefers them and
// there are any, else all.
func near(r settings.Requirement, c consumer, endpoints []registry.Endpoint) []registry.Endpoint {
	if !r.PreferZone || c.zone == "" {
		return endpoints
	}
	var here []registry.Endpoint
	for _, e := range endpoints {
		if e.Zone == c.zone {
			here = append(here, e)
		}
	}
	if len(here) > 0 {
		return here
	}
	return endpoints
}

// others leaves this launcher's own instances out.
func others(endpoints []registry.Endpoint, c consumer) []registry.Endpoint {
	var rest []registry.Endpoint
	for _, e := range endpoints {
		if !c.own[e.ID] {
			rest = append(rest, e)
		}
	}
	return rest
}

// stay returns the id of the chosen endpoint: the one chosen before as long as
// it is among the candidates.
func stay(chosen string, c consumer, candidates []registry.Endpoint) string {
	if chosen != "" && slices.ContainsFunc(candidates, func(e registry.Endpoint) bool { return e.ID == chosen }) {
		return chosen
	}
	best, _ := preferred(c.id, candidates)
	return best.ID
}

// union returns listed and those of more that have neither an id nor an address
// in it, in order.
func union(listed, more []registry.Endpoint) []registry.Endpoint {
	ids, taken := make(map[string]bool, len(listed)), make(map[hostPort]bool, len(listed))
	for _, e := range listed {
		ids[e.ID], taken[addressOf(e)] = true, true
	}
	all := slices.Clone(listed)
	for _, e := range more {
		if !ids[e.ID] && !taken[addressOf(e)] {
			ids[e.ID], taken[addressOf(e)] = true, true
			all = append(all, e)
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Compare(all[j]) < 0 })
	return all
}

// hostPort is an endpoint's address and port, to compare.
type hostPort struct {
	host string
	port uint16
}

func addressOf(e registry.Endpoint) hostPort { return hostPort{e.Address, e.Port} }

func templateEndpoint(e registry.Endpoint) templates.Endpoint {
	return templates.Endpoint{ID: e.ID, Host: e.Address, Port: e.Port, Zone: e.Zone, Tags: e.Tags, Attr: e.Attributes}
}

// earlier returns the earlier of two times, of which zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
