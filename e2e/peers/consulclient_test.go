package peers

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/consul/api/watch"
)

// officialClient returns Consul's own client library.
func officialClient(t *testing.T, s *server) *api.Client {
	t.Helper()
	client, err := api.NewClient(&api.Config{Address: s.address})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// must fails the test with the error, if there is one.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The official client registers, passes, finds, waits and deregisters.
func TestConsulClient(t *testing.T) {
	t.Parallel()
	s := serve(t, "", "-warming", "0")
	client := officialClient(t, s)
	agent, health, catalog := client.Agent(), client.Health(), client.Catalog()

	self, err := agent.Self()
	must(t, err)
	name, err := agent.NodeName()
	must(t, err)
	if self["Config"]["Datacenter"] != "dc1" || name == "" {
		t.Errorf("self is %v, the node %q", self["Config"], name)
	}
	leader, err := client.Status().Leader()
	must(t, err)
	if _, _, err := net.SplitHostPort(leader); err != nil {
		t.Errorf("the leader is %q", leader)
	}

	_, meta, err := health.Service("web", "", true, nil)
	must(t, err)
	if meta.LastIndex == 0 || !meta.KnownLeader {
		t.Errorf("got %+v", meta)
	}
	// No address: it is that of the client.
	must(t, agent.ServiceRegister(&api.AgentServiceRegistration{
		ID: "web-1", Name: "web", Port: 8080, Tags: []string{"v2", "a"}, Meta: map[string]string{"Version": "2"},
		TaggedAddresses: map[string]api.ServiceAddress{"wan": {Address: "192.0.2.7", Port: 80}},
		Weights:         &api.AgentWeights{Passing: 5, Warning: 2},
		Check:           &api.AgentServiceCheck{TTL: "30s", DeregisterCriticalServiceAfter: "5m"},
	}))
	waited := make(chan error, 1)
	go func() {
		entries, next, err := health.Service("web", "v2", true, &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: time.Minute})
		for err == nil && len(entries) == 0 { // the registration alone does not pass
			entries, next, err = health.Service("web", "v2", true, &api.QueryOptions{WaitIndex: next.LastIndex, WaitTime: time.Minute})
		}
		switch {
		case err != nil:
		case next.LastIndex <= meta.LastIndex:
			err = fmt.Errorf("the index is %d after %d", next.LastIndex, meta.LastIndex)
		case entries[0].Service.Address != "127.0.0.1" || entries[0].Service.Port != 8080 || entries[0].Checks.AggregatedStatus() != api.HealthPassing ||
			entries[0].Service.Weights.Passing != 5 || entries[0].Service.Meta["Version"] != "2" || entries[0].Service.Tags[0] != "v2" ||
			entries[0].Service.TaggedAddresses["wan"].Address != "192.0.2.7" || entries[0].Node.Node != name:
			err = fmt.Errorf("got %+v, %+v", entries[0].Service, entries[0].Node)
		}
		waited <- err
	}()
	time.Sleep(200 * time.Millisecond)
	began := time.Now()
	must(t, agent.UpdateTTL("service:web-1", "all is well", api.HealthPassing))
	must(t, <-waited)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the waiting query took %v", took)
	}

	services, _, err := catalog.Services(nil)
	must(t, err)
	if !slices.Equal(services["web"], []string{"a", "v2"}) {
		t.Errorf("got %v", services)
	}
	flat, _, err := catalog.Service("web", "", &api.QueryOptions{Filter: `ServiceMeta.Version == "2"`})
	must(t, err)
	if len(flat) != 1 || flat[0].ServiceID != "web-1" || flat[0].ServiceWeights.Passing != 5 || flat[0].Node != name {
		t.Errorf("got %+v", flat)
	}
	checks, _, err := health.State(api.HealthAny, nil)
	must(t, err)
	if len(checks) != 1 || checks[0].CheckID != "service:web-1" || checks[0].Output != "all is well" {
		t.Errorf("got %+v", checks)
	}
	node, _, err := catalog.Node(name, nil)
	must(t, err)
	if node == nil || node.Services["web-1"] == nil {
		t.Errorf("got %+v", node)
	}
	if none, _, err := catalog.Node("nobody", nil); err != nil || none != nil {
		t.Errorf("got %+v, %v", none, err)
	}
	own, err := agent.ServicesWithFilter(`"a" in Tags`)
	must(t, err)
	if own["web-1"] == nil || own["web-1"].Port != 8080 {
		t.Errorf("got %+v", own)
	}
	one, _, err := agent.Service("web-1", nil)
	must(t, err)
	if one.ContentHash == "" || one.EnableTagOverride {
		t.Errorf("got %+v", one)
	}
	must(t, agent.WarnTTL("service:web-1", "slow"))
	if status, info, err := agent.AgentHealthServiceByID("web-1"); err != nil || status != api.HealthWarning || info.Service.ID != "web-1" {
		t.Errorf("got %s, %+v, %v", status, info, err)
	}
	if status, info, err := agent.AgentHealthServiceByName("web"); err != nil || status != api.HealthWarning || len(info) != 1 {
		t.Errorf("got %s, %+v, %v", status, info, err)
	}
	must(t, agent.EnableServiceMaintenance("web-1", "upgrade"))
	entries, _, err := health.Service("web", "", false, nil)
	must(t, err)
	if len(entries) != 1 || entries[0].Checks.AggregatedStatus() != api.HealthMaint {
		t.Errorf("got %+v", entries)
	}
	must(t, agent.DisableServiceMaintenance("web-1"))
	must(t, agent.CheckRegister(&api.AgentCheckRegistration{
		Name: "the port", ServiceID: "web-1", AgentServiceCheck: api.AgentServiceCheck{TCP: "127.0.0.1:1", Interval: "1h", Status: api.HealthPassing},
	}))
	registered, err := agent.Checks()
	must(t, err)
	if len(registered) != 2 || registered["the port"] == nil {
		t.Errorf("got %+v", registered)
	}
	must(t, agent.CheckDeregister("the port"))
	must(t, agent.ServiceDeregister("web-1"))
	if err := agent.ServiceDeregister("web-1"); err == nil || !strings.Contains(err.Error(), "Unknown service ID") {
		t.Errorf("a service that is gone: %v", err)
	}
	if err := agent.PassTTL("service:web-1", ""); err == nil || !strings.Contains(err.Error(), "Unknown check ID") {
		t.Errorf("a check that is gone: %v", err)
	}
	if entries, _, err := health.Service("web", "", false, nil); err != nil || len(entries) != 0 {
		t.Errorf("got %+v, %v", entries, err)
	}
	// A database that somebody else runs.
	_, err = catalog.Register(&api.CatalogRegistration{
		Node: "db-1", Address: "192.0.2.9", Service: &api.AgentService{Service: "postgres", Port: 5432},
		Checks: api.HealthChecks{{CheckID: "alive", Status: api.HealthPassing, ServiceID: "postgres"}},
	}, nil)
	must(t, err)
	entries, _, err = health.Service("postgres", "", true, nil)
	must(t, err)
	if len(entries) != 1 || entries[0].Node.Node != "db-1" || entries[0].Service.Address != "192.0.2.9" {
		t.Errorf("got %+v", entries)
	}
	_, err = catalog.Deregister(&api.CatalogDeregistration{Node: "db-1"}, nil)
	must(t, err)
	// What cleatd is not, it says.
	if _, _, err := client.KV().Get("a", nil); err == nil || !strings.Contains(err.Error(), "no key-value store") {
		t.Errorf("a key: %v", err)
	}
	if _, _, err := client.Session().Create(nil, nil); err == nil || !strings.Contains(err.Error(), "no locks") {
		t.Errorf("a session: %v", err)
	}
}

