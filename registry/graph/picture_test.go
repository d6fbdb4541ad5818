package graph_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cleat/registry"
	"cleat/registry/graph"
)

// shop is a system as it grows in a company: tiers of services that mostly
// require the ones below them, a few stores that many rest on, a few shortcuts
// and, with cycles, a few mistakes.
func shop(services int, cycles bool) *system {
	random := rand.New(rand.NewPCG(7, uint64(services)))
	words := []string{
		"order", "cart", "user", "search", "price", "stock", "image", "mail", "invoice", "payment", "shipping", "review",
		"catalog", "session", "banner", "report", "audit", "export", "import", "tax", "coupon", "wish", "return", "label",
	}
	kinds := []string{"api", "web", "svc", "worker", "admin", "sync", "feed", "index", "recommendation-engine"}
	tiers := []float64{0.08, 0.22, 0.34, 0.2, 0.1, 0.06}
	var names [][]string
	made := 0
	for tier, share := range tiers {
		n := max(1, int(math.Round(share*float64(services))))
		if tier == len(tiers)-1 {
			n = max(1, services-made)
		}
		var in []string
		for range n {
			switch {
			case tier == 0:
				in = append(in, fmt.Sprintf("front-%s-%d", words[made%len(words)], made))
			case tier >= len(tiers)-2:
				in = append(in, fmt.Sprintf("%s-%s", []string{"mysql", "redis", "kafka", "s3", "elastic"}[made%5], words[made/5%len(words)]))
			default:
				in = append(in, fmt.Sprintf("%s-%s-%d", words[random.IntN(len(words))], kinds[random.IntN(len(kinds))], made))
			}
			made++
		}
		names = append(names, in)
	}
	s := new(system)
	for tier, in := range names {
		for _, name := range in {
			var needs []string
			for range random.IntN(3) + min(1, tier) {
				if tier == len(names)-1 {
					break
				}
				below := tier + 1
				for below < len(names)-1 && random.IntN(3) == 0 {
					below++
				}
				// The first of a tier are those that many need.
				pick := int(math.Pow(random.Float64(), 2) * float64(len(names[below])))
				need := fmt.Sprintf("%s %d", names[below][pick], 1+random.IntN(3))
				if random.IntN(6) == 0 {
					need = "?" + need
				}
				if random.IntN(40) == 0 {
					need = fmt.Sprintf("%s?tag=gone 0", names[below][pick])
				}
				if !slices.Contains(needs, need) {
					needs = append(needs, need)
				}
			}
			if cycles && tier > 1 && random.IntN(15) == 0 {
				needs = append(needs, names[tier-1][random.IntN(len(names[tier-1]))]+" 1")
			}
			copies := 1 + random.IntN(3)
			for n := range copies {
				s.add(fmt.Sprintf("%s-%d", name, n), name, needs...)
			}
		}
	}
	for n := range services / 20 {
		s.add(fmt.Sprintf("cron-%s-%d", words[n%len(words)], n), "", names[2][n%len(names[2])]+" 1")
	}
	for n, name := range names[1] {
		switch n % 9 {
		case 3:
			s.services[name].Instances = map[registry.Status]int{registry.Passing: 1, registry.Critical: 2}
		case 5:
			s.services[name].Instances = map[registry.Status]int{registry.Critical: 1}
		case 7:
			s.services[name].Instances = map[registry.Status]int{registry.Starting: 2}
		}
	}
	return s
}

// star is many services that all require one.
func star(n int) *system {
	s := new(system).add("db", "db")
	for i := range n {
		s.add(fmt.Sprint("app-", i), fmt.Sprintf("app-%d", i), "db 1")
	}
	return s
}

// chain is services of which each requires the next, and each fifth the last.
func chain(n int) *system {
	s := new(system)
	for i := range n {
		needs := []string{}
		if i < n-1 {
			needs = append(needs, fmt.Sprintf("link-%d 1", i+1))
		}
		if i%5 == 0 && i < n-2 {
			needs = append(needs, fmt.Sprintf("link-%d 1", n-1))
		}
		s.add(fmt.Sprint("l", i), fmt.Sprintf("link-%d", i), needs...)
	}
	return s
}

