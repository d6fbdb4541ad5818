package graph

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"cleat/registry"
)

// Launcher is what the map needs to know of one session.
type Launcher struct {
	Namespace string
	ID        string
	Services  []string // that it provides; may name one twice
	Requires  []registry.Required
	Waits     []string // aliases that its child waits for
}

// Service is what the map needs to know of one service.
type Service struct {
	Namespace string
	Name      string
	Instances map[registry.Status]int
	Held      int
}

// Build makes the graph of what launchers require. Services that nobody
// requires, and who requires nothing, are in it too, as are services that are
// required and that nobody offers. The result shares the services' maps.
func Build(launchers []Launcher, services []Service) registry.Graph {
	b := builder{nodes: make(map[string]*registry.GraphNode), edges: make(map[edgeKey]*registry.GraphEdge)}
	for _, s := range services {
		node := b.service(s.Namespace, s.Name)
		node.Instances, node.Held = s.Instances, s.Held
	}
	for _, l := range launchers {
		b.launcher(l)
	}
	g := registry.Graph{Nodes: []registry.GraphNode{}, Edges: []registry.GraphEdge{}}
	for _, id := range slices.Sorted(maps.Keys(b.nodes)) {
		g.Nodes = append(g.Nodes, *b.nodes[id])
	}
	for _, e := range b.edges {
		e.Unmet = !e.Optional && !e.Self && e.Spare() < 0 || e.Waiting > 0
		g.Edges = append(g.Edges, *e)
	}
	slices.SortFunc(g.Edges, func(a, b registry.GraphEdge) int { return keyOf(a).compare(keyOf(b)) })
	analyse(&g)
	return g
}

// Restrict returns the part of the graph that somebody may see: services for
// which allowed is true, launchers of namespaces for which it is true with an
// empty service, and the edges between these. What would break is counted
// among them alone.
func Restrict(g registry.Graph, allowed func(namespace, service string) bool) registry.Graph {
	kept := make(map[string]bool)
	part := registry.Graph{Revision: g.Revision, Warming: g.Warming, Nodes: []registry.GraphNode{}, Edges: []registry.GraphEdge{}}
	for _, n := range g.Nodes {
		service := n.Name
		if n.Kind == registry.NodeLaunchers {
			service = ""
		}
		if allowed(n.Namespace, service) {
			kept[n.ID] = true
			part.Nodes = append(part.Nodes, n)
		}
	}
	for _, e := range g.Edges {
		if kept[e.From] && kept[e.To] {
			part.Edges = append(part.Edges, e)
		}
	}
	analyse(&part)
	return part
}

// Around returns the part of the graph that has to do with a namespace: its
// nodes, and those of others that require them or that they require.
func Around(g registry.Graph, namespace string) registry.Graph {
	near := make(map[string]bool)
	of := make(map[string]string, len(g.Nodes))
	for _, n := range g.Nodes {
		of[n.ID] = n.Namespace
		near[n.ID] = n.Namespace == namespace
	}
	part := registry.Graph{Revision: g.Revision, Warming: g.Warming, Nodes: []registry.GraphNode{}, Edges: []registry.GraphEdge{}}
	for _, e := range g.Edges {
		if of[e.From] == namespace || of[e.To] == namespace {
			near[e.From], near[e.To] = true, true
			part.Edges = append(part.Edges, e)
		}
	}
	for _, n := range g.Nodes {
		if near[n.ID] {
			part.Nodes = append(part.Nodes, n)
		}
	}
	analyse(&part)
	return part
}

// ServiceID returns the id of a service's node.
func ServiceID(namespace, service string) string { return namespace + "/" + service }

// edgeKey is by what requirements of the same launchers are one.
type edgeKey struct {
	from, to, filter string
	optional         bool
	least            int
	alias            string
}

func keyOf(e registry.GraphEdge) edgeKey {
	return edgeKey{from: e.From, to: e.To, filter: e.Filter, optional: e.Optional, least: e.Min, alias: e.Alias}
}

func (k edgeKey) compare(other edgeKey) int {
	truth := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return cmp.Or(
		strings.Compare(k.from, other.from), strings.Compare(k.to, other.to), strings.Compare(k.filter, other.filter),
		cmp.Compare(truth(k.optional), truth(other.optional)), cmp.Compare(k.least, other.least), strings.Compare(k.alias, other.alias),
	)
}

