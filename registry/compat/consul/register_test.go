package consul_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const web1 = `{"ID":"web-1","Name":"web","Port":8080,"Address":"10.0.0.5","Tags":["v2","blue","a"],"Meta":{"Version":"2.1"},
	"Check":{"TTL":"10s","DeregisterCriticalServiceAfter":"90s"}}`

// A service with a TTL is critical until it passes, passes as long as that is
// said, and goes when it has been critical for too long.
func TestTTL(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.put("/v1/agent/service/register", web1)
		if got := w.health("web"); got != "web-1 critical" {
			t.Errorf("registered: %s", got)
		}
		if got := w.health("web?passing"); got != "" {
			t.Errorf("a critical one passes: %s", got)
		}
		w.put("/v1/agent/check/pass/service:web-1?note=fine", "")
		var entries []entry
		w.get("/v1/health/service/web?passing=1").into(t, &entries)
		if len(entries) != 1 {
			t.Fatalf("it does not pass: %+v", entries)
		}
		e := entries[0]
		if strings.Join(e.Service.Tags, ",") != "v2,blue,a" || e.Service.Meta["Version"] != "2.1" || e.Service.Address != "10.0.0.5" || e.Service.Port != 8080 ||
			e.Node.Node != "agent" || e.Node.Address != "10.9.9.9" || e.Node.Datacenter != "dc1" || e.Service.Weights.Passing != 1 {
			t.Errorf("got %+v", e)
		}
		if c := e.Checks[0]; c.CheckID != "service:web-1" || c.Output != "fine" || c.Type != "ttl" || c.ServiceID != "web-1" || c.Node != "agent" || c.Name != "Service 'web' check" {
			t.Errorf("got %+v", c)
		}
		for range 5 {
			time.Sleep(9 * time.Second)
			w.put("/v1/agent/check/pass/service:web-1", "")
		}
		// The last one is another than what comes then: a new output alone is not shown at once.
		for _, step := range []struct{ path, want string }{{"warn", "warning"}, {"fail", "critical"}, {"pass", "passing"}} {
			w.put("/v1/agent/check/"+step.path+"/service:web-1", "")
			if got := w.health("web"); got != "web-1 "+step.want {
				t.Errorf("%s: %s", step.path, got)
			}
		}
		w.put("/v1/agent/check/update/service:web-1", `{"Status":"warning","Output":"slow"}`)
		w.get("/v1/health/service/web").into(t, &entries)
		if c := entries[0].Checks[0]; c.Status != "warning" || c.Output != "slow" {
			t.Errorf("updated: %+v", c)
		}
		if got := w.health("web?passing"); got != "" {
			t.Errorf("a warning passes: %s", got)
		}
		time.Sleep(12 * time.Second)
		w.get("/v1/health/service/web").into(t, &entries)
		if c := entries[0].Checks[0]; c.Status != "critical" || !strings.Contains(c.Output, "10s") {
			t.Errorf("its TTL is over: %+v", c)
		}
		time.Sleep(80 * time.Second)
		if got := w.health("web"); got != "web-1 critical" {
			t.Errorf("too early: %s", got)
		}
		time.Sleep(12 * time.Second)
		if got := w.health("web"); got != "" {
			t.Errorf("critical for more than 90 s, and still there: %s", got)
		}
		if a := w.do("PUT", "/v1/agent/check/pass/service:web-1", ""); a.status != 404 || !strings.Contains(a.body, `Unknown check ID "service:web-1"`) {
			t.Errorf("a check that is gone: %d %s", a.status, a.body)
		}
	})
}

// Without a check a service passes, and its ID is its name.
func TestDefaults(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		a := w.put("/v1/agent/service/register", `{"Name":"Web","Port":80,"Address":"10.0.0.5","Check":{},"Checks":[{}]}`)
		if !strings.Contains(a.header.Get("X-Cleat-Note"), "-data") {
			t.Errorf("nothing says that it is lost with the server: %v", a.header)
		}
		if got := w.health("WEB?passing"); got != "Web" {
			t.Errorf("got %s", got)
		}
		if a := w.put("/v1/agent/service/register", `{"Name":"b","Port":80,"Address":"10.0.0.5","Check":{"TTL":"10s","Status":"passing"}}`); a.header.Get("X-Cleat-Note") != "" {
			t.Errorf("its client says it again: %v", a.header)
		}
		if got := w.health("b?passing"); got != "b passing" {
			t.Errorf("got %s", got)
		}
		// Several checks have numbers.
		w.put("/v1/agent/service/register", `{"ID":"c-1","Name":"c","Port":80,"Address":"10.0.0.5","Checks":[{"TTL":"10s"},{"CheckID":"own","TCP":"10.0.0.5:80","Interval":"1h"}]}`)
		var checks map[string]checked
		w.get("/v1/agent/checks").into(t, &checks)
		if len(checks) != 3 || checks["service:c-1:1"].Type != "ttl" || checks["own"].Type != "tcp" || checks["own"].Interval != "1h0m0s" {
			t.Errorf("got %+v", checks)
		}
	})
}

