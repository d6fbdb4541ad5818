// Package e2e tests cleat from outside: the two binaries as they ship, wrapped around real software, on a real kernel,
// and in real containers. It has no code of its own, only tests.
//
// # What the tests need
//
// Tests of processes need Go and nothing else. Tests of containers need Linux, root, and a Docker engine on this
// machine. Those with nginx and MariaDB need Debian packages too: a small Debian with both is made by debootstrap, from
// the mirror that apt on this machine uses, and kept in /var/cache/cleat-e2e or, failing that, in the user's cache
// directory. Nothing is taken from an image registry.
//
// A test that lacks something skips and says what. With CLEAT_E2E=1 it fails instead: that is how .ci/run calls it, so
// that nothing is skipped there unseen. With -long, tests that have a long form take it.
//
// # What they leave behind
//
// Nothing but the Debian in the cache: containers, networks and images carry a label and are removed, processes are
// ended.
//
// # Names
//
// No test uses names to find a peer. Containers know one address, that of the server.
package e2e