// A watch plan sees everything that happens, over a restart of the server, too.
func TestConsulWatch(t *testing.T) {
	t.Parallel()
	s := serve(t, "")
	plans := map[string]string{}
	var mu sync.Mutex
	for kind, params := range map[string]map[string]any{
		"service": {"type": "service", "service": "web", "passingonly": true}, "services": {"type": "services"},
		"checks": {"type": "checks", "state": "any"}, "nodes": {"type": "nodes"},
	} {
		plan, err := watch.Parse(params)
		must(t, err)
		plan.HybridHandler = func(_ watch.BlockingParamVal, result any) {
			var names []string
			switch result := result.(type) {
			case []*api.ServiceEntry:
				for _, e := range result {
					names = append(names, e.Service.ID)
				}
			case map[string][]string:
				for name := range result {
					names = append(names, name)
				}
			case []*api.HealthCheck:
				for _, c := range result {
					names = append(names, c.CheckID+"="+c.Status)
				}
			case []*api.Node:
				for _, n := range result {
					names = append(names, n.Node)
				}
			}
			slices.Sort(names)
			mu.Lock()
			defer mu.Unlock()
			plans[kind] = strings.Join(names, " ")
		}
		done := make(chan error, 1)
		go func() { done <- plan.Run(s.address) }()
		t.Cleanup(func() { plan.Stop(); <-done })
	}
	sees := func(limit time.Duration, want map[string]string) time.Duration {
		t.Helper()
		return eventually(t, limit, func() error {
			mu.Lock()
			defer mu.Unlock()
			for kind, names := range want {
				if kind != "nodes" && plans[kind] != names || !strings.Contains(plans[kind], names) { // the server is a node as well
					return fmt.Errorf("%s has %q; want %q", kind, plans[kind], names)
				}
			}
			return nil
		})
	}
	agent := officialClient(t, s).Agent()
	register := func() {
		must(t, agent.ServiceRegister(&api.AgentServiceRegistration{ID: "web-1", Name: "web", Port: 80, Check: &api.AgentServiceCheck{TTL: "1m"}}))
	}
	register()
	sees(30*time.Second, map[string]string{"service": "", "services": "web", "checks": "service:web-1=critical"}) // after warming
	must(t, agent.PassTTL("service:web-1", ""))
	took := sees(5*time.Second, map[string]string{"service": "web-1", "checks": "service:web-1=passing"})
	t.Logf("a pass was seen after %v", took)
	// The server is killed, and knows nothing when it comes back.
	s.kill()
	time.Sleep(500 * time.Millisecond)
	s = serve(t, s.address)
	register()
	must(t, agent.ServiceRegister(&api.AgentServiceRegistration{ID: "other-1", Name: "other", Port: 81}))
	must(t, agent.PassTTL("service:web-1", ""))
	took = sees(time.Minute, map[string]string{"service": "web-1", "services": "other web", "checks": "service:web-1=passing"})
	t.Logf("all was seen %v after the restart", took)
	must(t, agent.ServiceDeregister("web-1"))
	sees(5*time.Second, map[string]string{"service": "", "services": "other", "checks": ""})
	p := s.launch("shop-1", "shop")
	sees(15*time.Second, map[string]string{"services": "other shop", "nodes": "shop-1"})
	p.stop()
	sees(15*time.Second, map[string]string{"services": "other"})
}

