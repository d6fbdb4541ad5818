// Package processtest is a [process.Kernel] without processes, for tests of
// what owns a child: its whole life passes in a testing/synctest bubble,
// without real time.
//
// A test says what commands do, by the base name of their first argument, and
// looks at what happened:
//
//	k := processtest.New()
//	k.Script("mysqld", func(p *processtest.Process) { p.Ignore(syscall.SIGTERM) })
//	...
//	child := k.Next(ctx)                 // the next command that was started
//	child.Crash(syscall.SIGSEGV)         // the test ends it
//	k.Events()                           // "start mysqld", "end mysqld: killed by SIGSEGV"
//
// A command without a script does what most do: the child (Main) runs until a
// signal whose default action is deadly arrives; any other command exits 0 at
// once. SIGKILL ends whatever a script says.
//
// It starts no goroutine; the timers of [Process.EndAfter] end with the
// process. All methods may be called from any goroutine.
package processtest

import (
	"context"
	"fmt"
	"path"
	"slices"
	"sync"
	"syscall"
	"time"

	"cleat/launcher/process"
)

// firstPid is the pid of the first process.
const firstPid = 100

// Kernel is a scripted [process.Kernel]. Make it with [New].
type Kernel struct {
	mu       sync.Mutex
	scripts  map[string]func(*Process)
	failures map[string]error
	all      []*Process
	fresh    []*Process    // started and not yet taken by Next
	arrived  chan struct{} // closed and replaced at each start
	events   []string
	ends     []time.Duration // the grace of each EndLeftovers
	leftover func(ctx context.Context, grace time.Duration)
}

var _ process.Kernel = (*Kernel)(nil)

// New returns a kernel on which nothing runs.
func New() *Kernel {
	return &Kernel{
		scripts:  make(map[string]func(*Process)),
		failures: make(map[string]error),
		arrived:  make(chan struct{}),
	}
}

// Script sets what a command does, by the base name of Args[0]. The script is
// called in Start, before Start returns; it must not block. It sets up
// reactions, or ends the process at once. Each start calls it again.
func (k *Kernel) Script(name string, script func(p *Process)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.scripts[name] = script
}

// Fail makes Start of a command return err, until it is called with nil.
func (k *Kernel) Fail(name string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failures[name] = err
}

// Flush implements [process.Kernel]: there is nothing to wait for.
func (k *Kernel) Flush(time.Duration) {}

// Leftovers sets what EndLeftovers does, such as sleeping for as long as a
// stubborn process needs. By default it returns at once.
func (k *Kernel) Leftovers(end func(ctx context.Context, grace time.Duration)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leftover = end
}

// Start implements [process.Kernel].
func (k *Kernel) Start(spec process.Spec) (process.Process, error) {
	if len(spec.Args) == 0 {
		return nil, syscall.EINVAL
	}
	name := path.Base(spec.Args[0])
	k.mu.Lock()
	if err := k.failures[name]; err != nil {
		k.events = append(k.events, fmt.Sprintf("fail %s", name))
		k.mu.Unlock()
		return nil, err
	}
	p := &Process{
		Spec:    clone(spec),
		Started: time.Now(),
		name:    name,
		kernel:  k,
		pid:     firstPid + len(k.all),
		exited:  make(chan process.Exit, 1),
		done:    make(chan struct{}),
	}
	k.all = append(k.all, p)
	k.fresh = append(k.fresh, p)
	k.events = append(k.events, "start "+name)
	script, ok := k.scripts[name]
	close(k.arrived)
	k.arrived = make(chan struct{})
	k.mu.Unlock()
	switch {
	case ok && script != nil:
		script(p)
	case !spec.Main:
		p.Exit(0)
	}
	return p, nil
}

// EndLeftovers implements [process.Kernel].
func (k *Kernel) EndLeftovers(ctx context.Context, grace time.Duration) {
	k.mu.Lock()
	k.ends = append(k.ends, grace)
	k.events = append(k.events, "end leftovers")
	end := k.leftover
	k.mu.Unlock()
	if end != nil {
		end(ctx, grace)
	}
}

// Next is the next process that was started and that no earlier Next has
// returned, in the order of their starts. It waits for one; nil when ctx ends
// first.
func (k *Kernel) Next(ctx context.Context) *Process {
	for {
		k.mu.Lock()
		if len(k.fresh) > 0 {
			p := k.fresh[0]
			k.fresh = k.fresh[1:]
			k.mu.Unlock()
			return p
		}
		arrived := k.arrived
		k.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil
		}
	}
}

// NextMain is like [Kernel.Next], and passes over commands that are not Main.
func (k *Kernel) NextMain(ctx context.Context) *Process {
	for {
		p := k.Next(ctx)
		if p == nil || p.Spec.Main {
			return p
		}
	}
}

// Started lists all that was started, the ended ones too.
func (k *Kernel) Started() []*Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.all)
}

// Running lists what was started and has not ended.
func (k *Kernel) Running() []*Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(k.all), func(p *Process) bool { return p.ended })
}

// Ends lists the grace of each EndLeftovers so far.
func (k *Kernel) Ends() []time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.ends)
}

// Events lists what happened, in order: "start NAME", "fail NAME" (a start that
// failed), "signal NAME SIGTERM", "group NAME SIGKILL", "end NAME: exit status
// 0", "end leftovers". NAME is the base name of Args[0].
func (k *Kernel) Events() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.events)
}

func (k *Kernel) event(format string, args ...any) {
	k.events = append(k.events, fmt.Sprintf(format, args...))
}

func clone(s process.Spec) process.Spec {
	s.Args, s.Env = slices.Clone(s.Args), slices.Clone(s.Env)
	return s
}
