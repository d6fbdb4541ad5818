package graph_test

import (
	"strings"
	"testing"

	"cleat/registry"
	"cleat/registry/graph"
)

// broken has everything in it that a picture has to show.
func broken() registry.Graph {
	s := new(system).add("front-1", "front", "web 1", "?cache 0").add("web-1", "web", "db 1", "queue?tag=<b>&attr.x=\"y\" 0").
		add("db-1", "db", "auth 1").add("auth-1", "auth", "db 1").add("job-1", "", "queue 0").add("alone", "alone")
	s.services["web"].Instances = map[registry.Status]int{registry.Passing: 1, registry.Critical: 1}
	s.launchers[1].Requires[0].Held = true
	return s.build()
}

func TestSVG(t *testing.T) {
	p, err := graph.Arrange(broken())
	if err != nil {
		t.Fatal(err)
	}
	check(t, p)
	alone := graph.SVG(p)
	inline := graph.Inline(p, func(n registry.GraphNode) string {
		if n.Kind == registry.NodeService {
			return "/services/" + n.Name + "?namespace=" + n.Namespace
		}
		return ""
	})
	for _, want := range []string{
		`class="line unmet"`, `class="line optional"`, `class="line held"`, `class="line cycle"`, `class="cross-mark"`,
		`class="box part single"`, `class="box missing"`, `class="box launchers"`, `class="box passing"`,
		"only 1", "1 of 2 passing", "nobody offers it", "1 launcher", "Not connected with anything",
		"Who requires whom: 7 services, 2 unmet requirements, 3 single points of failure, 1 cycle",
		"Its loss would break 3: default/auth, default/front, default/web", "default/web requires queue?attr.x=%22y%22&amp;tag=%3Cb%3E: 0 found",
	} {
		for name, text := range map[string]string{"alone": alone, "inline": inline} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: there is no %s in\n%s", name, want, text)
			}
		}
	}
	for want, in := range map[string]string{
		`href="/services/web?namespace=default"`: inline, `data-from="default/front" data-to="default/cache" data-optional="true"`: inline,
		`data-id="launchers:default/job (queue)"`: inline, "<style>": alone, "prefers-color-scheme": alone, "the last ones stay in use": alone,
	} {
		if !strings.Contains(in, want) {
			t.Errorf("there is no %s in\n%s", want, in)
		}
	}
	if strings.Contains(alone, "href") || strings.Contains(inline, "<style") {
		t.Error("a picture that stands alone has links, or one in a page has styles")
	}
}

func TestDOT(t *testing.T) {
	text := graph.DOT(broken())
	for _, want := range []string{
		"digraph cleat {\n", `"default/web" [label="web\n1 of 2 passing"`, `"launchers:default/job (queue)" -> "default/queue" [`, ", color=red, penwidth=3, label=\"unmet\"",
		", style=dashed];", "penwidth=3];\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
	odd := registry.Graph{Nodes: []registry.GraphNode{{ID: `a"b\`, Name: "x\ny"}}}
	if text := graph.DOT(odd); !strings.Contains(text, `"a\"b\\" [label="x\ny\n`) {
		t.Errorf("got %s", text)
	}
}