// The server asks, by HTTP and by TCP.
func TestConsulChecks(t *testing.T) {
	t.Parallel()
	s := serve(t, "", "-warming", "0")
	agent := officialClient(t, s).Agent()
	var mu sync.Mutex
	status := http.StatusOK
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path != "/health" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(status)
	}))
	defer target.Close()
	u, err := url.Parse(target.URL)
	must(t, err)
	must(t, agent.ServiceRegister(&api.AgentServiceRegistration{ID: "http-1", Name: "http", Port: 80, Check: &api.AgentServiceCheck{HTTP: target.URL + "/health", Interval: "1s"}}))
	must(t, agent.ServiceRegister(&api.AgentServiceRegistration{ID: "tcp-1", Name: "tcp", Port: 80, Check: &api.AgentServiceCheck{TCP: u.Host, Interval: "1s"}}))
	is := func(id, want string) {
		t.Helper()
		eventually(t, 10*time.Second, func() error {
			got, _, err := agent.AgentHealthServiceByID(id)
			if err == nil && got != want {
				err = fmt.Errorf("%s is %s; want %s", id, got, want)
			}
			return err
		})
	}
	for _, answer := range []struct {
		code int
		want string
	}{{http.StatusOK, api.HealthPassing}, {http.StatusTooManyRequests, api.HealthWarning}, {http.StatusInternalServerError, api.HealthCritical}} {
		mu.Lock()
		status = answer.code
		mu.Unlock()
		is("http-1", answer.want)
	}
	is("tcp-1", api.HealthPassing)
	target.Close()
	is("tcp-1", api.HealthCritical)
}

// With -data, what was registered outlives the server: also when it is killed,
// and with all that only Consul's clients know.
func TestConsulData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, "", "-data", dir)
	agent := officialClient(t, s).Agent()
	must(t, agent.ServiceRegister(&api.AgentServiceRegistration{
		ID: "db-1", Name: "db", Port: 5432, Address: "192.0.2.9", Tags: []string{"rw", "eu"}, Meta: map[string]string{"Owner": "ops"},
		Check: &api.AgentServiceCheck{CheckID: "backup", TTL: "1m", Status: api.HealthPassing},
	}))
	must(t, agent.ServiceRegister(&api.AgentServiceRegistration{ID: "cache-1", Name: "cache", Port: 6379, Address: "192.0.2.10"}))
	must(t, agent.EnableServiceMaintenance("cache-1", "moving"))
	time.Sleep(2 * time.Second)
	s.kill()
	s = serve(t, s.address, "-data", dir)
	must(t, agent.PassTTL("backup", "back again"))
	own, _, err := agent.Service("db-1", nil)
	must(t, err)
	if strings.Join(own.Tags, ",") != "rw,eu" || own.Meta["Owner"] != "ops" {
		t.Errorf("got %+v", own)
	}
	eventually(t, 30*time.Second, func() error { // after warming
		entries, _, err := officialClient(t, s).Health().Service("db", "", true, nil)
		if err == nil && (len(entries) != 1 || entries[0].Checks[0].Output != "back again") {
			err = fmt.Errorf("got %+v", entries)
		}
		return err
	})
	entries, _, err := officialClient(t, s).Health().Service("cache", "", false, nil)
	must(t, err)
	if len(entries) != 1 || entries[0].Checks.AggregatedStatus() != api.HealthMaint {
		t.Errorf("what was in maintenance is %+v", entries)
	}
}
