package server_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cleat/registry"
)

// expect sends a request that is answered with a status, and reads its body.
func (w *world) expect(status int, method, path, body string, into any) {
	w.t.Helper()
	got, data, _ := w.ask(method, path, body, nil)
	if got != status {
		w.t.Fatalf("%s %s: %d %s; want %d", method, path, got, data, status)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(data, into); err != nil {
		w.t.Fatalf("%s %s: %v in %s", method, path, err, data)
	}
}

const database = `{"service":"MySQL","address":"db.example","port":3306,"tags":["primary"],"attributes":{"role":"master"},"zone":"eu-1"}`

func TestInstanceWithoutLauncher(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		c := w.join(launcher("c").requires("mysql?ns=default"))
		var registered registry.Registered
		w.expect(200, "PUT", "/api/v1/instances/db-1", database, &registered)
		if registered.Kept || registered.Hint == "" || registered.Service != "mysql" || registered.ID != "db-1" {
			t.Errorf("got %+v", registered)
		}
		if !strings.Contains(w.log.String(), "does not outlive the server") {
			t.Error("the log does not say that it does not outlive the server")
		}
		synctest.Wait()
		if v := c.view("mysql?ns=default"); v != "db-1" {
			t.Errorf("the consumer has %s", v)
		}
		var detail registry.InstanceDetail
		w.expect(200, "GET", "/api/v1/instances/db-1", "", &detail)
		if i := detail.Instance; i == nil || i.Status != registry.Passing || i.Zone != "eu-1" || detail.Source != "api" || detail.Declared != registry.Passing ||
			len(detail.Users) != 1 || detail.Users[0].ID != "c" || len(detail.Events) != 1 || detail.Events[0].Kind != "appeared" {
			t.Errorf("got %+v", detail)
		}
		w.expect(204, "PUT", "/api/v1/instances/db-1/renew", `{"status":"warning","reason":"slow"}`, nil)
		w.expect(200, "GET", "/api/v1/instances/db-1", "", &detail)
		if i := detail.Instance; i.Status != registry.Warning || i.Reason != "slow" {
			t.Errorf("got %+v", detail)
		}
		w.expect(204, "DELETE", "/api/v1/instances/db-1", "", nil)
		detail = registry.InstanceDetail{}
		w.expect(200, "GET", "/api/v1/instances/db-1", "", &detail) // its story
		if last := detail.Events[len(detail.Events)-1]; detail.Instance != nil || detail.Service != "mysql" || last.Kind != "gone" || last.Cause != "removed" {
			t.Errorf("got %+v", detail)
		}
		w.expect(404, "DELETE", "/api/v1/instances/db-1", "", nil)
		w.expect(404, "GET", "/api/v1/instances/db-2", "", nil)
	})
}

func TestTTLByTheAPI(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		var registered registry.Registered
		w.expect(200, "PUT", "/api/v1/instances/db-1?namespace=prod", strings.Replace(database, "{", `{"ttl":"10s","remove_after":"1m",`, 1), &registered)
		if !registered.Kept || registered.Namespace != "prod" {
			t.Errorf("got %+v", registered)
		}
		status := func() registry.Status {
			var detail registry.InstanceDetail
			w.expect(200, "GET", "/api/v1/instances/db-1?ns=prod", "", &detail)
			if detail.Instance == nil {
				return "gone"
			}
			return detail.Instance.Status
		}
		for range 3 {
			time.Sleep(8 * time.Second)
			w.expect(204, "PUT", "/api/v1/instances/db-1/renew?namespace=prod", "", nil)
		}
		time.Sleep(12 * time.Second)
		if got := status(); got != registry.Critical {
			t.Errorf("%s after its TTL", got)
		}
		time.Sleep(62 * time.Second)
		if got := status(); got != "gone" {
			t.Errorf("%s after it was critical for long enough", got)
		}
	})
}

