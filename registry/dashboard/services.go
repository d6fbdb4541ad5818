package dashboard

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"cleat/registry"
	"cleat/registry/access"
	"cleat/registry/graph"
	"cleat/registry/server"
)

// maxRows is how many rows a list has. Who looks for more searches.
const maxRows = 500

// overview is the body of the first page.
type overview struct {
	Services  int // of the namespace
	Instances map[registry.Status]int
	All       int // instances
	Launchers int
	Unmet     []registry.GraphEdge
	Single    []registry.GraphNode // those whose loss would break most come first
	Ill       []registry.GraphNode // services without any instance that serves
	Cycles    [][]string
	Held      int

	Show  string // of the rows: all, or ill
	Rows  []serviceRow
	More  int // rows that are not shown
	Found int
}

// serviceRow is a service in a list.
type serviceRow struct {
	registry.GraphNode
	Health   string
	Serving  int
	All      int
	Tags     []string
	Needed   int // nodes that require it directly
	Requires int
	Unmet    int // its own requirements
}

// notes is what a page knows of the whole graph.
func (d *dashboard) overview(r *http.Request, p page, g registry.Graph) overview {
	o := overview{Instances: make(map[registry.Status]int), Show: "all"}
	if r.URL.Query().Get("show") == "ill" {
		o.Show = "ill"
	}
	seen := func(n registry.GraphNode) bool { return p.Namespace == "" || n.Namespace == p.Namespace }
	nodes := make(map[string]registry.GraphNode, len(g.Nodes))
	for _, n := range g.Nodes {
		nodes[n.ID] = n
		if !seen(n) {
			continue
		}
		if n.Single {
			o.Single = append(o.Single, n)
		}
		if n.Kind == registry.NodeLaunchers {
			continue
		}
		o.Services++
		o.Held += n.Held
		serving, all := n.Count()
		o.All += all
		for status, count := range n.Instances {
			o.Instances[status] += count
		}
		if serving == 0 && (all > 0 || len(n.Breaks) > 0) {
			o.Ill = append(o.Ill, n)
		}
	}
	slices.SortStableFunc(o.Single, func(a, b registry.GraphNode) int { return len(b.Breaks) - len(a.Breaks) })
	needed, requires, unmet := make(map[[2]string]bool), make(map[[2]string]bool), make(map[string]int)
	for _, e := range g.Edges {
		if e.Unmet {
			unmet[e.From]++
			if seen(nodes[e.From]) || seen(nodes[e.To]) {
				o.Unmet = append(o.Unmet, e)
			}
		}
		if e.From != e.To {
			needed[[2]string{e.To, e.From}] = true
			requires[[2]string{e.From, e.To}] = true
		}
	}
	for _, cycle := range g.Cycles {
		if slices.ContainsFunc(cycle, func(id string) bool { return seen(nodes[id]) }) {
			o.Cycles = append(o.Cycles, cycle)
		}
	}
	rows := make(map[string]*serviceRow)
	tags := make(map[string][]string)
	for _, s := range d.server.Catalog(p.Namespace).Services {
		tags[graph.ServiceID(s.Namespace, s.Service)] = s.Tags
	}
	for _, n := range g.Nodes {
		if n.Kind == registry.NodeService && seen(n) {
			row := &serviceRow{GraphNode: n, Health: graph.Health(n), Tags: tags[n.ID], Unmet: unmet[n.ID]}
			row.Serving, row.All = n.Count()
			rows[n.ID] = row
		}
	}
	for pair := range needed {
		if row := rows[pair[0]]; row != nil {
			row.Needed++
		}
	}
	for pair := range requires {
		if row := rows[pair[0]]; row != nil {
			row.Requires++
		}
	}
	for _, row := range rows {
		ill := row.Health != string(registry.Passing) || row.Unmet > 0
		if (o.Show == "all" || ill) && matches(p.Query, append([]string{row.Name, row.Namespace, row.Health}, row.Tags...)...) {
			o.Rows = append(o.Rows, *row)
		}
	}
	slices.SortFunc(o.Rows, func(a, b serviceRow) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Namespace, b.Namespace))
	})
	if o.Found = len(o.Rows); o.Found > maxRows {
		o.Rows, o.More = o.Rows[:maxRows], o.Found-maxRows
	}
	return o
}

