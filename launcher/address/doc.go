// Package address finds the address that others reach this container by
// (CLEAT_ADVERTISE).
//
// # What it is not
//
// It watches nothing and remembers nothing: [Resolve] and [Find] look at the
// interfaces as they are at that moment. It sends no packet; the route to a
// server is asked from the kernel by connecting a UDP socket, which sends none.
// It changes nothing in the container engine, and asks it one thing only.
//
// # Specs
//
//	route           the source address of the route to the discovery server
//	eth0            the first IPv4 address of an interface
//	eth0:inet       the same
//	eth0:inet6      the first IPv6 address of an interface
//	eth0[1]         the second of all addresses of an interface
//	10.0.0.0/8      the first address within a network
//	inet, inet6     the first IPv4 or IPv6 address of any interface
//	static:ADDRESS  this address, whoever has it
//	env:NAME        the address that a variable holds
//	docker          where the container engine has published the port
//	docker:SPEC     the same, on a host whose address SPEC (static or env) gives
//
// The first spec of a list that gives an address decides.
//
// # Published ports
//
// `docker` is the one spec that is asked for each port, and that changes the
// port's number. [Find] asks the engine over its unix socket (DOCKER_HOST, else
// /var/run/docker.sock) for the container's own ports, once for all of them:
//
//	published on a specific address   that address, unless it is loopback
//	                                  or link-local
//	published on the wildcard         the host's address
//	not published, published where    the next spec
//	nobody else reaches it, no engine
//
// No engine tells under which address others reach its host. What the discovery
// server sees does, where the host translates the container's address. Where
// the server sees the container's own address it is on this host, and so is the
// default gateway: that one is taken, and the answer says that it leads to the
// port on this host only. Until a server has told what it sees, the address is
// not known, and nothing is guessed.
//
// # Order
//
// "First" is in this order: interfaces by name, numbers in names by their value
// (eth2 before eth10); the addresses of an interface by their 16 bytes, IPv4
// ones as ::ffff:0:0/96, and so before global IPv6 ones; link-local ones last.
//
// # What is skipped
//
// Loopback addresses, link-local addresses and interfaces that are down, unless
// they are named: an interface by its name, an address range by a network that
// lies within it (127.0.0.0/8, fe80::/10).
//
// `route` gives a loopback address only when the child listens on loopback
// alone, or when there is no other address at all. Where the server is on
// loopback otherwise, it is the source address of the default route, and
// without one the first of `inet` and `inet6`.
//
// # Networks that must be up
//
// The specs of interfaces, networks and families also say which network must be
// up before a child is started (CLEAT_NETWORK_<NAME>). [Spec.Up] is stricter
// than [Resolve]: the interface must be up and have a carrier even where it is
// named, and an IPv6 address counts once the kernel lets it be used.
//
// # Guarantees
//
// An address is never unspecified, never has a zone, and is never an IPv4
// address in IPv6 form. All functions are safe for concurrent use.
package address
