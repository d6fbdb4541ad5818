package graph

import (
	_ "embed"
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"

	"cleat/registry"
)

// Style is the style sheet of pictures, for pages that hold one in them. A
// picture that stands alone brings it along.
//
//go:embed style.css
var Style string

// Link returns where a node's box leads to; empty: nowhere.
type Link func(registry.GraphNode) string

// SVG writes the picture as a document that stands alone: styles are inside, and
// so is a legend.
func SVG(p Picture) string {
	w := svg{p: p, alone: true}
	return w.document()
}

// Inline writes the picture as an element of a page, which brings [Style]. Boxes
// lead to where link says, and carry what a script needs to follow lines: the
// ids of what they join.
func Inline(p Picture, link Link) string {
	w := svg{p: p, link: link}
	return w.document()
}

type svg struct {
	strings.Builder
	p     Picture
	link  Link
	alone bool
}

// legendHeight is that of the legend below a picture that stands alone.
const legendHeight = 44

// leastPicture is how wide a picture is at least, so that the legend fits.
const leastPicture = 800

func (w *svg) document() string {
	width, height := w.p.Width, w.p.Height
	if w.alone {
		width, height = max(width, leastPicture), height+legendHeight
	}
	fmt.Fprintf(w, `<svg class="map" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" role="group" aria-label="%s">`,
		number(width), number(height), number(width), number(height), html.EscapeString(w.summary()))
	w.WriteByte('\n')
	if w.alone {
		fmt.Fprintf(w, "<title>%s</title>\n<style>\n%s</style>\n", html.EscapeString(w.summary()), Style)
		fmt.Fprintf(w, `<rect width="100%%" height="100%%" fill="var(--paper)"/>`+"\n")
	}
	if w.p.Alone > 0 {
		fmt.Fprintf(w, `<text class="caption" x="%d" y="%s">Not connected with anything</text>`+"\n", margin, number(w.p.Alone-9))
	}
	cycles := cycleLines(w.p.Graph)
	lines := slices.Clone(w.p.Lines)
	slices.SortStableFunc(lines, func(a, b Line) int { return urgency(a, cycles) - urgency(b, cycles) }) // the worst on top
	w.WriteString("<g>\n")
	for _, l := range lines {
		w.line(l, cycles[[2]string{l.From, l.To}])
	}
	w.WriteString("</g>\n<g>\n")
	for _, b := range w.p.Boxes {
		w.box(b)
	}
	w.WriteString("</g>\n")
	if w.alone {
		w.legend(w.p.Height)
	}
	w.WriteString("</svg>\n")
	return w.String()
}