// matches reports whether every word of a search is in one of the texts.
func matches(query string, texts ...string) bool {
	for word := range strings.FieldsSeq(strings.ToLower(query)) {
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), word) }) {
			return false
		}
	}
	return true
}

func (d *dashboard) showServices(w http.ResponseWriter, r *http.Request) {
	g := d.graph(r)
	p := d.newPage(r, "Services", "services", g)
	o := d.overview(r, p, g)
	for _, session := range d.sessionsFor(r) {
		if p.Namespace == "" || session.Namespace == p.Namespace {
			o.Launchers++
		}
	}
	p.Body = o
	d.show(w, http.StatusOK, "services", p)
}

// serviceBody is the body of a service's page.
type serviceBody struct {
	Node      registry.GraphNode
	Health    string
	Serving   int
	All       int
	Instances []instanceRow
	More      int
	NeededBy  []registry.GraphEdge
	Requires  []registry.GraphEdge
	Picture   picture
}

// instanceRow is an instance in a list.
type instanceRow struct {
	registry.Instance
	server.Note
	Health registry.Status // what it is
}

// Addr returns where the instance is.
func (i instanceRow) Addr() string { return i.Endpoint().Addr() }

func (d *dashboard) showService(w http.ResponseWriter, r *http.Request) {
	g := d.graph(r)
	name := strings.ToLower(r.PathValue("name"))
	namespace := cmp.Or(strings.ToLower(r.URL.Query().Get("namespace")), registry.DefaultNamespace)
	p := d.newPage(r, name, "services", g)
	p.Namespace = namespace
	if registry.CheckName(name) != nil || registry.CheckNamespace(namespace) != nil || !access.Of(r.Context()).Allows(access.Read, namespace, name) {
		d.problem(w, r, http.StatusNotFound, "there is no service of that name that you may see", "look at the list of services")
		return
	}
	b := serviceBody{Node: registry.GraphNode{ID: graph.ServiceID(namespace, name), Kind: registry.NodeService, Namespace: namespace, Name: name}}
	near := map[string]bool{b.Node.ID: true}
	for _, e := range g.Edges {
		if e.To == b.Node.ID && e.From != e.To {
			b.NeededBy = append(b.NeededBy, e)
			near[e.From] = true
		}
		if e.From == b.Node.ID {
			b.Requires = append(b.Requires, e)
			near[e.To] = true
		}
	}
	listing := d.server.Look(namespace, name)
	b.Node.Instances = make(map[registry.Status]int)
	for _, i := range listing.Instances {
		row := instanceRow{Instance: i, Note: listing.Notes[i.ID], Health: i.Status}
		if row.Actual != "" {
			row.Health = row.Actual
		}
		b.Node.Instances[row.Health]++
		b.Instances = append(b.Instances, row)
	}
	slices.SortFunc(b.Instances, func(x, y instanceRow) int { return x.Endpoint().Compare(y.Endpoint()) })
	if more := len(b.Instances) - maxRows; more > 0 {
		b.Instances, b.More = b.Instances[:maxRows], more
	}
	known := len(listing.Instances) > 0
	part := registry.Graph{}
	for _, n := range g.Nodes {
		if n.ID == b.Node.ID {
			n.Instances = b.Node.Instances
			b.Node, known = n, true
		}
		if near[n.ID] {
			part.Nodes = append(part.Nodes, n)
		}
	}
	for _, e := range g.Edges {
		if e.From == b.Node.ID || e.To == b.Node.ID {
			part.Edges = append(part.Edges, e)
		}
	}
	if !known {
		d.problem(w, r, http.StatusNotFound, "nobody offers the service "+name+" in the namespace "+namespace+", and nobody requires it", "look at the list of services")
		return
	}
	b.Health = graph.Health(b.Node)
	b.Serving, b.All = b.Node.Count()
	if len(part.Nodes) > 1 {
		b.Picture = draw(part)
	}
	p.Body = b
	d.show(w, http.StatusOK, "service", p)
}
