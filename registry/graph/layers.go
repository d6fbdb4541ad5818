package graph

import (
	"cmp"
	"math"
	"slices"
)

// part is what is connected. It is arranged for itself, in layers of items.
type part struct {
	nodes []int // of the drawing
	links []int // of the drawing

	layers        [][]*item  // from left to right, each from top to bottom
	ways          [][]*joint // by link: from its left end to its right end
	width, height float64
	crossings     int

	free   []int // scratch of sweep, and of count
	moving []*item
	tree   []int
}

// item is what takes a place in a layer: a box, or the lane of lines that pass.
type item struct {
	box   int // of the drawing; noBox: a lane
	layer int
	at    int // its place in the layer
	y     float64

	before, after []*joint
	lefts, rights []int // places of the neighbours on both sides, sorted
	median        float64
}

const noBox = -1

// joint connects items of neighbouring layers; lines that share lanes share it.
type joint struct {
	left, right *item
	port        float64 // where it leaves the left one, from its middle
}

// wide returns how wide a picture of that area is to be.
func wide(area float64) float64 {
	const ratio = 1.6 // width to height, about that of a screen
	return math.Sqrt(area * ratio)
}

// columnHeight is how many boxes a column may have, so that a picture of so many
// boxes is about as wide as a screen: a column and the gap beside it are some
// 260 pixels wide, a box and the gap below it 60 high.
func columnHeight(boxes int) int {
	const least, perBox = 10, 2.7 // 260 / 60 / 1.6
	return max(least, int(math.Ceil(math.Sqrt(perBox*float64(boxes)))))
}

// layer gives every node of the part its layer, 0 at the left, so that every
// link runs to the right, but those that it turns.
func (p *part) layer(d *drawing) map[int]int {
	needs := make(map[int][]int, len(p.nodes))
	for _, i := range p.links {
		needs[d.links[i].from] = append(needs[d.links[i].from], i)
	}
	p.turn(d, needs)
	right := make(map[int][]int, len(p.nodes)) // neighbours, once turned
	left := make(map[int][]int, len(p.nodes))
	for _, i := range p.links {
		from, to := d.links[i].from, d.links[i].to
		if d.links[i].back {
			from, to = to, from
		}
		right[from] = append(right[from], to)
		left[to] = append(left[to], from)
	}
	// From the right: who needs nothing, then who needs only these, and so on.
	order := p.topological(left, right)
	height := make(map[int]int, len(p.nodes)) // longest way to the right end
	for _, n := range order {
		for _, to := range right[n] {
			height[n] = max(height[n], height[to]+1)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(height[a], height[b]) })
	most := columnHeight(len(p.nodes))
	depth := make(map[int]int, len(p.nodes)) // the layer, counted from the right
	var filled []int
	for _, n := range order {
		at := 0
		for _, to := range right[n] {
			at = max(at, depth[to]+1)
		}
		for at < len(filled) && filled[at] >= most {
			at++
		}
		for at >= len(filled) {
			filled = append(filled, 0)
		}
		filled[at]++
		depth[n] = at
	}
	pull(order, left, right, depth, filled, most)
	deepest := 0
	for _, n := range p.nodes {
		deepest = max(deepest, depth[n])
	}
	layers := make(map[int]int, len(p.nodes))
	for _, n := range p.nodes {
		layers[n] = deepest - depth[n]
	}
	return layers
}

// pullPasses is how often all nodes are looked at for a better layer. One or two
// passes find nearly all.
const pullPasses = 4

// pull moves nodes with more lines on their left than on their right to the
// left, as far as these allow and the column has room: what few need stands
// beside them.
func pull(order []int, left, right map[int][]int, depth map[int]int, filled []int, most int) {
	for range pullPasses {
		moved := false
		for _, n := range order {
			if len(left[n]) <= len(right[n]) {
				continue
			}
			limit := math.MaxInt
			for _, from := range left[n] {
				limit = min(limit, depth[from]-1)
			}
			for at := limit; at > depth[n]; at-- {
				if filled[at] < most {
					filled[depth[n]]--
					filled[at]++
					depth[n] = at
					moved = true
					break
				}
			}
		}
		if !moved {
			return
		}
	}
}

// turn marks links that close cycles: those that lead back to a node whose links
// are being followed.
func (p *part) turn(d *drawing, needs map[int][]int) {
	needed := make(map[int]int)
	for _, i := range p.links {
		needed[d.links[i].to]++
	}
	const open, done = 1, 2
	state := make(map[int]int, len(p.nodes))
	type step struct{ node, next int }
	follow := func(root int) {
		if state[root] != 0 {
			return
		}
		state[root] = open
		for way := []step{{node: root}}; len(way) > 0; {
			s := &way[len(way)-1]
			if s.next == len(needs[s.node]) {
				state[s.node] = done
				way = way[:len(way)-1]
				continue
			}
			l := &d.links[needs[s.node][s.next]]
			s.next++
			switch state[l.to] {
			case open:
				l.back = true
			case 0:
				state[l.to] = open
				way = append(way, step{node: l.to})
			}
		}
	}
	for _, n := range p.nodes { // who is needed by nobody comes first
		if needed[n] == 0 {
			follow(n)
		}
	}
	for _, n := range p.nodes {
		follow(n)
	}
}

// topological returns the nodes so that each comes after all to the right of it.
func (p *part) topological(left, right map[int][]int) []int {
	waits := make(map[int]int, len(p.nodes))
	var order []int
	for _, n := range p.nodes {
		if waits[n] = len(right[n]); waits[n] == 0 {
			order = append(order, n)
		}
	}
	for i := 0; i < len(order); i++ {
		for _, from := range left[order[i]] {
			if waits[from]--; waits[from] == 0 {
				order = append(order, from)
			}
		}
	}
	return order
}

// weave makes the items and joins them. Lines to the same node share its lanes;
// a line that is turned has lanes of its own.
func (p *part) weave(d *drawing, layers map[int]int) error {
	deepest := 0
	for _, layer := range layers {
		deepest = max(deepest, layer)
	}
	p.layers = make([][]*item, deepest+1)
	enter := func(box, layer int) *item {
		i := &item{box: box, layer: layer}
		p.layers[layer] = append(p.layers[layer], i)
		return i
	}
	boxes := make(map[int]*item, len(p.nodes))
	for _, n := range p.nodes {
		boxes[n] = enter(n, layers[n])
	}
	type place struct{ owner, layer int }
	lanes := make(map[place]*item)
	type ends struct {
		left, right *item
		back        int // a line that runs back has joints of its own
	}
	joints := make(map[ends]*joint)
	for _, i := range p.links {
		l := d.links[i]
		from, to, owner, back := l.from, l.to, l.to, 0
		if l.back {
			from, to, owner, back = l.to, l.from, -1-i, -1-i
		}
		stops := []*item{boxes[from]}
		for layer := layers[from] + 1; layer < layers[to]; layer++ {
			key := place{owner, layer}
			if lanes[key] == nil {
				if len(lanes) == maxLanes {
					return ErrTooLarge
				}
				lanes[key] = enter(noBox, layer)
			}
			stops = append(stops, lanes[key])
		}
		stops = append(stops, boxes[to])
		var way []*joint
		for n := range len(stops) - 1 {
			key := ends{stops[n], stops[n+1], back}
			j := joints[key]
			if j == nil {
				j = &joint{left: stops[n], right: stops[n+1]}
				joints[key] = j
				j.left.after = append(j.left.after, j)
				j.right.before = append(j.right.before, j)
			}
			way = append(way, j)
		}
		p.ways = append(p.ways, way)
	}
	return nil
}
