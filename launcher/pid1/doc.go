// Package pid1 is the init stage of cleat run, and the pipes between it and
// the supervisor.
//
// Whoever waits for any child, as PID 1 must so that orphans do not stay
// zombies for ever, takes away the exit statuses that os/exec or the like wait
// for in the same process. So cleat run is two processes of one binary:
//
//	  signals ──►  [init stage]   PID 1, or a subreaper elsewhere:
//	                │  ▲          reaps, passes signals on, ends
//	signal numbers  │  │ records  what is left, exits
//	                ▼  │
//	              [supervisor]    does everything else, and never waits
//	                │             for any child but its own
//	              the child
//
// The init stage is [Run]; the supervisor begins with [Attach]:
//
//	func main() {
//		if link, ok := pid1.Attach(); ok {
//			supervise(link) // and os.Exit
//		}
//		os.Exit(pid1.Run(os.Args, os.Environ()))
//	}
//
// # States of the init stage
//
//	Run ──► running ──────── end ─────────► ending ──► exit, the code of the
//	         │  ▲  │                        ▲  ▲       last record
//	  Record │  │  └─ end of file (lost) ───┘  │
//	with rest▼  │ Record without rest          │
//	        timed ──── rest is over ───────────┘
//
// Ending is: wait shortly for the supervisor to be gone (it said end) or not
// at all, then SIGTERM to whatever is left, SIGKILL after [Grace], and give up
// a second later. As PID 1 that is everything in the PID namespace; elsewhere
// it is what descends from the init stage, and nothing else.
//
// # Guarantees
//
//   - A signal that arrives after Run has begun reaches the supervisor, also
//     when it is not listening yet. (Before, for about a millisecond, Go's
//     runtime does with it what it likes.) None is lost behind others, also when
//     it does not read; of several of the same number some may become one.
//   - The exit code is the one of the last record once the supervisor has said
//     end, or once the rest of that record is over; 125 when the supervisor was
//     lost or could not be started. It never depends on who won a race for a
//     wait status: none is looked at.
//   - When Run returns, nothing is left of what was started, unless it is stuck
//     in the kernel.
//   - When the init stage is killed, [Link.Signals] is closed, and the
//     supervisor has to end everything itself. (As PID 1, the kernel does.)
//   - The supervisor is never hit by the terminal's signals: it has a process
//     group of its own.
//   - The pipes are at high numbers, [firstDescriptor] and up, so that
//     descriptors that cleat inherits keep theirs; and they are never inherited
//     by what the supervisor starts.
//
// # Job control
//
// Outside of PID 1 a shell may have started cleat, and may stop and continue
// it. The supervisor asks for a stop with [Link.Suspend], when the child has
// been stopped. The init stage then stops itself with the same signal, as if
// it were the child, so that the shell sees its job stopped. The supervisor
// goes on: its session with the discovery server lives.
//
// What a Go program cannot do here, and what follows from it, is in
// docs/signals.md.
package pid1
