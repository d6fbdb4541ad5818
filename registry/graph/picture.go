package graph

import (
	"cmp"
	"errors"
	"slices"

	"cleat/registry"
)

// Picture is a graph in which everything has its place. Lengths are pixels,
// from the upper left corner.
type Picture struct {
	Graph  registry.Graph
	Width  float64
	Height float64
	Boxes  []Box  // as the graph's nodes, but in the order in which people read: by column, and down
	Lines  []Line // sorted by from and to
	// Alone is where those begin who require nothing and are required by nobody,
	// and who are drawn below the others; 0: there are none, or no others.
	Alone float64
	// Namespaces says that there are several, and the boxes name them.
	Namespaces bool
	// Crossings counts how often lines cross each other.
	Crossings int
}

// Box is the place of a node.
type Box struct {
	Node          registry.GraphNode
	X, Y          float64 // its upper left corner
	Width, Height float64
}

// Line is the way of all requirements of one node that another one meets.
type Line struct {
	From, To string
	Edges    []registry.GraphEdge
	// Points are where it begins, then the two ends of every level part, and where
	// it ends. From one to the next level part it swings to the other height.
	Points []Point
	// Back says that the line runs from right to left, because it closes a cycle.
	Back bool
}

// Point is a place in the picture.
type Point struct{ X, Y float64 }

// ErrTooLarge says that a graph has more in it than a picture could show.
var ErrTooLarge = errors.New("the map has more in it than a picture could show; look at one namespace")

// The largest graphs that are drawn. They bound time and memory, and are far
// above what anybody could read.
const (
	maxBoxes = 1500
	maxLines = 15000
	maxLanes = 60000 // of all lines together
)

// The measures of a picture, in pixels.
const (
	margin     = 24
	boxHeight  = 46
	boxGap     = 14 // between boxes of a column
	laneGap    = 10 // between the lanes of two lines
	besideGap  = 16 // between a box and a lane
	columnGap  = 64 // between columns, at least
	widestGap  = 168
	partGap    = 40 // between parts that are not connected
	portSpread = 28 // over how much of a box's side its lines are spread
	portGap    = 7  // between two of them, at most
)

// Arrange gives every node a place. The only error is [ErrTooLarge].
func Arrange(g registry.Graph) (Picture, error) {
	several := slices.ContainsFunc(g.Nodes, func(n registry.GraphNode) bool { return n.Namespace != g.Nodes[0].Namespace })
	p := Picture{Graph: g, Namespaces: several}
	d := drawing{boxes: make([]box, len(g.Nodes))}
	at := make(map[string]int, len(g.Nodes))
	for i, n := range g.Nodes {
		at[n.ID] = i
		d.boxes[i] = box{id: n.ID, width: widthOf(n, several)}
	}
	byEnds := make(map[[2]int]int) // lines by their ends
	for _, e := range g.Edges {
		ends := [2]int{at[e.From], at[e.To]}
		if ends[0] == ends[1] {
			continue // the box says it
		}
		i, found := byEnds[ends]
		if !found {
			i = len(p.Lines)
			byEnds[ends] = i
			p.Lines = append(p.Lines, Line{From: e.From, To: e.To})
			d.links = append(d.links, link{from: ends[0], to: ends[1]})
		}
		p.Lines[i].Edges = append(p.Lines[i].Edges, e)
	}
	if len(d.boxes) > maxBoxes || len(d.links) > maxLines {
		return Picture{}, ErrTooLarge
	}
	if err := d.arrange(); err != nil {
		return Picture{}, err
	}
	p.Width, p.Height, p.Alone, p.Crossings = d.width, d.height, d.alone, d.crossings
	for i, l := range d.links {
		p.Lines[i].Points, p.Lines[i].Back = l.points, l.back
	}
	for i, b := range d.boxes {
		p.Boxes = append(p.Boxes, Box{Node: g.Nodes[i], X: b.x, Y: b.y, Width: b.width, Height: boxHeight})
	}
	slices.SortStableFunc(p.Boxes, func(a, b Box) int {
		return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.Y, b.Y))
	})
	return p, nil
}

// drawing is a picture in the making: nodes and lines by number.
type drawing struct {
	boxes         []box
	links         []link
	width, height float64
	alone         float64
	crossings     int
}

type box struct {
	id    string
	width float64
	x, y  float64
}

type link struct {
	from, to int
	back     bool
	points   []Point
}

// arrange arranges what is connected, each part for itself, and puts the parts
// together: row by row, the largest first.
func (d *drawing) arrange() error {
	parts, alone := d.parts()
	var widest, area float64
	for _, p := range parts {
		if err := p.arrange(d); err != nil {
			return err
		}
		widest = max(widest, p.width)
		area += (p.width + partGap) * (p.height + partGap)
		d.crossings += p.crossings
	}
	slices.SortStableFunc(parts, func(a, b *part) int { return len(b.nodes) - len(a.nodes) })
	limit := max(widest, wide(area), wide(float64(len(alone))*(boxHeight+boxGap)*typicalWidth))
	x, y, row := 0.0, 0.0, 0.0
	for _, p := range parts {
		if x > 0 && x+p.width > limit {
			x, y, row = 0, y+row+partGap, 0
		}
		p.move(d, margin+x, margin+y)
		d.width = max(d.width, x+p.width)
		x += p.width + partGap
		row = max(row, p.height)
	}
	y += row
	if len(alone) > 0 {
		y = d.placeAlone(alone, y, limit)
	}
	d.width += 2 * margin
	d.height = y + 2*margin
	return nil
}

// typicalWidth is that of a box with some room beside it.
const typicalWidth = 200

// placeAlone puts the boxes that no line reaches in rows below the rest, and
// returns where they end.
func (d *drawing) placeAlone(alone []int, y, limit float64) float64 {
	if y > 0 {
		y += partGap + captionHeight
		d.alone = margin + y
	}
	var width float64
	for _, i := range alone {
		width = max(width, d.boxes[i].width)
	}
	columns := max(1, min(len(alone), int((limit+boxGap)/(width+boxGap))))
	for n, i := range alone {
		b := &d.boxes[i]
		b.width = width
		b.x = margin + float64(n%columns)*(width+boxGap)
		b.y = margin + y + float64(n/columns)*(boxHeight+boxGap)
	}
	d.width = max(d.width, float64(columns)*(width+boxGap)-boxGap)
	rows := (len(alone) + columns - 1) / columns
	return y + float64(rows)*(boxHeight+boxGap) - boxGap
}

// captionHeight is what the words above those that are alone take.
const captionHeight = 20

// parts returns what is connected, and the boxes that are not connected with
// anything.
func (d *drawing) parts() (parts []*part, alone []int) {
	root := make([]int, len(d.boxes))
	for i := range root {
		root[i] = i
	}
	find := func(i int) int {
		for root[i] != i {
			root[i] = root[root[i]]
			i = root[i]
		}
		return i
	}
	for _, l := range d.links {
		a, b := find(l.from), find(l.to)
		root[max(a, b)] = min(a, b)
	}
	size := make(map[int]int)
	for i := range d.boxes {
		size[find(i)]++
	}
	byRoot := make(map[int]*part)
	for i := range d.boxes {
		r := find(i)
		if size[r] == 1 {
			alone = append(alone, i)
			continue
		}
		if byRoot[r] == nil {
			byRoot[r] = new(part)
			parts = append(parts, byRoot[r])
		}
		byRoot[r].nodes = append(byRoot[r].nodes, i)
	}
	for i, l := range d.links {
		p := byRoot[find(l.from)]
		p.links = append(p.links, i)
	}
	return parts, alone
}