// summary says in a sentence what there is.
func (w *svg) summary() string {
	services, unmet, single := 0, 0, 0
	for _, n := range w.p.Graph.Nodes {
		if n.Kind == registry.NodeService {
			services++
		}
		if n.Single {
			single++
		}
	}
	for _, e := range w.p.Graph.Edges {
		if e.Unmet {
			unmet++
		}
	}
	return fmt.Sprintf("Who requires whom: %s, %s, %s, %s",
		counted(services, "service", "services"), counted(unmet, "unmet requirement", "unmet requirements"),
		counted(single, "single point of failure", "single points of failure"), counted(len(w.p.Graph.Cycles), "cycle", "cycles"))
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// cycleLines returns the lines that are part of a cycle.
func cycleLines(g registry.Graph) map[[2]string]bool {
	in := make(map[[2]string]bool)
	for _, cycle := range g.Cycles {
		for i, id := range cycle {
			in[[2]string{id, cycle[(i+1)%len(cycle)]}] = true
		}
	}
	return in
}

// classOf returns what a line is: the most urgent of its requirements.
func classOf(l Line, cycle bool) string {
	optional := true
	class := ""
	for _, e := range l.Edges {
		optional = optional && e.Optional
		switch {
		case e.Unmet:
			class = "unmet"
		case e.Held > 0 && class == "":
			class = "held"
		}
	}
	switch {
	case class != "":
	case cycle:
		class = "cycle"
	case optional:
		class = "optional"
	default:
		class = "required"
	}
	return class
}

func urgency(l Line, cycles map[[2]string]bool) int {
	return slices.Index([]string{"optional", "required", "cycle", "held", "unmet"}, classOf(l, cycles[[2]string{l.From, l.To}]))
}

// The measures of what is drawn at lines, in pixels.
const (
	headLength = 7.0
	headHeight = 4.0
	crossAt    = 13.0 // from the beginning of an unmet line to its mark
	crossSize  = 6.0
)

func (w *svg) line(l Line, cycle bool) {
	class := classOf(l, cycle)
	fmt.Fprintf(w, `<g class="line %s"`, class)
	if !w.alone {
		fmt.Fprintf(w, ` data-from="%s" data-to="%s"`, html.EscapeString(l.From), html.EscapeString(l.To))
		if !slices.ContainsFunc(l.Edges, func(e registry.GraphEdge) bool { return !e.Optional }) {
			w.WriteString(` data-optional="true"`)
		}
	}
	w.WriteString(">")
	var sentences []string
	for _, e := range l.Edges {
		sentences = append(sentences, Sentence(e))
	}
	fmt.Fprintf(w, "<title>%s</title>", html.EscapeString(strings.Join(sentences, "\n")))
	d, first, last := path(l.Points)
	fmt.Fprintf(w, `<path class="hit" d="%s"/><path class="way" d="%s"/>`, d, d)
	side := headLength // the head lies before the end, seen from the line's beginning
	if last.X < first.X {
		side = -headLength
	}
	fmt.Fprintf(w, `<path class="head" d="M%s %sl%s %sv%sz"/>`, number(last.X), number(last.Y), number(-side), number(-headHeight), number(2*headHeight))
	if class == "unmet" {
		at := Point{first.X + math.Copysign(crossAt, side), first.Y}
		fmt.Fprintf(w, `<circle class="cross-mark" cx="%s" cy="%s" r="%s"/><path class="cross" d="M%s %sl5 5m0-5l-5 5"/>`,
			number(at.X), number(at.Y), number(crossSize), number(at.X-2.5), number(at.Y-2.5))
	}
	w.WriteString("</g>\n")
}

// path returns the line's path, and where it begins and ends.
func path(points []Point) (d string, first, last Point) {
	if len(points) < 2 {
		return "", first, last
	}
	var b strings.Builder
	first, last = points[0], points[len(points)-1]
	fmt.Fprintf(&b, "M%s %s", number(first.X), number(first.Y))
	for i := 1; i < len(points); i += 2 {
		from, to := points[i-1], points[i]
		swing := (to.X - from.X) / 2
		fmt.Fprintf(&b, "C%s %s %s %s %s %s", number(from.X+swing), number(from.Y), number(to.X-swing), number(to.Y), number(to.X), number(to.Y))
		if i+1 < len(points) {
			fmt.Fprintf(&b, "H%s", number(points[i+1].X))
		}
	}
	return b.String(), first, last
}

func (w *svg) box(b Box) {
	n := b.Node
	class := "box " + Health(n)
	if n.Single {
		class += " single"
	}
	target := ""
	if w.link != nil {
		target = w.link(n)
	}
	element := "g"
	if target != "" {
		element = "a"
	}
	fmt.Fprintf(w, `<%s class="%s" transform="translate(%s %s)"`, element, class, number(b.X), number(b.Y))
	if target != "" {
		fmt.Fprintf(w, ` href="%s"`, html.EscapeString(target))
	}
	if !w.alone {
		fmt.Fprintf(w, ` data-id="%s"`, html.EscapeString(n.ID))
		fmt.Fprintf(w, ` aria-label="%s"`, html.EscapeString(About(n)))
	}
	fmt.Fprintf(w, `><title>%s</title>`, html.EscapeString(About(n)))
	fmt.Fprintf(w, `<rect class="frame" width="%s" height="%s" rx="8"/>`, number(b.Width), number(b.Height))
	w.WriteString(shape(Health(n)))
	fmt.Fprintf(w, `<text class="name" x="%d" y="19">%s</text>`, textLeft, html.EscapeString(shorten(n.Name, longestName)))
	fmt.Fprintf(w, `<text class="note" x="%d" y="35">%s</text>`, textLeft, html.EscapeString(note(n, w.p.Namespaces)))
	if n.Single {
		const chipWidth, chipHeight, chipInset = 56, 15, 10
		x := b.Width - chipWidth - chipInset
		word := "no spare"
		if _, all := n.Count(); all == 1 {
			word = "only 1"
		}
		fmt.Fprintf(w, `<rect class="chip" x="%s" y="-11" width="%d" height="%d" rx="7.5"/><text class="chip-text" x="%s" y="0.2">%s</text>`,
			number(x), chipWidth, chipHeight, number(x+chipWidth/2), word)
	}
	fmt.Fprintf(w, "</%s>\n", element)
}

// shape draws a status, in a square of 16 pixels at the left of a box. Each
// differs from the others without its colour.
func shape(health string) string {
	mark, sign := `<circle class="mark" cx="17" cy="23" r="8"/>`, ""
	switch health {
	case string(registry.Passing):
		sign = "M13.5 23.2l2.5 2.6l4.6-5"
	case string(registry.Warning), "part":
		mark = `<path class="mark" d="M17 14.5l9 16h-18z"/>`
		sign = "M17 20v4.5m0 3v.1"
	case string(registry.Critical):
		mark = `<rect class="mark" x="9" y="15" width="16" height="16" rx="3"/>`
		sign = "M14 20l6 6m0-6l-6 6"
	case "missing":
		mark = `<rect class="mark" x="9" y="15" width="16" height="16" rx="3"/>`
		sign = "M13 23h8"
	case string(registry.Starting):
		sign = "M17 18.5v5l3 2"
	case string(registry.Draining):
		sign = "M17 19v8m-3-3l3 3l3-3"
	case string(registry.Maintenance):
		sign = "M14.7 20v6m4.6-6v6"
	case "launchers":
		mark = `<rect class="mark" x="9" y="15" width="16" height="16" rx="3"/>`
		sign = "M12.5 20l3 3l-3 3m5 0h4"
	}
	return mark + `<path class="sign" d="` + sign + `"/>`
}

// Glyph draws a status by itself, as an element of a page: [Health] has the
// names.
func Glyph(health string) string {
	return `<svg class="glyph ` + html.EscapeString(health) + `" viewBox="8 14 18 18" width="16" height="16" aria-hidden="true">` + shape(health) + `</svg>`
}

// legend explains the lines.
func (w *svg) legend(y float64) {
	x := float64(margin)
	y += legendHeight / 2
	for _, entry := range []struct{ class, text string }{
		{"required", "requires"}, {"optional", "optionally"}, {"unmet", "unmet"}, {"held", "held: the last ones stay in use"}, {"cycle", "cycle"},
	} {
		fmt.Fprintf(w, `<g class="%s"><path class="way" d="M%s %sh34"/><path class="head" d="M%s %sl-7 -4v8z"/></g>`, entry.class, number(x), number(y), number(x+41), number(y))
		fmt.Fprintf(w, `<text class="note" x="%s" y="%s">%s</text>`+"\n", number(x+48), number(y+4), entry.text)
		x += 48 + textWidth(entry.text, noteSize) + 20
	}
}

// number writes a length, to a tenth of a pixel.
func number(x float64) string {
	return strconv.FormatFloat(math.Round(x*10)/10, 'f', -1, 64)
}
