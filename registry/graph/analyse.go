package graph

import (
	"slices"

	"cleat/registry"
)

// web is the graph's nodes by number, with neighbours sorted and named once.
type web struct {
	ids []string
	// needs and needed are not optional; a node that needs itself is in neither.
	needs, needed [][]int
}

// webOf returns the requirements among which a loss spreads: those that are not
// optional.
func webOf(g registry.Graph) web {
	w := web{needs: make([][]int, len(g.Nodes)), needed: make([][]int, len(g.Nodes))}
	at := make(map[string]int, len(g.Nodes))
	for i, n := range g.Nodes {
		at[n.ID] = i
		w.ids = append(w.ids, n.ID)
	}
	for _, e := range g.Edges {
		if from, to := at[e.From], at[e.To]; !e.Optional && from != to {
			w.needs[from] = append(w.needs[from], to)
			w.needed[to] = append(w.needed[to], from)
		}
	}
	for i := range g.Nodes {
		slices.Sort(w.needs[i])
		slices.Sort(w.needed[i])
		w.needs[i], w.needed[i] = slices.Compact(w.needs[i]), slices.Compact(w.needed[i])
	}
	return w
}

// maxBreaks is the most names that all nodes' Breaks hold together, so that the
// graph of a huge system that rests on one service stays small: they grow with
// the square of it.
const maxBreaks = 1 << 18

// analyse fills in what follows from nodes and edges: cycles, single points of
// failure, what a loss would break.
func analyse(g *registry.Graph) {
	w := webOf(*g)
	named := 0
	single := make(map[string]bool)
	for _, e := range g.Edges {
		if !e.Optional && !e.Self && e.From != e.To && e.Spare() == 0 {
			single[e.To] = true
		}
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		n.Single = single[n.ID]
		n.Breaks = nil
		if named == maxBreaks {
			continue
		}
		for _, other := range w.reach(i) {
			if named < maxBreaks {
				n.Breaks = append(n.Breaks, w.ids[other])
				named++
			}
		}
	}
	g.Cycles = w.cycles()
}

// reach returns the nodes that need the one, directly or through others, sorted.
func (w web) reach(of int) []int {
	seen := make([]bool, len(w.ids))
	seen[of] = true
	todo := []int{of}
	var found []int
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, next := range w.needed[at] {
			if !seen[next] {
				seen[next] = true
				found = append(found, next)
				todo = append(todo, next)
			}
		}
	}
	slices.Sort(found)
	return found
}

// cycles names one cycle for each set of nodes that all need each other, a
// shortest one through its smallest id.
func (w web) cycles() [][]string {
	named := [][]string{}
	for _, set := range components(w.needs) {
		if len(set) < 2 {
			continue
		}
		var names []string
		for _, i := range w.shortest(set) {
			names = append(names, w.ids[i])
		}
		named = append(named, names)
	}
	slices.SortFunc(named, slices.Compare)
	return named
}

// shortest returns a shortest way from the first of a set to itself, inside the
// set, without its end.
func (w web) shortest(set []int) []int {
	start := slices.Min(set)
	before := make(map[int]int, len(set))
	for todo := []int{start}; len(todo) > 0; todo = todo[1:] {
		for _, next := range w.needs[todo[0]] {
			if next == start {
				way := []int{todo[0]}
				for at := todo[0]; at != start; {
					at = before[at]
					way = append(way, at)
				}
				slices.Reverse(way)
				return way
			}
			if _, seen := before[next]; !seen && slices.Contains(set, next) {
				before[next] = todo[0]
				todo = append(todo, next)
			}
		}
	}
	return set // cannot be: from every node of the set there is a way to every other
}

// components returns the sets of nodes in which there is a way from each to each
// (Tarjan, 1972; without recursion, since the graph comes from outside). Every
// node is in one set.
func components(needs [][]int) [][]int {
	const unseen = -1
	var (
		sets    [][]int
		stack   []int
		onStack = make([]bool, len(needs))
		number  = make([]int, len(needs))
		low     = make([]int, len(needs))
		count   int
	)
	for i := range number {
		number[i] = unseen
	}
	type step struct{ node, next int }
	for root := range needs {
		if number[root] != unseen {
			continue
		}
		for way := []step{{node: root}}; len(way) > 0; {
			s := &way[len(way)-1]
			v := s.node
			if s.next == 0 {
				number[v], low[v] = count, count
				count++
				stack, onStack[v] = append(stack, v), true
			}
			if s.next < len(needs[v]) {
				to := needs[v][s.next]
				s.next++
				if number[to] == unseen {
					way = append(way, step{node: to})
				} else if onStack[to] {
					low[v] = min(low[v], number[to])
				}
				continue
			}
			if low[v] == number[v] {
				at := slices.Index(stack, v)
				set := slices.Clone(stack[at:])
				for _, member := range set {
					onStack[member] = false
				}
				stack = stack[:at]
				slices.Sort(set)
				sets = append(sets, set)
			}
			if way = way[:len(way)-1]; len(way) > 0 {
				parent := way[len(way)-1].node
				low[parent] = min(low[parent], low[v])
			}
		}
	}
	return sets
}
