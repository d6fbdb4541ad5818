package metrics_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"cleat/internal/memnet"
	"cleat/registry"
	"cleat/registry/access"
	"cleat/registry/metrics"
	"cleat/registry/server"
)

// world is a server with metrics, and launchers that say what a test wants.
type world struct {
	t        *testing.T
	server   *server.Server
	metrics  *metrics.Metrics
	listener *memnet.Listener
	puppets  []*puppet
}

// expires is when the world's certificate does.
var expires = time.Date(2030, time.January, 1, 0, 0, 0, 0, time.UTC)

func bubble(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var cold time.Duration
		w := &world{t: t, metrics: metrics.New(), listener: memnet.Listen()}
		var err error
		w.server, err = server.New(server.Config{Warming: &cold, Log: slog.New(slog.DiscardHandler), Observe: w.metrics.Observe})
		if err != nil {
			t.Fatal(err)
		}
		w.metrics.Show(metrics.Config{
			Server: w.server, Version: "v1", Answers: func() map[string]uint64 { return map[string]uint64{"NOERROR": 7} },
			Expiry: func() time.Time { return expires },
		})
		w.server.Handle("/metrics", w.metrics)
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- w.server.Serve(ctx, w.listener) }()
		synctest.Wait()
		defer func() {
			stop()
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
			for _, p := range w.puppets {
				_ = p.conn.Close()
			}
		}()
		test(w)
	})
}

// puppet is a launcher.
type puppet struct {
	t    *testing.T
	conn *memnet.Conn
}

// launch connects a launcher that offers a service, or none.
func (w *world) launch(id, service string) *puppet {
	w.t.Helper()
	dialer := ws.Dialer{Protocols: []string{registry.Subprotocol}, NetDial: w.listener.Dial}
	conn, _, _, err := dialer.Dial(w.t.Context(), "ws://127.0.0.1:9640"+registry.SessionPath)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &puppet{t: w.t, conn: conn.(*memnet.Conn)}
	w.puppets = append(w.puppets, p)
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	d := &registry.Declare{ID: id, Key: "0123456789abcdef", Namespace: "default"}
	if service != "" {
		d.Provides = []registry.Instance{{ID: id + ":80", Service: service, Address: "192.0.2.1", Port: 80, Status: registry.Passing}}
	}
	p.say(registry.ClientMessage{Declare: d})
	return p
}

func (p *puppet) say(m registry.ClientMessage) {
	p.t.Helper()
	p.frame(ws.NewTextFrame(m.Encode()))
}

func (p *puppet) frame(f ws.Frame) {
	p.t.Helper()
	if err := ws.WriteFrame(p.conn, ws.MaskFrame(f)); err != nil {
		p.t.Fatal(err)
	}
	synctest.Wait()
}

func (p *puppet) report(r registry.Report) { p.say(registry.ClientMessage{Report: &r}) }

func (p *puppet) leave() {
	p.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(registry.CloseLeft, "")))
	_ = p.conn.Close()
	synctest.Wait()
}

// scrape is what a scrape has: the value of each series, and the type of each
// metric.
type scrape struct {
	t      *testing.T
	values map[string]float64
	types  map[string]string
}

func (w *world) scrape() scrape {
	w.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: w.listener.Dial}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://127.0.0.1:9640/metrics", http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		w.t.Fatalf("%d, %v: %s", answer.StatusCode, err, text)
	}
	s := scrape{t: w.t, values: make(map[string]float64), types: make(map[string]string)}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if fields := strings.Fields(line); strings.HasPrefix(line, "# TYPE ") {
			s.types[fields[2]] = fields[3]
		}
		if at := strings.LastIndexByte(line, ' '); !strings.HasPrefix(line, "#") {
			if s.values[line[:at]], err = strconv.ParseFloat(line[at+1:], 64); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	return s
}

func (s scrape) want(series string, want float64) {
	s.t.Helper()
	if got, found := s.values[series]; !found || got != want {
		s.t.Errorf("%s is %v (there: %t); want %v", series, got, found, want)
	}
}

// of counts the series of a metric, and sums them up.
func (s scrape) of(metric string) (series int, sum float64) {
	for name, value := range s.values {
		if strings.HasPrefix(name, metric+"{") || name == metric {
			series++
			sum += value
		}
	}
	return series, sum
}

const web = `{namespace="default",service="web"}`

