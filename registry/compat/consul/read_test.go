package consul_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cleat/registry"
	"cleat/registry/client"
	"cleat/registry/server"
)

// An instance of a launcher is one of Consul's, on a node of its own, with one
// check that says what its launcher does.
func TestLaunchers(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		c := w.launch("shop-1", "shop", registry.Passing, func(i *registry.Instance) {
			i.Tags, i.Zone, i.Attributes = []string{"b", "a"}, "eu-1", map[string]string{"version": "2", "weight": "9"}
		})
		var entries []entry
		w.get("/v1/health/service/shop").into(t, &entries)
		if len(entries) != 1 {
			t.Fatalf("got %+v", entries)
		}
		e := entries[0]
		if e.Node.Node != "shop-1" || e.Node.Address != "10.0.0.1" || e.Service.ID != "shop-1:80" || e.Service.Meta["version"] != "2" ||
			strings.Join(e.Service.Tags, ",") != "a,b" || e.Service.Weights.Passing != 9 {
			t.Errorf("got %+v", e)
		}
		if a := w.get("/v1/catalog/nodes?node-meta=zone:eu-1"); strings.Count(a.body, `"Node":`) != 1 || !strings.Contains(a.body, `"shop-1"`) {
			t.Errorf("got %s", a.body)
		}
		for status, want := range map[registry.Status]string{
			registry.Passing: "passing", registry.Warning: "warning", registry.Critical: "critical",
			registry.Starting: "critical", registry.Draining: "critical", registry.Maintenance: "critical",
		} {
			w.declare(c, "shop-1", "shop", status, func(i *registry.Instance) { i.Reason = "so it is" })
			w.get("/v1/health/service/shop").into(t, &entries)
			if len(entries) != 1 || len(entries[0].Checks) != 1 || entries[0].Checks[0].Status != want ||
				!strings.Contains(entries[0].Checks[0].Output+entries[0].Checks[0].Notes, "so it is") {
				t.Errorf("%s: got %+v", status, entries)
			}
			if own := strings.HasPrefix(entries[0].Checks[0].CheckID, "_service_maintenance:"); own != (status == registry.Maintenance) {
				t.Errorf("%s: the check is %s", status, entries[0].Checks[0].CheckID)
			}
		}
		// Nobody else may say how it is.
		for path, says := range map[string]string{
			"/v1/agent/service/deregister/shop-1:80":  "launcher",
			"/v1/agent/check/pass/service:shop-1:80":  "Unknown check ID",
			"/v1/agent/service/maintenance/shop-1:80": "enable",
		} {
			if a := w.do("PUT", path, ""); a.status < 400 || !strings.Contains(a.body, says) {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}
		a := w.do("PUT", "/v1/agent/service/register", `{"ID":"shop-1:80","Name":"shop","Port":80,"Address":"10.0.0.1"}`)
		if a.status != http.StatusConflict || !strings.Contains(a.body, "launcher") {
			t.Errorf("got %d %s", a.status, a.body)
		}
		if a := w.get("/v1/agent/services"); a.body != "{}" {
			t.Errorf("the agent has a launcher's instance: %s", a.body)
		}
	})
}

