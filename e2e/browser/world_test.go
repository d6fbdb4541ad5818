package browser

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"cleat/registry"
	"cleat/registry/client"
	"cleat/registry/dashboard"
	"cleat/registry/server"
)

// world is a server with its dashboard, and the launchers of a system.
type world struct {
	t         *testing.T
	url       string
	srv       *server.Server
	stop      func()
	config    server.Config
	launchers map[string]*launcher
}

// newWorld starts a server on loopback. Everything ends with the test.
func newWorld(t *testing.T, change func(*server.Config)) *world {
	t.Helper()
	none := time.Duration(0)
	w := &world{t: t, config: server.Config{Name: "harbour", Warming: &none}, launchers: make(map[string]*launcher)}
	if change != nil {
		change(&w.config)
	}
	w.start("127.0.0.1:0")
	t.Cleanup(func() {
		for _, l := range w.launchers {
			l.kill()
		}
		w.stop()
	})
	return w
}

// start begins to serve at an address.
func (w *world) start(address string) {
	w.t.Helper()
	var err error
	if w.srv, err = server.New(w.config); err != nil {
		w.t.Fatal(err)
	}
	w.srv.Handle("/", dashboard.New(w.srv, dashboard.Config{Name: w.config.Name, Version: "1.2.3"}))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.url = "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.srv.Serve(ctx, listener) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			w.t.Errorf("the server: %v", err)
		}
	})
	answer, err := http.Get(w.url + "/healthz") // it has begun to serve when it answers
	if err != nil {
		w.t.Fatal(err)
	}
	answer.Body.Close()
}

// launcher is one launcher of a system, without a container.
type launcher struct {
	w       *world
	client  *client.Client
	declare registry.Declare
	cancel  func()
	done    chan struct{}
}

