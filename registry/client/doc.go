// Package client keeps one session with a discovery server, on behalf of a
// launcher: it states what the launcher offers and needs, hands it the views
// that the server answers with, and comes back by itself when the connection
// is lost.
//
//	            Declare
//	idle ------------------> connecting <------------------+
//	                          |      | refused, failed,    | backoff
//	                  welcome |      | 5 s over            |
//	                          v      v                     |
//	     (views, beats) connected -> waiting --------------+
//	        |     ^               lost: closed, reset,
//	     bye|     |accepted       or silent for expire_after
//	        v     |
//	        moving (the old connection serves on)
//
// # Guarantees
//
// Views outlive connections. They change by what a server says and by nothing
// else: a lost connection changes no view, and while a server that has just
// restarted is warming, nothing is concluded from what it does not know yet
// (see [registry.View.Apply]).
//
// The first reconnect is tried within 50 ms; later ones with full jitter, at
// most [registry.ReconnectCap] after the last attempt ended, and an attempt
// lasts at most as long. A server that closed the connection without a word is
// tried once more before the next one; after silence, a refusal or a failed
// attempt it is the next one's turn. A session that was fenced (another
// launcher with the same key has taken its place) waits out the cap first.
//
// Every event is delivered, in order, while Run runs. The methods never block,
// whatever the server or the receiver of the events does. An idle session costs
// one timer: the beat.
//
// # What it is not
//
// It does not decide what a view means (min, fallback, on-loss, choosing an
// endpoint): the launcher does. It checks nothing that is declared:
// [registry.Declare.Normalize] does, on both sides. It logs refusals that
// somebody must act on, and at level debug every attempt; changes of state are
// events, and whoever receives them logs them.
//
// [API] is the other way to ask a server: one question, one answer, over HTTP.
package client
