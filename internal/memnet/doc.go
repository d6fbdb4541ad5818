// Package memnet is a network in memory, for tests: listeners and connections
// that behave like TCP on loopback and never leave the process.
//
// Unlike the two ends of [net.Pipe], a connection has a buffer in each
// direction, so that a writer does not wait for its reader until
// [BufferSize] bytes are under way. Everything that waits in it (accepting,
// reading, writing, deadlines) blocks durably in the sense of testing/synctest,
// so that a server and its clients can live in one bubble without real time.
//
// A connection's life, seen from one end:
//
//	open --Close--> closed: the peer reads what was written, then io.EOF;
//	  |                     the peer's writes fail with EPIPE
//	  +----Reset--> reset:  both ends fail with ECONNRESET at once
//
// What is not modelled: latency, loss, half-closed connections.
package memnet
