// Package listeners reads from the kernel who listens on what in this network namespace, and tells the child's
// listeners from others'. It is what "ready means listening" rests on: nobody is dialled, no connection is walked, and
// nothing is asked of the child.
//
// It is not a watcher: it has no goroutine and no timer, and whoever wants to know asks again. It does not judge
// either: which ports matter, and what follows from a listener on loopback alone, is the supervisor's business.
//
// # Where it comes from
//
// Sockets come by netlink inet_diag, filtered in the request to listeners, over one socket that stays open. Where
// netlink is forbidden (gVisor, some seccomp profiles) they come from /proc/net/tcp, tcp6, udp and udp6, for good after
// the first refusal, with the same results but one: those tables do not tell IPV6_V6ONLY.
//
// Whose a socket is comes from /proc/<pid>/fd of the processes below the init stage:
//
//	                 held below the init stage
//	unseen ────────────────────────────────────────────► ofChild        listed, Child
//	   │             held only by what runs beside the child
//	   ├───────────────────────────────────────────────► ofBeside       listed, Beside
//	   │             opened by cleat itself
//	   ├───────────────────────────────────────────────► ofCleat        left out
//	   │             held by cleat for the child only
//	   ├───────────────────────────────────────────────► inherited ┐    left out, looked for again
//	   │             held by nobody below                absent    ┘
//	   ├───────────────────────────────────────────────►   │ again
//	   │                                                    └─────────► outside      left out
//	   │             a process below may not be read
//	   └───────────────────────────────────────────────► unreadable     listed, Unknown
//
// # Guarantees
//
//   - A listener held by any process below the init stage is found: the child's, a grandchild's, an orphan's, and each
//     of several that share a port.
//   - What could not be read is never taken for absent: an error of [Reader.Read] says nothing about listeners, and a
//     listener whose owner /proc does not tell is given as [Unknown].
//   - Owners are kept by inode, so a read that finds only sockets it knows touches no /proc/<pid>.
package listeners
