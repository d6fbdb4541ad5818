// Package process starts processes and ends them: the operating system, as far
// as the launcher needs it, behind the small interface [Kernel]. [New] is the
// real one; package processtest has one without processes, for tests.
//
// It does not decide anything: when to start, what a signal means and what an
// exit leads to is the supervisor's. It does not reap orphans either; that is
// the init stage's (package pid1), in a process of its own, because whoever
// waits for any child takes the exit statuses away from everybody else. For
// the same reason nothing else in the supervisor may start processes.
//
// # One process
//
//	Start ──► running ──► ended ──► Exited yields the exit
//	            │  ▲
//	  SIGTSTP.. ▼  │ SIGCONT
//	          stopped
//
// # Guarantees
//
//   - An exit is reported exactly once, and never lost.
//   - A signal never hits a stranger: a process is reaped and marked as ended
//     under the same lock that a signal takes, so that neither its pid nor its
//     group's id can be another's while a signal is on its way.
//   - What a command leaves in its group ([Spec].Whole) is killed as soon as it
//     has ended, while the group's id is still its own.
//   - The child gets descriptors 0, 1 and 2 and those that cleat inherited, at
//     their numbers, and nothing else. Other commands get 0, 1 and 2 alone.
//   - The child gets default signal dispositions (what cleat inherited as
//     ignored stays ignored, as far as [cleat/launcher/pid1] could see it), the
//     signal mask that cleat was started with, and its limit of open files.
//   - With a terminal as stdin and cleat in its foreground, the child's process
//     group becomes the foreground one before its first instruction; when it
//     has ended, cleat's is again, unless somebody else took the terminal.
//   - [Kernel].EndLeftovers never ends what runs under this process: the child,
//     coprocesses, hooks and checks, and their descendants; nor what is in the
//     group of a command that is ended as a whole and still runs.
//
// # Job control
//
// When the terminal stops the child (Ctrl-Z), the shell that started cleat
// knows nothing of it: its job is cleat. So the terminal goes back to cleat's
// group and [Config].Suspended asks the init stage to stop as well. SIGCONT
// hands the terminal to the child again, if cleat has it then.
package process
