package process

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// killedWait is how long Run waits for a process that it has killed. Only one
// that is stuck in the kernel (a dead network file system) needs more.
const killedWait = 2 * time.Second

// ExitError is what Run returns for a command that ran and failed.
type ExitError struct {
	Exit Exit
}

// Error is "exit status 3" or "killed by SIGSEGV".
func (e *ExitError) Error() string { return e.Exit.String() }

// ErrKilled is wrapped by what Run returns for a command that it has killed.
var ErrKilled = errors.New("killed")

// Run runs a command to its end; when ctx ends first, its group is killed. The
// error says how it failed: an [*ExitError] ("exit status 3", "killed by
// SIGSEGV"), an error of Start, or one that wraps the cause of ctx ("killed:
// context deadline exceeded"). It is nil for status 0, also when ctx ended
// just then.
//
// Nothing that the command leaves behind can hold Run up: it waits for the
// command itself, and for no pipe.
func Run(ctx context.Context, k Kernel, s Spec) error {
	if ctx.Err() != nil {
		return fmt.Errorf("not started: %w", context.Cause(ctx))
	}
	p, err := k.Start(s)
	if err != nil {
		return err
	}
	select {
	case exit := <-p.Exited():
		return failure(exit)
	case <-ctx.Done():
	}
	killed := p.SignalGroup(syscall.SIGKILL)
	timer := time.NewTimer(killedWait)
	defer timer.Stop()
	select {
	case exit := <-p.Exited():
		if exit.Signal != syscall.SIGKILL {
			return failure(exit)
		}
		return fmt.Errorf("%w: %w", ErrKilled, context.Cause(ctx))
	case <-timer.C:
		return errors.Join(fmt.Errorf("%w, and does not die: %w", ErrKilled, context.Cause(ctx)), killed)
	}
}

func failure(exit Exit) error {
	if exit == (Exit{}) {
		return nil
	}
	return &ExitError{Exit: exit}
}
