package graph_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cleat/registry"
	"cleat/registry/graph"
)

// system is a system in few words: what each launcher offers and needs.
type system struct {
	launchers []graph.Launcher
	services  map[string]*graph.Service
}

// add adds a launcher. needs are filters with what they find after a space; one
// that begins with ? is optional.
func (s *system) add(id, offers string, needs ...string) *system {
	l := graph.Launcher{Namespace: "default", ID: id}
	for service := range strings.FieldsSeq(offers) {
		l.Services = append(l.Services, service)
		if s.services == nil {
			s.services = make(map[string]*graph.Service)
		}
		if s.services[service] == nil {
			s.services[service] = &graph.Service{Namespace: "default", Name: service, Instances: make(map[registry.Status]int)}
		}
		s.services[service].Instances[registry.Passing]++
	}
	for _, need := range needs {
		need, optional := strings.CutPrefix(need, "?")
		text, count, _ := strings.Cut(need, " ")
		filter, err := registry.ParseFilter(text, "default", nil)
		if err != nil {
			panic(err)
		}
		r := registry.Required{Require: registry.Require{Alias: filter.Service, Filter: filter.String(), Min: 1, Optional: optional}}
		fmt.Sscan(count, &r.Endpoints)
		l.Requires = append(l.Requires, r)
	}
	s.launchers = append(s.launchers, l)
	return s
}

func (s *system) build() registry.Graph {
	var services []graph.Service
	for _, service := range s.services {
		services = append(services, *service)
	}
	return graph.Build(s.launchers, services)
}

func nodeOf(t *testing.T, g registry.Graph, id string) registry.GraphNode {
	t.Helper()
	for _, n := range g.Nodes {
		if n.ID == id {
			return n
		}
	}
	t.Fatalf("there is no node %s", id)
	return registry.GraphNode{}
}

func TestBuildGathers(t *testing.T) {
	s := new(system).add("web-1", "web", "db?tag=primary 1", "?cache 2").add("web-2", "web web", "db?tag=primary 1", "?cache 2").
		add("db-1", "db").add("db-2", "db").add("cache-1", "cache").add("cache-2", "cache").
		add("job-a1b2c3", "", "web 2").add("job-d4e5f6", "", "web 2").add("0123456789ab", "", "web 2").add("idle", "")
	s.launchers[6].Waits = []string{"web"}
	g := s.build()
	var ids []string
	for _, n := range g.Nodes {
		ids = append(ids, n.ID)
	}
	want := []string{
		"default/cache", "default/db", "default/web",
		"launchers:default/container (web)", "launchers:default/idle", "launchers:default/job (web)",
	}
	if !slices.Equal(ids, want) {
		t.Fatalf("got %q\nwant %q", ids, want)
	}
	if n := nodeOf(t, g, "launchers:default/job (web)"); n.Launchers != 2 || n.Kind != registry.NodeLaunchers {
		t.Errorf("got %+v", n)
	}
	if n := nodeOf(t, g, "default/web"); n.Launchers != 2 || n.Single || len(n.Breaks) != 2 {
		t.Errorf("got %+v", n)
	}
	// Two instances, of which one is the primary: there is none to spare. An
	// optional requirement needs nobody.
	if !nodeOf(t, g, "default/db").Single || nodeOf(t, g, "default/cache").Single {
		t.Errorf("got %+v", g.Nodes)
	}
	if breaks := nodeOf(t, g, "default/db").Breaks; !slices.Equal(breaks, []string{"default/web", "launchers:default/container (web)", "launchers:default/job (web)"}) {
		t.Errorf("without db, %q break", breaks)
	}
	if breaks := nodeOf(t, g, "default/cache").Breaks; breaks != nil {
		t.Errorf("without cache, %q break", breaks)
	}
	for _, e := range g.Edges {
		if e.Unmet != (e.From == "launchers:default/job (web)") {
			t.Errorf("got %+v", e)
		}
	}
	data, err := json.Marshal(g)
	var back registry.Graph
	if err != nil || json.Unmarshal(data, &back) != nil || !reflect.DeepEqual(back, g) {
		t.Errorf("%v: %s", err, data)
	}
}

func TestBuildUnmet(t *testing.T) {
	g := new(system).add("a", "a", "gone 0", "?maybe 0", "a?self=true 0").build()
	for _, e := range g.Edges {
		if e.Unmet != (e.To == "default/gone") {
			t.Errorf("got %+v", e)
		}
	}
	if n := nodeOf(t, g, "default/gone"); n.Instances != nil || n.Launchers != 0 {
		t.Errorf("got %+v", n)
	}
}

