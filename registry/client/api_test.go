package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cleat/registry"
	"cleat/registry/client"
)

// serveHTTP answers on a peer until the test is over.
func serveHTTP(t *testing.T, p *peer, answer http.HandlerFunc) {
	server := &http.Server{Handler: answer}
	go server.Serve(p)
	t.Cleanup(func() { server.Close() })
}

func TestAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, config := network(t, 1)
		config.Token = func() string { return "secret" }
		var asked string
		serveHTTP(t, p[0], func(w http.ResponseWriter, r *http.Request) {
			asked = r.Method + " " + r.URL.String() + " " + r.Header.Get("Authorization")
			switch r.URL.Path {
			case "/api/v1/services":
				fmt.Fprint(w, `{"namespace":"prod","revision":7,"services":[{"service":"web","instances":{"passing":2}}]}`)
			case "/api/v1/services/web":
				fmt.Fprint(w, `{"service":"web","namespace":"prod","warming":true,"instances":[{"id":"web-1","port":80}]}`)
			case "/api/v1/sessions":
				fmt.Fprint(w, `{"sessions":[{"id":"web-1"}]}`)
			}
		})
		api := client.NewAPI(config)
		list, err := api.Services(t.Context(), "prod")
		if err != nil || list.Revision != 7 || list.Services[0].Instances[registry.Passing] != 2 {
			t.Errorf("got %+v, %v", list, err)
		}
		if want := "GET /api/v1/services?namespace=prod Bearer secret"; asked != want {
			t.Errorf("asked %s, want %s", asked, want)
		}
		f, err := registry.ParseFilter("web?tag=b&tag=a&attr.x=~1.*", "dev/alice", nil)
		if err != nil {
			t.Fatal(err)
		}
		detail, err := api.Service(t.Context(), f)
		if err != nil || !detail.Warming || detail.Instances[0].ID != "web-1" {
			t.Errorf("got %+v, %v", detail, err)
		}
		if want := "GET /api/v1/services/web?attr.x=~1.%2A&namespace=dev%2Falice&tag=a&tag=b Bearer secret"; asked != want {
			t.Errorf("asked %s, want %s", asked, want)
		}
		sessions, err := api.Sessions(t.Context())
		if err != nil || sessions.Sessions[0].ID != "web-1" {
			t.Errorf("got %+v, %v", sessions, err)
		}
	})
}

func TestAPIErrors(t *testing.T) {
	for want, answer := range map[string]http.HandlerFunc{
		"http://a:1 answered 403: no such luck; try another": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"error":"no such luck","hint":"try another"}`)
		},
		"http://a:1 answered 404: Not Found; is it a cleatd?": http.NotFound,
		"is not JSON of the expected form":                    func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") },
		"answered 307": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://b:1/", http.StatusTemporaryRedirect)
		},
		"longer than": func(w http.ResponseWriter, r *http.Request) {
			for range registry.MaxServerMessage/1024 + 1 {
				fmt.Fprint(w, strings.Repeat(" ", 1024))
			}
		},
		"http://a:1 has not answered for 5s": func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, config := network(t, 1)
				serveHTTP(t, p[0], answer)
				_, err := client.NewAPI(config).Services(t.Context(), "prod")
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
				time.Sleep(time.Second) // the server's goroutines see the end
			})
		})
	}
}

func TestAPIAsksTheNextServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, config := network(t, 3)
		p[0].Close()
		serveHTTP(t, p[1], func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		status := http.StatusNotFound
		serveHTTP(t, p[2], func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, `{"error":"x"}`)
		})
		api := client.NewAPI(config)
		_, err := api.Sessions(t.Context())
		if problem, ok := errors.AsType[*client.ProblemError](err); !ok || problem.Server != "http://c:1" || problem.Status != 404 {
			t.Errorf("got %v", err)
		}
		status = http.StatusOK
		if _, err := api.Sessions(t.Context()); err != nil {
			t.Errorf("got %v", err)
		}
		p[2].Close()
		_, err = api.Sessions(t.Context())
		for _, server := range []string{"a:1", "b:1", "c:1"} {
			if err == nil || !strings.Contains(err.Error(), server) {
				t.Errorf("%s is not named: %v", server, err)
			}
		}
	})
	if _, err := client.NewAPI(client.Config{}).Sessions(t.Context()); err == nil {
		t.Error("nobody was asked, and it is no error")
	}
}
