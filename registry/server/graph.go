package server

import (
	"fmt"
	"io"
	"net/http"

	"cleat/registry"
	"cleat/registry/access"
	"cleat/registry/graph"
)

// Graph returns who requires whom, as the connected launchers say. It asks for
// no traffic: nobody is noted as a reader of any service.
func (s *Server) Graph() registry.Graph {
	var (
		launchers []graph.Launcher
		services  []graph.Service
		revision  registry.Revision
		warming   bool
	)
	s.event(func(c *core) {
		revision, warming = c.revision, c.warming.on
		launchers, services = c.needs()
	})
	g := graph.Build(launchers, services)
	g.Revision, g.Warming = revision, warming
	return g
}

// needs returns what the map is made from.
func (c *core) needs() (launchers []graph.Launcher, services []graph.Service) {
	for _, s := range c.sessions {
		if !s.declared || s.ended {
			continue
		}
		l := graph.Launcher{Namespace: s.id.namespace, ID: s.id.id, Requires: c.detail(s, c.now).Requires}
		for _, i := range s.provides {
			l.Services = append(l.Services, i.shown.Service)
		}
		if s.report != nil {
			l.Waits = s.report.Unmet
		}
		launchers = append(launchers, l)
	}
	for _, inNamespace := range c.namespaces {
		for _, s := range inNamespace {
			if len(s.instances) == 0 {
				continue
			}
			counts := make(map[registry.Status]int)
			for _, i := range s.instances {
				counts[i.actual()]++
			}
			services = append(services, graph.Service{Namespace: s.namespace, Name: s.name, Instances: counts, Held: s.heldNow})
		}
	}
	return launchers, services
}

// showGraph answers GET /api/v1/graph.
func (s *Server) showGraph(w http.ResponseWriter, r *http.Request) {
	query, ok := parameters(w, r, "namespace", "ns", "format")
	if !ok {
		return
	}
	grant := access.Of(r.Context())
	g := graph.Restrict(s.Graph(), func(namespace, service string) bool { return grant.Allows(access.Read, namespace, service) })
	if query.Has("namespace") || query.Has("ns") {
		namespace, ok := namespaceOf(w, query)
		if !ok {
			return
		}
		g = graph.Around(g, namespace)
	}
	switch format := query.Get("format"); format {
	case "", "json":
		answerJSON(w, http.StatusOK, g)
	case "svg":
		picture, err := graph.Arrange(g)
		if err != nil {
			problem(w, http.StatusUnprocessableEntity, err.Error(), "say ?namespace=, or ask for format=dot")
			return
		}
		answerText(w, "image/svg+xml", graph.SVG(picture))
	case "dot":
		answerText(w, "text/vnd.graphviz; charset=utf-8", graph.DOT(g))
	default:
		problem(w, http.StatusBadRequest, fmt.Sprintf("there is no format %.80q", format), "expected json, svg or dot")
	}
}

// answerText answers with a document that a browser does not take for a page of
// this server's: whatever were in it, no script would run.
func answerText(w http.ResponseWriter, kind, text string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	_, _ = io.WriteString(w, text) // a client that is gone needs no answer
}
