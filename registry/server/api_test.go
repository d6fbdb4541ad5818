package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"cleat/registry"
	"cleat/registry/server"
)

func TestServicesAPI(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		rich := func(i *registry.Instance) {
			i.Tags, i.Attributes, i.Zone, i.Reason = []string{"b", "a"}, map[string]string{"role": "master"}, "eu-1", "fine"
		}
		provider := w.join(launcher("p").provides("p:1", "web", registry.Passing, rich).provides("p:2", "web", registry.Critical).provides("p:3", "db", registry.Starting))
		since := provider.welcome().Since
		prod := launcher("q").provides("q:1", "web", registry.Passing)
		prod.Namespace = "prod/eu"
		w.join(prod)
		w.join(launcher("c").requires("cache?ns=default")) // a view is no service yet

		var list registry.ServiceList
		if status := w.get("/api/v1/services", &list); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
		if list.Namespace != "default" || list.Revision == 0 || len(list.Services) != 2 || list.Services[0].Service != "db" ||
			list.Services[1].Instances[registry.Passing] != 1 || list.Services[1].Instances[registry.Critical] != 1 {
			t.Errorf("got %+v", list)
		}
		w.get("/api/v1/services?namespace=prod/eu", &list)
		if list.Namespace != "prod/eu" || len(list.Services) != 1 {
			t.Errorf("got %+v", list)
		}

		var detail registry.ServiceDetail
		w.get("/api/v1/services/WEB", &detail)
		if len(detail.Instances) != 2 || detail.Instances[0].ID != "p:1" || detail.Service != "web" || detail.Namespace != "default" {
			t.Fatalf("got %+v", detail)
		}
		i := detail.Instances[0]
		if i.Since != since["p:1"] || i.Zone != "eu-1" || i.Reason != "fine" || strings.Join(i.Tags, ",") != "a,b" || i.Attributes["role"] != "master" || i.Protocol != registry.TCP || i.Port != portOf("p:1") || i.Held {
			t.Errorf("got %+v", i)
		}
		for query, want := range map[string]int{
			"?tag=a": 1, "?tag=a&tag=b": 1, "?tag=c": 0, "?attr.role=master": 1, "?attr.role=~m.*": 1, "?attr.role=slave": 0,
			"?zone=eu-1": 1, "?zone=eu-2": 0, "?namespace=prod/eu": 1, "?ns=prod/eu": 1, "?namespace=other": 0,
		} {
			w.get("/api/v1/services/web"+query, &detail)
			if len(detail.Instances) != want {
				t.Errorf("%s: %d instances; want %d", query, len(detail.Instances), want)
			}
		}
		// What is not there is an empty list, and lists are never null.
		status, body := w.request("GET", "/api/v1/services/nothing", nil)
		if status != http.StatusOK || !strings.Contains(string(body), `"instances":[]`) {
			t.Errorf("%d %s", status, body)
		}
		_, body = w.request("GET", "/api/v1/services/db", nil)
		if !strings.Contains(string(body), `"tags":[]`) || !strings.Contains(string(body), `"attributes":{}`) {
			t.Errorf("%s", body)
		}
		_, body = w.request("GET", "/api/v1/services?namespace=empty", nil)
		if !strings.Contains(string(body), `"services":[]`) {
			t.Errorf("%s", body)
		}
		if strings.Contains(w.log.String(), "the key of") {
			t.Error("a key is in the log")
		}
	})
}

