package consul

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cleat/internal/memnet"
	"cleat/registry/access"
	"cleat/registry/server"
)

// BenchmarkList measures what the list of a service with so many instances costs
// that were registered here, after one of them has changed. It is made once for
// everybody who waits.
func BenchmarkList(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 5000} {
		b.Run(fmt.Sprint("instances=", n), func(b *testing.B) {
			none := time.Duration(0)
			s, err := server.New(server.Config{Warming: &none})
			if err != nil {
				b.Fatal(err)
			}
			handler := New(s, Config{})
			ctx, stop := context.WithCancel(access.With(context.Background(), access.Everything()))
			listener := memnet.Listen()
			served := make(chan struct{})
			go func() {
				defer close(served)
				_ = s.Serve(ctx, listener)
			}()
			b.Cleanup(func() { stop(); <-served })
			for s.Warming() {
				time.Sleep(time.Millisecond)
			}
			ask := func(method, path, body string) *httptest.ResponseRecorder {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body)))
				if w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
				return w
			}
			for i := range n {
				ask(http.MethodPut, "/v1/agent/service/register", fmt.Sprintf(`{"ID":"web-%d","Name":"web","Port":80,"Address":"10.0.0.5","Tags":["a","b"],"Check":{"TTL":"10s"}}`, i))
			}
			size := 0
			for i := 0; b.Loop(); i++ {
				ask(http.MethodPut, "/v1/agent/check/pass/service:web-0?note="+fmt.Sprint(i), "")
				size = ask(http.MethodGet, "/v1/health/service/web", "").Body.Len()
			}
			b.ReportMetric(float64(size), "B/list")
		})
	}
}
