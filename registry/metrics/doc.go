// Package metrics shows a discovery server, and the fleet that reports to it, to
// Prometheus.
//
// # What it is
//
// Numbers are read when somebody asks for them: nothing is counted twice, and a
// server that nobody scrapes pays nothing. Names and units are those that
// Prometheus recommends (https://prometheus.io/docs/practices/naming/): base
// units, _total for what only grows. What begins with cleatd_ is about the server,
// what begins with cleat_ about launchers and their children, as they report it.
//
// # What it is not
//
// No series for each container: everything about the fleet is summed up by
// namespace and service, and services beyond the first 2,000 of their order are
// summed up as one whose name is empty. A page shows single ones.
//
// # Counts of the fleet
//
// A launcher reports how often its child was started since the launcher began. The
// sum over all launchers would fall whenever one leaves, and jump whenever one
// comes back. So the counters here add up what is new since the last time that
// somebody asked, by the launcher's id: they never fall while the server runs,
// begin for each launcher with what it reports first, and miss what it did after
// the last time before it left. A group that nobody was in for an hour is forgotten.
package metrics
