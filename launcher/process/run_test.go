package process_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
)

func TestRun(t *testing.T) {
	tests := map[string]struct {
		script func(*processtest.Process)
		want   string
		took   time.Duration
	}{
		"success":           {func(p *processtest.Process) { p.EndAfter(time.Second, process.Exit{}) }, "<nil>", time.Second},
		"failure":           {func(p *processtest.Process) { p.Exit(3) }, "exit status 3", 0},
		"crash":             {func(p *processtest.Process) { p.Crash(syscall.SIGSEGV) }, "killed by SIGSEGV", 0},
		"deadline":          {func(p *processtest.Process) {}, "killed: context deadline exceeded", 5 * time.Second},
		"TERM is not asked": {func(p *processtest.Process) { p.Ignore(syscall.SIGTERM) }, "killed: context deadline exceeded", 5 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := processtest.New()
				k.Script("check", test.script)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				start := time.Now()
				err := process.Run(ctx, k, process.Spec{Args: []string{"check"}})
				if fmt.Sprint(err) != test.want || time.Since(start) != test.took {
					t.Errorf("Run = %v after %v, want %v after %v", err, time.Since(start), test.want, test.took)
				}
			})
		})
	}
}

func TestRunStartsNothingOnceItsTimeIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k := processtest.New()
	err := process.Run(ctx, k, process.Spec{Args: []string{"check"}})
	if !errors.Is(err, context.Canceled) || len(k.Started()) != 0 {
		t.Errorf("Run = %v, %d started", err, len(k.Started()))
	}
}

// undead is a kernel whose processes survive SIGKILL.
type undead struct{ process.Kernel }

func (u undead) Start(s process.Spec) (process.Process, error) {
	p, err := u.Kernel.Start(s)
	return immortal{p}, err
}

type immortal struct{ process.Process }

func (immortal) SignalGroup(syscall.Signal) error { return nil }

func TestRunGivesUpOnTheUndead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := processtest.New()
		k.Script("df", func(*processtest.Process) {})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := process.Run(ctx, undead{k}, process.Spec{Args: []string{"df"}})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("Run = %v after %v", err, time.Since(start))
		}
	})
}

func TestStatus(t *testing.T) {
	for code := range 256 {
		if got := (process.Exit{Code: code}).Status(); got != code {
			t.Errorf("exit %d has status %d", code, got)
		}
	}
	if got := (process.Exit{Signal: syscall.SIGTERM}).Status(); got != 143 {
		t.Errorf("SIGTERM has status %d, want 143", got)
	}
}

func TestStartError(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int
	}{
		{fs.ErrNotExist, 127},
		{&fs.PathError{Op: "exec", Path: "/x", Err: syscall.ENOENT}, 127},
		{syscall.EACCES, 126},
		{syscall.ENOEXEC, 126},
		{syscall.ENOTDIR, 126},
		{fmt.Errorf("%w: %w", process.ErrUser, fs.ErrNotExist), 125},
	} {
		if got := process.StartError(test.err); got != test.want {
			t.Errorf("StartError(%v) = %d, want %d", test.err, got, test.want)
		}
	}
}