// The fleet's counters grow by what is new. They fall for nobody who leaves, and
// jump for nobody who comes back.
func TestFleetCounters(t *testing.T) {
	bubble(t, func(w *world) {
		a, b := w.launch("a", "web"), w.launch("b", "web")
		report := func(p *puppet, restarts, files int, cpu time.Duration) {
			p.report(registry.Report{State: "running", Restarts: restarts, Renders: files, Use: &registry.Use{CPU: registry.InMilliseconds(cpu), Memory: 1 << 20, Processes: 2}})
		}
		wants := func(restarts, files, seconds float64) {
			t.Helper()
			s := w.scrape()
			s.want("cleat_child_restarts_total"+web, restarts)
			s.want("cleat_files_written_total"+web, files)
			s.want("cleat_child_cpu_seconds_total"+web, seconds)
		}
		report(a, 100, 7, time.Hour) // it is months old; what it did before is none of ours
		report(b, 0, 1, 0)
		wants(0, 0, 0)
		report(a, 102, 8, time.Hour+3*time.Second)
		report(b, 1, 1, time.Second)
		wants(3, 1, 4)
		w.scrape().want("cleat_child_memory_bytes"+web, 2<<20)
		a.leave()
		wants(3, 1, 4)
		w.scrape().want("cleat_child_memory_bytes"+web, 1<<20)
		a = w.launch("a", "web") // only its connection was away
		report(a, 102, 8, time.Hour+5*time.Second)
		wants(3, 1, 6)
		a.leave()
		a = w.launch("a", "web") // another container of that name
		report(a, 2, 3, 2*time.Second)
		wants(5, 4, 8)
		// Who is gone for long is forgotten: its counting begins anew.
		a.leave()
		beats(b, 2*time.Hour, func() { wants(5, 4, 8) })
		report(w.launch("a", "web"), 50, 50, time.Hour)
		wants(5, 4, 8)
	})
}

// beats lets time pass in which a launcher lives, and asks now and then.
func beats(p *puppet, during time.Duration, ask func()) {
	for began, n := time.Now(), 0; time.Since(began) < during; n++ {
		time.Sleep(3 * time.Second)
		p.frame(ws.NewPingFrame(nil))
		if n%100 == 0 {
			ask()
		}
	}
}

// What launchers report is summed up; a state that no launcher of ours has makes
// no series.
func TestFleet(t *testing.T) {
	bubble(t, func(w *world) {
		w.launch("a", "web").report(registry.Report{State: "running", Held: []string{"db"}, Checks: []registry.ReportedCheck{{ID: "a:80", Status: registry.Critical}, {ID: "a:81", Status: registry.Passing}}})
		w.launch("b", "web").report(registry.Report{State: "waiting", Unmet: []string{"db", "queue"}, Cached: []string{"x"}, Render: &registry.ReportedRender{Error: "no"}})
		for n := range 5 {
			w.launch(fmt.Sprintf("strange-%d", n), "").report(registry.Report{State: fmt.Sprintf("\xff state %d", n)})
		}
		w.launch("silent", "web")
		s := w.scrape()
		for series, want := range map[string]float64{
			`cleat_launchers{namespace="default",service="web",state="running"}`: 1, `cleat_launchers{namespace="default",service="web",state="waiting"}`: 1,
			`cleat_launchers{namespace="default",service="",state="other"}`: 5, `cleat_launchers{namespace="default",service="web",state="unknown"}`: 1,
			"cleat_unmet_requirements" + web: 2, "cleat_held_requirements" + web: 1, "cleat_cached_requirements" + web: 1,
			"cleat_failing_checks" + web: 1, "cleat_render_failures" + web: 1,
			`cleatd_sessions`: 8, `cleatd_service_instances{namespace="default",service="web",status="passing"}`: 3, `cleatd_warming`: 0,
			`cleatd_certificate_expiry_timestamp_seconds`: float64(expires.Unix()), `cleatd_dns_answers_total{rcode="NOERROR"}`: 7,
		} {
			s.want(series, want)
		}
	})
}

