package dashboard

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cleat/internal/memnet"
	"cleat/registry"
	"cleat/registry/access"
	"cleat/registry/client"
	"cleat/registry/server"
)

// world is a server with a dashboard, in a bubble.
type world struct {
	t         *testing.T
	listener  *memnet.Listener
	server    *server.Server
	dashboard http.Handler
	grant     access.Grant // of requests
	ctx       context.Context
}

func bubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		none := time.Duration(0)
		s, err := server.New(server.Config{Name: "harbour", Warming: &none})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, listener: memnet.Listen(), server: s, grant: access.Everything()}
		w.dashboard = New(s, Config{Name: "harbour", Version: "1.2.3"})
		s.Handle("/", w.dashboard)
		ctx, stop := context.WithCancel(t.Context())
		w.ctx = ctx
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx, w.listener) }()
		synctest.Wait()
		test(t, w)
		stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		synctest.Wait()
	})
}

// register makes an instance known that has no launcher.
func (w *world) register(service, id string, change func(*registry.Instance)) {
	w.t.Helper()
	i := registry.Instance{ID: id, Service: service, Address: "10.0.0.1", Port: 80, Status: registry.Passing}
	if change != nil {
		change(&i)
	}
	namespace := i.Namespace
	if _, err := w.server.Register(server.Registration{Namespace: namespace, Instance: i, Source: "api"}); err != nil {
		w.t.Fatal(err)
	}
}

// launch connects a launcher until the test is over.
func (w *world) launch(d registry.Declare, report registry.Report) *client.Client {
	w.t.Helper()
	c := client.New(client.Config{Servers: []string{"http://127.0.0.1:9640"}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		return w.listener.Dial(ctx, network, address)
	}})
	d.Key, d.Namespace = "the key of "+d.ID+" is long enough", "default"
	c.Declare(d)
	c.Report(report)
	go func() {
		if err := c.Run(w.ctx); err != nil {
			w.t.Errorf("%s: %v", d.ID, err)
		}
	}()
	synctest.Wait()
	time.Sleep(time.Second)
	return c
}