func TestBuildOrder(t *testing.T) {
	s := new(system).add("a", "a", "b 1", "c 1").add("b", "b", "c 1", "a 1").add("c-1", "c").add("c-2", "c")
	want, err := json.Marshal(s.build())
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		s.launchers = append(s.launchers[1:], s.launchers[0])
		if got, _ := json.Marshal(s.build()); string(got) != string(want) {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func TestEmpty(t *testing.T) {
	data, err := json.Marshal(graph.Build(nil, nil))
	if want := `{"revision":0,"warming":false,"nodes":[],"edges":[],"cycles":[]}`; err != nil || string(data) != want {
		t.Errorf("got %s", data)
	}
}

func TestCycles(t *testing.T) {
	for name, test := range map[string]struct {
		system *system
		want   string
	}{
		"none":           {new(system).add("a", "a", "b 1").add("b", "b", "c 1").add("c", "c"), "[]"},
		"two":            {new(system).add("a", "a", "b 1").add("b", "b", "a 1"), "[[default/a default/b]]"},
		"optional":       {new(system).add("a", "a", "b 1").add("b", "b", "?a 1"), "[]"},
		"itself":         {new(system).add("a", "a", "a?self=true 1"), "[]"},
		"shortest":       {new(system).add("a", "a", "b 1").add("b", "b", "c 1", "d 1").add("c", "c", "a 1").add("d", "d", "c 1"), "[[default/a default/b default/c]]"},
		"two, connected": {new(system).add("c", "c", "d 1", "a 1").add("d", "d", "c 1").add("b", "b", "a 1").add("a", "a", "b 1"), "[[default/a default/b] [default/c default/d]]"},
	} {
		if got := fmt.Sprint(test.system.build().Cycles); got != test.want {
			t.Errorf("%s: got %s; want %s", name, got, test.want)
		}
	}
	// A chain as long as the limits allow, closed at its end, ends without a stack
	// overflow.
	s := new(system)
	const many = 1000
	for i := range many {
		s.add(fmt.Sprint("l", i), fmt.Sprintf("s%d", i), fmt.Sprintf("s%d 1", (i+1)%many))
	}
	g := s.build()
	if len(g.Cycles) != 1 || len(g.Cycles[0]) != many {
		t.Errorf("%d cycles", len(g.Cycles))
	}
	named := 0
	for _, n := range g.Nodes {
		named += len(n.Breaks)
	}
	if named != 1<<18 { // of almost a million
		t.Errorf("%d names of what would break", named)
	}
}

func TestRestrict(t *testing.T) {
	g := new(system).add("a", "a", "b 1").add("b", "b", "c 1").add("c", "c").add("job", "", "a 1").build()
	part := graph.Restrict(g, func(namespace, service string) bool { return service != "b" })
	if len(part.Nodes) != 4-1 || len(part.Edges) != 1 || nodeOf(t, part, "default/c").Breaks != nil || nodeOf(t, part, "default/c").Single {
		t.Errorf("got %+v", part)
	}
	if len(nodeOf(t, g, "default/c").Breaks) != 3 {
		t.Error("the whole was changed")
	}
	part = graph.Restrict(g, func(namespace, service string) bool { return false })
	if len(part.Nodes)+len(part.Edges) != 0 {
		t.Errorf("got %+v", part)
	}
}

func TestAround(t *testing.T) {
	s := new(system).add("a", "a", "b 1", "b?ns=prod 0").add("b", "b")
	s.launchers = append(s.launchers, graph.Launcher{Namespace: "prod", ID: "x", Services: []string{"x"}})
	part := graph.Around(s.build(), "prod")
	var ids []string
	for _, n := range part.Nodes {
		ids = append(ids, n.ID)
	}
	if !slices.Equal(ids, []string{"default/a", "prod/b", "prod/x"}) || len(part.Edges) != 1 {
		t.Errorf("got %q, %+v", ids, part.Edges)
	}
}

func TestStems(t *testing.T) {
	for id, want := range map[string]string{
		"worker-1": "worker", "worker-12": "worker", "host-4k2m7a": "host", "my-worker": "my-worker", "10": "10",
		"batch-7f9c6d5b48-x2x4z": "batch-7f9c6d5b48-x2x4z", "batch-7f9c6d5b48": "batch", "0123456789ab": "container", "node-3.rack-2": "node-3.rack",
		"vm-iv2jkj": "vm", "vm-bcdfgh": "vm", "report-daily": "report-daily", "1": "1",
	} {
		g := graph.Build([]graph.Launcher{{Namespace: "default", ID: id}}, nil)
		if got := g.Nodes[0].Name; got != want {
			t.Errorf("%s is called %s; want %s", id, got, want)
		}
	}
}