// What the lists are, and that none of them is ever null.
func TestLists(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		for path, want := range map[string]string{
			"/v1/catalog/services": "{}", "/v1/catalog/service/none": "[]", "/v1/health/service/none": "[]", "/v1/health/checks/none": "[]",
			"/v1/health/node/none": "[]", "/v1/health/state/any": "[]", "/v1/health/connect/none": "[]", "/v1/agent/services": "{}",
			"/v1/agent/checks": "{}", "/v1/catalog/node/none": "null", "/v1/catalog/node-services/none": "null",
			"/v1/catalog/datacenters": `["dc1"]`, "/v1/status/leader": `"10.9.9.9:8300"`, "/v1/status/peers": `["10.9.9.9:8300"]`,
			"/v1/coordinate/nodes": "[]",
		} {
			if a := w.get(path); a.status != 200 || a.body != want {
				t.Errorf("%s: %d %s; want %s", path, a.status, a.body, want)
			}
		}
		w.launch("shop-1", "shop", registry.Passing, func(i *registry.Instance) { i.Tags = []string{"a", "b"} })
		w.put("/v1/agent/service/register", web1)
		for path, want := range map[string]string{
			"/v1/catalog/services":        `{"shop":["a","b"],"web":["a","blue","v2"]}`,
			"/v1/health/state/critical":   `"ServiceID":"web-1"`,
			"/v1/health/state/passing":    `"ServiceID":"shop-1:80"`,
			"/v1/health/checks/web":       `"CheckID":"service:web-1"`,
			"/v1/health/node/shop-1":      `"CheckID":"service:shop-1:80"`,
			"/v1/catalog/service/web":     `"ServiceAddress":"10.0.0.5"`,
			"/v1/catalog/node/agent":      `"Services":{"web-1":`,
			"/v1/catalog/node-services/a": `null`,
			"/v1/agent/services":          `"web-1":{"ID":"web-1","Service":"web"`,
			"/v1/agent/checks":            `"service:web-1":{`,
			"/v1/agent/self":              `"NodeName":"agent"`,
			"/v1/agent/members":           `"Name":"agent"`,
		} {
			a := w.get(path)
			if a.status != 200 || !strings.Contains(a.body, want) {
				t.Errorf("%s: %d %s; want %s", path, a.status, a.body, want)
			}
			for _, field := range []string{"Tags", "Meta", "Checks", "TaggedAddresses", "ServiceTags", "ServiceMeta", "NodeMeta"} {
				if strings.Contains(a.body, `"`+field+`":null`) {
					t.Errorf("%s has a %s that is null: %s", path, field, a.body)
				}
			}
		}
		// The catalog and the health of a service have the same order.
		for n := range 20 {
			w.put("/v1/agent/service/register", fmt.Sprintf(`{"ID":"x-%d","Name":"x","Port":80,"Address":"10.0.0.5"}`, (n*7)%20))
		}
		var flat []struct{ ServiceID string }
		w.get("/v1/catalog/service/x").into(t, &flat)
		var ids []string
		for _, s := range flat {
			ids = append(ids, s.ServiceID)
		}
		if got := w.health("x"); got != strings.Join(ids, ", ") || len(ids) != 20 {
			t.Errorf("health: %s, catalog: %v", got, ids)
		}
	})
}

