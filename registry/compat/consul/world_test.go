package consul_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cleat/internal/memnet"
	"cleat/registry"
	"cleat/registry/client"
	"cleat/registry/compat/consul"
	"cleat/registry/server"
)

// world is a server with Consul's interface, and those who talk to it.
type world struct {
	t        *testing.T
	server   *server.Server
	listener *memnet.Listener
	stop     func()
	served   chan struct{}
	over     []func()
}

// bubble runs a server in a bubble, and ends it.
func bubble(t *testing.T, config server.Config, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		config.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		s, err := server.New(config)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, server: s, listener: memnet.Listen(), served: make(chan struct{})}
		s.Handle("/v1/", consul.New(s, consul.Config{Node: "agent", Address: "10.9.9.9", Version: "v0"}))
		ctx, stop := context.WithCancel(t.Context())
		w.stop = stop
		go func() {
			defer close(w.served)
			if err := s.Serve(ctx, w.listener); err != nil {
				t.Errorf("Serve: %v", err)
			}
		}()
		synctest.Wait()
		defer func() {
			for _, end := range w.over {
				end()
			}
			stop()
			<-w.served
			if t.Failed() {
				t.Logf("the server's log:\n%s", log.String())
			}
		}()
		test(t, w)
	})
}

// cold is a server without warming.
func cold() server.Config {
	none := time.Duration(0)
	return server.Config{Warming: &none}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// index is the answer's X-Consul-Index.
func (a answer) index(t *testing.T) uint64 {
	t.Helper()
	index, err := strconv.ParseUint(a.header.Get("X-Consul-Index"), 10, 64)
	if err != nil || index == 0 {
		t.Fatalf("X-Consul-Index is %q; expected a number above 0", a.header.Get("X-Consul-Index"))
	}
	return index
}

// into decodes the body.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%v: %.300s", err, a.body)
	}
}

func (w *world) try(method, path, body string, header http.Header) (answer, error) {
	transport := &http.Transport{DialContext: w.listener.Dial, DisableCompression: true}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://127.0.0.1:9640"+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	maps.Copy(r.Header, header)
	response, err := transport.RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(data)}, err
}

func (w *world) do(method, path, body string) answer {
	w.t.Helper()
	a, err := w.try(method, path, body, nil)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (w *world) get(path string) answer { w.t.Helper(); return w.do("GET", path, "") }

// put asks for a change, which must succeed.
func (w *world) put(path, body string) answer {
	w.t.Helper()
	a := w.do("PUT", path, body)
	if a.status != http.StatusOK {
		w.t.Fatalf("PUT %s %s: %d %s", path, body, a.status, a.body)
	}
	return a
}

// launch starts a launcher with one instance, and returns what changes that.
func (w *world) launch(id, service string, status registry.Status, change ...func(*registry.Instance)) *client.Client {
	w.t.Helper()
	c := client.New(client.Config{Servers: []string{"http://127.0.0.1:9640"}, Dial: w.listener.Dial})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Run(ctx)
	}()
	w.over = append(w.over, func() { stop(); <-done })
	w.declare(c, id, service, status, change...)
	return c
}

func (w *world) declare(c *client.Client, id, service string, status registry.Status, change ...func(*registry.Instance)) {
	i := registry.Instance{ID: id + ":80", Service: service, Address: "10.0.0.1", Port: 80, Status: status}
	for _, do := range change {
		do(&i)
	}
	c.Declare(registry.Declare{ID: id, Key: "the key of " + id + " .....", Namespace: "default", Provides: []registry.Instance{i}})
	synctest.Wait()
}

// entry is an element of health/service, as far as the tests look at it.
type entry struct {
	Node    struct{ Node, Address, Datacenter string }
	Service struct {
		ID, Service, Address string
		Port                 int
		Tags                 []string
		Meta                 map[string]string
		Weights              struct{ Passing, Warning int }
	}
	Checks []checked
}

type checked struct {
	Node, CheckID, Name, Status, Output, Notes, ServiceID, Type, Interval string
}

// health returns the instances of a service, in one line each.
func (w *world) health(path string) string {
	w.t.Helper()
	var entries []entry
	w.get("/v1/health/service/"+path).into(w.t, &entries)
	return lines(entries)
}

func lines(entries []entry) string {
	var out []string
	for _, e := range entries {
		var line strings.Builder
		line.WriteString(e.Service.ID)
		for _, c := range e.Checks {
			line.WriteString(" " + c.Status)
		}
		out = append(out, line.String())
	}
	return strings.Join(out, ", ")
}
