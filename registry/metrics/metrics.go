package metrics

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"cleat/registry/access"
	"cleat/registry/server"
)

// Config is what metrics are made of.
type Config struct {
	// Server is the one to show.
	Server *server.Server
	// Version is that of the program.
	Version string
	// Answers returns how many DNS queries were answered with each response code;
	// nil: DNS is not answered.
	Answers func() map[string]uint64
	// Expiry returns when the server's certificate expires, the zero time if there
	// is none; nil: there is none.
	Expiry func() time.Time
}

// Metrics answers scrapes, and takes note of requests. It is safe for concurrent
// use.
type Metrics struct {
	handler  http.Handler
	requests *prometheus.HistogramVec
}

// New returns the metrics of a server.
func New() *Metrics {
	return &Metrics{requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "cleatd_http_request_duration_seconds", Help: "How long requests took to be answered, by interface and status; sessions, streams and blocking queries aside.",
		Buckets: []float64{.0001, .001, .01, .1, 1, 10},
	}, []string{"interface", "code"})}
}

// Observe takes note of a request, by the interface that it was for.
func (m *Metrics) Observe(face string, status int, took time.Duration) {
	m.requests.WithLabelValues(face, strconv.Itoa(status)).Observe(took.Seconds())
}

// Show sets what is shown. Call it once, before anybody asks.
func (m *Metrics) Show(config Config) {
	all := prometheus.NewRegistry()
	all.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.requests, &serverCollector{config}, newFleet(config.Server),
	)
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cleatd_build_info", Help: "Always 1; its labels tell the versions.",
		ConstLabels: prometheus.Labels{"version": config.Version, "goversion": runtime.Version()},
	})
	info.Set(1)
	all.MustRegister(info)
	m.handler = promhttp.HandlerFor(all, promhttp.HandlerOpts{DisableCompression: true, MaxRequestsInFlight: maxScrapes})
}

// maxScrapes is how many may be answered at a time: each looks at every session.
const maxScrapes = 4

// ServeHTTP answers a scrape of somebody who may read everything.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !access.Of(r.Context()).Allows(access.Read, "", "") {
		http.Error(w, "metrics tell of everything: the token must allow to read all services of all namespaces", http.StatusForbidden)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	m.handler.ServeHTTP(w, r)
}