func (w *world) ask(method, target string, form url.Values) *httptest.ResponseRecorder {
	w.t.Helper()
	var r *http.Request
	if form != nil {
		r = httptest.NewRequestWithContext(w.ctx, method, target, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		r = httptest.NewRequestWithContext(w.ctx, method, target, nil)
	}
	r.Header.Set("Accept", "text/html")
	answer := httptest.NewRecorder()
	w.dashboard.ServeHTTP(answer, r.WithContext(access.With(r.Context(), w.grant)))
	return answer
}

// page returns a page that must be there.
func (w *world) page(target string) string {
	w.t.Helper()
	answer := w.ask("GET", target, nil)
	if answer.Code != http.StatusOK {
		w.t.Fatalf("%s: %d %s", target, answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// inline is what the policy of the pages forbids.
var inline = regexp.MustCompile(`(?i)<script(?: [^>]*)?>[^<]|<style|\sstyle=|\son[a-z]+=|javascript:|https?://(?:[^1w]|1[^2]|w[^w])`)

func check(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	if found := inline.FindString(text); found != "" {
		t.Errorf("the page has %q in it, which its policy forbids", found)
	}
}

func TestPages(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		check(t, w.page("/"), "Nothing is registered", "CLEAT_SERVER=")
		check(t, w.page("/map"), "There is nothing to draw yet")
		check(t, w.page("/sessions"), "No launcher is connected")
		w.launch(registry.Declare{ID: "db-1", Provides: []registry.Instance{{
			ID: "db-1:3306", Service: "mysql", Address: "10.0.0.3", Port: 3306, Status: registry.Passing, Tags: []string{"primary"},
		}}}, registry.Report{
			State: "running", Version: "1.2.3", Use: &registry.Use{Memory: 12_345_678, Processes: 2}, Child: &registry.ReportedChild{Command: "web", LastExit: "exit status 9"},
			Parts: []registry.ReportedPart{{Kind: "coprocess", Name: "exporter", State: "backoff", Error: "exit status 2"}, {Kind: "volume", Name: "data", State: "ready"}},
		})
		w.launch(registry.Declare{
			ID: "web-1",
			Provides: []registry.Instance{{
				ID: "web-1:80", Service: "web", Address: "10.0.0.4", Port: 80, Status: registry.Critical,
				Reason: "<b>503</b>", Attributes: map[string]string{"role": "<i>"}, Zone: "eu-1",
			}},
			Requires: []registry.Require{
				{Alias: "db", Filter: "mysql?ns=default&tag=primary", Min: 1}, {Alias: "mail", Filter: "mail?ns=default", Min: 1},
			},
		}, registry.Report{State: "waiting", Restarts: 7, LastError: "<nginx>", Unmet: []string{"mail"}})
		check(t, w.page("/"), "<b>3</b> services", "<b>1</b> of 2 instances passing", "<b>2</b> launchers", "<b>1</b> unmet requirement",
			"Needs attention", "nobody offers it", "web requires mail: 0 found, min 1, unmet", "only 1", "1 of 1",
			`href="/services/mysql?namespace=default"`, "<span>primary</span>")
		if text := w.page("/?q=primary"); !strings.Contains(text, "/services/mysql") || strings.Contains(text, `<th scope="row"><a href="/services/web`) {
			t.Errorf("the search finds\n%s", text)
		}
		if text := w.page("/?show=ill"); strings.Contains(text, `<th scope="row"><a href="/services/mysql`) {
			t.Errorf("passing services are shown:\n%s", text)
		}
		check(t, w.page("/?q=nosuch"), "No service is like that")
		check(t, w.page("/services/mysql?namespace=default"), "Single point of failure.", "Without it, 1 other would break: web", "db-1:3306", "10.0.0.3:3306",
			"<b>web</b>", "mysql?tag=primary", "1 found, min 1", `<svg class="map"`, `data-id="default/web"`)
		check(t, w.page("/services/mail?namespace=default"), "Nobody offers it just now.", "unmet")
		text := w.page("/instances/web-1:80?namespace=default")
		check(t, text, "&lt;b&gt;503&lt;/b&gt;", "&lt;i&gt;", "eu-1", "Kept by", "appeared", "Take out of service", "nobody uses it now")
		check(t, w.page("/instances/db-1:3306"), "1 launcher uses it now", ">web-1</a>", "as db")
		check(t, w.page("/sessions"), "waiting", "&lt;nginx&gt;", `data-label="restarts">7`, "mail <small>0 found, unmet", "/instances/web-1:80",
			"12.3 MB<br><small>2 processes", "exit status 9", "coprocess exporter backoff: exit status 2")
		if text := w.page("/sessions"); strings.Contains(text, "volume data") {
			t.Error("a part that is well is shown")
		}
		check(t, w.page("/events"), "web-1:80", "appeared", "launcher connected")
		check(t, w.page("/events?q=mysql"), "db-1:3306")
		check(t, w.page("/map"), `data-from="default/web" data-to="default/mysql"`, "line unmet", "Single points of failure", "would break 1", "format=svg")
		for _, path := range []string{"/services/nothing", "/services/a%20b", "/instances/nothing", "/nothing"} {
			answer := w.ask("GET", path, nil)
			if answer.Code != http.StatusNotFound {
				t.Errorf("%s: %d", path, answer.Code)
			}
			check(t, answer.Body.String(), "Not Found")
		}
		answer := w.ask("GET", "/", nil)
		for name, want := range map[string]string{"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
			if got := answer.Header().Get(name); got != want {
				t.Errorf("%s is %q", name, got)
			}
		}
	})
}

// What programs ask for in vain is answered as the API answers.
func TestNotFoundForPrograms(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		answer := w.ask("GET", "/api/v1/nothing", nil)
		if answer.Code != http.StatusNotFound || !strings.HasPrefix(answer.Body.String(), `{"error":"there is nothing at this path"`) {
			t.Errorf("%d %s", answer.Code, answer.Body)
		}
	})
}

func TestManyRows(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for n := range maxRows + 7 {
			w.register(fmt.Sprintf("service-%03d", n), fmt.Sprintf("i-%d", n), nil)
		}
		text := w.page("/")
		check(t, text, "7 more are not shown", "<b>507</b> services")
		if n := strings.Count(text, `<th scope="row">`); n != maxRows {
			t.Errorf("there are %d rows", n)
		}
	})
}

func TestNamespaces(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register("web", "w-1", nil)
		w.register("web", "w-1", func(i *registry.Instance) { i.Namespace = "dev/alice" })
		check(t, w.page("/"), "<option>dev/alice</option>", "<small>dev/alice</small>", "/services/web?namespace=dev%2Falice")
		text := w.page("/?namespace=dev/alice")
		check(t, text, "<option selected>dev/alice</option>", "<b>1</b> service", `href="/map?namespace=dev%2Falice"`)
		check(t, w.page("/services/web?namespace=dev/alice"), "w-1")
		check(t, w.page("/instances/w-1?namespace=dev/alice"), "registered by api")
	})
}

