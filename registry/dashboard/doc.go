// Package dashboard shows people what a server knows: services, instances and
// their stories, launchers, events as they happen, and the map of who requires
// whom; and lets operators take instances out of service.
//
// # What it is
//
// An [http.Handler] of pages that the server makes from templates. Every page
// is whole without a script. The one script there is keeps pages fresh: a stream
// of server-sent events says that something has changed, the script asks for
// the page again, and puts the parts that differ in place of the old ones. So
// there is one way to make a page, and no second one in the browser that could
// say something else.
//
//	GET /                    services, and what needs attention
//	GET /services/{name}     a service: instances, who requires it, what it would break
//	GET /instances/{id}      an instance's story
//	POST /instances/{id}     maintenance, drain, and back
//	GET /sessions            launchers, with their reports
//	GET /events              what happened lately
//	GET /map                 who requires whom
//	GET /live                the stream
//	GET /assets/             style sheets, the script, the icon
//
// # Guarantees
//
//   - It only shows: nothing that it reads makes a drain wait for readers that
//     cannot acknowledge.
//   - A page has what the request's grant allows to read, and no more. What
//     changes something needs the admin role and a POST of the server's own pages
//     (the guard refuses foreign origins, and cookies are SameSite=Strict).
//   - Nothing comes from another host, no script or style is inline, and the
//     Content-Security-Policy says so.
//   - Everything is bounded: rows, streams, and the share of a core that goes into
//     the map, however many look at it.
package dashboard
