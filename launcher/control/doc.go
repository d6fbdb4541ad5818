// Package control is how a running launcher is asked: a unix socket, the
// questions that may come over it, and who may ask them.
//
//	cleat status --> Client --connect--> Socket --Request--> the launcher's loop
//	                    ^                   |                        |
//	                    +------ answer -----+<-------- Reply --------+
//
// # The protocol
//
// HTTP/1.1 with JSON, one request on each connection, so that curl does as well:
//
//	curl --unix-socket /run/cleat.sock http://cleat/status
//
//	GET  /status    how everything is: a [Status]
//	GET  /healthz   the same in one line: 200 when healthy, else 503
//	POST /drain     nobody should begin anything new here
//	POST /undrain   the end of that
//	POST /reload    read the templates again and render
//	POST /restart   restart the child
//	POST /set       {"changes":["tag+=primary","attr.role=master"],"port":"3306"}
//	POST /report    {"status":"passing","text":"all is well","port":"3306"}
//
// A POST is answered by {"done":"..."}; an error by {"error":"...","hint":"..."} and
// a status of 400 (the question is wrong), 403 (not for you), 404, 405, 409 (not
// now), 413 (too long), 503 (too many ask, or the launcher does not answer).
//
// # Who may ask
//
// The kernel says who is at the other end (SO_PEERCRED); nothing is taken from
// what the other end says. Anybody who can reach the socket may read the status,
// and report how a port with a TTL check is. All else is for root and for the user that cleat runs as.
//
// # Guarantees
//
// Whatever is at the other end costs the launcher a bounded number of
// goroutines and bytes for a bounded time, and never delays its loop. Who may
// only read cannot keep out those who may do more. A socket that nobody listens
// on any more is replaced, and one that somebody listens on is left alone; so is
// everything that is no socket. No socket is inherited by a child.
//
// # What it is not
//
// It decides nothing about the child: the launcher does, and says what it did.
// It is not for other machines: there is no TCP port.
package control
