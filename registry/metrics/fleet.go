package metrics

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

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

// counted is what a session had reported when somebody asked last.
type counted struct {
	restarts, renders int
	cpu               registry.Milliseconds
}

// sums are the counters of a group, since the server began.
type sums struct{ restarts, renders, cpu float64 }

// fleetCollector sums up the launchers' reports.
type fleetCollector struct {
	server *server.Server

	mu   sync.Mutex
	seen map[string]counted // by session
	sums map[group]*sums
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
	seen := make(map[string]counted, len(c.seen))
	for _, s := range c.server.Sessions() {
		g := c.groupOf(s)
		n := groups[g]
		if n == nil {
			n = &now{states: make(map[string]int)}
			groups[g] = n
		}
		if s.Report == nil {
			n.states["unknown"]++
			continue
		}
		n.add(s.Report)
		seen[s.Session] = c.count(g, c.seen[s.Session], s.Report)
	}
	c.seen = seen
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
func (c *fleetCollector) groupOf(s registry.SessionDetail) group {
	g := group{namespace: s.Namespace}
	if len(s.Services) > 0 {
		g.service = s.Services[0]
	}
	if c.sums[g] == nil && len(c.sums) >= maxServices {
		return group{}
	}
	return g
}

// count adds what is new since the session was looked at last.
func (c *fleetCollector) count(g group, before counted, r *registry.Report) counted {
	s := c.sums[g]
	if s == nil {
		s = &sums{}
		c.sums[g] = s
	}
	is := counted{restarts: r.Restarts, renders: r.Renders, cpu: before.cpu}
	s.restarts += float64(max(0, is.restarts-before.restarts))
	s.renders += float64(max(0, is.renders-before.renders))
	if r.Use != nil {
		is.cpu = r.Use.CPU
		if is.cpu < before.cpu { // another child
			before.cpu = 0
		}
		s.cpu += (is.cpu - before.cpu).Duration().Seconds()
	}
	return is
}

func (n *now) add(r *registry.Report) {
	n.states[r.State]++
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
