package metrics

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"cleat/registry"
)

// maxServices is how many services have series of their own.
const maxServices = 2000

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// The server's numbers.
var (
	warming       = describe("cleatd_warming", "1 while the server knows that it does not know everything yet.")
	preserving    = describe("cleatd_preserving", "1 while self-preservation is on: so many were lost at once that the network or the server is taken to be at fault.")
	sessions      = describe("cleatd_sessions", "Launchers that are connected.")
	sessionsBegun = describe("cleatd_sessions_begun_total", "Sessions that began.")
	sessionsEnded = describe("cleatd_sessions_ended_total", "Sessions that ended, by cause.", "cause")
	beat          = describe("cleatd_beat_interval_seconds", "How often launchers are asked to show that they live.")
	services      = describe("cleatd_services", "Services with instances, or that somebody requires.")
	instances     = describe("cleatd_instances", "Instances, by what they are shown as.", "status")
	ofService     = describe("cleatd_service_instances", "Instances of a service, by what they are.", "namespace", "service", "status")
	ofServiceHeld = describe("cleatd_service_held_instances", "Instances of a service that are shown although their session is lost, or although they are critical.", "namespace", "service")
	held          = describe("cleatd_held_instances", "Instances that are shown although their session is lost, or although they are critical.")
	unlaunched    = describe("cleatd_registrations", "Instances without a launcher.")
	marks         = describe("cleatd_maintenance_marks", "Instances in maintenance, those that are gone and may come back among them.")
	views         = describe("cleatd_views", "Different requirements that launchers have.")
	drains        = describe("cleatd_drains", "Drains that are not over.")
	drainsOver    = describe("cleatd_drains_total", "Drains that are over.")
	drainsPending = describe("cleatd_drains_pending_total", "Drains that were over before everybody had acknowledged them.")
	changes       = describe("cleatd_changes_total", "Changes of instances.")
	events        = describe("cleatd_events_total", "Events in the journal.")
	answers       = describe("cleatd_dns_answers_total", "DNS queries that were answered, by response code.", "rcode")
	expiry        = describe("cleatd_certificate_expiry_timestamp_seconds", "When the server's certificate expires.")
)

// serverCollector reads the server's numbers.
type serverCollector struct{ Config }

// Describe says nothing: which series there are depends on what there is.
func (c *serverCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the numbers.
func (c *serverCollector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	count := func(d *prometheus.Desc, value uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
	s := c.Server.Stats()
	gauge(warming, truth(s.Warming))
	gauge(preserving, truth(s.Preserving))
	gauge(sessions, float64(s.Sessions))
	count(sessionsBegun, s.SessionsBegun)
	for cause, n := range map[string]uint64{"lost": s.SessionsLost, "expired": s.SessionsExpired, "left": s.SessionsLeft, "fenced": s.SessionsFenced} {
		count(sessionsEnded, n, cause)
	}
	gauge(beat, s.BeatEvery.Seconds())
	gauge(services, float64(s.Services))
	for _, status := range registry.Statuses() {
		gauge(instances, float64(s.Instances[status]), string(status))
	}
	gauge(held, float64(s.Held))
	gauge(unlaunched, float64(s.Registrations))
	gauge(marks, float64(s.Marks))
	gauge(views, float64(s.Views))
	gauge(drains, float64(s.Drains))
	count(drainsOver, s.DrainsOver)
	count(drainsPending, s.DrainsPending)
	count(changes, s.Changes)
	count(events, s.Events)
	c.services(gauge)
	if c.Answers != nil {
		counts := c.Answers()
		for _, code := range slices.Sorted(maps.Keys(counts)) {
			count(answers, counts[code], code)
		}
	}
	if c.Expiry != nil {
		if at := c.Expiry(); !at.IsZero() {
			gauge(expiry, float64(at.Unix()))
		}
	}
}

// services shows each service, and those that are too many as one.
func (c *serverCollector) services(gauge func(*prometheus.Desc, float64, ...string)) {
	rest := make(map[registry.Status]int)
	restHeld, many := 0, false
	for n, s := range c.Server.Catalog("").Services {
		if n >= maxServices {
			many = true
			restHeld += s.Held
			for status, count := range s.Instances {
				rest[status] += count
			}
			continue
		}
		for status, count := range s.Instances {
			gauge(ofService, float64(count), s.Namespace, s.Service, string(status))
		}
		gauge(ofServiceHeld, float64(s.Held), s.Namespace, s.Service)
	}
	if many {
		for status, count := range rest {
			gauge(ofService, float64(count), "", "", string(status))
		}
		gauge(ofServiceHeld, float64(restHeld), "", "")
	}
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
