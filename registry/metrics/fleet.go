package metrics

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cleat/registry"
	"cleat/registry/server"
)

// The fleet's numbers.
var (
	launchers     = describe("cleat_launchers", "Launchers that are connected, by their state.", "namespace", "service", "state")
	childRestarts = describe("cleat_child_restarts_total", "Restarts of children.", "namespace", "service")
	renders       = describe("cleat_files_written_total", "Files that launchers wrote from templates.", "namespace", "service")
	unmet         = describe("cleat_unmet_requirements", "Requirements that launchers wait for.", "namespace", "service")
	heldViews     = describe("cleat_held_requirements", "Requirements whose last good view is held.", "namespace", "service")
	cachedViews   = describe("cleat_cached_requirements", "Requirements that are met from a cache, because no server answered.", "namespace", "service")
	failing       = describe("cleat_failing_checks", "Instances that are neither passing nor warning, as their launchers find them.", "namespace", "service")
	renderErrors  = describe("cleat_render_failures", "Launchers whose last render failed: their old files stay.", "namespace", "service")
	cpu           = describe("cleat_child_cpu_seconds_total", "Processor time of children and their descendants.", "namespace", "service")
	memory        = describe("cleat_child_memory_bytes", "Resident memory of children and their descendants.", "namespace", "service")
	processes     = describe("cleat_child_processes", "Children and their descendants.", "namespace", "service")
)

// group is what launchers are summed up by. The service is the first, in order,
// of those that they provide; empty: they provide none.
type group struct{ namespace, service string }

// The bounds of what is remembered of those who are gone.
const (
	// remembered is how long: a launcher that lost its connection, or moved to
	// another server for a while, is back by then.
	remembered = time.Hour
	// maxAbsent is how many launchers at most; with more, all of them are forgotten.
	maxAbsent = 10_000
)

// states are those of a launcher's life; another one is counted as otherState,
// because what a launcher says must not make series.
var states = []string{
	"provisioning", registry.StateWaiting, "preparing", "hooking", "running", "turning", "halting", "backoff",
	"draining", "lingering", "stopping", "ending", "releasing", "over",
}

const (
	unknownState = "unknown" // it has not reported yet
	otherState   = "other"
)

// launcher is one of the fleet, whichever session it has.
type launcher struct{ namespace, id string }

// counted is what a launcher had reported when somebody asked last.
type counted struct {
	restarts, renders int
	cpu               registry.Milliseconds
	at                time.Time
}

// sums are the counters of a group, since the server began.
type sums struct {
	restarts, renders, cpu float64
	at                     time.Time // when somebody of the group was there last
}

// fleetCollector sums up the launchers' reports.
type fleetCollector struct {
	server *server.Server

	mu   sync.Mutex
	seen map[launcher]counted
	sums map[group]*sums
}

// newFleet returns a collector that has seen nobody yet.
func newFleet(server *server.Server) *fleetCollector {
	return &fleetCollector{server: server, seen: make(map[launcher]counted), sums: make(map[group]*sums)}
}

// Describe says nothing: which series there are depends on what there is.
func (c *fleetCollector) Describe(chan<- *prometheus.Desc) {}

// now is what a group amounts to at the moment.
type now struct {
	states                                                        map[string]int
	unmet, held, cached, failing, renderErrors, memory, processes float64
}

// Collect looks at all sessions.
func (c *fleetCollector) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	groups := make(map[group]*now)
	at := time.Now()
	sessions := c.server.Sessions()
	for _, s := range sessions {
		g := c.groupOf(s, at)
		n := groups[g]
		if n == nil {
			n = &now{states: make(map[string]int)}
			groups[g] = n
		}
		if s.Report == nil {
			n.states[unknownState]++
			continue
		}
		n.add(s.Report)
		c.count(g, launcher{s.Namespace, s.ID}, s.Report, at)
	}
	c.forget(len(sessions), at)
	for _, g := range slices.SortedFunc(maps.Keys(groups), compare) {
		n := groups[g]
		gauge := func(d *prometheus.Desc, value float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{g.namespace, g.service}, labels...)...)
		}
		for state, count := range n.states {
			gauge(launchers, float64(count), state)
		}
		gauge(unmet, n.unmet)
		gauge(heldViews, n.held)
		gauge(cachedViews, n.cached)
		gauge(failing, n.failing)
		gauge(renderErrors, n.renderErrors)
		gauge(memory, n.memory)
		gauge(processes, n.processes)
	}
	for _, g := range slices.SortedFunc(maps.Keys(c.sums), compare) {
		count := func(d *prometheus.Desc, value float64) {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, g.namespace, g.service)
		}
		count(childRestarts, c.sums[g].restarts)
		count(renders, c.sums[g].renders)
		count(cpu, c.sums[g].cpu)
	}
}

// groupOf returns the group of a session: its own, while there are not too many.
func (c *fleetCollector) groupOf(s registry.SessionDetail, at time.Time) group {
	g := group{namespace: s.Namespace}
	if len(s.Services) > 0 {
		g.service = s.Services[0]
	}
	if c.sums[g] == nil && len(c.sums) >= maxServices {
		g = group{}
	}
	if c.sums[g] == nil {
		c.sums[g] = &sums{}
	}
	c.sums[g].at = at
	return g
}

// count adds what is new since the launcher was looked at last. What it reports
// the first time is where its counting begins: it may have been with another
// server, or with this one before that started, for months.
func (c *fleetCollector) count(g group, who launcher, r *registry.Report, at time.Time) {
	before, known := c.seen[who]
	is := counted{restarts: r.Restarts, renders: r.Renders, cpu: before.cpu, at: at}
	if r.Use != nil {
		is.cpu = r.Use.CPU
	}
	c.seen[who] = is
	if !known {
		return
	}
	if is.restarts < before.restarts || is.renders < before.renders { // its container is a new one
		before.restarts, before.renders = 0, 0
	}
	if is.cpu < before.cpu { // its child is
		before.cpu = 0
	}
	s := c.sums[g]
	s.restarts += float64(is.restarts - before.restarts)
	s.renders += float64(is.renders - before.renders)
	s.cpu += (is.cpu - before.cpu).Duration().Seconds()
}

// forget drops what was not there for long.
func (c *fleetCollector) forget(present int, at time.Time) {
	maps.DeleteFunc(c.sums, func(_ group, s *sums) bool { return at.Sub(s.at) > remembered })
	maps.DeleteFunc(c.seen, func(_ launcher, s counted) bool { return at.Sub(s.at) > remembered })
	if len(c.seen) > present+maxAbsent {
		maps.DeleteFunc(c.seen, func(_ launcher, s counted) bool { return !s.at.Equal(at) })
	}
}

func (n *now) add(r *registry.Report) {
	state := r.State
	if !slices.Contains(states, state) {
		state = otherState
	}
	n.states[state]++
	n.unmet += float64(len(r.Unmet))
	n.held += float64(len(r.Held))
	n.cached += float64(len(r.Cached))
	for _, check := range r.Checks {
		if !check.Status.Serving() {
			n.failing++
		}
	}
	if r.Render != nil && r.Render.Error != "" {
		n.renderErrors++
	}
	if r.Use != nil {
		n.memory += float64(r.Use.Memory)
		n.processes += float64(r.Use.Processes)
	}
}

func compare(a, b group) int {
	return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.service, b.service))
}