// tangle is services that require others at random, in all directions.
func tangle(n, lines int) *system {
	random := rand.New(rand.NewPCG(3, uint64(n)))
	needs := make([][]string, n)
	for range lines {
		from, to := random.IntN(n), random.IntN(n)
		needs[from] = append(needs[from], fmt.Sprintf("service-%d 1", to))
	}
	s := new(system)
	for i := range n {
		slices.Sort(needs[i])
		s.add(fmt.Sprint("l", i), fmt.Sprintf("service-%d", i), slices.Compact(needs[i])...)
	}
	return s
}

// islands is many small systems, and many services on their own.
func islands(n int) *system {
	s := new(system)
	for i := range n {
		s.add(fmt.Sprint("w", i), fmt.Sprintf("web-%d", i), fmt.Sprintf("db-%d 1", i)).add(fmt.Sprint("d", i), fmt.Sprintf("db-%d", i))
		s.add(fmt.Sprint("a", i), fmt.Sprintf("alone-%d", i))
	}
	return s
}

func topologies() map[string]*system {
	long := new(system).add("a", strings.Repeat("w", 63), strings.Repeat("m", 63)+" 1").add("b", strings.Repeat("m", 63))
	return map[string]*system{
		"nothing":   {},
		"one":       new(system).add("a", "web"),
		"two":       new(system).add("a", "web", "db 1").add("b", "db"),
		"self":      new(system).add("a", "ring", "ring?self=true 1"),
		"names":     long,
		"mutual":    new(system).add("a", "a", "b 1").add("b", "b", "a 1"),
		"small":     shop(20, false),
		"shop":      shop(200, false),
		"cycles":    shop(200, true),
		"star":      star(200),
		"chain":     chain(60),
		"tangle":    tangle(60, 150),
		"islands":   islands(20),
		"large":     shop(600, true),
		"triangles": tangle(9, 30),
	}
}

// within is the time in which a picture of 200 services must be there: ten times
// what is promised, because tests share the machine with others, and with the
// race detector. The benchmark tells how long it takes.
const within = 10 * 50 * time.Millisecond

var pictures = os.Getenv("CLEAT_PICTURES") // a directory: the pictures are written there, to be looked at

