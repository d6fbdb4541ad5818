// Package server is the discovery server: it keeps what launchers offer, tells
// them what they need, and shows both to people and programs over HTTP.
//
// # What it is
//
// One process with its registry in memory. Every launcher has one session, a
// WebSocket on which it declares all that it provides and requires; what it
// provides lives and dies with the session. A server that restarts empty is
// whole again as soon as its launchers are back, because they state everything
// again.
//
// An instance without a launcher is registered by an operation of [Server], which
// the HTTP interfaces call ([Registration]). Those who read without a session see
// the same registry through [Listing], [Catalog], [Event], [Graph] and [Story],
// each with a sign for when it is no longer true.
//
// # What it is not
//
// No database: its registry is in its memory, and what must outlive it is written
// behind to an engine (package registry/engine). It asks no launcher's instance
// how it is: launchers say that; only what has no launcher is checked, where its
// registration says so. No proxy: it never touches the traffic between instances.
//
// # How it is made
//
//	          HTTP, WebSocket                    thin I/O
//	+---------------------------------+
//	| http.go guards and routes       |
//	| upgrade.go shakes hands         |   one goroutine per session that reads;
//	| link.go, receive.go read        |   one that writes while there is something
//	| write.go, outbox.go write       |
//	| api.go shows the state          |
//	+---------------------------------+
//	     events |       ^ frames, shared     Server: one mutex, one clock
//	            v       |
//	+---------------------------------+
//	| core.go begins and ends events  |          pure: no I/O, no clock,
//	| declare.go, identity.go         |          no goroutine
//	| registration.go, kept.go,       |
//	| operate.go                      |
//	| service.go, instance.go, view.go|
//	| drain.go, await.go, grant.go    |
//	| loss.go, held.go, sweep.go,     |
//	| warming.go, journal.go          |
//	+---------------------------------+
//	   ^ lookup.go, catalog.go, graph.go, story.go, stats.go: looks from outside
//	   | keep.go, saved.go: what has changed goes to the engine, behind the events
//	   | checker.go: verdicts of checks come in as events
//
// Everything that happens is an event of the core, under the server's mutex.
// An event changes records and notes which views it touched; when it ends, each
// of these is encoded once, and the same bytes go into the outbox of everybody
// who shares the filter. State machines are drawn at their types: [session],
// [instance], [subscription], [outbox], [link], [claim], [drain],
// [heldInstances], [warming], [Registration], [mark], [keeper], [checker].
//
// # Guarantees
//
//   - The cost of an event grows with the change and with those who must hear
//     of it, never with the size of the registry. A beat touches one number.
//   - Views: the first on a connection is complete, later ones are differences.
//     What is hidden by its status is dropped explicitly, with the cause, also
//     where it was never added. A consumer that does not keep up loses messages
//     but no truth: it gets a complete view when it can take one, and costs the
//     server a bounded amount of memory and the others nothing.
//   - An acknowledgement counts only for a view that was sent on the same
//     connection. A drain is answered when everybody who used the instances has
//     acknowledged that they are gone, or when its time is over; the answer names
//     those who did not.
//   - Restarts in place are granted so that at least half of a service goes on
//     serving, or one at a time.
//   - A session that ends without a goodbye is lost, and with it what it
//     provides; unless so many are lost at once that the network or the server
//     itself must be at fault, or the server finds that it was away itself. Then
//     everything is held for a while, marked as held.
//   - After a start, the server says with every view that it is warming: from
//     what is missing nothing may be concluded.
//   - An id belongs to one living launcher. Who has the same key succeeds it, who
//     has another must wait for its end.
//   - What happened to an instance is remembered with its cause, also when it is
//     gone, for the latest 16,384 events of all instances and sessions together.
//   - Everything from outside is bounded: sessions, connections, the size of
//     messages and the time that one may take, queries, waits. Garbage costs the
//     session that sends it, and no other.
//
// # Time
//
// The server takes the time where an event begins, from the monotonic clock, and
// compares nothing else with it. One sweep a second looks at all sessions. A
// sweep, or any event, that finds the last sweep more than one beat ago knows
// that the server was away (stopped, starved), and starts every deadline again.
package server
