// Package network looks whether networks are up that a child needs
// (CLEAT_NETWORK_<NAME>), and waits for them.
//
// It decides nothing: how long to wait, and what a network that has gone means,
// is the supervisor's. What a network is, and when it is up, says package
// address, whose specs it shares. It changes no interface.
//
// # Waiting
//
//	kernel ──link, address──► netlink socket ──gathered for 10 ms──► changed ──► Look
//
// [Watcher] listens to the kernel's notifications (rtnetlink(7)) about links and
// addresses. What they say is not read: whoever is told looks at everything
// again, so that a notification that was lost (the socket's buffer was full) is
// just one more. Nothing is polled, and no thread waits.
package network
