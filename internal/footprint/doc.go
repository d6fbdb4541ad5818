// Command footprint measures what cleat costs the container that it is in: the
// size of the binary, its memory and wake-ups at idle, and the time that it
// adds to a start and to an end. It builds the binaries as they are shipped,
// and needs Go, Linux and cat.
//
//	go run ./internal/footprint            # a table, in about three minutes
//	go run ./internal/footprint -check     # exit code 1 over a budget
//
// What is compared with is run in turn with it, in the same minute, under the
// same load: the child alone, and tini and dumb-init where they are installed.
// Every number is a median.
//
// # What is measured
//
// The child of the times is cat. A start is the time until a byte that was
// written to it comes back; an end is the time from the end of its input, at
// which it exits, until the whole wrapper has been waited for. Where unshare
// (util-linux) may make namespaces, the same is measured as PID 1.
//
// At idle there is a session with a real cleatd, one instance that is passing,
// and one requirement. Memory is that of both stages. The sum of the resident
// set sizes counts the pages of the binary twice, which both stages map; the sum
// of the proportional set sizes counts them once, and is what a machine can
// miss. Context switches are the voluntary ones of all threads of both stages.
// "With more" has a template, a cache, a socket, a hook, a coprocess and a task as
// well; at an end, a template means a file that is watched.
//
// compare.sh beside this program measures cleat, tini and dumb-init with tools
// that are not ours: hyperfine, ps and /proc.
//
// # What it is not
//
// It is no test: times depend on what else the machine does.
package main
