package process

import (
	"context"
	"io"
	"syscall"
	"time"
)

// Spec is a command to start. The working directory is the one of the caller.
type Spec struct {
	// Args is the command and its arguments. Args[0] is looked up on PATH of
	// Env when it has no slash.
	Args []string
	// Env is the whole environment, "NAME=value" each. Nothing is added.
	Env []string
	// User is empty (unchanged), or a name or a number from /etc/passwd, and
	// after a colon a group's name or number.
	User string
	// Main says that it is the child: 0, 1, 2 and inherited descriptors as
	// they are, and its own foreground process group with a terminal. Others
	// (checks, actions, hooks) get /dev/null as stdin and stderr for stdout.
	// Either kind leads a process group of its own.
	Main bool
	// Ahead says that it belongs to the child that is started next: what it leaves
	// behind is that child's. For commands that are not Main.
	Ahead bool
	// Beside says that it runs beside the child (a coprocess): its stdout is
	// cleat's stdout. For commands that are not Main.
	Beside bool
	// Prefix, where it is not empty, precedes each line that the child, or what
	// runs beside it, writes: it gets pipes for stdout and stderr, and what comes
	// out of them is written, whole lines at once, to those of cleat. Nothing is
	// lost while it runs: as long as nobody reads, a full pipe holds it up. For
	// commands that are Main or Beside.
	Prefix string
	// Output gets stdout and stderr of a command that is not Main, in place of
	// cleat's stderr. It is written by one goroutine, which has ended when
	// Exited yields; a Write that blocks holds the command up, and its result
	// is not looked at. What something outside the group still writes after
	// the command's end is lost.
	Output io.Writer
	// Whole says that whatever is left of the process group when the process
	// ends is killed. For commands that are not Main.
	Whole bool
}

// Process is one that was started. Its methods may be called from any
// goroutine, also after its end.
type Process interface {
	// Pid is the process id, which is also the id of its process group.
	Pid() int
	// Signal sends to the process alone; after its end it does nothing and
	// returns nil.
	Signal(syscall.Signal) error
	// SignalGroup sends to its process group; after the end of the process it
	// does nothing and returns nil, because the group's id may be another's.
	SignalGroup(syscall.Signal) error
	// Exited yields the exit once, then is closed. Nobody needs to receive.
	Exited() <-chan Exit
}

// Kernel is what the supervisor asks of the operating system. Its methods may
// be called from any goroutine.
type Kernel interface {
	// Start starts a command and returns when it runs (its exec has
	// succeeded). [StartError] maps an error to an exit code.
	Start(Spec) (Process, error)
	// EndLeftovers ends everything that an earlier child left behind: TERM,
	// after grace KILL, bounded; processes that were started here and still
	// run, their descendants and their process groups are spared, and so is
	// what ran before the last child, or the last command Ahead of it, was
	// started. Blocks until nothing is left, ctx ends, or it gives up a second
	// after the KILL; call it aside from the loop.
	EndLeftovers(ctx context.Context, grace time.Duration)
	// Flush waits, for at most limit, until what commands with a prefix wrote
	// before their end has been written on. It waits for nothing that they have
	// left behind. Call it when all of them have ended.
	Flush(limit time.Duration)
}