func TestOperatorByTheAPI(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.expect(200, "PUT", "/api/v1/instances/db-1", database, nil)
		status := func() registry.InstanceDetail {
			var detail registry.InstanceDetail
			w.expect(200, "GET", "/api/v1/instances/db-1", "", &detail)
			return detail
		}
		w.expect(204, "PUT", "/api/v1/instances/db-1/maintenance", `{"reason":"new disk"}`, nil)
		if d := status(); d.Instance.Status != registry.Maintenance || d.Instance.Reason != "new disk" || !d.Maintenance || d.Declared != registry.Passing {
			t.Errorf("got %+v", d)
		}
		w.expect(204, "DELETE", "/api/v1/instances/db-1/maintenance", "", nil)
		w.expect(204, "PUT", "/api/v1/instances/db-1/drain", "", nil)
		if d := status(); d.Instance.Status != registry.Draining || !d.Drained || d.Maintenance {
			t.Errorf("got %+v", d)
		}
		w.expect(204, "DELETE", "/api/v1/instances/db-1/drain", "", nil)
		if d := status(); d.Instance.Status != registry.Passing {
			t.Errorf("got %+v", d)
		}
		// What a launcher keeps is the launcher's.
		w.join(launcher("p").provides("p:1", "web", registry.Passing))
		w.expect(409, "PUT", "/api/v1/instances/p:1", database, nil)
		w.expect(409, "DELETE", "/api/v1/instances/p:1", "", nil)
		w.expect(409, "PUT", "/api/v1/instances/p:1/renew", "", nil)
		w.expect(204, "PUT", "/api/v1/instances/p:1/maintenance", "", nil)
		w.expect(404, "PUT", "/api/v1/instances/nobody/maintenance", "", nil)
		w.expect(404, "PUT", "/api/v1/instances/nobody/drain", "", nil)
	})
}

func TestBadInstances(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		tests := []struct {
			status              int
			path, body, culprit string
		}{
			{400, "/api/v1/instances/db-1", ``, "the body is not JSON"},
			{400, "/api/v1/instances/db-1", `{"service":"a"`, "the body is not JSON"},
			{400, "/api/v1/instances/db-1", `{} {}`, "there is something after it"},
			{400, "/api/v1/instances/db-1", `{"servise":"a"}`, `unknown field "servise"`},
			{400, "/api/v1/instances/db-1", `{"service":"a b","address":"10.0.0.1","port":1}`, "a b"},
			{400, "/api/v1/instances/db-1", `{"service":"a","address":"10.0.0.1"}`, "the port is 0"},
			{400, "/api/v1/instances/db-1", `{"service":"a","address":"10.0.0.1","port":70000}`, "port"},
			{400, "/api/v1/instances/db-1", `{"service":"a","address":"10.0.0.1","port":1,"ttl":"soon"}`, `ttl is "soon"; expected a duration such as 30s`},
			{400, "/api/v1/instances/db-1", `{"service":"a","address":"10.0.0.1","port":1,"ttl":"1ms"}`, "the TTL is 1ms"},
			{400, "/api/v1/instances/db-1", `{"service":"a","address":"10.0.0.1","port":1,"status":"well"}`, "well"},
			{400, "/api/v1/instances/db-1", `{"service":"a","address":"10.0.0.1","port":1,"check":{}}`, "neither tcp nor http"},
			{400, "/api/v1/instances/db-1", `{"service":"a","address":"10.0.0.1","port":1,"check":{"tcp":true,"http":"/"}}`, "or both"},
			{400, "/api/v1/instances/db-1", `{"service":"a","address":"10.0.0.1","port":1,"check":{"http":"ftp://x"}}`, "ftp://x"},
			{400, "/api/v1/instances/db-1", `{"service":"a","address":"10.0.0.1","port":1,"check":{"tcp":true,"interval":"1ms"}}`, "interval"},
			{400, "/api/v1/instances/-x", database, "-x"},
			{400, "/api/v1/instances/db-1?tag=x", database, `there is no parameter "tag"`},
			{400, "/api/v1/instances/db-1?namespace=a%20b", database, "namespace"},
			{400, "/api/v1/instances/db-1/renew", `{"status":"well"}`, "well"},
			{400, "/api/v1/instances/db-1/maintenance", `{"status":"passing"}`, "maintenance has no status"},
			{413, "/api/v1/instances/db-1", `{"service":"` + strings.Repeat("a", 200<<10), "the body is longer than 131072 bytes"},
			{404, "/api/v1/instances/db-1/renew", ``, "there is no such instance"},
		}
		for _, test := range tests {
			var problem registry.Problem
			w.expect(test.status, "PUT", test.path, test.body, &problem)
			if !strings.Contains(problem.Error, test.culprit) {
				t.Errorf("%s %.80s: %q; want %q", test.path, test.body, problem.Error, test.culprit)
			}
		}
		var list registry.ServiceList
		w.get("/api/v1/services", &list)
		if len(list.Services) != 0 {
			t.Errorf("something was registered: %+v", list)
		}
	})
}

