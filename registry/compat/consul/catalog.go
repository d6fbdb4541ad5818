package consul

import (
	"net/http"
	"slices"
	"strings"

	"cleat/registry/access"
	"cleat/registry/server"
)

// listDatacenters answers GET catalog/datacenters.
func (f *face) listDatacenters(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	answer(w, r, q.pretty, http.StatusOK, encode([]string{f.config.Datacenter}))
	return nil
}

// listServices answers GET catalog/services.
func (f *face) listServices(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	q.passing, q.tags = false, nil // not known here
	if q.plain() && !q.grant.Allows(access.Read, q.namespace, "") {
		f.list(w, r, q, f.readableServices(q))
		return nil
	}
	shared := func(c *census) *body { return c.services() }
	f.list(w, r, q, f.censusView(q, shared, func(all []instance) (*body, error) {
		services := make(map[string][]string)
		for _, i := range all {
			ok, err := q.selects(i.flat())
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
			tags := append(services[i.Service.Service], i.Service.Tags...)
			slices.Sort(tags)
			services[i.Service.Service] = append([]string{}, slices.Compact(tags)...)
		}
		return encode(services), nil
	}))
	return nil
}

// readableServices returns a function that looks at the services of a namespace
// that the asker may see.
func (f *face) readableServices(q query) func() view {
	return func() view {
		catalog := f.server.Catalog(q.namespace)
		return view{revision: catalog.Revision, changed: catalog.Changed(), hidden: true, body: func() (*body, error) {
			return encode(servicesOf(slices.DeleteFunc(slices.Clone(catalog.Services), func(s *server.Summary) bool {
				return !q.reads(s.Service)
			}))), nil
		}}
	}
}

// listNodes answers GET catalog/nodes.
func (f *face) listNodes(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	meta := q.nodeMeta
	q.passing, q.tags, q.nodeMeta = false, nil, nil
	var shared func(*census) *body
	if len(meta) == 0 {
		shared = func(c *census) *body { return c.nodes() }
	}
	f.list(w, r, q, f.censusView(q, shared, func(all []instance) (*body, error) {
		nodes := f.nodesOf(q.namespace, all)
		return selected(q, slices.DeleteFunc(nodes, func(n node) bool { return !hasMeta(n, meta) }))
	}))
	return nil
}

// hasMeta reports whether a node has all of the metadata.
func hasMeta(n node, meta map[string]string) bool {
	for key, value := range meta {
		if have, found := n.Meta[key]; !found || have != value {
			return false
		}
	}
	return true
}

// showNode answers GET catalog/node/<node>; null if there is no such node.
func (f *face) showNode(w http.ResponseWriter, r *http.Request) error {
	return f.oneNode(w, r, func(n node, services []service) any {
		byID := make(map[string]service, len(services))
		for _, s := range services {
			byID[s.ID] = s
		}
		return nodeServices{n, byID}
	})
}

// showNodeServices answers GET catalog/node-services/<node>, likewise.
func (f *face) showNodeServices(w http.ResponseWriter, r *http.Request) error {
	return f.oneNode(w, r, func(n node, services []service) any { return nodeServiceList{n, services} })
}

func (f *face) oneNode(w http.ResponseWriter, r *http.Request, shape func(node, []service) any) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	q.passing, q.tags, q.nodeMeta = false, nil, nil
	name := r.PathValue("node")
	f.list(w, r, q, f.censusView(q, nil, func(all []instance) (*body, error) {
		at := slices.IndexFunc(all, func(i instance) bool { return sameNode(i.Node.Node, name) })
		var found node
		switch {
		case sameNode(name, f.config.Node):
			found = f.agentNode(q.namespace)
		case at < 0:
			return encode(nil), nil
		default:
			found = all[at].Node
		}
		services := []service{}
		for _, i := range all {
			if !sameNode(i.Node.Node, name) {
				continue
			}
			ok, err := q.selects(i.Service)
			if err != nil {
				return nil, err
			}
			if ok {
				services = append(services, i.Service)
			}
		}
		return encode(shape(found, services)), nil
	}))
	return nil
}

// sameNode compares the names of nodes as Consul does.
func sameNode(a, b string) bool { return strings.EqualFold(a, b) }
