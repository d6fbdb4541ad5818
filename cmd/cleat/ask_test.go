package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cleat/registry"
)

// asked runs a command that asks, against a server that answers as told.
func asked(t *testing.T, answer http.HandlerFunc, env map[string]string, args ...string) (code int, out, errs string) {
	t.Helper()
	if env == nil {
		env = make(map[string]string)
	}
	if answer != nil {
		server := httptest.NewServer(answer)
		defer server.Close()
		env["CLEAT_SERVER"] = server.URL
	}
	var stdout, stderr bytes.Buffer
	code = ask{out: &stdout, errs: &stderr, getenv: func(name string) string { return env[name] }}.command(args[0], args[1:])
	return code, stdout.String(), stderr.String()
}

func answers(t *testing.T, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, body) }
}

const twoServices = `{"namespace":"prod","revision":7,"warming":false,"services":[
	{"service":"mysql","instances":{"passing":1}},
	{"service":"web-http","instances":{"passing":10,"starting":1,"draining":2},"held":3}]}`

func TestServices(t *testing.T) {
	code, out, errs := asked(t, answers(t, twoServices), nil, "services")
	want := "" +
		"SERVICE   INSTANCES  STATUS\n" +
		"mysql     1          1 passing\n" +
		"web-http  13         10 passing, 1 starting, 2 draining, 3 of them held\n"
	if code != exitFound || out != want || errs != "" {
		t.Errorf("exit %d, %q\n%s", code, errs, out)
	}
	code, out, _ = asked(t, answers(t, twoServices), nil, "services", "-json")
	var list registry.ServiceList
	if err := json.Unmarshal([]byte(out), &list); code != exitFound || err != nil || len(list.Services) != 2 || strings.Count(out, "\n") != 1 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	code, out, errs = asked(t, answers(t, `{"services":[],"warming":true}`), nil, "services", "-namespace", "dev/alice")
	if code != exitNothing || out != "" || !strings.Contains(errs, "no service in the namespace dev/alice") || !strings.Contains(errs, "warming") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if code, out, _ = asked(t, answers(t, `{"services":[]}`), nil, "services", "-json"); code != exitNothing || out == "" {
		t.Errorf("exit %d, %q", code, out)
	}
}

const threeInstances = `{"service":"mysql","namespace":"prod","revision":7,"warming":false,"instances":[
	{"id":"db-1","address":"10.0.0.1","port":3306,"protocol":"tcp","status":"passing","tags":["primary","blue"],"attributes":{},"since":1},
	{"id":"db-2","address":"2001:db8::2","port":3306,"protocol":"tcp","status":"warning","tags":["blue"],"attributes":{"role":"x"},"since":2},
	{"id":"db-3","address":"10.0.0.3","port":3306,"protocol":"tcp","status":"critical","tags":[],"attributes":{},"since":3}]}`

func TestResolve(t *testing.T) {
	env := map[string]string{"CLEAT_NAMESPACE": "prod", "CLEAT_TOKEN": "secret"}
	for _, test := range []struct {
		requirement string
		code        int
		out         string
	}{
		{"mysql", exitFound, "10.0.0.1:3306\n[2001:db8::2]:3306\n"}, // in the order of the view, and only what serves
		{"mysql?min=2&prefer=zone&on-loss=hold", exitFound, "10.0.0.1:3306\n[2001:db8::2]:3306\n"},
		{"mysql?min=3", exitNothing, "10.0.0.1:3306\n[2001:db8::2]:3306\n"},
		{"mysql?tag=primary", exitFound, "10.0.0.1:3306\n"},
		{"mysql?tag=green", exitNothing, ""},
	} {
		var path string
		code, out, errs := asked(t, func(w http.ResponseWriter, r *http.Request) {
			path = r.URL.Path + "?" + r.URL.Query().Get("namespace") + " " + r.Header.Get("Authorization")
			fmt.Fprint(w, threeInstances)
		}, env, "resolve", test.requirement)
		if code != test.code || out != test.out {
			t.Errorf("%s: exit %d, %q, %q", test.requirement, code, out, errs)
		}
		if (code == exitFound) != (errs == "") {
			t.Errorf("%s: exit %d and %q", test.requirement, code, errs)
		}
		if path != "/api/v1/services/mysql?prod Bearer secret" {
			t.Errorf("%s: asked %s", test.requirement, path)
		}
	}
	code, out, _ := asked(t, answers(t, threeInstances), env, "resolve", "mysql", "-json")
	var detail registry.ServiceDetail
	if err := json.Unmarshal([]byte(out), &detail); code != exitFound || err != nil || len(detail.Instances) != 2 || detail.Instances[1].Attributes["role"] != "x" {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	// A service that nobody has heard of is nothing found, and no failure.
	code, out, errs := asked(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error":"there is no service mysql"}`)
	}, env, "resolve", "-json", "mysql")
	if code != exitNothing || !strings.Contains(out, `"instances":[]`) || errs != "" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}

