package dashboard

import (
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"

	"cleat/registry"
	"cleat/registry/graph"
	"cleat/registry/server"
)

// words are the functions of the templates.
var words = template.FuncMap{
	"asset":    assetPath,
	"build":    func() string { return build() },
	"glyph":    func(health any) template.HTML { return template.HTML(graph.Glyph(fmt.Sprint(health))) }, //nolint:gosec // escaped there
	"health":   graph.HealthOf,
	"passing":  func(instances map[registry.Status]int) int { return instances[registry.Passing] },
	"counts":   graph.Counts,
	"clock":    clock,
	"ago":      ago,
	"memory":   memory,
	"circle":   func(links []registry.CycleLink) string { return registry.Cycle{Links: links}.String() },
	"plural":   plural,
	"pips":     pips,
	"service":  servicePath,
	"instance": instancePath,
	"node":     nodePath,
	"nodename": nodeName,
	"nodelink": nodeLink,
	"short":    graph.Short,
	"sentence": func(e registry.GraphEdge, several bool) string {
		text := graph.Sentence(e)
		if several {
			return text
		}
		return nodeName(e.From, false) + strings.TrimPrefix(text, graph.Name(e.From))
	},
	"join": func(list []string) string { return strings.Join(list, ", ") },
	"tell": tell,
	"first": func(n int, list []string) []string {
		if len(list) > n {
			return list[:n]
		}
		return list
	},
	"less": func(a, b int) int { return a - b },
}

// clock writes a time so that a script can put it into the reader's own zone.
func clock(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, //nolint:gosec // digits
		t.Format(time.RFC3339), t.Format("2006-01-02 15:04:05 UTC"), t.Format("15:04:05 UTC")))
}

// ago writes how long ago a moment was, in the largest unit that says something.
func ago(ms registry.Milliseconds) string {
	d := ms.Duration()
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	const day = 24 * time.Hour
	return fmt.Sprintf("%d days", int(d/day))
}

// memory writes an amount of memory.
func memory(n int64) string {
	const kB, MB, GB = 1e3, 1e6, 1e9
	switch {
	case n < MB:
		return fmt.Sprintf("%.0f kB", float64(n)/kB)
	case n < 100*MB:
		return fmt.Sprintf("%.1f MB", float64(n)/MB)
	case n < 10*GB:
		return fmt.Sprintf("%.0f MB", float64(n)/MB)
	}
	return fmt.Sprintf("%.0f GB", float64(n)/GB)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// mostPips is how many instances are drawn one by one.
const mostPips = 16

// pips are the statuses of instances, in the order in which people look for
// them, and how many more there are.
func pips(instances map[registry.Status]int) (list []string) {
	for _, status := range []registry.Status{
		registry.Passing, registry.Warning, registry.Critical, registry.Starting, registry.Draining, registry.Maintenance,
	} {
		for range instances[status] {
			if len(list) == mostPips {
				return list
			}
			list = append(list, string(status))
		}
	}
	return list
}

func servicePath(namespace, name string) string {
	return "/services/" + url.PathEscape(name) + "?" + url.Values{"namespace": {namespace}}.Encode()
}

func instancePath(namespace, id string) string {
	return "/instances/" + url.PathEscape(id) + "?" + url.Values{"namespace": {namespace}}.Encode()
}

// nodePath returns the page about a node of the map.
func nodePath(n registry.GraphNode) string {
	if n.Kind == registry.NodeLaunchers {
		return "/sessions?" + url.Values{"namespace": {n.Namespace}, "q": {n.Name}}.Encode()
	}
	return servicePath(n.Namespace, n.Name)
}

// nodeLink returns the page about the node of that id.
func nodeLink(id string) string {
	namespace, name := "", graph.Name(id)
	if at := strings.LastIndexByte(name, '/'); at >= 0 {
		namespace, name = name[:at], name[at+1:]
	}
	kind := registry.NodeService
	if strings.HasPrefix(id, "launchers:") {
		kind = registry.NodeLaunchers
	}
	return nodePath(registry.GraphNode{Kind: kind, Namespace: namespace, Name: name})
}

// nodeName returns how a node is called by its id: without the namespace where
// only one is looked at.
func nodeName(id string, several bool) string {
	id = graph.Name(id)
	if several {
		return id
	}
	return id[strings.LastIndexByte(id, '/')+1:]
}

// tell says an event in words.
func tell(e server.Event) string {
	var text string
	switch e.Kind {
	case server.KindAppeared:
		text = "appeared, " + string(e.Status)
	case server.KindChanged:
		text = "changed its address, tags or attributes"
	case server.KindStatus:
		text = "is " + string(e.Status)
	case server.KindMoved:
		text = "is kept by another one now"
	case server.KindHeld:
		text = "is held"
	case server.KindConfirmed:
		text = "is confirmed"
	case server.KindGone:
		text = "is gone"
	case server.KindDrained:
		text = "was drained"
	case server.KindSession:
		return "launcher connected"
	case server.KindEnded:
		text = "launcher's session ended"
	case server.KindServer:
		if e.Cause == server.CauseAway {
			return "the server was away itself: frozen, or without CPU"
		}
		return "the server started"
	case server.KindWarming:
		text = "warming"
	case server.KindPreserving:
		text = "self-preservation"
	default:
		text = string(e.Kind)
	}
	switch e.Cause {
	case "":
	case server.CauseBegan:
		text += " began"
	case server.CauseOver:
		text += " is over"
	default:
		text += ": " + string(e.Cause)
	}
	return text
}
