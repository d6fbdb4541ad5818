// Package eureka speaks Eureka's REST interface, under /eureka and /eureka/v2,
// so that Spring, Netflix's Java client, Go clients and Prometheus find the
// server's services, and register their own, without a change.
//
// # What it is
//
// A translation and nothing more. An app is a service in capitals, an instance
// is an instance, and the server's registry is the only state: launchers'
// instances are seen by Eureka's clients, and theirs by launchers, DNS and
// everybody else. Reads are answered from the registry as it is now, without
// Eureka's caches, which takes half a minute off the way of a change.
//
// What an Eureka client says of itself and the registry has no word for (pages,
// data centre, metadata with odd names) is kept with the instance and given
// back as it was.
//
// # What it is not
//
// No peer: it does not replicate to Eureka servers, nor they to it. No second
// opinion: how long a silent instance is kept is the server's rule.
//
//	client          registry                       seen by Eureka's clients
//	UP              passing                        UP (warning: UP, too)
//	STARTING        starting                       STARTING
//	DOWN            critical                       DOWN
//	OUT_OF_SERVICE  critical, or maintenance when  OUT_OF_SERVICE (draining, too)
//	                it is an operator's override
//	UNKNOWN         critical                       UNKNOWN
//
// A lease that is not renewed for its duration makes the instance critical
// (DOWN); when it is not renewed for as long again, the instance is removed.
// That is when Eureka removes it, whose renewals count the duration twice.
//
// # Deltas
//
// What differed between two reads is kept for three minutes, three times the
// time between a client's reads:
//
//	         a read finds a difference
//	snapshot -------------------------> changes of the last 3 minutes
//	         <------------------------- snapshot of that read
//
// The hash in every answer is that of all instances, so a client that missed a
// change notices, and reads everything.
package eureka