func TestAskFailures(t *testing.T) {
	refuse := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"error":"the token may not read prod","hint":"ask for one that may"}`)
	}
	for _, command := range [][]string{{"services"}, {"resolve", "web"}} {
		code, out, errs := asked(t, refuse, nil, command...)
		if code != exitNothing || out != "" || !strings.Contains(errs, "cleat "+command[0]+": http://127.0.0.1:") || !strings.Contains(errs, "the token may not read prod; ask for one that may") {
			t.Errorf("%s: exit %d, %q, %q", command, code, out, errs)
		}
	}
}

func TestAskUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"usage: cleat resolve REQUIREMENT":   {"resolve"},
		"usage: cleat watch SERVICE":         {"watch", "a", "b"},
		"usage: cleat services":              {"services", "a"},
		"flag provided but not defined":      {"services", "-x"},
		`the requirement "my sql" cannot`:    {"resolve", "my sql"},
		"min= is not one number":             {"resolve", "web?min=0"},
		"no parameter \"colour\"":            {"watch", "web?colour=red"},
		"name the service here":              {"resolve", "self"},
		"the namespace \"a//b\"":             {"services", "-namespace", "a//b"},
		"set CLEAT_SERVER, or say -server":   {"services", "-server", " , "},
		"CLEAT_TOKEN_FILE: ":                 {"services"},
		"CLEAT_CA: ":                         {"services", "-token", "x"},
		"ftp://x\" is no URL of the form":    {"services", "-server", "ftp://x"},
		"http://127.0.0.1:1 cannot be asked": {"services", "-server", "http://127.0.0.1:1"},
	} {
		env := map[string]string{"CLEAT_SERVER": "http://127.0.0.1:1"}
		code := exitUsage
		switch {
		case strings.HasPrefix(want, "CLEAT_TOKEN_FILE"):
			env["CLEAT_TOKEN_FILE"] = "/nonexistent/token"
		case strings.HasPrefix(want, "CLEAT_CA"):
			env["CLEAT_CA"] = "/nonexistent/ca"
		case strings.Contains(want, "ftp") || strings.Contains(want, "cannot be asked"):
			code = exitNothing
		}
		got, out, errs := asked(t, nil, env, args...)
		if got != code || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%q: exit %d, %q, %q; want %d and %q", args, got, out, errs, code, want)
		}
	}
	if code, _, errs := asked(t, nil, nil, "watch", "-h"); code != exitFound || !strings.Contains(errs, "Exit codes") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestTokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, env := range map[string]map[string]string{
		"Bearer from-file": {"CLEAT_TOKEN_FILE": file},
		"Bearer from-env":  {"CLEAT_TOKEN_FILE": file, "CLEAT_TOKEN": "from-env"},
		"":                 {},
	} {
		got := "nothing"
		asked(t, func(w http.ResponseWriter, r *http.Request) {
			got = r.Header.Get("Authorization")
			fmt.Fprint(w, twoServices)
		}, env, "services")
		if got != want {
			t.Errorf("%v: the header is %q", env, got)
		}
	}
}

// Every parameter that a launcher takes is taken here as well.
func TestLaunchersParameters(t *testing.T) {
	for _, key := range launchers {
		if _, _, err := parseRequirement("web?"+key+"=1", "default"); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}
