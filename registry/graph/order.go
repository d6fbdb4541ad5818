package graph

import (
	"cmp"
	"slices"
)

// effort bounds the work of ordering: how many joints are looked at in all
// sweeps together. A picture of 200 services gets all its sweeps.
const effort = 50_000

// mostSweeps is how often the layers are gone through, to and fro. More make
// almost nothing better.
const mostSweeps = 16

// order sorts every layer so that few lines cross.
func (p *part) order() {
	joints := 0
	for _, layer := range p.layers {
		for _, i := range layer {
			joints += len(i.after)
		}
	}
	p.number()
	for _, layer := range p.layers {
		for _, i := range layer {
			i.lefts, i.rights = make([]int, len(i.before)), make([]int, len(i.after))
		}
	}
	best := p.count()
	kept := p.keep()
	sweeps := min(mostSweeps, 2+effort/(joints+1))
	const patience = 4 // sweeps without a better order
	without := 0
	for sweep := 0; sweep < sweeps && without < patience; sweep++ {
		p.sweep(sweep%2 == 1)
		p.transpose()
		without++
		if now := p.count(); now < best {
			best, kept, without = now, p.keep(), 0
		}
	}
	p.layers = kept
	p.number()
	p.crossings = best
	for _, layer := range p.layers {
		p.center(layer)
	}
}

// number tells the items their places.
func (p *part) number() {
	for _, layer := range p.layers {
		for at, i := range layer {
			i.at = at
		}
	}
}

func (p *part) keep() [][]*item {
	kept := make([][]*item, len(p.layers))
	for n, layer := range p.layers {
		kept[n] = slices.Clone(layer)
	}
	return kept
}

// sweep sorts each layer by the medians of its neighbours in the one before, from
// left to right or from right to left. Who has none keeps its place.
func (p *part) sweep(toRight bool) {
	for n := 1; n < len(p.layers); n++ {
		layer := p.layers[n]
		if !toRight {
			layer = p.layers[len(p.layers)-1-n]
		}
		free, moving := p.free[:0], p.moving[:0] // places, and who moves
		for at, i := range layer {
			if i.find(toRight); len(i.places(toRight)) > 0 {
				i.median = median(i.places(toRight))
				free, moving = append(free, at), append(moving, i)
			}
		}
		p.free, p.moving = free, moving
		slices.SortFunc(moving, func(a, b *item) int { return cmp.Or(cmp.Compare(a.median, b.median), a.at-b.at) })
		for k, at := range free {
			layer[at] = moving[k]
		}
		for at, i := range layer {
			i.at = at
		}
	}
}

// center puts lanes into the middle of a run of items with the same neighbour at
// the right, so that boxes that require the same stand around the trunk of their
// lines; unless more lines would cross.
func (p *part) center(layer []*item) {
	for _, i := range layer {
		i.find(false)
	}
	for from := 0; from < len(layer); {
		to := from + 1
		for to < len(layer) && slices.Equal(layer[to].rights, layer[from].rights) {
			to++
		}
		run := layer[from:to]
		from = to
		lanes := slices.DeleteFunc(slices.Clone(run), func(i *item) bool { return i.box != noBox })
		boxes := slices.DeleteFunc(slices.Clone(run), func(i *item) bool { return i.box == noBox })
		if len(lanes) == 0 || len(boxes) < 2 {
			continue
		}
		before := slices.Clone(run)
		half := len(boxes) / 2
		copy(run, boxes[:half])
		copy(run[half:], lanes)
		copy(run[half+len(lanes):], boxes[half:])
		p.number()
		if p.count() > p.crossings {
			copy(run, before)
			p.number()
		}
	}
}

// median returns the middle of sorted places. Of an even number, it leans to
// the side on which they stand closer.
func median(places []int) float64 {
	n := len(places)
	switch {
	case n%2 == 1:
		return float64(places[n/2])
	case n == 2:
		return float64(places[0]+places[1]) / 2
	}
	upper, lower := places[n/2-1], places[n/2]
	above, below := float64(upper-places[0]), float64(places[n-1]-lower)
	if above+below == 0 {
		return float64(upper+lower) / 2
	}
	return (float64(upper)*below + float64(lower)*above) / (above + below)
}

// find looks up the places of the neighbours on one side, and sorts them.
func (i *item) find(left bool) {
	if left {
		for n, j := range i.before {
			i.lefts[n] = j.left.at
		}
		slices.Sort(i.lefts)
		return
	}
	for n, j := range i.after {
		i.rights[n] = j.right.at
	}
	slices.Sort(i.rights)
}

// places returns what find found.
func (i *item) places(left bool) []int {
	if left {
		return i.lefts
	}
	return i.rights
}

// transposePasses bounds how often one call of transpose goes through all
// layers.
const transposePasses = 6

// transpose lets neighbours change places as long as that takes crossings away.
func (p *part) transpose() {
	for range transposePasses {
		better := false
		for _, layer := range p.layers {
			if len(layer) < 2 {
				continue
			}
			for _, i := range layer { // the layers beside it stand still
				i.find(true)
				i.find(false)
			}
			for at := range len(layer) - 1 {
				above, below := layer[at], layer[at+1]
				now := between(above.lefts, below.lefts) + between(above.rights, below.rights)
				then := between(below.lefts, above.lefts) + between(below.rights, above.rights)
				if then < now {
					layer[at], layer[at+1] = below, above
					below.at, above.at = at, at+1
					better = true
				}
			}
		}
		if !better {
			return
		}
	}
}

// between counts the crossings of the lines of two items of a layer, one above
// the other, with their neighbours at these places of another layer.
func between(upper, lower []int) int {
	crossings, below := 0, 0
	for _, place := range upper {
		for below < len(lower) && lower[below] < place {
			below++
		}
		crossings += below
	}
	return crossings
}

// count counts all crossings (Barth, Jünger and Mutzel, 2002): between two
// layers, they are the inversions of the right ends, in the order of the left
// ones.
func (p *part) count() int {
	total := 0
	for n := range len(p.layers) - 1 {
		size := len(p.layers[n+1])
		if cap(p.tree) <= size {
			p.tree = make([]int, size+1)
		}
		tree := p.tree[:size+1] // of Fenwick: how many ends so far, up to each place
		clear(tree)
		entered := 0
		for _, i := range p.layers[n] {
			i.find(false)
			for _, end := range i.rights { // those of one item do not cross each other
				total += entered
				for at := end + 1; at > 0; at -= at & -at {
					total -= tree[at]
				}
			}
			for _, end := range i.rights {
				entered++
				for at := end + 1; at <= size; at += at & -at {
					tree[at]++
				}
			}
		}
	}
	return total
}
