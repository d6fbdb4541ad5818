package launcher

import (
	"path"
	"testing"
	"time"
)

// The lines of the child and of coprocesses are prefixed where that is asked for,
// and nothing else is; without it nobody has a prefix.
func TestPrefixedLines(t *testing.T) {
	for asked, want := range map[string]map[string]string{
		"prefix": {"nginx": "nginx | ", "exporter": "metrics | ", "warm": ""},
		"raw":    {"nginx": "", "exporter": "", "warm": ""},
	} {
		inWorld(t, 0, func(w *world) {
			b := w.launch("web-1", env{
				"CLEAT_LOG_CHILD": asked, "CLEAT_COPROCESS_METRICS": "exporter", "CLEAT_HOOK_POST_START": "warm",
			}, "/usr/sbin/nginx")
			b.child()
			time.Sleep(time.Second)
			got := make(map[string]string)
			for _, p := range b.kernel.Started() {
				got[path.Base(p.Spec.Args[0])] = p.Spec.Prefix
			}
			for name, prefix := range want {
				if have, ran := got[name]; !ran || have != prefix {
					t.Errorf("%s: %s ran: %v, and has the prefix %q, expected %q", asked, name, ran, have, prefix)
				}
			}
		})
	}
}