// Names of fields are taken in any case, and with underscores.
func TestSpelling(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.put("/v1/agent/service/register", `{"id":"web-1","name":"web","port":80,"address":"10.0.0.5","tags":["a"],"meta":{"some_key":"x"},
			"enable_tag_override":true,"tagged_addresses":{"wan":{"address":"1.2.3.4","port":8080}},"weights":{"passing":7},
			"check":{"check_id":"own","ttl":"10s","status":"passing","deregister_critical_service_after":"2m"}}`)
		a := w.get("/v1/agent/service/web-1")
		for _, part := range []string{`"EnableTagOverride":true`, `"wan":{"Address":"1.2.3.4","Port":8080}`, `"some_key":"x"`, `"Passing":7`, `"Datacenter":"dc1"`} {
			if !strings.Contains(a.body, part) {
				t.Errorf("no %s in %s", part, a.body)
			}
		}
		time.Sleep(15 * time.Second)
		if got := w.health("web"); got != "web-1 critical" {
			t.Errorf("got %s", got)
		}
		time.Sleep(2 * time.Minute)
		if got := w.health("web"); got != "" {
			t.Errorf("got %s", got)
		}
	})
}

// To register again replaces: but a check that was there stays as it was, and so
// does one that was added for itself, unless the client wants otherwise.
func TestRegisterAgain(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.put("/v1/agent/service/register", web1)
		w.put("/v1/agent/check/pass/service:web-1?note=fine", "")
		w.put("/v1/agent/service/register", strings.Replace(web1, "8080", "9090", 1))
		var entries []entry
		w.get("/v1/health/service/web?passing").into(t, &entries)
		if len(entries) != 1 || entries[0].Service.Port != 9090 || entries[0].Checks[0].Output != "fine" {
			t.Fatalf("got %+v", entries)
		}
		w.put("/v1/agent/check/register", `{"ID":"port","Name":"the port","ServiceID":"web-1","TCP":"127.0.0.1:1","Interval":"1h","Status":"passing"}`)
		w.put("/v1/agent/service/register", web1)
		if got := w.health("web"); !strings.HasPrefix(got, "web-1 passing ") {
			t.Errorf("the added check is gone: %s", got)
		}
		w.put("/v1/agent/service/register?replace-existing-checks=true", web1)
		if got := w.health("web"); got != "web-1 passing" {
			t.Errorf("got %s", got)
		}
		// Without its TTL, nothing says that it is critical.
		w.put("/v1/agent/check/deregister/service:web-1", "")
		time.Sleep(time.Minute)
		if got := w.health("web"); got != "web-1" {
			t.Errorf("got %s", got)
		}
		w.put("/v1/agent/check/register", `{"Name":"beat","ServiceID":"web-1","TTL":"5s"}`)
		if got := w.health("web"); got != "web-1 critical" {
			t.Errorf("got %s", got)
		}
		w.put("/v1/agent/check/pass/beat", "")
		if got := w.health("web"); got != "web-1 passing" {
			t.Errorf("got %s", got)
		}
		w.put("/v1/agent/service/deregister/web-1", "")
		if got := w.health("web"); got != "" {
			t.Errorf("got %s", got)
		}
		if a := w.do("PUT", "/v1/agent/service/deregister/web-1", ""); a.status != 404 ||
			a.body != `Unknown service ID "web-1". Ensure that the service ID is passed, not the service name.` {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
}

func TestMaintenance(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.put("/v1/agent/service/register", web1)
		w.put("/v1/agent/check/pass/service:web-1", "")
		w.put("/v1/agent/service/maintenance/web-1?enable=true&reason=upgrade", "")
		var entries []entry
		w.get("/v1/health/service/web").into(t, &entries)
		found := false
		for _, c := range entries[0].Checks {
			if c.CheckID == "_service_maintenance:web-1" {
				found = c.Status == "critical" && c.Notes == "upgrade"
			}
		}
		if !found || w.health("web?passing") != "" {
			t.Errorf("got %+v", entries)
		}
		if a := w.get("/v1/agent/health/service/id/web-1?format=text"); a.status != 503 || a.body != "maintenance" {
			t.Errorf("got %d %s", a.status, a.body)
		}
		w.put("/v1/agent/service/maintenance/web-1?enable=false", "")
		if got := w.health("web?passing"); got != "web-1 passing" {
			t.Errorf("got %s", got)
		}
	})
}