// builder gathers nodes and edges.
type builder struct {
	nodes map[string]*registry.GraphNode
	edges map[edgeKey]*registry.GraphEdge
}

func (b *builder) node(n registry.GraphNode) *registry.GraphNode {
	if b.nodes[n.ID] == nil {
		b.nodes[n.ID] = &n
	}
	return b.nodes[n.ID]
}

func (b *builder) service(namespace, name string) *registry.GraphNode {
	return b.node(registry.GraphNode{ID: ServiceID(namespace, name), Kind: registry.NodeService, Namespace: namespace, Name: name})
}

// launcher adds what one launcher offers and requires.
func (b *builder) launcher(l Launcher) {
	var from []string
	for _, service := range slices.Compact(slices.Sorted(slices.Values(l.Services))) {
		node := b.service(l.Namespace, service)
		node.Launchers++
		from = append(from, node.ID)
	}
	if len(from) == 0 {
		node := b.node(groupOf(l))
		node.Launchers++
		from = append(from, node.ID)
	}
	for _, r := range l.Requires {
		filter, err := registry.ParseFilter(r.Filter, l.Namespace, nil)
		if err != nil {
			continue // it was parsed when it was declared
		}
		to := b.service(filter.Namespace, filter.Service).ID
		for _, id := range from {
			key := edgeKey{from: id, to: to, filter: r.Filter, optional: r.Optional, least: r.Min, alias: r.Alias}
			e := b.edges[key]
			if e == nil {
				e = &registry.GraphEdge{
					From: id, To: to, Alias: r.Alias, Filter: r.Filter, Min: r.Min, Optional: r.Optional, Self: filter.Self,
				}
				b.edges[key] = e
			}
			e.Launchers++
			e.Endpoints = r.Endpoints // all share one view
			if r.Held {
				e.Held++
			}
			if slices.Contains(l.Waits, r.Alias) {
				e.Waiting++
			}
		}
	}
}

// groupOf returns the node of a launcher that offers nothing. Launchers whose
// ids begin alike and that require the same are taken for copies of one thing.
func groupOf(l Launcher) registry.GraphNode {
	var services []string
	for _, r := range l.Requires {
		service, _, _ := strings.Cut(r.Filter, "?")
		services = append(services, service)
	}
	slices.Sort(services)
	name := stem(l.ID)
	if name == "" {
		name = "container"
	}
	id := "launchers:" + l.Namespace + "/" + name
	if needs := strings.Join(slices.Compact(services), "+"); needs != "" {
		id += " (" + needs + ")"
	}
	return registry.GraphNode{ID: id, Kind: registry.NodeLaunchers, Namespace: l.Namespace, Name: name}
}

// stem returns what the ids of copies have in common: the id without the parts
// at its end that are there to tell copies apart, which are a number, or the
// random part that a launcher adds. It is empty for the id of a container, which
// is random altogether.
func stem(id string) string {
	const (
		random    = 6  // characters of a launcher's random part
		container = 12 // characters of the short id of a container, in hexadecimal
	)
	if len(id) >= container && strings.Trim(id, "0123456789abcdef") == "" {
		return ""
	}
	for {
		at := strings.LastIndexAny(id, "-_.:@")
		if at <= 0 {
			return id
		}
		last := id[at+1:]
		_, err := strconv.ParseUint(last, 10, 64)
		hex := len(last) >= random && strings.ContainsAny(last, "0123456789") && strings.Trim(last, "0123456789abcdef") == ""
		letters := len(last) == random && strings.Trim(last, "0123456789abcdefghijklmnopqrstuvwxyz") == "" && !pronounceable(last)
		if err != nil && !hex && !letters {
			return id
		}
		id = id[:at]
	}
}

// pronounceable reports whether a word looks like one: it has no digit, a vowel,
// and never four consonants in a row. That tells most words from most random
// parts; what it gets wrong is drawn as a node of its own, or as one with others
// of the same needs.
func pronounceable(word string) bool {
	consonants, vowels := 0, 0
	for _, c := range word {
		switch {
		case c >= '0' && c <= '9':
			return false
		case strings.ContainsRune("aeiouy", c):
			vowels++
			consonants = 0
		default:
			if consonants++; consonants == 4 {
				return false
			}
		}
	}
	return vowels > 0
}