func TestParameters(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.put("/v1/agent/service/register", web1)
		w.put("/v1/agent/service/register", `{"ID":"web-2","Name":"web","Port":8081,"Address":"10.0.0.6","Tags":["V2","green"]}`)
		filter := func(text string) string { return "web?filter=" + url.QueryEscape(text) }
		for path, want := range map[string]string{
			"web?tag=v2": "web-1,web-2", "web?tag=V2&tag=green": "web-2", "web?tag=none": "", "web?passing": "web-2", "web?passing=true": "web-2",
			"web?passing=false": "web-1,web-2", "web?near=_agent&cached&max_stale=5s&unknown=1": "web-1,web-2", "web?dc=dc1": "web-1,web-2",
			"web?node-meta=zone:x": "", "web?ns=default": "web-1,web-2", "web?ns=other": "",
			filter(`"green" in Service.Tags`):                                               "web-2",
			filter(`Service.Meta.Version == "2.1"`):                                         "web-1",
			filter(`Service.Port != 8080 and Service.Address matches "^10[.]"`):             "web-2",
			filter(`Node.Node == "agent" and not Checks is empty`):                          "web-1",
			filter(`any Checks as c { c.Status == "critical" }`):                            "web-1",
			filter(`Service.ID == "web-1" or Service.ID == "web-2"`) + "&passing&tag=green": "web-2",
		} {
			var ids []string
			for line := range strings.SplitSeq(w.health(path), ", ") {
				id, _, _ := strings.Cut(line, " ")
				ids = append(ids, id)
			}
			if got := strings.Join(ids, ","); got != want {
				t.Errorf("%s: %s; want %s", path, got, want)
			}
		}
		for path, want := range map[string]string{
			"/v1/catalog/services?filter=" + url.QueryEscape(`ServiceTags contains "green"`):               `{"web":["V2","green"]}`,
			"/v1/catalog/service/web?filter=" + url.QueryEscape(`ServicePort == 8080`):                     `"web-1"`,
			"/v1/agent/services?filter=" + url.QueryEscape(`Service == "web" and Port == 8081`):            `{"web-2":`,
			"/v1/agent/checks?filter=" + url.QueryEscape(`Status == critical`):                             `"service:web-1"`,
			"/v1/health/state/any?filter=" + url.QueryEscape(`ServiceName == "web"`):                       `"service:web-1"`,
			"/v1/catalog/nodes?filter=" + url.QueryEscape(`Node == "agent"`):                               `"agent"`,
			"/v1/catalog/node/agent?filter=" + url.QueryEscape(`Tags contains "green"`):                    `{"web-2":`,
			"/v1/catalog/service/web?pretty&filter=" + url.QueryEscape(`ServiceMeta.Version is not empty`): "\n        \"ServiceID\": \"web-1\"",
		} {
			if a := w.get(path); a.status != 200 || !strings.Contains(a.body, want) {
				t.Errorf("%s: %d %s; want %s", path, a.status, a.body, want)
			}
		}
		for _, mode := range []string{"stale", "consistent", "leader"} {
			if a := w.get("/v1/health/service/web?" + mode); a.header.Get("X-Consul-Effective-Consistency") != mode ||
				a.header.Get("X-Consul-KnownLeader") != "true" || a.header.Get("X-Consul-LastContact") != "0" {
				t.Errorf("%s: got %v", mode, a.header)
			}
		}
		for path, want := range map[string]string{
			"service/web?index=x": "Invalid index", "service/web?index=-1": "Invalid index", "service/web?wait=soon": "Invalid wait time",
			"service/web?wait=-5s": "Invalid wait time", "service/web?passing=maybe": "passing", "service/web?stale&consistent": "conflicting semantics",
			"service/web?dc=dc2": "No path to datacenter", "service/web?node-meta=:x": "node-meta", "service/web?ns=a%20b": "namespace",
			"service/web?filter=" + url.QueryEscape("Service.Port =="): "boolean expression", "service/": "Missing service name", "state/": "Missing check state",
			"service/web?filter=" + url.QueryEscape("Color == red"): "Color", "state/sad": "sad", "service/web?x=%ZZ": "query",
			"service/web?filter=" + url.QueryEscape(strings.Repeat("(", 1000)): "boolean expression",
		} {
			a := w.get("/v1/health/" + path)
			if a.status < 400 || !strings.Contains(a.body, want) || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
				t.Errorf("%s: %d %s; want a text with %q", path, a.status, a.body, want)
			}
		}
	})
}

// The agent's health endpoints speak in status codes.
func TestAgentHealth(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.put("/v1/agent/service/register", web1)
		for status, code := range map[string]int{"pass": 200, "warn": 429, "fail": 503} {
			w.put("/v1/agent/check/"+status+"/service:web-1", "")
			for _, path := range []string{"id/web-1", "name/web", "id/web-1?format=text", "name/web?format=text"} {
				if a := w.get("/v1/agent/health/service/" + path); a.status != code {
					t.Errorf("%s %s: %d %s", status, path, a.status, a.body)
				}
			}
		}
		for _, path := range []string{"id/none", "name/none"} {
			if a := w.get("/v1/agent/health/service/" + path); a.status != 404 || !strings.Contains(a.body, "none") {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}
	})
}