// A service on a node that has no agent is told by somebody else, with all that
// is to be said of its health.
func TestCatalogRegister(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		for _, node := range []string{"db-a", "db-b"} {
			a := w.put("/v1/catalog/register", fmt.Sprintf(`{"Node":%q,"Address":"10.1.1.1","Service":{"ID":"pg","Service":"postgres","Port":5432,"Tags":["rw"]},
				"Checks":[{"CheckID":"alive","Name":"alive","Status":"passing","ServiceID":"pg"},{"CheckID":"disk","Name":"disk","Status":"warning","Output":"full soon","ServiceID":"pg"}]}`, node))
			if a.body != "true" {
				t.Errorf("got %s", a.body)
			}
		}
		if got := w.health("postgres"); got != "pg passing warning, pg passing warning" {
			t.Errorf("got %s", got)
		}
		w.put("/v1/catalog/register", `{"Node":"db-a","Check":{"CheckID":"disk","Status":"passing","ServiceID":"pg"}}`)
		if got := w.health("postgres?passing"); got != "pg passing passing" {
			t.Errorf("got %s", got)
		}
		var node struct {
			Node     struct{ Node, Address string }
			Services map[string]struct{ Service string }
		}
		w.get("/v1/catalog/node/db-a").into(t, &node)
		if node.Node.Node != "db-a" || node.Node.Address != "10.1.1.1" || node.Services["pg"].Service != "postgres" {
			t.Errorf("got %+v", node)
		}
		if a := w.get("/v1/catalog/node/nobody"); a.body != "null" {
			t.Errorf("got %s", a.body)
		}
		if a := w.get("/v1/agent/services"); a.body != "{}" {
			t.Errorf("the agent has what is on other nodes: %s", a.body)
		}
		w.put("/v1/catalog/deregister", `{"Node":"db-a","CheckID":"disk"}`)
		w.put("/v1/catalog/deregister", `{"Node":"db-b"}`)
		if got := w.health("postgres"); got != "pg passing" {
			t.Errorf("got %s", got)
		}
		w.put("/v1/catalog/deregister", `{"Node":"db-a","ServiceID":"pg"}`)
		w.put("/v1/catalog/deregister", `{"Node":"db-a","ServiceID":"pg"}`) // is done already
		if got := w.health("postgres"); got != "" {
			t.Errorf("got %s", got)
		}
	})
}

