// Package engine is where servers keep what they know beyond their own memory:
// the interface, and what goes over it.
//
// # What it is
//
// A store of small records, and the one place at which a server touches a disk or
// another system. A server's registry is in its own memory, engine or not:
// everything that is hot (sessions, views, beats, drains, warming) happens there,
// and no event of it waits for an engine. What has changed is written behind, by
// one goroutine, in batches; what changed twice meanwhile is written once. So the
// load of an engine follows changes, and not the number of containers.
//
//	registry/server                          engine
//	  an event changes an instance
//	    its id is noted as unsaved
//	  ... more events ...                          bolt: one file, one server
//	  one goroutine: snapshot, encode ──Write──►   etcd: several servers
//	  at its start                    ◄──Load──    memory: for tests of several
//	  changes of other servers        ◄─Watch──
//
// # What it is not
//
// It knows nothing of instances: a [Record] is a key, a value, and who owns it.
// It does not decide either: whether an id is free, and what follows from a
// server's death, is for servers to know; an engine says what is there.
//
// # What every engine guarantees
//
// Package enginetest holds each of these to every engine:
//
//   - What Write has applied, a later Load returns: of the same server, and where
//     the engine is shared, of every other. An engine that lasts returns it also
//     when it is opened again.
//   - A change with a condition is applied if exactly that [Version] is there, and
//     else not at all; then Write returns what is. So a server never deletes what
//     another has taken over meanwhile, nor what it took over itself later.
//   - The changes of one Write are independent of each other; those of one key
//     happen in their order. When Write returns an error, any of them may have
//     happened, and all may be written again: writing twice does no harm.
//   - Watch tells of every change of other servers since the given [Position], in
//     the order of each key, or says that it cannot ([ErrTooOld]): then Load again,
//     and compare. A server's own changes may be among them.
//   - Records that a server owns are gone some time after it is: an engine that is
//     shared removes them when the server has not been heard of for its lease, and
//     says so ([Change.Expired]). Records without an owner stay.
//   - Close leaves everything as it is: a server that stops in order leaves what it
//     owns to the lease, so that others can take it over first.
package engine
