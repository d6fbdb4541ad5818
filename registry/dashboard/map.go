package dashboard

import (
	"html/template"
	"net/http"
	"slices"

	"cleat/registry"
	"cleat/registry/graph"
)

// picture is a drawn graph in a page.
type picture struct {
	SVG     template.HTML
	Problem string // why there is none; empty: there is one, or nothing to draw
}

func draw(g registry.Graph) picture {
	p, err := graph.Arrange(g)
	if err != nil {
		return picture{Problem: err.Error()}
	}
	return picture{SVG: template.HTML(graph.Inline(p, nodePath))} //nolint:gosec // everything is escaped there
}

// mapBody is the body of the map's page.
type mapBody struct {
	Picture picture
	Nodes   int
	Unmet   []registry.GraphEdge
	Single  []registry.GraphNode // those whose loss would break most come first
	Weighty []registry.GraphNode // services whose loss would break most, single or not
	Cycles  [][]string
	Export  string // the query of the exports
}

// mostWeighty is how many services are named whose loss would break most.
const mostWeighty = 8

func (d *dashboard) showMap(w http.ResponseWriter, r *http.Request) {
	g := d.graph(r)
	p := d.newPage(r, "Map", "map", g)
	if p.Namespace != "" {
		g = graph.Around(g, p.Namespace)
	}
	b := mapBody{Nodes: len(g.Nodes), Cycles: g.Cycles}
	if len(g.Nodes) > 0 {
		b.Picture = draw(g)
	}
	for _, e := range g.Edges {
		if e.Unmet {
			b.Unmet = append(b.Unmet, e)
		}
	}
	for _, n := range g.Nodes {
		switch {
		case n.Single:
			b.Single = append(b.Single, n)
		case len(n.Breaks) > 1:
			b.Weighty = append(b.Weighty, n)
		}
	}
	byLoss := func(a, b registry.GraphNode) int { return len(b.Breaks) - len(a.Breaks) }
	slices.SortStableFunc(b.Single, byLoss)
	slices.SortStableFunc(b.Weighty, byLoss)
	b.Weighty = b.Weighty[:min(len(b.Weighty), mostWeighty)]
	p.Body = b
	d.show(w, http.StatusOK, "map", p)
}
