// Package registry is the model that launchers and discovery servers share:
// instances, filters, views, revisions, and the messages of the session
// protocol. It holds no state, opens no connection and starts no goroutine;
// [cleat/registry/client] and [cleat/registry/server] do.
//
// # Words
//
// An [Instance] is one running copy of a service. A [Filter] says which
// instances a consumer wants; the [View] behind a filter is the list of
// [Endpoint] values that match it, sorted by (since, id). Every change of the
// registry has a [Revision], a number that never goes back, not even when the
// server restarts with nothing in its hands.
//
// # Guarantees
//
// All functions are pure and safe for concurrent use; no value that they
// return shares memory with an argument unless they say so. Everything that
// comes from outside is checked against the limits in this package before it
// becomes a value of one of its types.
package registry