// A long list is compressed for who takes that, and a HEAD has no body.
func TestEncoding(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		for n := range 50 {
			w.put("/v1/agent/service/register", fmt.Sprintf(`{"ID":"x-%d","Name":"x","Port":80,"Address":"10.0.0.5"}`, n))
		}
		plain := w.get("/v1/health/service/x")
		for _, accept := range []string{"gzip", "deflate, gzip;q=0.5", "*"} {
			a, err := w.try("GET", "/v1/health/service/x", "", http.Header{"Accept-Encoding": {accept}})
			if err != nil || a.header.Get("Content-Encoding") != "gzip" || len(a.body) > len(plain.body)/5 {
				t.Fatalf("%s: %v, %v, %d bytes of %d", accept, err, a.header, len(a.body), len(plain.body))
			}
			z, err := gzip.NewReader(strings.NewReader(a.body))
			if err != nil {
				t.Fatal(err)
			}
			if data, err := io.ReadAll(z); err != nil || string(data) != plain.body {
				t.Errorf("%s: %v", accept, err)
			}
		}
		if a, _ := w.try("GET", "/v1/health/service/x", "", http.Header{"Accept-Encoding": {"gzip;q=0"}}); a.header.Get("Content-Encoding") != "" {
			t.Error("compressed for one who does not take it")
		}
		if a := w.do("HEAD", "/v1/health/service/x", ""); a.status != 200 || a.body != "" || a.index(t) != plain.index(t) {
			t.Errorf("got %+v", a)
		}
	})
}

// A server that has just started says that it cannot tell yet; what clients say
// of themselves it takes.
func TestWarming(t *testing.T) {
	bubble(t, server.Config{}, func(t *testing.T, w *world) {
		for _, path := range []string{
			"catalog/services", "catalog/service/web", "catalog/nodes", "catalog/node/agent", "health/service/web", "health/state/any", "health/checks/web",
		} {
			if a := w.get("/v1/" + path); a.status != 500 || a.body != "No cluster leader" {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}
		if a := w.get("/v1/status/leader"); a.status != 200 || a.body != `""` {
			t.Errorf("leader: %d %s", a.status, a.body)
		}
		w.put("/v1/agent/service/register", web1)
		w.put("/v1/agent/check/pass/service:web-1", "")
		if a := w.get("/v1/agent/services"); a.status != 200 || !strings.Contains(a.body, "web-1") {
			t.Errorf("got %d %s", a.status, a.body)
		}
		w.get("/v1/agent/self").into(t, new(any))
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if got := w.health("web"); got != "web-1 passing" {
			t.Errorf("got %s", got)
		}
		if a := w.get("/v1/status/leader"); a.body == `""` {
			t.Error("there is no leader still")
		}
	})
}

// A drain knows of those who route traffic by what they read here, and cannot
// acknowledge: also of those who wait for the next change since long ago.
func TestBlindReaders(t *testing.T) {
	for path, want := range map[string]bool{
		"": false, "health/service/web": true, "catalog/service/web": true, "health/checks/web": false, "catalog/services": false, "health/state/any": false,
	} {
		bubble(t, cold(), func(t *testing.T, w *world) {
			c := w.launch("web-1", "web", registry.Passing)
			w.launch("web-2", "web", registry.Passing, func(i *registry.Instance) { i.Address = "10.0.0.2" })
			if path != "" {
				w.get("/v1/" + path)
			}
			if got := w.drain(c, "web-1:80"); got != want {
				t.Errorf("%q: a blind reader: %v; want %v", path, got, want)
			}
			if !want {
				return
			}
			w.declare(c, "web-1", "web", registry.Passing)
			a := w.get("/v1/" + path)
			woken := w.async(fmt.Sprintf("/v1/%s?index=%d&wait=9m", path, a.index(t)))
			time.Sleep(8 * time.Minute)
			if !w.drain(c, "web-1:80") {
				t.Errorf("%q: who has waited for long is no reader", path)
			}
			<-woken
		})
	}
}

// drain drains an instance, and reports whether there were blind readers.
func (w *world) drain(c *client.Client, id string) bool {
	w.t.Helper()
	c.Drain(registry.Drain{IDs: []string{id}, Wait: registry.InMilliseconds(4 * time.Second)})
	for {
		select {
		case e := <-c.Events():
			if drained, ok := e.(client.Drained); ok {
				return drained.Blind
			}
		case <-time.After(time.Minute):
			w.t.Fatal("the drain has no end")
		}
	}
}
