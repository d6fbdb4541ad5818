package consul_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cleat/registry/access"
)

// A request acts in the namespace of its token, sees what that may read, and
// changes what that may register.
func TestTokens(t *testing.T) {
	secret := make(map[string]string)
	var file strings.Builder
	for _, line := range []string{"admin admin * *", "web register prod web*", "reader read prod web", "dev register dev/* *"} {
		name, rest, _ := strings.Cut(line, " ")
		secret[name] = access.NewToken()
		sum := sha256.Sum256([]byte(secret[name]))
		fmt.Fprintf(&file, "%s sha256:%s %s\n", name, hex.EncodeToString(sum[:]), rest)
	}
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := access.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	config := cold()
	config.Tokens = tokens
	bubble(t, config, func(t *testing.T, w *world) {
		ask := func(name, method, path, body string) answer {
			t.Helper()
			a, err := w.try(method, "/v1/"+path, body, http.Header{"X-Consul-Token": {secret[name]}})
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		service := func(name string) string {
			return fmt.Sprintf(`{"ID":%q,"Name":%q,"Port":80,"Address":"10.0.0.5","Check":{"TTL":"1m"}}`, name+"-1", name)
		}
		for _, test := range []struct {
			who, path, body string
			status          int
		}{
			{"web", "agent/service/register", service("web"), 200}, {"web", "agent/service/register", service("web-admin"), 200},
			{"web", "agent/service/register", service("db"), 403}, {"web", "agent/service/register?ns=default", service("web"), 403},
			{"reader", "agent/service/register", service("web"), 403}, {"admin", "agent/service/register?ns=prod", service("db"), 200},
			{"dev", "agent/service/register?ns=dev/alice", service("web"), 200}, {"dev", "agent/service/register", service("web"), 403},
			{"reader", "agent/check/pass/service:web-1", "", 403}, {"web", "agent/check/pass/service:web-1", "", 200},
			{"web", "agent/check/pass/service:db-1", "", 403}, {"web", "agent/service/deregister/db-1", "", 403},
			{"web", "agent/service/maintenance/db-1?enable=true", "", 403}, {"web", "catalog/deregister", `{"Node":"agent","ServiceID":"db-1"}`, 403},
			// An ID of a service that is none of its business cannot be taken.
			{"web", "agent/service/register", `{"ID":"db-1","Name":"web","Port":80,"Address":"10.0.0.5"}`, 403},
			{"nobody", "agent/service/register", service("web"), 401},
		} {
			if a := ask(test.who, "PUT", test.path, test.body); a.status != test.status || a.status == 403 && !strings.Contains(a.body, "Permission denied") {
				t.Errorf("%s: PUT %s %s: %d %s; want %d", test.who, test.path, test.body, a.status, a.body, test.status)
			}
		}
		for _, test := range []struct{ who, path, want string }{
			{"reader", "catalog/services", `{"web":[]}`}, {"web", "catalog/services", `{"web":[],"web-admin":[]}`},
			{"admin", "catalog/services?ns=prod", `{"db":[],"web":[],"web-admin":[]}`}, {"admin", "catalog/services", `{}`},
			{"reader", "health/service/db", `[]`}, {"reader", "catalog/services?ns=dev/alice", `{}`}, {"dev", "catalog/services?ns=dev/alice", `{"web":[]}`},
		} {
			if a := ask(test.who, "GET", test.path, ""); a.status != 200 || a.body != test.want {
				t.Errorf("%s: %s: %d %s; want %s", test.who, test.path, a.status, a.body, test.want)
			}
		}
		for _, path := range []string{"health/state/any", "agent/services", "agent/checks", "catalog/node/agent", "health/node/agent", "catalog/nodes", "agent/health/service/name/web"} {
			a := ask("reader", "GET", path, "")
			if strings.Contains(a.body, "db") || strings.Contains(a.body, "web-admin") {
				t.Errorf("%s shows a reader of web other services: %s", path, a.body)
			}
		}
		if a := ask("reader", "GET", "health/state/any", ""); a.header.Get("X-Consul-Results-Filtered-By-ACLs") != "true" {
			t.Errorf("nothing says that something was left out: %v", a.header)
		}
		// Who may not see a service is not woken by it, and learns nothing.
		began := time.Now()
		a := ask("reader", "GET", "health/service/db?wait=10s&index="+fmt.Sprint(ask("reader", "GET", "health/service/db", "").index(t)), "")
		if took := time.Since(began); took < 10*time.Second || a.index(t) != 1 {
			t.Errorf("answered after %v: %+v", took, a)
		}
	})
}
