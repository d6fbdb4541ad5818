package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"cleat/registry"
)

func TestGraph(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.join(launcher("db-1").provides("db-1:3306", "mysql", registry.Passing))
		w.join(launcher("web-1").provides("web-1:80", "web", registry.Passing).requires("mysql?ns=default"))
		w.join(launcher("web-2").provides("web-2:80", "web", registry.Critical).requires("mysql?ns=default"))
		w.join(launcher("worker-1").requires("web?ns=default", "queue?ns=default"))
		w.join(launcher("worker-2").requires("web?ns=default", "queue?ns=default"))
		prod := launcher("cron")
		prod.Namespace = "prod"
		w.join(prod)

		var g registry.Graph
		if status := w.get("/api/v1/graph", &g); status != http.StatusOK || g.Revision == 0 {
			t.Fatalf("status %d, %+v", status, g)
		}
		var nodes, edges []string
		for _, n := range g.Nodes {
			serving, all := n.Count()
			nodes = append(nodes, fmt.Sprintf("%s %d/%d by %d single=%v breaks=%d", n.ID, serving, all, n.Launchers, n.Single, len(n.Breaks)))
		}
		for _, e := range g.Edges {
			edges = append(edges, fmt.Sprintf("%s -> %s by %d finds %d unmet=%v", e.From, e.To, e.Launchers, e.Endpoints, e.Unmet))
		}
		if want := []string{
			"default/mysql 1/1 by 1 single=true breaks=2",
			"default/queue 0/0 by 0 single=false breaks=1",
			"default/web 1/2 by 2 single=true breaks=1",
			"launchers:default/worker (queue+web) 0/0 by 2 single=false breaks=0",
			"launchers:prod/cron 0/0 by 1 single=false breaks=0",
		}; !slices.Equal(nodes, want) {
			t.Errorf("got\n%q\nwant\n%q", nodes, want)
		}
		if want := []string{
			"default/web -> default/mysql by 2 finds 1 unmet=false",
			"launchers:default/worker (queue+web) -> default/queue by 2 finds 0 unmet=true",
			"launchers:default/worker (queue+web) -> default/web by 2 finds 1 unmet=false",
		}; !slices.Equal(edges, want) {
			t.Errorf("got\n%q\nwant\n%q", edges, want)
		}
		if w.get("/api/v1/graph?namespace=prod", &g); len(g.Nodes) != 1 {
			t.Errorf("in prod there is %+v", g.Nodes)
		}
		for format, want := range map[string]string{"svg": "<svg class=", "dot": "digraph cleat {"} {
			status, body := w.request("GET", "/api/v1/graph?format="+format, nil)
			if status != http.StatusOK || !strings.HasPrefix(string(body), want) || !strings.Contains(string(body), "queue") {
				t.Errorf("%s: %d %s", format, status, body)
			}
		}
		status, body := w.request("GET", "/api/v1/graph?format=png", nil)
		var problem registry.Problem
		if err := json.Unmarshal(body, &problem); err != nil || status != http.StatusBadRequest || problem.Hint == "" {
			t.Errorf("%d %s", status, body)
		}
	})
}
