package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"cleat/registry"
)

const smallGraph = `{"revision":7,"warming":false,"nodes":[
	{"id":"default/auth","kind":"service","namespace":"default","name":"auth","instances":{"passing":2},"launchers":2},
	{"id":"default/db","kind":"service","namespace":"default","name":"db","instances":{"passing":1},"launchers":1,"single":true,"breaks":["default/web","launchers:default/job (web)"]},
	{"id":"default/queue","kind":"service","namespace":"default","name":"queue","launchers":0,"breaks":["default/web","launchers:default/job (web)"]},
	{"id":"default/web","kind":"service","namespace":"default","name":"web","instances":{"passing":1,"critical":1},"launchers":2,"breaks":["launchers:default/job (web)"]},
	{"id":"launchers:default/job (web)","kind":"launchers","namespace":"default","name":"job","launchers":3}],"edges":[
	{"from":"default/auth","to":"default/db","alias":"db","filter":"db?ns=default","min":1,"optional":true,"launchers":2,"endpoints":1},
	{"from":"default/db","to":"default/auth","alias":"auth","filter":"auth?ns=default","min":1,"launchers":1,"endpoints":2},
	{"from":"default/web","to":"default/db","alias":"db","filter":"db?ns=default&tag=primary","min":1,"launchers":2,"endpoints":1,"held":1},
	{"from":"default/web","to":"default/queue","alias":"queue","filter":"queue?ns=default","min":2,"launchers":2,"endpoints":0,"unmet":true},
	{"from":"launchers:default/job (web)","to":"default/web","alias":"web","filter":"web?ns=default","min":1,"launchers":3,"endpoints":1}],
	"cycles":[["default/auth","default/db"]]}`

func TestGraph(t *testing.T) {
	var asks string
	server := func(w http.ResponseWriter, r *http.Request) {
		asks = r.URL.RequestURI()
		if format := r.URL.Query().Get("format"); format != "" {
			fmt.Fprint(w, "drawn as "+format)
			return
		}
		fmt.Fprint(w, smallGraph)
	}
	code, out, errs := asked(t, server, nil, "graph")
	want := strings.TrimPrefix(`
  job               3 launchers, offer nothing
  └─ web            1 of 2 passing
     ├─ db          1 of 1 passing, none to spare, tag=primary finds 1, held by 1
     │  └─ auth     2 of 2 passing
     │     └─ db …  1 of 1 passing, none to spare, optional
     └─ queue       UNMET: 0 of at least 2; nobody offers it

single points of failure, and what they would break
  db  web, job

cycles, of which nobody can be the first to start
  auth → db → auth
`, "\n")
	if code != exitFound || out != want || errs != "" {
		t.Errorf("exit %d, %q, got\n%s\nwant\n%s", code, errs, out, want)
	}
	if asks != "/api/v1/graph?namespace=default" {
		t.Errorf("asked for %s", asks)
	}
	for flag, want := range map[string]string{"-dot": "drawn as dot", "-svg": "drawn as svg"} {
		if code, out, errs := asked(t, server, nil, "graph", flag, "-all"); code != exitFound || out != want || errs != "" || asks != "/api/v1/graph?format="+flag[1:] {
			t.Errorf("exit %d, %q, %q after %s", code, out, errs, asks)
		}
	}
	code, out, _ = asked(t, server, nil, "graph", "-json")
	var g registry.Graph
	if err := json.Unmarshal([]byte(out), &g); code != exitFound || err != nil || len(g.Nodes) != 5 || len(g.Edges) != 5 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
}

func TestGraphOfNothing(t *testing.T) {
	code, out, errs := asked(t, answers(t, `{"nodes":[],"edges":[],"cycles":[],"warming":true}`), nil, "graph")
	if code != exitNothing || out != "" || !strings.Contains(errs, "nobody offers or requires") || !strings.Contains(errs, "warming") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	refuse := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"error":"too much","hint":"say ?namespace="}`)
	}
	if code, out, errs := asked(t, refuse, nil, "graph", "-svg"); code != exitNothing || out != "" || !strings.Contains(errs, "too much") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	// Two that require each other are written, and so is the end.
	mutual := `{"nodes":[{"id":"a/x","kind":"service","namespace":"a","name":"x"},{"id":"b/x","kind":"service","namespace":"b","name":"x"}],
		"edges":[{"from":"a/x","to":"b/x","filter":"x?ns=b"},{"from":"b/x","to":"a/x","filter":"x?ns=a"}]}`
	if code, out, _ := asked(t, answers(t, mutual), nil, "graph", "-all"); code != exitFound || strings.Count(out, "\n") != 3 || !strings.Contains(out, "└─ b/x") {
		t.Errorf("exit %d\n%s", code, out)
	}
}
