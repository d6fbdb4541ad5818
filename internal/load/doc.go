// Command load measures what a discovery server costs: it builds cleatd as it is
// shipped, and drives it from this process over real sockets.
//
//	go run ./internal/load                      # everything, in some twenty minutes
//	go run ./internal/load -only fanout,dns     # only these
//	go run ./internal/load -check               # exit code 1 over a budget
//
// It needs Go, Linux, two cores, and for the largest crowds a limit of 20,000
// open files.
//
// # What is measured
//
//   - sessions: how much memory and processor time so many launchers cost that
//     are connected, have one requirement each, and only beat. Beside it, what
//     as many sockets cost that are accepted and read by a goroutine each.
//   - fanout: how long it takes from one change until the last of so many
//     sessions has it. Beside it, in turn with it, a bare loop that writes the
//     same bytes to as many sockets.
//   - declares, beats: how many the server takes, pipelined.
//   - dns: how many queries it answers. Beside it, a bare echo of packets.
//   - waits: how long it takes from one change until the last of so many
//     blocking queries of Consul's interface is answered, and what one costs
//     that waits.
//   - growth: what a declare, a query and an instance cost when the registry has
//     100 to 100,000 instances.
//   - storm: whether anybody notices who did nothing wrong, and how the server's
//     memory grows, while millions of random requests, messages and packets come
//     that are almost right.
//
// The server has one core (GOMAXPROCS=1), and so has what it is compared with.
// Processor time is that of the server's threads as the kernel accounts it,
// which says more than the clock on a machine that does other work. Numbers of
// rounds are medians.
//
// # What it is not
//
// It is no test: numbers depend on the machine, and on what else it does.
package main