// launch connects a launcher. offers are name:port, with tags after a plus sign;
// needs are requirements, optional after a question mark at their begin.
func (w *world) launch(id string, offers []string, needs []string, change func(*registry.Declare, *registry.Report)) *launcher {
	w.t.Helper()
	n := len(w.launchers)
	l := &launcher{w: w, done: make(chan struct{}), client: client.New(client.Config{Servers: []string{w.url}})}
	l.declare = registry.Declare{ID: id, Key: "the key of " + id + " is long enough", Namespace: "default"}
	report := registry.Report{State: "running", Renders: 1, Version: "1.2.3"}
	for _, offer := range offers {
		offer, tags, _ := strings.Cut(offer, "+")
		name, port, _ := strings.Cut(offer, ":")
		i := registry.Instance{ID: id + ":" + port, Service: name, Address: fmt.Sprintf("10.0.%d.%d", n/200, n%200+1), Status: registry.Passing}
		fmt.Sscan(port, &i.Port)
		i.Tags = strings.FieldsFunc(tags, func(r rune) bool { return r == '+' })
		l.declare.Provides = append(l.declare.Provides, i)
	}
	if change != nil {
		change(&l.declare, &report)
	}
	for _, need := range needs {
		need, optional := strings.CutPrefix(need, "?")
		filter, err := registry.ParseFilter(need, l.declare.Namespace, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		l.declare.Requires = append(l.declare.Requires, registry.Require{
			Alias: strings.ReplaceAll(filter.Service, "-", "_"), Filter: filter.String(), Min: 1, Optional: optional,
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() {
		defer close(l.done)
		if err := l.client.Run(ctx); err != nil {
			w.t.Errorf("%s: %v", id, err)
		}
	}()
	welcomed := make(chan struct{})
	go l.apply(welcomed)
	l.client.Declare(l.declare)
	l.client.Report(report)
	select {
	case <-welcomed:
	case <-time.After(10 * time.Second):
		w.t.Fatalf("%s does not get its session", id)
	}
	w.launchers[id] = l
	return l
}

// apply acknowledges every view.
func (l *launcher) apply(welcomed chan struct{}) {
	for {
		select {
		case <-l.done:
			return
		case event := <-l.client.Events():
			switch e := event.(type) {
			case client.Connected:
				if welcomed != nil {
					close(welcomed)
					welcomed = nil
				}
			case client.Viewed:
				l.client.Applied(registry.Applied{Filter: e.Message.Filter, Revision: e.Message.Revision})
			}
		}
	}
}

// status makes all that the launcher offers so.
func (l *launcher) status(status registry.Status, reason string) {
	provides := append([]registry.Instance(nil), l.declare.Provides...)
	for i := range provides {
		provides[i].Status, provides[i].Reason = status, reason
	}
	l.declare.Provides = provides
	l.client.Declare(l.declare)
}

// leave ends the launcher with a goodbye.
func (l *launcher) leave() {
	l.client.Leave(time.Second)
	<-l.done
	delete(l.w.launchers, l.declare.ID)
}

// kill ends the launcher without one.
func (l *launcher) kill() {
	l.cancel()
	<-l.done
}

// shop is a small system in which all is well.
func (w *world) shop() {
	for n := range 2 {
		w.launch(fmt.Sprint("front-", n+1), []string{"front:80+public"}, []string{"web", "?cache"}, nil)
	}
	for n := range 3 {
		w.launch(fmt.Sprint("web-", n+1), []string{"web:8000+blue"}, []string{"mysql?tag=primary", "auth", "?cache"}, nil)
	}
	for n := range 2 {
		w.launch(fmt.Sprint("auth-", n+1), []string{"auth:8443"}, []string{"mysql?tag=primary"}, nil)
	}
	w.launch("db-1", []string{"mysql:3306+primary"}, nil, nil)
	w.launch("db-2", []string{"mysql:3306+replica"}, []string{"mysql?tag=primary"}, nil)
	for n := range 2 {
		w.launch(fmt.Sprint("cache-", n+1), []string{"cache:6379"}, nil, nil)
	}
	w.launch("nightly-1", nil, []string{"mysql?tag=replica", "mail"}, nil)
	w.launch("mail-1", []string{"mail:25"}, nil, nil)
}

// trouble is what goes wrong in it.
func (w *world) trouble() {
	w.launchers["mail-1"].leave()
	w.launchers["web-3"].status(registry.Critical, "GET /health: 503 Service Unavailable")
	w.launchers["cache-2"].status(registry.Warning, "memory 91 % full")
	w.launchers["auth-2"].status(registry.Starting, "waiting for port 8443")
	w.launch("search-1", []string{"search:9200"}, []string{"indexer"}, func(d *registry.Declare, r *registry.Report) {
		d.Provides[0].Status = registry.Starting
		r.State, r.Unmet, r.LastError = "waiting", []string{"indexer"}, "nginx -t: unknown directive \"upstrem\" in /etc/nginx/nginx.conf:3"
		r.Restarts = 4
	})
	w.launch("indexer-1", []string{"indexer:9300"}, []string{"search"}, func(d *registry.Declare, r *registry.Report) {
		d.Provides[0].Status = registry.Starting
		r.State, r.Unmet = "waiting", []string{"search"}
	})
}

// company is a large system: 200 services in tiers.
func (w *world) company() {
	words := strings.Fields("order cart user search price stock image mail invoice payment shipping review catalog session banner report audit export import tax")
	kinds := []string{"web", "api", "svc", "store"}
	var wait sync.WaitGroup
	var mu sync.Mutex
	limit := make(chan struct{}, 16)
	name := func(tier, k int) string { return fmt.Sprintf("%s-%s-%d", words[k%len(words)], kinds[tier], k) }
	for n := range 200 {
		tier, k := n/50, n%50
		var needs []string
		if tier < 3 {
			needs = append(needs, name(tier+1, k*7%23))
			if k%3 == 0 {
				needs = append(needs, name(tier+1, 23+k*5%13))
			}
			if k%4 == 0 && tier < 2 {
				needs = append(needs, "?"+name(3, 40+k%7))
			}
		}
		if n == 31 || n == 77 {
			needs = append(needs, "legacy-ldap")
		}
		for copies := range 1 + n%3 {
			limit <- struct{}{}
			wait.Go(func() {
				defer func() { <-limit }()
				l := w.prepare(fmt.Sprintf("%s-%d", name(tier, k), copies+1), name(tier, k)+":80", needs, n)
				mu.Lock()
				w.launchers[l.declare.ID] = l
				mu.Unlock()
			})
		}
	}
	wait.Wait()
}

// prepare connects a launcher without noting it.
func (w *world) prepare(id, offer string, needs []string, n int) *launcher {
	one := &world{t: w.t, url: w.url, launchers: make(map[string]*launcher)}
	return one.launch(id, []string{offer}, needs, func(d *registry.Declare, r *registry.Report) {
		d.Provides[0].Address = fmt.Sprintf("10.1.%d.%d", n, len(id))
		switch {
		case n%41 == 7:
			d.Provides[0].Status, d.Provides[0].Reason = registry.Critical, "connection refused"
		case n%37 == 5:
			d.Provides[0].Status = registry.Warning
		}
	})
}
