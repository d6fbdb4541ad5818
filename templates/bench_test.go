package templates

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	gotemplate "text/template"
)

// The benchmarks render and parse an nginx upstream of 1,000 servers, and the
// same with the standard library's text/template beside it: run
//
//	go test -run '^$' -bench . -benchmem ./templates
//
// A rendering takes 3 allocations, whatever the number of endpoints; that of
// text/template takes some 37,000 here.
const (
	benchmarkText = "upstream web {\n{{each web}}\n    server {{addr}} weight={{attr.weight | default 1}}; # {{id}} {{zone}}\n{{else}}\n    server 127.0.0.1:1 down;\n{{end}}\n}\n"
	peerText      = "upstream web {\n{{range .}}    server {{.Addr}} weight={{or (index .Attr \"weight\") \"1\"}}; # {{.ID}} {{.Zone}}\n{{else}}    server 127.0.0.1:1 down;\n{{end}}}\n"
	// benchmarkEndpoints is how many endpoints the view has.
	benchmarkEndpoints = 1000
)

func benchmarkView() View {
	var v View
	for i := range benchmarkEndpoints {
		e := Endpoint{ID: fmt.Sprintf("web-%d:8080", i), Host: fmt.Sprintf("10.0.%d.%d", i/250, i%250), Port: 8080, Zone: "eu-1"}
		if i%2 == 0 {
			e.Attr = map[string]string{"weight": "3"}
		}
		v.Endpoints = append(v.Endpoints, e)
	}
	return v
}

// peerEndpoint gives text/template the address as a method, as a Go program
// would.
type peerEndpoint struct{ Endpoint }

func (e peerEndpoint) Addr() string {
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

func peerData(v View) []peerEndpoint {
	var all []peerEndpoint
	for _, e := range v.Endpoints {
		all = append(all, peerEndpoint{e})
	}
	return all
}

// TestPeerGivesTheSame makes sure that the benchmarks compare like with like.
func TestPeerGivesTheSame(t *testing.T) {
	v := benchmarkView()
	out, err := parse(t, File, benchmarkText).Render(Data{Views: map[string]View{"web": v}})
	if err != nil {
		t.Fatal(err)
	}
	var peer strings.Builder
	if err := gotemplate.Must(gotemplate.New("").Parse(peerText)).Execute(&peer, peerData(v)); err != nil {
		t.Fatal(err)
	}
	if string(out) != peer.String() {
		t.Errorf("got\n%.300s\nthe peer gives\n%.300s", out, peer.String())
	}
}

func BenchmarkRender(b *testing.B) {
	v := benchmarkView()
	b.Run("cleat", func(b *testing.B) {
		template := parse(b, File, benchmarkText)
		d := Data{Views: map[string]View{"web": v}}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := template.Render(d); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("text_template", func(b *testing.B) {
		template := gotemplate.Must(gotemplate.New("").Parse(peerText))
		d := peerData(v)
		b.ReportAllocs()
		for b.Loop() {
			var out strings.Builder
			if err := template.Execute(&out, d); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.Run("cleat", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Parse(benchmarkText, Context{Aliases: declared}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("text_template", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := gotemplate.New("").Parse(peerText); err != nil {
				b.Fatal(err)
			}
		}
	})
}