// What has changed is not sent again to who has it, and text is packed for who
// unpacks it.
func TestTagsAndPacking(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		p := launcher("p")
		for _, id := range []string{"p:1", "p:2", "p:3", "p:4", "p:5", "p:6", "p:7", "p:8", "p:9", "p:10", "p:11", "p:12"} {
			p = p.provides(id, "web", registry.Passing)
		}
		w.join(p)
		status, plain, header := w.ask("GET", "/api/v1/services/web", "", nil)
		tag := header.Get("ETag")
		if status != 200 || tag == "" || header.Get("Content-Encoding") != "" || header.Get("Vary") != "Accept-Encoding" {
			t.Fatalf("%d %v", status, header)
		}
		for _, match := range []string{tag, `"other", ` + tag, "*", strings.TrimPrefix(tag, "W/")} {
			status, body, header := w.ask("GET", "/api/v1/services/web", "", http.Header{"If-None-Match": {match}})
			if status != http.StatusNotModified || len(body) != 0 || header.Get("ETag") != tag {
				t.Errorf("%s: %d %s %v", match, status, body, header)
			}
		}
		for _, accept := range []string{"gzip", "deflate, gzip;q=0.5", "*"} {
			status, packed, header := w.ask("GET", "/api/v1/services/web", "", http.Header{"Accept-Encoding": {accept}})
			if status != 200 || header.Get("Content-Encoding") != "gzip" || header.Get("ETag") != tag || len(packed) >= len(plain) {
				t.Fatalf("%s: %d %v, %d bytes of %d", accept, status, header, len(packed), len(plain))
			}
			z, err := gzip.NewReader(strings.NewReader(string(packed)))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(z); err != nil || string(got) != string(plain) {
				t.Errorf("unpacked it is %s, %v", got, err)
			}
		}
		if _, body, header := w.ask("GET", "/api/v1/services/web", "", http.Header{"Accept-Encoding": {"gzip;q=0, identity"}}); header.Get("Content-Encoding") != "" || string(body) != string(plain) {
			t.Errorf("%v", header)
		}
		if _, _, header := w.ask("GET", "/healthz", "", http.Header{"Accept-Encoding": {"gzip"}}); header.Get("Content-Encoding") != "" {
			t.Error("a few bytes were packed")
		}
		w.join(launcher("q").provides("q:1", "web", registry.Passing))
		if status, _, _ := w.ask("GET", "/api/v1/services/web", "", http.Header{"If-None-Match": {tag}}); status != 200 {
			t.Errorf("%d after a change", status)
		}
		// A change elsewhere is none of this service.
		_, _, header = w.ask("GET", "/api/v1/services/web", "", nil)
		w.join(launcher("r").provides("r:1", "db", registry.Passing))
		if status, _, _ := w.ask("GET", "/api/v1/services/web", "", http.Header{"If-None-Match": {header.Get("ETag")}}); status != http.StatusNotModified {
			t.Errorf("%d after a change elsewhere", status)
		}
	})
}

// listener reads a stream of events.
type listener struct {
	t     *testing.T
	lines *bufio.Scanner
	close func()
}

type heard struct{ id, event, data string }

func (w *world) listen(path, last string) *listener {
	w.t.Helper()
	synctest.Wait()
	r, err := http.NewRequestWithContext(w.t.Context(), "GET", "http://127.0.0.1:9640"+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	transport := &http.Transport{DialContext: w.listener.Dial}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" {
		w.t.Fatalf("%s %v", answer.Status, answer.Header)
	}
	return &listener{w.t, bufio.NewScanner(answer.Body), func() { answer.Body.Close(); transport.CloseIdleConnections() }}
}

// next returns the next event; it waits for one.
func (l *listener) next() (h heard) {
	l.t.Helper()
	for l.lines.Scan() {
		switch name, value, _ := strings.Cut(l.lines.Text(), ": "); name {
		case "id":
			h.id = value
		case "event":
			h.event = value
		case "data":
			h.data = value
		case "":
			if h.event != "" {
				return h
			}
		}
	}
	l.t.Fatalf("the stream ended: %v", l.lines.Err())
	return h
}

func (l *listener) happens(kind, id string) heard {
	l.t.Helper()
	h := l.next()
	var e registry.Event
	if err := json.Unmarshal([]byte(h.data), &e); err != nil || h.event != kind || e.ID != id {
		l.t.Fatalf("got %+v, %v; want %s of %s", h, err, kind, id)
	}
	return h
}