func TestActions(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register("web", "w-1", nil)
		do := func(action string) *httptest.ResponseRecorder {
			return w.ask("POST", "/instances/w-1", url.Values{"namespace": {"default"}, "do": {action}, "reason": {"a new <disk>"}})
		}
		status := func() registry.Status {
			story, _ := w.server.Instance("default", "w-1")
			return story.Instance.Status
		}
		for _, test := range []struct {
			action string
			want   registry.Status
			says   string
		}{
			{"maintenance", registry.Maintenance, "End the maintenance"},
			{"service", registry.Passing, "The maintenance is over."},
			{"drain", registry.Draining, "is asked to drain"},
			{"undrain", registry.Passing, "The drain is over."},
		} {
			answer := do(test.action)
			if answer.Code != http.StatusSeeOther || status() != test.want {
				t.Fatalf("%s: %d %s, it is %s", test.action, answer.Code, answer.Body, status())
			}
			check(t, w.page(answer.Header().Get("Location")), test.says)
			if test.action == "maintenance" {
				check(t, w.page("/instances/w-1"), "a new &lt;disk&gt;")
			}
		}
		if answer := do("explode"); answer.Code != http.StatusBadRequest {
			t.Errorf("%d", answer.Code)
		}
		if answer := w.ask("POST", "/instances/nothing", url.Values{"do": {"drain"}}); answer.Code != http.StatusNotFound {
			t.Errorf("%d", answer.Code)
		}
		if answer := w.ask("POST", "/instances/w-1", url.Values{"do": {strings.Repeat("x", 10000)}}); answer.Code != http.StatusBadRequest {
			t.Errorf("%d", answer.Code)
		}
		if answer := w.ask("POST", "/", nil); answer.Code == http.StatusOK {
			t.Errorf("%d", answer.Code)
		}
	})
}

// grants returns what a token of a role may do for a namespace and a service.
func grants(t *testing.T, role, namespaces, services string) access.Grant {
	t.Helper()
	token := access.NewToken()
	line, err := access.NewLine("somebody", token, "", role, namespaces, services)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(line.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := access.Open(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	grant, ok := tokens.Find(token)
	if !ok {
		t.Fatal("the token is not known")
	}
	return grant
}

func TestGrants(t *testing.T) {
	reader := grants(t, "read", "default", "web")
	admin := grants(t, "admin", "default", "*")
	bubble(t, func(t *testing.T, w *world) {
		w.register("web", "w-1", nil)
		w.register("secret", "hidden-1", nil)
		w.register("web", "elsewhere-1", func(i *registry.Instance) { i.Namespace = "prod" })
		w.launch(registry.Declare{ID: "l-1", Requires: []registry.Require{{Alias: "x", Filter: "secret?ns=default", Min: 1}}}, registry.Report{})
		w.grant = reader
		for _, path := range []string{"/", "/map", "/sessions", "/events", "/services/web", "/instances/w-1"} {
			text := w.page(path)
			for _, not := range []string{"secret", "hidden-1", "elsewhere-1", "prod", "l-1", "Take out of service"} {
				if strings.Contains(text, not) {
					t.Errorf("%s shows %s:\n%s", path, not, text)
				}
			}
			check(t, text, "somebody", "Log out")
		}
		for _, path := range []string{"/services/secret", "/instances/hidden-1", "/instances/elsewhere-1?namespace=prod"} {
			if answer := w.ask("GET", path, nil); answer.Code != http.StatusNotFound {
				t.Errorf("%s: %d", path, answer.Code)
			}
		}
		form := url.Values{"do": {"maintenance"}}
		if answer := w.ask("POST", "/instances/w-1", form); answer.Code != http.StatusForbidden {
			t.Errorf("%d", answer.Code)
		}
		if answer := w.ask("POST", "/instances/hidden-1", form); answer.Code != http.StatusNotFound {
			t.Errorf("%d", answer.Code)
		}
		w.grant = admin
		check(t, w.page("/instances/hidden-1"), "Take out of service")
		if answer := w.ask("POST", "/instances/hidden-1", form); answer.Code != http.StatusSeeOther {
			t.Errorf("%d", answer.Code)
		}
		w.grant = access.Grant{}
		if text := w.page("/"); strings.Contains(text, "w-1") || strings.Contains(text, "/services/web") {
			t.Errorf("who may nothing sees\n%s", text)
		}
	})
}

// Who looks at pages routes no traffic by them: a drain waits for nobody.
func TestNobodyIsBlind(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		provider := w.launch(registry.Declare{ID: "web-1", Provides: []registry.Instance{
			{ID: "web-1:80", Service: "web", Address: "10.0.0.4", Port: 80, Status: registry.Passing},
			{ID: "web-1:81", Service: "web", Address: "10.0.0.4", Port: 81, Status: registry.Passing},
		}}, registry.Report{})
		for _, path := range []string{"/", "/map", "/sessions", "/events", "/services/web", "/instances/web-1:80"} {
			w.page(path)
		}
		provider.Drain(registry.Drain{IDs: []string{"web-1:80"}, Wait: 5000})
		for {
			if d, ok := (<-provider.Events()).(client.Drained); ok {
				if d.Blind {
					t.Error("the drain waited for readers that cannot acknowledge")
				}
				return
			}
		}
	})
}