func TestBadRequests(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		tests := []struct {
			method, path string
			header       http.Header
			want         int
			says         string
		}{
			{"GET", "/", nil, 404, "nothing at this path"},
			{"GET", "/api/v1/service", nil, 404, "nothing at this path"},
			{"GET", "/api/v1/services/", nil, 404, ""},
			{"GET", "/api/v1/services/a/b", nil, 404, "nothing at this path"},
			{"POST", "/api/v1/services", nil, 405, "POST"},
			{"DELETE", "/api/v1/services/web", nil, 405, "DELETE"},
			{"PUT", "/api/v1/sessions", nil, 405, "PUT"},
			{"PUT", "/healthz", nil, 405, "PUT"},
			{"PUT", "/nothing", nil, 404, ""},
			{"GET", "/api/v1/services/a%20b", nil, 400, "name"},
			{"GET", "/api/v1/services/" + strings.Repeat("a", 64), nil, 400, "at most 63"},
			{"GET", "/api/v1/services?tag=x", nil, 400, "tag"},
			{"GET", "/api/v1/services/web?color=red", nil, 400, "color"},
			{"GET", "/api/v1/services/web?self=true", nil, 400, "self"},
			{"GET", "/api/v1/services/web?attr.x=~(", nil, 400, "regular expression"},
			{"GET", "/api/v1/services/web?attr.x=~" + strings.Repeat("a", 300), nil, 400, "256"},
			{"GET", "/api/v1/services/web?ns=a%20b", nil, 400, "namespace"},
			{"GET", "/api/v1/services?namespace=%ZZ", nil, 400, "query"},
			{"GET", "/api/v1/sessions?x=y", nil, 400, "x"},
			{"GET", "/api/v1/services?" + strings.Repeat("a", 5000), nil, 414, "4096"},
			{"GET", "/api/v1/services", http.Header{"Host": {"example.com"}}, 403, "example.com"},
			{"GET", "/api/v1/services", http.Header{"Host": {"localhost.example.com:9640"}}, 403, ""},
			{"GET", "/api/v1/services", http.Header{"Host": {"10.0.0.1:9640"}}, 403, ""},
			{"GET", "/api/v1/services", http.Header{"Host": {"[::1]:9640"}}, 200, ""},
			{"GET", "/api/v1/services", http.Header{"Host": {"LOCALHOST"}}, 200, ""},
			{"GET", "/api/v1/services", http.Header{"Host": {"127.1.2.3"}}, 200, ""},
			{"GET", "/api/v1/services", http.Header{"Origin": {"http://example.com"}}, 403, "another site"},
			{"GET", "/api/v1/services", http.Header{"Origin": {"null"}}, 403, "another site"},
			{"GET", "/api/v1/services", http.Header{"Origin": {"http://127.0.0.1:9640"}}, 200, ""},
			{"HEAD", "/api/v1/services", nil, 200, ""},
		}
		for _, test := range tests {
			status, body := w.request(test.method, test.path, test.header)
			if status != test.want {
				t.Errorf("%s %.60s %v: %d %s; want %d", test.method, test.path, test.header, status, body, test.want)
				continue
			}
			if status == 200 {
				continue
			}
			var problem registry.Problem
			if err := json.Unmarshal(body, &problem); err != nil || problem.Error == "" || !strings.Contains(problem.Error, test.says) {
				t.Errorf("%s %.60s: the body is %s; want an error that names %q", test.method, test.path, body, test.says)
			}
		}
	})
}

func TestOpen(t *testing.T) {
	config := cold()
	config.Open = true
	bubble(t, config, func(t *testing.T, w *world) {
		if status, _ := w.request("GET", "/api/v1/services", http.Header{"Host": {"cleatd.example.com"}}); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
		header := http.Header{"Host": {"cleatd.example.com"}, "Origin": {"http://example.com"}}
		if status, _ := w.request("GET", "/api/v1/services", header); status != http.StatusForbidden {
			t.Errorf("a foreign origin: status %d", status)
		}
	})
}

// Requests that come slowly, or not at all, end.
func TestSlowRequests(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		for _, begin := range []string{"", "GET / HTTP/1.1\r\nHost: local", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
			conn, err := w.listener.Dial(t.Context(), "tcp", "")
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, begin)
			start := time.Now()
			io.ReadAll(conn)
			if took := time.Since(start); took > 61*time.Second {
				t.Errorf("after %q the connection lived for %v", begin, took)
			}
			conn.Close()
		}
		// A header without an end is refused.
		conn, _ := w.listener.Dial(t.Context(), "tcp", "")
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n")
		for n := range 1000 {
			if _, err := fmt.Fprintf(conn, "X-%d: %s\r\n", n, strings.Repeat("x", 100)); err != nil {
				break
			}
		}
		answer, _ := io.ReadAll(conn)
		if !strings.Contains(string(answer), "431") {
			t.Errorf("a header without an end: %.100q", answer)
		}
	})
}

// Connections that are no sessions are bounded in number.
func TestManyConnections(t *testing.T) {
	config := cold()
	config.MaxSessions = 100
	bubble(t, config, func(t *testing.T, w *world) {
		w.join(launcher("a"))
		ended := make(chan bool, 2000)
		for range 1200 {
			conn, err := w.listener.Dial(t.Context(), "tcp", "")
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				start := time.Now()
				io.ReadAll(conn)
				ended <- time.Since(start) == 0
				conn.Close()
			}()
		}
		time.Sleep(time.Second)
		if n := len(ended); n != 1200-1024-99 {
			t.Errorf("%d of 1200 connections were refused; want 77", n)
		}
		time.Sleep(10 * time.Second) // the others say nothing for too long
		if status, _ := w.request("GET", "/healthz", nil); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	})
}

func TestBadConfig(t *testing.T) {
	if _, err := server.New(server.Config{MaxSessions: -1}); err == nil {
		t.Error("a negative number of sessions was accepted")
	}
}
