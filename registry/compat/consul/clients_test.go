package consul_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cleat/registry"
)

// What Registrator says: it asks for the leader until there is one, registers
// with an ID of host, container and port, and cleans up what is left of others.
func TestRegistratorsCalls(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		if a := w.get("/v1/status/leader"); a.status != 200 || len(a.body) < 3 {
			t.Errorf("got %d %s", a.status, a.body)
		}
		for kind, check := range map[string]string{
			"none": `null`, "http": `{"HTTP":"http://10.0.0.5:32768/health","Interval":"15s","Timeout":"1s"}`,
			"tcp": `{"TCP":"10.0.0.5:32768","Interval":"15s","DeregisterCriticalServiceAfter":"10m"}`, "ttl": `{"TTL":"30s","Status":"passing"}`,
		} {
			id := "host:web-" + kind + ":8080"
			w.put("/v1/agent/service/register", fmt.Sprintf(`{"ID":%q,"Name":"web","Port":32768,"Tags":["prod",""],"Address":"10.0.0.5","Check":%s,"Meta":{"a":"b"}}`, id, check))
			var services map[string]struct{ ID, Service string }
			w.get("/v1/agent/services").into(t, &services)
			if services[id].ID != id || services[id].Service != "web" {
				t.Errorf("%s: got %v", kind, services)
			}
			w.put("/v1/agent/service/deregister/"+id, "")
		}
		if a := w.get("/v1/agent/services"); a.body != "{}" {
			t.Errorf("got %s", a.body)
		}
		if a := w.do("PUT", "/v1/agent/service/register", `{"ID":"host:a:80","Name":"a","Port":80,"Address":"10.0.0.5","Check":{"Args":["/bin/check"],"Interval":"10s"}}`); a.status != 400 {
			t.Errorf("a script: %d %s", a.status, a.body)
		}
	})
}

// What Traefik says: the services and the health of each, with these parameters;
// nodes and services together are unique. It watches services and checks.
func TestTraefiksCalls(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.launch("a", "shop", registry.Passing, func(i *registry.Instance) {
			i.Tags = []string{"traefik.enable=true", "traefik.http.routers.shop.rule=Host(`x`)"}
		})
		w.launch("b", "shop", registry.Passing, func(i *registry.Instance) { i.Address = "10.0.0.2" })
		w.put("/v1/agent/service/register", `{"ID":"c","Name":"shop","Port":80,"Address":"10.0.0.3"}`)
		services := w.get("/v1/catalog/services?stale=&filter=").body
		if !strings.Contains(services, "traefik.http.routers.shop.rule=Host(`x`)") {
			t.Errorf("got %s", services)
		}
		var entries []entry
		w.get("/v1/health/service/shop?cached=&dc=dc1").into(t, &entries)
		seen := make(map[string]bool)
		for _, e := range entries {
			seen[e.Node.Node+"/"+e.Service.ID] = e.Service.Address != ""
		}
		if len(seen) != 3 {
			t.Errorf("got %v", seen)
		}
		watched := w.get("/v1/health/state/any")
		waiting := w.async(fmt.Sprintf("/v1/health/state/any?index=%d", watched.index(t)))
		time.Sleep(time.Second)
		w.launch("d", "shop", registry.Passing, func(i *registry.Instance) { i.Address = "10.0.0.4" })
		if got := <-waiting; got.took > 2*time.Second {
			t.Errorf("woken after %v", got.took)
		}
	})
}

// What fabio says: its routes are in tags; the passing checks say which of them
// hold. Its overrides, in the key-value store, it does not get.
func TestFabiosCalls(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.put("/v1/agent/service/register", `{"ID":"fabio-1","Name":"fabio","Port":9998,"Address":"10.0.0.9","Check":{"TTL":"1m"}}`)
		w.launch("a", "shop", registry.Passing, func(i *registry.Instance) { i.Tags = []string{"urlprefix-/shop"} })
		var checks []checked
		w.get("/v1/health/state/any").into(t, &checks)
		found := false
		for _, c := range checks {
			found = found || c.ServiceID == "a:80" && c.Status == "passing"
		}
		if !found {
			t.Errorf("got %+v", checks)
		}
		if a := w.get("/v1/catalog/service/shop"); !strings.Contains(a.body, `"urlprefix-/shop"`) {
			t.Errorf("got %s", a.body)
		}
		if a := w.get("/v1/kv/fabio/config?recurse="); a.status != 501 || !strings.Contains(a.body, "key-value") {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
}
