// Package peers has no code. Its tests are of cleatd with the software that
// others wrote for Consul and its like: the real programs and client libraries,
// unchanged. They have many dependencies, none of which cleat has; so they are a
// module of their own, that nobody gets who builds cleat.
//
//	go test ./...
//
// builds cleat, cleatd and the peers, and needs nothing but Go.
package peers