func TestLive(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		browser := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return w.listener.Dial(ctx, network, address)
		}}}
		answer, err := browser.Get("http://127.0.0.1:9640/live")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		lines := bufio.NewScanner(answer.Body)
		next := func() time.Time {
			for lines.Scan() {
				if lines.Text() == "event: change" {
					return time.Now()
				}
			}
			t.Fatal("the stream is over: ", lines.Err())
			return time.Time{}
		}
		at := next() // at once
		time.Sleep(calm / 2)
		w.register("web", "w-0", nil) // while nothing is told: no sooner than anybody could read
		if took := next().Sub(at); took < calm || took > calm+gather {
			t.Errorf("a change soon after the first is told after %v", took)
		}
		time.Sleep(calm + time.Second/10)
		w.register("web", "w-1", nil)
		at = time.Now()
		if took := next().Sub(at); took > gather {
			t.Errorf("a change is told after %v", took)
		}
		w.register("web", "w-2", nil) // soon after: no sooner than anybody could read
		at = time.Now()
		if took := next().Sub(at); took < calm || took > calm+gather {
			t.Errorf("the next change is told after %v", took)
		}
		at = time.Now()
		if took := next().Sub(at); took < tick || took > tick+calm+gather {
			t.Errorf("without a change it is told after %v", took)
		}
	})
}

func TestTooManyStreams(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.dashboard.(*dashboard).streams.Store(maxStreams)
		if answer := w.ask("GET", "/live", nil); answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
			t.Errorf("%d %v", answer.Code, answer.Header())
		}
	})
}

func TestAssets(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		text := w.page("/")
		paths := regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllStringSubmatch(text, -1)
		if len(paths) != 5 {
			t.Errorf("the page needs %q", paths)
		}
		for _, path := range paths {
			answer := w.ask("GET", path[1], nil)
			if answer.Code != http.StatusOK || !strings.Contains(answer.Header().Get("Cache-Control"), "immutable") || answer.Body.Len() < 100 {
				t.Errorf("%s: %d %v", path[1], answer.Code, answer.Header())
			}
		}
		answer := w.ask("GET", "/assets/dashboard.css", nil)
		if answer.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%v", answer.Header())
		}
		r := httptest.NewRequest("GET", "/assets/dashboard.css", nil)
		r.Header.Set("If-None-Match", answer.Header().Get("ETag"))
		again := httptest.NewRecorder()
		w.dashboard.ServeHTTP(again, r)
		if again.Code != http.StatusNotModified {
			t.Errorf("%d", again.Code)
		}
		if answer := w.ask("GET", "/assets/nothing", nil); answer.Code != http.StatusNotFound {
			t.Errorf("%d", answer.Code)
		}
	})
}

func TestWords(t *testing.T) {
	for ms, want := range map[registry.Milliseconds]string{0: "0 s", 59_999: "59 s", 60_000: "1 min", 7_200_000: "2 h", 200_000_000: "2 days"} {
		if got := ago(ms); got != want {
			t.Errorf("%d ms is %q; want %q", ms, got, want)
		}
	}
	if list := pips(map[registry.Status]int{registry.Passing: 15, registry.Critical: 3}); len(list) != mostPips || list[15] != "critical" {
		t.Errorf("got %q", list)
	}
}
