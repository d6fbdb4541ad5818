// Package consul answers Consul's HTTP API from cleat's registry, so that what
// was written for Consul works with cleatd: consul-template, Prometheus,
// Traefik, Registrator, fabio, and what uses one of Consul's client libraries.
//
// # What it is
//
// A handler for the paths below /v1/: the catalog, health, the agent with its
// registrations and checks, and what clients ask before anything else
// (agent/self, status/leader). Lists can be waited for: blocking queries.
//
// # What it is not
//
// Consul. There is no key-value store, no lock, no session, no event, no
// prepared query, no service mesh, no ACL and no datacenter but one; each of
// them is refused with a text that says so. The tokens are cleatd's own.
//
// # Words
//
//	Consul            here
//	service           service; in lower case, whatever the client wrote
//	service instance  instance; its ID is the registry's
//	node              the launcher of an instance; "the agent" for all that is
//	                  registered over HTTP, by whatever interface; or the node
//	                  that catalog/register named
//	agent             the server: there is one for everybody, and so an ID must be
//	                  unique in its namespace rather than on its machine
//	check             a reason for an instance's status. At most one with a TTL
//	                  and one that the server asks (HTTP, TCP)
//	metadata          attributes
//	namespace         the token's own, else default; ?ns= asks for another one
//	index             the revision of the service, or of the namespace
//
// The status of an instance is that of its worst check:
//
//	passing                          passing
//	warning                          warning
//	critical, starting, draining     critical
//	maintenance                      critical, by a check _service_maintenance:<id>
//
// # Blocking queries
//
//	asked --no index, or another than the list's--> answered
//	  |
//	  +--the list's index--> waiting --the list is another one--> answered
//	                           |  ^                |
//	                           |  +--it is not-----+  (an index may grow for nothing)
//	                           +--the time is over, or the server ends--> answered
//
// A list is made and encoded once for everybody who asks for it, until it
// changes; so are its compressed bytes. Who waits holds a connection and a
// goroutine, and no part of the list. Changes that come within 50 ms are one
// answer.
//
// # Guarantees
//
//   - X-Consul-Index is never 0, and never goes back as long as the server lives.
//     After a restart it is larger than before.
//   - A server that has just started, and knows that something may only not be
//     back yet, answers lists with 500 "No cluster leader", as Consul does: every
//     client asks again, and none takes it for an empty list.
//   - Who reads health/service or catalog/service routes by it: a drain waits for
//     him, also while he waits for a change.
//   - Lists are [] or {}, and never null, but for catalog/node of none.
//   - A request that is refused says why, in plain text; the codes and the words
//     that clients look for are Consul's.
//   - Bodies, queries, waits and filters are bounded.
package consul
