// Package health checks whether what the child offers can be used: by HTTP,
// HTTPS, TCP, gRPC, a command or a script, or by what the child reports itself
// (TTL). Nothing has to be in the image for that but the child.
//
// It is not about readiness: whether the child listens on its port is found
// out elsewhere, and told with [Checker.Set]. It decides nothing either: what
// a result means for an instance is the supervisor's.
//
// # One target
//
//	           Set: listens                    its turn
//	not listening ──────────► waiting ◄──────────────────► running
//	      ▲                      │          the outcome       │
//	      └──────────────────────┴────────────────────────────┘
//	           Set: listens no more; a check that runs is killed
//
// The first check is run at once. Until one has succeeded, the next ones
// follow after [eagerGap], which doubles up to the interval, so that a child
// that needs a moment is found to serve soon after it does. The gap after that
// is a random part of the interval, so that the checks of many containers that
// were started together do not beat together; then it is the interval, from
// start to start.
//
// # Outcomes and status
//
// An outcome is passing, warning or critical. Several in a row that are better
// than the status raise it (Check.Rise), several that are worse lower it
// (Check.Fall), in both cases only as far as all of them agree. Before the
// first verdict the status is Check.Initial, or there is none and no result.
//
// TTL is the other way round: a report of the child is the status at once, and
// none for as long as Check.TTL is critical.
//
// # Guarantees
//
//   - Checks of one target never overlap: the next one starts an interval after
//     the last one started, and never before that one has really ended.
//   - A check ends when its timeout is over. Commands are killed with their
//     whole process group, also with what they leave behind in it when they
//     end by themselves. One that is stuck in the kernel makes the status
//     critical, and nothing is started for its target while it lasts.
//   - While a target does not listen, nothing is run for it, and nothing is
//     known of it: [Checker.Take] never gives a result from before.
//   - Connections go to the address that the child listens on and nowhere else:
//     no proxy, no name is looked up, no redirect to another address is followed.
//   - What a server or a command says is bounded ([MaxOutput]), whatever it sends.
//   - No method but Run blocks.
package health
