package main

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"cleat/registry"
	"cleat/registry/client"
)

// graph prints who requires whom.
func (a *ask) graph(ctx context.Context) int {
	api := client.NewAPI(a.api)
	if a.drawn != "" {
		text, err := api.DrawnGraph(ctx, a.namespace, a.drawn)
		if err == nil {
			_, err = a.out.Write(text)
		}
		if err != nil {
			return a.fail("graph", exitNothing, err)
		}
		return exitFound
	}
	g, err := api.Graph(ctx, a.namespace)
	if err != nil {
		return a.fail("graph", exitNothing, err)
	}
	a.warn(g.Warming)
	if a.json {
		return a.print(g, len(g.Nodes) > 0)
	}
	if len(g.Nodes) == 0 {
		fmt.Fprintln(a.errs, "cleat: nobody offers or requires anything there")
		return exitNothing
	}
	if err := (&tree{screen: screen{w: a.out}, g: g}).print(); err != nil {
		return a.fail("graph", exitNothing, err)
	}
	return exitFound
}

// tree writes a graph as text: every node with what it requires below it. What
// somebody else requires as well is written out where it comes first, and only
// named elsewhere.
type tree struct {
	screen screen
	g      registry.Graph

	needs   map[string][]registry.GraphEdge
	nodes   map[string]registry.GraphNode
	written map[string]bool
}

func (t *tree) print() error {
	t.needs = make(map[string][]registry.GraphEdge)
	t.nodes = make(map[string]registry.GraphNode)
	t.written = make(map[string]bool)
	needed := make(map[string]bool)
	for _, n := range t.g.Nodes {
		t.nodes[n.ID] = n
	}
	for _, e := range t.g.Edges {
		t.needs[e.From] = append(t.needs[e.From], e)
		needed[e.To] = needed[e.To] || e.From != e.To
	}
	t.screen.section("")
	for _, n := range t.g.Nodes { // who is required by nobody comes first
		if !needed[n.ID] {
			t.root(n.ID)
		}
	}
	for _, n := range t.g.Nodes { // then what is left: cycles
		if !t.written[n.ID] {
			t.root(n.ID)
		}
	}
	t.summary()
	return t.screen.end()
}

func (t *tree) root(id string) {
	t.screen.line(t.name(id), t.state(id))
	t.below(id, "")
}

// below writes what a node requires. The depth is bounded, because every node is
// written out once.
func (t *tree) below(id, indent string) {
	if t.written[id] {
		return
	}
	t.written[id] = true
	needs := t.needs[id]
	for i, e := range needs {
		branch, next := "├─ ", "│  "
		if i == len(needs)-1 {
			branch, next = "└─ ", "   "
		}
		more := ""
		if t.written[e.To] && len(t.needs[e.To]) > 0 && e.To != id {
			more = " …"
		}
		t.screen.line(indent+branch+t.name(e.To)+more, t.how(e))
		t.below(e.To, indent+next)
	}
}

// name is how a node is called: with its namespace where there are several.
func (t *tree) name(id string) string {
	n := t.nodes[id]
	name := n.Name
	if slices.ContainsFunc(t.g.Nodes, func(other registry.GraphNode) bool { return other.Namespace != n.Namespace }) {
		name = n.Namespace + "/" + name
	}
	return name
}

// state says how a node is.
func (t *tree) state(id string) string {
	n := t.nodes[id]
	if n.Kind == registry.NodeLaunchers {
		if n.Launchers == 1 {
			return "1 launcher, offers nothing"
		}
		return fmt.Sprintf("%d launchers, offer nothing", n.Launchers)
	}
	serving, all := n.Count()
	text := fmt.Sprintf("%d of %d passing", serving, all)
	if all == 0 {
		text = "nobody offers it"
	}
	if n.Single {
		text += ", none to spare"
	}
	return text
}

// how says how a requirement is met.
func (t *tree) how(e registry.GraphEdge) string {
	text := t.state(e.To)
	if e.Self {
		text += ", itself"
	}
	if e.Optional {
		text += ", optional"
	}
	if _, query, _ := strings.Cut(e.Filter, "?ns="+t.nodes[e.To].Namespace); query != "" {
		text += fmt.Sprintf(", %s finds %d", strings.TrimPrefix(query, "&"), e.Endpoints)
	}
	if e.Held > 0 {
		text += fmt.Sprintf(", held by %d", e.Held)
	}
	if e.Unmet {
		text = fmt.Sprintf("UNMET: %d of at least %d; %s", e.Endpoints, max(e.Min, 1), text)
	}
	return text
}

// summary says what stands out.
func (t *tree) summary() {
	var single []registry.GraphNode
	for _, n := range t.g.Nodes {
		if n.Single {
			single = append(single, n)
		}
	}
	if len(single) > 0 {
		sort.SliceStable(single, func(i, j int) bool { return len(single[i].Breaks) > len(single[j].Breaks) })
		t.screen.section("single points of failure, and what they would break")
		for _, n := range single {
			var names []string
			for _, id := range n.Breaks {
				names = append(names, t.name(id))
			}
			t.screen.line(t.name(n.ID), strings.Join(names, ", "))
		}
	}
	if len(t.g.Cycles) > 0 {
		t.screen.section("cycles, of which nobody can be the first to start")
		for _, cycle := range t.g.Cycles {
			var names []string
			for _, id := range cycle {
				names = append(names, t.name(id))
			}
			t.screen.line(strings.Join(append(names, names[0]), " → "))
		}
	}
}
