// Package dns answers DNS queries from the registry, for software that knows no
// other way to find a service.
//
// # Names
//
// Below the domain, which is cleat. unless configured otherwise, and in any
// case of letters:
//
//	<service>.<namespace>                    a service; dev/alice is alice.dev
//	<service>                                the same in the namespace default
//	_<service>._tcp[.<namespace>]            its tcp instances (or _udp)
//	_<tag>.<any of these>                    those with the tag; may be repeated
//	_<zone>._zone.<any of these>             those in the zone
//	<hexip>.addr                             an address: c0a80001.addr is 192.168.0.1
//	ns                                       the server itself
//	<reversed>.in-addr.arpa, .ip6.arpa       the services at an address
//
// A and AAAA give addresses, SRV also ports, TXT also ids, tags and attributes.
// Only instances that are passing or warning are given, in a new random order
// each time.
//
// # None
//
// There are several kinds of "none", and resolvers treat them differently:
//
//	instances that serve, but no such records       NODATA
//	none that serves, and the server is warming     SERVFAIL: ask again
//	instances, none of which serves                 NODATA
//	a name below which there are others             NODATA
//	else                                            NXDOMAIN
//
// All answers may be kept for 2 s, as long as a drain waits for readers like
// this one; each query notes that the service has such a reader.
//
// # What it is not
//
// No recursive resolver and no cache: what is outside of the domain is refused,
// or passed on as it is to the resolvers that the configuration names. No
// master for zone transfers, no DNSSEC.
//
// # How it is made
//
//	socket --> query (parse) --> name --> set --> reply --> socket
//	                              |         ^
//	                              v         | made once per change
//	                           forward    server.Listing
//
// The records of a service are packed once after each change. An answer copies
// the question and as many packed records as fit, in a random order. Nothing is
// allocated on the way, and while the service stays as it is, nothing is waited
// for.
//
// # Guarantees
//
//   - The answer to a query about the domain needs nothing but memory.
//   - Every answer repeats the question's bytes, and its records' owner points
//     to them: so its case is the question's.
//   - An answer over UDP is never larger than the client takes, nor than 1232
//     bytes, unless it is another resolver's that the client itself sized. One
//     that is cut says so (TC), and holds a random subset.
//   - Everything from outside is bounded: connections and their idle time,
//     queries passed on at the same time, filters that are kept. A packet that
//     is no query is dropped, unlogged; a response is never answered.
package dns
