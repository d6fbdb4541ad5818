package consul

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cleat/internal/memnet"
	"cleat/registry/access"
	"cleat/registry/server"
)

// paths are what the fuzzer asks for: each takes a name at its end.
var paths = []string{
	"/v1/agent/service/register?", "/v1/agent/check/register?", "/v1/agent/check/update/", "/v1/agent/check/pass/", "/v1/agent/service/deregister/",
	"/v1/agent/service/maintenance/", "/v1/catalog/register?", "/v1/catalog/deregister?", "/v1/agent/check/deregister/", "/v1/",
}

// Whatever a client sends, it is answered: with JSON, or with a text that says
// what is wrong; and what was registered can be listed and removed.
func FuzzBodies(f *testing.F) {
	none := time.Duration(0)
	s, err := server.New(server.Config{Warming: &none, MaxRegistrations: 1000})
	if err != nil {
		f.Fatal(err)
	}
	handler := New(s, Config{})
	ctx, stop := context.WithCancel(context.Background())
	listener := memnet.Listen()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(ctx, listener)
	}()
	f.Cleanup(func() { stop(); <-served })
	for s.Warming() {
		time.Sleep(time.Millisecond)
	}

	service := `{"ID":"web-1","Name":"web","Port":8080,"Address":"10.0.0.5","Tags":["a"],"Meta":{"k":"v"},"Check":{"TTL":"10s"},
		"tagged_addresses":{"lan":{"address":"a","port":1}},"weights":{"passing":1,"warning":1}}`
	for n, body := range []string{
		service, `{"Name":"c","ServiceID":"web-1","TCP":"a:1","Interval":"10s"}`, `{"Status":"passing","Output":"x"}`, ``, ``, ``,
		`{"Node":"n","Address":"10.0.0.1","Service":{"Service":"pg","Port":5432},"Checks":[{"CheckID":"c","Status":"passing","ServiceID":"pg"}]}`,
		`{"Node":"n","ServiceID":"pg"}`, ``, `{`,
	} {
		f.Add(uint8(n), "web-1", []byte(body))
	}
	f.Add(uint8(0), "", []byte(`{"Name":"a","\u0000_N":1,"Port":1e2,"TTL":"1s","Check":{"http":"https://[::1]:8080/x?y","interval":1e9}}`))
	f.Fuzz(func(t *testing.T, path uint8, name string, body []byte) {
		ask := func(method, target string, body string) (int, string) {
			r, err := http.NewRequestWithContext(access.With(t.Context(), access.Everything()), method, "http://127.0.0.1"+target, strings.NewReader(body))
			if err != nil {
				return 0, "" // no URL
			}
			r.RemoteAddr = "10.1.2.3:4567"
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			text := w.Body.String()
			switch {
			case w.Code >= 500 && w.Code != http.StatusNotImplemented && !strings.HasPrefix(text, "No path to datacenter"):
				t.Fatalf("%s %s %s: %d %s", method, target, body, w.Code, text)
			case w.Code >= 400 && (text == "" || !utf8.ValidString(text)):
				t.Fatalf("%s %s %s: %d with the text %q", method, target, body, w.Code, text)
			case w.Code == http.StatusOK && text != "" && !json.Valid([]byte(text)) && w.Header().Get("Content-Type") == "application/json":
				t.Fatalf("%s %s %s: no JSON: %s", method, target, body, text)
			}
			return w.Code, text
		}
		ask(http.MethodPut, paths[int(path)%len(paths)]+name, string(body))
		for _, list := range []string{"/v1/health/state/any", "/v1/catalog/services", "/v1/agent/checks", "/v1/catalog/node/n"} {
			ask(http.MethodGet, list, "")
		}
		var services map[string]service0
		_, text := ask(http.MethodGet, "/v1/agent/services", "")
		if err := json.Unmarshal([]byte(text), &services); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		for id := range services {
			if code, text := ask(http.MethodPut, "/v1/agent/service/deregister/"+id, ""); code != http.StatusOK {
				t.Fatalf("%q cannot be removed: %d %s", id, code, text)
			}
		}
	})
}

type service0 struct{ Service string }

// Whatever a client asks, it is answered at once, and with an error if it cannot
// be understood.
func FuzzQueries(f *testing.F) {
	none := time.Duration(0)
	s, err := server.New(server.Config{Warming: &none})
	if err != nil {
		f.Fatal(err)
	}
	handler := New(s, Config{})
	ctx, stop := context.WithCancel(context.Background())
	listener := memnet.Listen()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(ctx, listener)
	}()
	f.Cleanup(func() { stop(); <-served })
	for s.Warming() {
		time.Sleep(time.Millisecond)
	}
	grant := access.With(context.Background(), access.Everything())
	r := httptest.NewRequestWithContext(grant, http.MethodPut, "/v1/agent/service/register", strings.NewReader(`{"Name":"web","Port":80,"Address":"10.0.0.5","Tags":["a"]}`))
	handler.ServeHTTP(httptest.NewRecorder(), r)

	for _, query := range []string{
		"passing", "tag=a&tag=b", "filter=Service.Port==80", "filter=%22a%22+in+Service.Tags+and+not+Checks+is+empty", "node-meta=a:b", "wait=1ns&index=7",
		"ns=a/b", "dc=x", "stale", "filter=any+Checks+as+c+%7Bc.Status==passing%7D", "pretty",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/v1/health/service/web", "/v1/catalog/services", "/v1/health/state/any", "/v1/catalog/node/cleatd"} {
			if strings.Contains(query, "index") { // could wait
				query = strings.ReplaceAll(query, "index", "_")
			}
			r, err := http.NewRequestWithContext(grant, http.MethodGet, "http://127.0.0.1"+path+"?"+query, nil)
			if err != nil || len(r.URL.RawQuery) > 4096 {
				return // the server's guard does not let it through
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			text := w.Body.String()
			if w.Code != http.StatusOK && (w.Code != http.StatusBadRequest && !strings.HasPrefix(text, "No path") || text == "") || w.Code == http.StatusOK && !json.Valid([]byte(text)) {
				t.Fatalf("%s?%s: %d %s", path, query, w.Code, text)
			}
		}
	})
}