// Series do not grow with the number of services beyond the first ones.
func TestBoundedSeries(t *testing.T) {
	const many, bound = 2100, 2000
	bubble(t, func(w *world) {
		for n := range many {
			_, err := w.server.Register(server.Registration{Namespace: "default", Source: "api", Instance: registry.Instance{
				ID: fmt.Sprintf("kept-%d", n), Service: fmt.Sprintf("kept-%d", n), Address: "192.0.2.1", Port: 80, Status: registry.Passing,
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		for n := range many {
			p := w.launch(fmt.Sprintf("launcher-%d", n), fmt.Sprintf("service-%d", n))
			if n%2 == 0 { // the others are silent
				p.report(registry.Report{State: "running", Unmet: []string{"db"}})
			}
		}
		s := w.scrape()
		for metric, want := range map[string]float64{"cleatd_service_instances": 2 * many, "cleatd_service_held_instances": 0, "cleat_unmet_requirements": many / 2} {
			if series, sum := s.of(metric); series != bound+1 || sum != want {
				t.Errorf("%s has %d series, which are %v; want %d and %v", metric, series, sum, bound+1, want)
			}
		}
		if series, sum := s.of("cleat_launchers"); series > bound+2 || sum != many {
			t.Errorf("cleat_launchers has %d series, which are %v", series, sum)
		}
	})
}

// Metrics are for who may read everything.
func TestWhoMay(t *testing.T) {
	m := metrics.New()
	m.Show(metrics.Config{})
	ask := func(g access.Grant, method string) int {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequestWithContext(access.With(t.Context(), g), method, "/metrics", http.NoBody))
		return w.Code
	}
	if code := ask(access.Grant{}, http.MethodGet); code != http.StatusForbidden {
		t.Errorf("without a role: %d", code)
	}
	if code := ask(access.Everything(), http.MethodPost); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", code)
	}
}

// row is one of the tables in docs/metrics.md.
var row = regexp.MustCompile("(?m)^\\| `(cleatd?_[a-z_]+)` \\| (gauge|counter|histogram) \\| ([^|]*) \\| .{10,} \\|$")

// TestDocument holds docs/metrics.md to the code: each metric, its type and its
// labels.
func TestDocument(t *testing.T) {
	page := readFile(t, "../../docs/metrics.md")
	documented := make(map[string]string)
	for _, m := range row.FindAllStringSubmatch(page, -1) {
		documented[m[1]] = m[2] + " " + strings.ReplaceAll(strings.TrimSpace(m[3]), "`", "")
	}
	bubble(t, func(w *world) {
		w.launch("a", "web").report(registry.Report{State: "running", Use: &registry.Use{Memory: 1}})
		w.scrape() // so that a request was observed
		s := w.scrape()
		found := make(map[string]string)
		for name, kind := range s.types {
			if strings.HasPrefix(name, "cleat") {
				found[name] = kind + " " + labels(s, name)
			}
		}
		for _, source := range []string{"server.go", "fleet.go", "metrics.go"} {
			for _, m := range regexp.MustCompile(`"(cleatd?_[a-z_]+)"`).FindAllStringSubmatch(readFile(t, source), -1) {
				if found[m[1]] == "" {
					t.Errorf("%s is in %s, and not in the scrape", m[1], source)
				}
			}
		}
		for name, is := range found {
			if documented[name] != is {
				t.Errorf("%s is a %s; docs/metrics.md has %q", name, is, documented[name])
			}
		}
		for name := range documented {
			if found[name] == "" {
				t.Errorf("docs/metrics.md has %s, which does not exist", name)
			}
		}
	})
}

// labels returns the names of a metric's labels, as the page has them.
func labels(s scrape, metric string) string {
	var names []string
	for series := range s.values {
		name, rest, _ := strings.Cut(series, "{")
		if name != metric && !strings.HasPrefix(series, metric+"_bucket{") {
			continue
		}
		for _, m := range regexp.MustCompile(`([a-z]+)="`).FindAllStringSubmatch(rest, -1) {
			if !slices.Contains(names, m[1]) && m[1] != "le" {
				names = append(names, m[1])
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The states that have series are those of a launcher's life.
func TestStates(t *testing.T) {
	of := func(text, pattern string) []string {
		var list []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			list = append(list, m[1])
		}
		slices.Sort(list)
		return list
	}
	_, list, _ := strings.Cut(readFile(t, "fleet.go"), "var states = []string{")
	list, _, _ = strings.Cut(list, "\n}")
	ours := of(strings.ReplaceAll(list, "registry.StateWaiting", strconv.Quote(registry.StateWaiting)), `"([a-z]+)"`)
	text := strings.ReplaceAll(readFile(t, "../../launcher/supervisor.go"), "registry.StateWaiting", strconv.Quote(registry.StateWaiting))
	theirs := of(text, `(?m)^\tlife[A-Z][a-z]+ +life = "([a-z]+)"`)
	if !slices.Equal(ours, theirs) || len(ours) < 10 {
		t.Errorf("the states are %q; a launcher's are %q", ours, theirs)
	}
}