// Everything that is wrong is answered with a text that says what.
func TestBadRegistrations(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.put("/v1/agent/service/register", web1)
		const register = "/v1/agent/service/register"
		service := func(more string) string {
			return `{"ID":"a","Name":"a","Port":80,"Address":"10.0.0.5",` + more + `}`
		}
		tests := []struct {
			path, body string
			status     int
			says       string
		}{
			{register, `{`, 400, "Request decode failed"},
			{register, `[]`, 400, "expected a JSON object"},
			{register, `{} {}`, 400, "after the JSON object"},
			{register, `{"Name":7}`, 400, "Request decode failed"},
			{register, ``, 400, "Missing service name"},
			{register, `{"Name":"a"}`, 400, "port is 0"},
			{register, `{"Name":"a","Port":70000,"Address":"10.0.0.5"}`, 400, "70000"},
			{register, `{"Name":"a.b","Port":80,"Address":"10.0.0.5"}`, 400, "a.b"},
			{register, `{"Name":"a","ID":"x/y","Port":80,"Address":"10.0.0.5"}`, 400, "x/y"},
			{register, `{"Name":"a","Port":80,"Address":"0.0.0.0"}`, 400, "0.0.0.0"},
			{register, service(`"Kind":"connect-proxy"`), 400, "mesh"},
			{register, service(`"Connect":{"SidecarService":{}}`), 400, "mesh"},
			{register, service(`"Weights":{"Passing":-1}`), 400, "-1"},
			{register, service(`"Check":{"Name":"n"}`), 400, "0 of TTL, HTTP and TCP"},
			{register, service(`"Check":{"TTL":"1ms"}`), 400, "at least 1s"},
			{register, service(`"Check":{"TTL":"soon"}`), 400, "soon"},
			{register, service(`"Check":{"TTL":true}`), 400, "true"},
			{register, service(`"Check":{"TTL":"10s","HTTP":"http://a/"}`), 400, "2 of TTL"},
			{register, service(`"Check":{"TTL":"10s","Interval":"10s"}`), 400, "Interval"},
			{register, service(`"Check":{"HTTP":"http://a/"}`), 400, "Interval"},
			{register, service(`"Check":{"HTTP":"ftp://a/","Interval":"5s"}`), 400, "ftp"},
			{register, service(`"Check":{"HTTP":"http://u:secret@a/","Interval":"5s"}`), 400, "user"},
			{register, service(`"Check":{"TCP":"nowhere","Interval":"5s"}`), 400, "nowhere"},
			{register, service(`"Check":{"Args":["rm"],"Interval":"5s"}`), 400, "script"},
			{register, service(`"Check":{"GRPC":"a:1","Interval":"5s"}`), 400, "gRPC"},
			{register, service(`"Check":{"UDP":"a:1","Interval":"5s"}`), 400, "UDP"},
			{register, service(`"Check":{"HTTP":"http://a/","Header":{"A":["b"]},"Interval":"5s"}`), 400, "Header"},
			{register, service(`"Check":{"TTL":"5s","Status":"well"}`), 400, "well"},
			{register, service(`"Check":{"TTL":"5s","DeregisterCriticalServiceAfter":"-5s"}`), 400, "negative"},
			{register, service(`"Checks":[{"TTL":"5s"},{"TTL":"6s"}]`), 400, "one check with a TTL"},
			{register, service(`"Checks":[{"CheckID":"c","TTL":"5s"},{"CheckID":"c","TCP":"a:1","Interval":"5s"}]`), 400, "twice"},
			{register, service(`"Tags":["` + strings.Repeat("x", 300) + `"]`), 400, "255"},
			{register, service(`"Meta":{"a b":"c"}`), 400, "a b"},
			{register, `{"Name":"` + strings.Repeat("x", 200_000) + `"}`, 413, "too large"},
			{register + "?replace-existing-checks=maybe", service(`"Tags":[]`), 400, "maybe"},
			{"/v1/agent/check/register", `{"Name":"c","TTL":"5s"}`, 400, "ServiceID"},
			{"/v1/agent/check/register", `{"Name":"c","TTL":"5s","ServiceID":"none"}`, 404, "none"},
			{"/v1/agent/check/register", `{"TTL":"5s","ServiceID":"web-1"}`, 400, "Missing check name"},
			{"/v1/agent/check/register", `{"Name":"c","TTL":"5s","ServiceID":"web-1"}`, 400, "service:web-1"},
			{"/v1/agent/check/pass/nothing", ``, 404, "nothing"},
			{"/v1/agent/check/update/service:web-1", `{"Status":"well"}`, 400, "well"},
			{"/v1/agent/check/update/service:web-1", `{"Output":7}`, 400, "Output"},
			{"/v1/agent/check/deregister/nothing", ``, 404, "nothing"},
			{"/v1/agent/service/maintenance/web-1", ``, 400, "Missing value for enable"},
			{"/v1/agent/service/maintenance/web-1?enable=perhaps", ``, 400, "perhaps"},
			{"/v1/agent/service/maintenance/none?enable=true", ``, 404, "none"},
			{"/v1/catalog/register", `{"Address":"10.0.0.1"}`, 400, "Must provide node"},
			{"/v1/catalog/register", `{"Node":"n","Address":"10.0.0.1"}`, 400, "Service"},
			{"/v1/catalog/register", `{"Node":"n","Service":{"Service":"a","Port":1}}`, 400, "address"},
			{"/v1/catalog/register", `{"Node":"n","Datacenter":"x","Service":{"Service":"a","Port":1}}`, 500, "No path to datacenter"},
			{"/v1/catalog/register", `{"Node":"n","Address":"10.0.0.1","Service":{"Service":"a","Port":1},"Check":{"Name":"ping","Status":"passing"}}`, 400, "nodes"},
			{"/v1/catalog/register", `{"Node":"n","Check":{"Name":"ping","ServiceID":"zz"}}`, 400, "zz"},
			{"/v1/catalog/deregister", `{}`, 400, "Must provide node"},
			{"/v1/kv/a/b", `x`, 501, "key-value"},
			{"/v1/session/create", `{}`, 501, "locks"},
			{"/v1/agent/maintenance?enable=true", ``, 501, "maintenance/<id>"},
			{"/v1/agent/service/deregister/", ``, 400, "Missing service ID"},
			{"/v1/nothing", ``, 404, "/v1/nothing"},
			{"/v1/health/service/web", ``, 405, "GET"},
		}
		for _, test := range tests {
			a := w.do("PUT", test.path, test.body)
			if a.status != test.status || !strings.Contains(a.body, test.says) || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
				t.Errorf("PUT %s %.100s: got %d %s %q; want %d and a text with %q", test.path, test.body, a.status, a.header.Get("Content-Type"), a.body, test.status, test.says)
			}
			if strings.Contains(a.body, "secret") {
				t.Errorf("a password is in the answer: %s", a.body)
			}
		}
		synctest.Wait()
		var services map[string]json.RawMessage
		w.get("/v1/agent/services").into(t, &services)
		if len(services) != 1 {
			t.Errorf("something of that was registered: %v", services)
		}
	})
}
