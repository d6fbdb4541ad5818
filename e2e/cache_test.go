package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"cleat/launcher/control"
)

// TestCacheOverRestart restarts containers with docker while there is no server: the consumer starts from what it
// knew, and says so; and both are the same launchers for the server that comes back.
func TestCacheOverRestart(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	y := newYard(t, must(t, smallImage))
	server := y.startServer()
	web := y.run("web-1", []string{"SERVICE_8080_NAME=web", "CLEAT_CACHE=/cache"}, "/testchild", "web", "-listen", ":8080", "-name", "web-1")
	app := y.run("app-1", []string{"CLEAT_CACHE=/var/lib/cleat/cache", "CLEAT_REQUIRE_WEB=web"},
		"/testchild", "web", "-listen", ":8080", "-name", "{{web.addr}}")
	requirement := func() control.Requirement {
		t.Helper()
		var s control.Status
		if err := json.Unmarshal([]byte(app.exec("/sbin/cleat", "status", "-json")), &s); err != nil {
			t.Fatal(err)
		}
		if len(s.Requires) != 1 {
			t.Fatalf("the status has %d requirements, expected 1", len(s.Requires))
		}
		return s.Requires[0]
	}
	waitFor := func(limit time.Duration, standing control.Standing) control.Requirement {
		t.Helper()
		WaitFor(t, limit, func() error {
			if r := requirement(); r.Standing != standing || r.Warming != (standing == control.Cached) || len(r.Endpoints) != 1 {
				return fmt.Errorf("the requirement is %s (%s), expected %s", r.Standing, r.Why, standing)
			}
			return nil
		})
		return requirement()
	}
	app.waitLog(30*time.Second, "cleat: started")
	before := waitFor(30*time.Second, control.Met)
	time.Sleep(2 * time.Second) // the cache is written at most once a second
	mustDocker(t, "stop", "-t", "2", server.id)

	mustDocker(t, "restart", web.id)
	mustDocker(t, "restart", app.id)
	began := time.Now()
	app.waitLog(20*time.Second, "using the last good views from the cache")
	took := time.Since(began)
	if took < 4*time.Second || took > 8*time.Second {
		t.Errorf("it waited %v for a server, expected 5s", took)
	}
	WaitFor(t, 5*time.Second, func() error {
		if n := strings.Count(app.log(), "cleat: started"); n != 2 {
			return fmt.Errorf("the child was started %d times, expected 2", n)
		}
		return nil
	})
	cached := waitFor(time.Second, control.Cached)
	if cached.Endpoints[0].Addr() != before.Endpoints[0].Addr() || cached.Cached.IsZero() {
		t.Errorf("from the cache it has %+v, expected %+v", cached.Endpoints[0], before.Endpoints[0])
	}
	if screen := app.exec("/sbin/cleat", "status"); !strings.Contains(screen, "ago is in use, from the cache") {
		t.Errorf("cleat status does not say so:\n%s", screen)
	}

	mustDocker(t, "start", server.id)
	after := waitFor(40*time.Second, control.Met)
	if after.Endpoints[0].Since != before.Endpoints[0].Since {
		t.Errorf("the instance has the since %d, before it had %d", after.Endpoints[0].Since, before.Endpoints[0].Since)
	}
	if n := strings.Count(app.log(), "cleat: started"); n != 2 {
		t.Errorf("the child was started %d times, expected 2", n)
	}
	for _, c := range []*container{app, web} {
		if log := c.log(); strings.Contains(log, "conflict") || strings.Contains(log, "the cache cannot") {
			t.Errorf("%s had trouble", c.name)
		}
	}
}
