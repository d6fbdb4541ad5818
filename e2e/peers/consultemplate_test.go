package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// consul-template renders what cleatd knows, and again when it changes.
func TestConsulTemplate(t *testing.T) {
	t.Parallel()
	s := serve(t, "", "-warming", "0")
	dir := t.TempDir()
	source, rendered := filepath.Join(dir, "haproxy.ctmpl"), filepath.Join(dir, "haproxy.cfg")
	must(t, os.WriteFile(source, []byte(`
{{range services}}service {{.Name}} {{.Tags | join ","}}
{{end}}{{range nodes}}node {{.Node}}
{{end}}{{range service "web"}}server {{.Node}} {{.Address}}:{{.Port}} {{.Status}}
{{end}}{{range service "v2.web|any"}}any {{.ID}} {{.Status}}
{{end}}`), 0o600))
	first := s.launch("web-a", "web", "SERVICE_TAGS=v2")
	must(t, officialClient(t, s).Agent().ServiceRegister(&api.AgentServiceRegistration{
		ID: "web-c", Name: "web", Port: 8080, Address: "192.0.2.8", Tags: []string{"v2"}, Check: &api.AgentServiceCheck{TTL: "1m"},
	}))
	start(t, nil, built(t, consulTemplate), "-consul-addr", s.address, "-template", source+":"+rendered, "-log-level", "info")

	has := func(limit time.Duration, present, absent []string) time.Duration {
		t.Helper()
		return eventually(t, limit, func() error {
			lines, err := linesOf(rendered)
			if err != nil {
				return err
			}
			begins := func(want string) bool {
				return slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, want) })
			}
			for _, want := range present {
				if !begins(want) {
					return fmt.Errorf("no %q in\n%s", want, strings.Join(lines, "\n"))
				}
			}
			for _, want := range absent {
				if begins(want) {
					return fmt.Errorf("%q is in\n%s", want, strings.Join(lines, "\n"))
				}
			}
			return nil
		})
	}
	has(20*time.Second, []string{"service web v2", "node web-a", "server web-a 127.0.0.1:", "any web-c critical"}, []string{"server web-b"})
	second := s.launch("web-b", "web")
	took := has(10*time.Second, []string{"node web-b", "server web-b 127.0.0.1:", "server web-a"}, nil)
	t.Logf("a new instance was in the file %v after its launcher's start", took)
	must(t, officialClient(t, s).Agent().PassTTL("service:web-c", ""))
	has(5*time.Second, []string{"any web-c passing", "server "}, nil)
	second.kill()
	took = has(10*time.Second, []string{"server web-a"}, []string{"server web-b", "node web-b"})
	t.Logf("an instance was out of the file %v after its launcher was killed", took)
	first.stop()
	has(10*time.Second, []string{"any web-c"}, []string{"server web-a"})
}