func TestPictures(t *testing.T) {
	for name, s := range topologies() {
		t.Run(name, func(t *testing.T) {
			g := s.build()
			began := time.Now()
			p, err := graph.Arrange(g)
			if err != nil {
				t.Fatal(err)
			}
			text := graph.SVG(p)
			took := time.Since(began)
			t.Logf("%d nodes, %d lines: %d crossings, %.0f × %.0f, %d KB in %v", len(p.Boxes), len(p.Lines), p.Crossings, p.Width, p.Height, len(text)>>10, took)
			check(t, p)
			if pictures != "" {
				if err := os.WriteFile(filepath.Join(pictures, name+".svg"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for d := xml.NewDecoder(strings.NewReader(text)); ; {
				if _, err := d.Token(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("the picture is no XML: %v", err)
				}
			}
		})
	}
}

// check holds a picture to what every picture promises.
func check(t *testing.T, p graph.Picture) {
	t.Helper()
	const touch = 1e-6
	boxes := make(map[string]graph.Box)
	for i, b := range p.Boxes {
		boxes[b.Node.ID] = b
		if b.X < 0 || b.Y < 8 || b.X+b.Width > p.Width || b.Y+b.Height > p.Height {
			t.Errorf("%s is outside the picture", b.Node.ID)
		}
		for _, other := range p.Boxes[:i] {
			if b.X < other.X+other.Width && other.X < b.X+b.Width && b.Y < other.Y+other.Height && other.Y < b.Y+b.Height {
				t.Errorf("%s and %s overlap", b.Node.ID, other.Node.ID)
			}
		}
	}
	if len(boxes) != len(p.Graph.Nodes) {
		t.Errorf("%d boxes for %d nodes", len(boxes), len(p.Graph.Nodes))
	}
	for _, l := range p.Lines {
		from, to := boxes[l.From], boxes[l.To]
		first, last := l.Points[0], l.Points[len(l.Points)-1]
		if l.Back {
			from, to = to, from
			first, last = last, first
		}
		if math.Abs(first.X-from.X-from.Width) > touch || math.Abs(last.X-to.X) > touch ||
			first.Y < from.Y || first.Y > from.Y+from.Height || last.Y < to.Y || last.Y > to.Y+to.Height {
			t.Errorf("the line from %s to %s does not touch both", l.From, l.To)
		}
		// Where the line is level it may pass a column; where it swings it must be
		// between two of them.
		for i := 1; i < len(l.Points); i++ {
			a, b := l.Points[i-1], l.Points[i]
			if a.X > b.X {
				a, b = b, a
			}
			for _, box := range p.Boxes {
				if box.X+box.Width <= a.X+touch || box.X >= b.X-touch {
					continue
				}
				if top, bottom := min(a.Y, b.Y), max(a.Y, b.Y); bottom > box.Y && top < box.Y+box.Height {
					t.Errorf("the line from %s to %s runs through %s", l.From, l.To, box.Node.ID)
				}
			}
		}
	}
}

// The best of several times: tests share the machine with others.
func TestTime(t *testing.T) {
	for name, s := range map[string]*system{"shop": shop(200, true), "star": star(200), "tangle": tangle(200, 500)} {
		g := s.build()
		best := time.Hour
		for range 5 {
			began := time.Now()
			if _, err := graph.Arrange(g); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(began))
		}
		if best > within {
			t.Errorf("%s took %v; expected at most %v", name, best, within)
		}
	}
}

// A service more moves little: most boxes keep their column, and those above and
// below them.
func TestSmallChanges(t *testing.T) {
	s := shop(200, true)
	before, err := graph.Arrange(s.build())
	if err != nil {
		t.Fatal(err)
	}
	s.add("new", "new-service", "mysql-order 2", s.launchers[90].Services[0]+" 1")
	after, err := graph.Arrange(s.build())
	if err != nil {
		t.Fatal(err)
	}
	places := make(map[string]graph.Box)
	for _, b := range after.Boxes {
		places[b.Node.ID] = b
	}
	columns, order, pairs := 0, 0, 0
	for i, b := range before.Boxes {
		if math.Abs(places[b.Node.ID].X-b.X) < 60 {
			columns++
		}
		for _, other := range before.Boxes[:i] {
			if other.X == b.X {
				pairs++
				if places[other.Node.ID].Y < places[b.Node.ID].Y {
					order++
				}
			}
		}
	}
	t.Logf("%d of %d boxes keep their column, %d of %d pairs of a column their order", columns, len(before.Boxes), order, pairs)
	if columns*10 < len(before.Boxes)*9 || order*10 < pairs*8 {
		t.Error("a small change moves much")
	}
}

// What moves is what changes: not how anybody is.
func TestStatusMovesNothing(t *testing.T) {
	s := shop(50, false)
	before, err := graph.Arrange(s.build())
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.launchers {
		for n := range s.launchers[i].Requires {
			s.launchers[i].Requires[n].Endpoints = 0
		}
	}
	for _, service := range s.services {
		service.Instances = map[registry.Status]int{registry.Critical: 123}
	}
	after, err := graph.Arrange(s.build())
	if err != nil {
		t.Fatal(err)
	}
	if after.Width != before.Width || after.Height != before.Height {
		t.Error("the picture has another size")
	}
	for i, b := range before.Boxes {
		if a := after.Boxes[i]; a.Node.ID != b.Node.ID || a.X != b.X || a.Y != b.Y || a.Width != b.Width {
			t.Errorf("%s has moved", b.Node.ID)
		}
	}
}

// Equal graphs give equal pictures.
func TestSame(t *testing.T) {
	var want string
	for range 5 {
		p, err := graph.Arrange(shop(100, true).build())
		if err != nil {
			t.Fatal(err)
		}
		if text := graph.SVG(p); want == "" {
			want = text
		} else if text != want {
			t.Fatal("the same graph gives another picture")
		}
	}
}

func TestTooLarge(t *testing.T) {
	if _, err := graph.Arrange(star(2000).build()); !errors.Is(err, graph.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkArrange(b *testing.B) {
	g := shop(200, true).build()
	for b.Loop() {
		if _, err := graph.Arrange(g); err != nil {
			b.Fatal(err)
		}
	}
}
