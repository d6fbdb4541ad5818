package graph

import (
	"cmp"
	"slices"
)

// arrange arranges the part, with its upper left corner at 0.
func (p *part) arrange(d *drawing) error {
	if err := p.weave(d, p.layer(d)); err != nil {
		return err
	}
	p.order()
	p.heights()
	p.draw(d)
	return nil
}

// move moves the part to its place in the picture.
func (p *part) move(d *drawing, x, y float64) {
	for _, n := range p.nodes {
		d.boxes[n].x += x
		d.boxes[n].y += y
	}
	for _, i := range p.links {
		for n := range d.links[i].points {
			d.links[i].points[n].X += x
			d.links[i].points[n].Y += y
		}
	}
}

// apart is how far the middles of two neighbours of a layer must be from each
// other.
func apart(upper, lower *item) float64 {
	switch {
	case upper.box != noBox && lower.box != noBox:
		return boxHeight + boxGap
	case upper.box == noBox && lower.box == noBox:
		return laneGap
	default:
		return boxHeight/2 + besideGap
	}
}

// heightPasses is how often the heights are gone through.
const heightPasses = 16

// heights gives every item its height: near to those that it is joined with,
// and apart from its neighbours.
func (p *part) heights() {
	for _, layer := range p.layers {
		y := 0.0
		for at, i := range layer {
			if at > 0 {
				y += apart(layer[at-1], i)
			}
			i.y = y
		}
		for _, i := range layer { // all layers begin around the same middle
			i.y -= y / 2
		}
	}
	for pass := range heightPasses {
		for n := range p.layers {
			layer := p.layers[n]
			if pass%2 == 1 {
				layer = p.layers[len(p.layers)-1-n]
			}
			settle(layer)
		}
	}
	var top, bottom float64
	for n, layer := range p.layers {
		first, last := layer[0], layer[len(layer)-1]
		if n == 0 || first.top() < top {
			top = first.top()
		}
		if n == 0 || last.bottom() > bottom {
			bottom = last.bottom()
		}
	}
	for _, layer := range p.layers {
		for _, i := range layer {
			i.y -= top
		}
	}
	p.height = bottom - top
}

func (i *item) top() float64 {
	if i.box == noBox {
		return i.y - besideGap
	}
	return i.y - boxHeight/2
}

func (i *item) bottom() float64 { return 2*i.y - i.top() }

// wish returns the height that is best for the item alone, and how much that
// counts. Lines are straightened where they pass: a bend beside a box is easier
// to follow than one in the open.
func (i *item) wish() (height, weight float64) {
	add := func(other *item) {
		w := 1.0
		switch {
		case i.box == noBox && other.box == noBox:
			w = 8
		case i.box == noBox || other.box == noBox:
			w = 2
		}
		height += w * other.y
		weight += w
	}
	for _, j := range i.before {
		add(j.left)
	}
	for _, j := range i.after {
		add(j.right)
	}
	if weight == 0 {
		return i.y, 1
	}
	return height / weight, weight
}

// block is a run of items that stand as close as they may.
type block struct {
	first, last int
	sum, weight float64 // of wishes, each less its distance from the layer's top
}

func (b block) middle() float64 { return b.sum / b.weight }

// settle moves the items of a layer as near to their wishes as they can be in
// their order and apart: the sum of the squares of what is missing is the least
// that there is (pool adjacent violators; Ayer and others, 1955).
func settle(layer []*item) {
	offsets := make([]float64, len(layer)) // from the first one's middle, if all are as close as they may
	var blocks []block
	for at, i := range layer {
		if at > 0 {
			offsets[at] = offsets[at-1] + apart(layer[at-1], i)
		}
		height, weight := i.wish()
		b := block{first: at, last: at, sum: weight * (height - offsets[at]), weight: weight}
		for len(blocks) > 0 && blocks[len(blocks)-1].middle() >= b.middle() {
			upper := blocks[len(blocks)-1]
			blocks = blocks[:len(blocks)-1]
			b = block{first: upper.first, last: b.last, sum: upper.sum + b.sum, weight: upper.weight + b.weight}
		}
		blocks = append(blocks, b)
	}
	for _, b := range blocks {
		for at := b.first; at <= b.last; at++ {
			layer[at].y = b.middle() + offsets[at]
		}
	}
}

// column is where a layer stands.
type column struct{ left, right float64 }

// draw turns layers into columns, items into boxes and ways into lines.
func (p *part) draw(d *drawing) {
	columns := make([]column, len(p.layers))
	x := 0.0
	for n, layer := range p.layers {
		var width float64
		joints := 0
		for _, i := range layer {
			joints += len(i.after)
			if i.box != noBox {
				width = max(width, d.boxes[i.box].width)
			}
		}
		columns[n] = column{x, x + width}
		for _, i := range layer {
			if i.box != noBox {
				b := &d.boxes[i.box]
				b.x, b.y, b.width = x, i.y-boxHeight/2, width
			}
		}
		p.width = x + width
		const perJoint = 2 // more lines need more room to be told apart
		x += width + min(widestGap, columnGap+perJoint*float64(joints))
	}
	p.spread()
	for n, i := range p.links {
		l := &d.links[i]
		l.points = l.points[:0]
		for _, j := range p.ways[n] {
			l.points = append(l.points, Point{columns[j.left.layer].right, j.left.y + j.port})
			y := j.right.y
			if l.back && j.right.box != noBox {
				y += backPort
			}
			l.points = append(l.points, Point{columns[j.right.layer].left, y})
		}
		if l.back {
			slices.Reverse(l.points)
		}
	}
}

// backPort is how far below the middle of a box's left side lines leave it that
// run back: the middle is where the others arrive.
const backPort = 14

// spread spreads the lines that leave a box over its right side, in the order of
// where they go.
func (p *part) spread() {
	for _, layer := range p.layers {
		for _, i := range layer {
			if i.box == noBox || len(i.after) < 2 {
				continue
			}
			slices.SortStableFunc(i.after, func(a, b *joint) int { return cmp.Compare(a.right.y, b.right.y) })
			gap := min(portGap, portSpread/float64(len(i.after)-1))
			for n, j := range i.after {
				j.port = gap * (float64(n) - float64(len(i.after)-1)/2)
			}
		}
	}
}
