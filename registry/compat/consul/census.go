package consul

import (
	"slices"
	"sync"

	"cleat/registry/access"
	"cleat/registry/server"
)

// census is everything in one namespace, for lists that are not of one service.
// It is made once for everybody who asks, until anything changes.
type census struct {
	catalog   *server.Catalog
	instances func() []instance // in the order of services; nobody changes it

	services func() *body            // all of catalog/services
	nodes    func() *body            // all of catalog/nodes
	states   map[string]func() *body // all of health/state/<state>
}

// censuses keeps the latest census of each namespace.
type censuses struct {
	mu     sync.Mutex
	latest map[string]*census
}

// of returns the census of a namespace, and makes it if that is not done yet.
func (f *face) censusOf(namespace string) *census {
	catalog := f.server.Catalog(namespace)
	all := &f.census
	all.mu.Lock()
	defer all.mu.Unlock()
	if c := all.latest[namespace]; c != nil && c.catalog == catalog {
		return c
	}
	c := f.makeCensus(catalog, namespace)
	if len(catalog.Services) == 0 { // there are as many such namespaces as names
		delete(all.latest, namespace)
		return c
	}
	if all.latest == nil {
		all.latest = make(map[string]*census)
	}
	all.latest[namespace] = c
	return c
}

func (f *face) makeCensus(catalog *server.Catalog, namespace string) *census {
	c := &census{catalog: catalog}
	c.instances = sync.OnceValue(func() []instance {
		var all []instance
		for _, s := range catalog.Services {
			all = append(all, f.listedOf(f.server.Look(namespace, s.Service)).instances...)
		}
		return all
	})
	c.services = sync.OnceValue(func() *body { return encode(servicesOf(catalog.Services)) })
	c.nodes = sync.OnceValue(func() *body { return encode(f.nodesOf(namespace, c.instances())) })
	c.states = make(map[string]func() *body)
	for _, state := range []string{"any", passing, warning, critical} {
		c.states[state] = sync.OnceValue(func() *body { return encode(inState(checksOf(c.instances()), state)) })
	}
	return c
}

// censusView returns a function that looks at a whole namespace. shared, if
// there is one, has the body for those who may see all of it; choose makes
// others from a copy of the instances that match the query.
func (f *face) censusView(q query, shared func(*census) *body, choose func([]instance) (*body, error)) func() view {
	whole := q.grant.Allows(access.Read, q.namespace, "")
	return func() view {
		c := f.censusOf(q.namespace)
		return view{revision: c.catalog.Revision, changed: c.catalog.Changed(), hidden: !whole, body: func() (*body, error) {
			if whole && shared != nil && q.plain() {
				return shared(c), nil
			}
			return choose(slices.DeleteFunc(slices.Clone(c.instances()), func(i instance) bool {
				return !q.matches(&i) || !whole && !q.reads(i.Service.Service)
			}))
		}}
	}
}

// servicesOf returns the services with their tags.
func servicesOf(summaries []*server.Summary) map[string][]string {
	services := make(map[string][]string, len(summaries))
	for _, s := range summaries {
		services[s.Service] = append([]string{}, s.Tags...)
	}
	return services
}

// nodesOf returns the nodes that instances are on, the agent's first.
func (f *face) nodesOf(namespace string, all []instance) []node {
	nodes := []node{f.agentNode(namespace)}
	seen := map[string]bool{nodes[0].Node: true}
	for _, i := range all {
		if !seen[i.Node.Node] {
			seen[i.Node.Node] = true
			nodes = append(nodes, i.Node)
		}
	}
	return nodes
}