func TestEventStream(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.expect(200, "PUT", "/api/v1/instances/before", database, nil)
		l := w.listen("/api/v1/events", "")
		defer l.close()
		w.expect(200, "PUT", "/api/v1/instances/db-1", database, nil)
		first := l.happens("appeared", "db-1")
		w.expect(204, "PUT", "/api/v1/instances/db-1/drain", "", nil)
		l.happens("status", "db-1")
		time.Sleep(time.Minute) // it lives
		w.expect(204, "DELETE", "/api/v1/instances/db-1", "", nil)
		last := l.happens("gone", "db-1")

		// Who comes again gets what it missed, once.
		again := w.listen("/api/v1/events", first.id)
		defer again.close()
		again.happens("status", "db-1")
		again.happens("gone", "db-1")
		w.expect(200, "PUT", "/api/v1/instances/other?namespace=prod", database, nil)
		again.happens("appeared", "other")

		// Who was away for too long, or comes from another server, is told.
		stranger := w.listen("/api/v1/events?namespace=prod", "12")
		defer stranger.close()
		if h := stranger.next(); h.event != "missed" {
			t.Errorf("got %+v", h)
		}
		stranger.happens("appeared", "other")
		if last.id <= first.id {
			t.Errorf("the ids are %s and %s", first.id, last.id)
		}
	})
}

func TestServiceStream(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		l := w.listen("/api/v1/events?service=mysql&tag=primary", "")
		defer l.close()
		view := func(l *listener, ids ...string) heard {
			t.Helper()
			h := l.next()
			var detail registry.ServiceDetail
			if err := json.Unmarshal([]byte(h.data), &detail); err != nil || h.event != "view" || detail.Service != "mysql" {
				t.Fatalf("got %+v, %v", h, err)
			}
			var got []string
			for _, i := range detail.Instances {
				got = append(got, i.ID)
			}
			if strings.Join(got, " ") != strings.Join(ids, " ") {
				t.Fatalf("got %v; want %v", got, ids)
			}
			return h
		}
		view(l)
		w.expect(200, "PUT", "/api/v1/instances/db-1", database, nil)
		view(l, "db-1")
		w.expect(200, "PUT", "/api/v1/instances/db-2", database, nil)
		last := view(l, "db-1", "db-2")

		again := w.listen("/api/v1/events?service=mysql", last.id)
		defer again.close()
		w.expect(204, "DELETE", "/api/v1/instances/db-1", "", nil)
		view(again, "db-2") // and not what it had
		view(l, "db-2")

		w.expect(400, "GET", "/api/v1/events?tag=x", "", nil)
		w.expect(400, "GET", "/api/v1/events?service=a%20b", "", nil)
		w.expect(405, "POST", "/api/v1/events", "", nil)
	})
}

func TestPrometheusTargets(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.expect(200, "PUT", "/api/v1/instances/db-1", strings.Replace(database, `"role"`, `"my-role.x"`, 1), nil)
		w.expect(200, "PUT", "/api/v1/instances/dns?namespace=prod", `{"service":"dns","address":"::1","port":53,"protocol":"udp"}`, nil)
		w.expect(200, "PUT", "/api/v1/instances/web?namespace=prod", `{"service":"web","address":"::1","port":80,"status":"critical"}`, nil)
		var groups []registry.TargetGroup
		w.expect(200, "GET", "/api/v1/prometheus", "", &groups)
		if len(groups) != 2 || groups[0].Targets[0] != "db.example:3306" || groups[1].Targets[0] != "[::1]:80" {
			t.Fatalf("got %+v", groups)
		}
		for label, want := range map[string]string{
			"namespace": "default", "service": "mysql", "id": "db-1", "status": "passing", "zone": "eu-1", "tags": ",primary,", "attribute_my_role_x": "master",
		} {
			if got := groups[0].Labels["__meta_cleat_"+label]; got != want {
				t.Errorf("%s is %q; want %q", label, got, want)
			}
		}
		w.expect(200, "GET", "/api/v1/prometheus?namespace=prod&service=web&service=nothing", "", &groups)
		if len(groups) != 1 || groups[0].Labels["__meta_cleat_status"] != "critical" {
			t.Errorf("got %+v", groups)
		}
		if _, body, _ := w.ask("GET", "/api/v1/prometheus?service=nothing", "", nil); strings.TrimSpace(string(body)) != "[]" {
			t.Errorf("got %s", body)
		}
	})
	warm := cold()
	long := time.Minute
	warm.Warming = &long
	bubble(t, warm, func(t *testing.T, w *world) {
		w.expect(503, "GET", "/api/v1/prometheus", "", nil)
	})
}
