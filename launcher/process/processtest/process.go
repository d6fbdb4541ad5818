package processtest

import (
	"slices"
	"syscall"
	"time"

	"cleat/launcher/process"
)

// Process is one that a [Kernel] has "started".
type Process struct {
	// Spec is what it was started with, and Started when.
	Spec    process.Spec
	Started time.Time

	name   string
	kernel *Kernel
	pid    int
	exited chan process.Exit
	done   chan struct{}

	// Below: guarded by kernel.mu.
	ended    bool
	exit     process.Exit
	received []syscall.Signal
	ignored  []syscall.Signal
	react    func(syscall.Signal)
	timers   []*time.Timer
}

var _ process.Process = (*Process)(nil)

// Pid implements [process.Process].
func (p *Process) Pid() int { return p.pid }

// Exited implements [process.Process].
func (p *Process) Exited() <-chan process.Exit { return p.exited }

// Signal implements [process.Process]: the signal is noted, then has its
// effect.
func (p *Process) Signal(s syscall.Signal) error {
	p.deliver("signal", s)
	return nil
}

// SignalGroup implements [process.Process]; here a group is one process.
func (p *Process) SignalGroup(s syscall.Signal) error {
	p.deliver("group", s)
	return nil
}

// Ignore makes these signals do nothing. They are still noted. SIGKILL cannot
// be ignored.
func (p *Process) Ignore(signals ...syscall.Signal) {
	p.kernel.mu.Lock()
	defer p.kernel.mu.Unlock()
	p.ignored = append(p.ignored, signals...)
}

// React makes the process handle every signal but SIGKILL itself: f is called
// instead of the default action, in the goroutine of the sender; it must not
// block. It may call Exit, End or EndAfter.
func (p *Process) React(f func(syscall.Signal)) {
	p.kernel.mu.Lock()
	defer p.kernel.mu.Unlock()
	p.react = f
}

// End ends the process; only the first end counts.
func (p *Process) End(exit process.Exit) {
	p.kernel.mu.Lock()
	defer p.kernel.mu.Unlock()
	p.end(exit)
}

// Exit ends the process with an exit code.
func (p *Process) Exit(code int) { p.End(process.Exit{Code: code}) }

// Crash ends the process as that signal would.
func (p *Process) Crash(s syscall.Signal) { p.End(process.Exit{Signal: s}) }

// EndAfter ends the process after d, unless it has ended before.
func (p *Process) EndAfter(d time.Duration, exit process.Exit) {
	p.kernel.mu.Lock()
	defer p.kernel.mu.Unlock()
	if !p.ended {
		p.timers = append(p.timers, time.AfterFunc(d, func() { p.End(exit) }))
	}
}

// Received lists the signals that were sent to it or its group, in order,
// the ignored ones too.
func (p *Process) Received() []syscall.Signal {
	p.kernel.mu.Lock()
	defer p.kernel.mu.Unlock()
	return slices.Clone(p.received)
}

// Running says whether it has not ended.
func (p *Process) Running() bool {
	p.kernel.mu.Lock()
	defer p.kernel.mu.Unlock()
	return !p.ended
}

// Done is closed when the process has ended. Unlike Exited it takes nothing
// away from the owner of the process.
func (p *Process) Done() <-chan struct{} { return p.done }

func (p *Process) deliver(how string, s syscall.Signal) {
	k := p.kernel
	k.mu.Lock()
	if p.ended {
		k.mu.Unlock()
		return
	}
	p.received = append(p.received, s)
	k.event("%s %s %s", how, p.name, process.SignalName(s))
	react := p.react
	switch {
	case s == syscall.SIGKILL:
		p.end(process.Exit{Signal: s})
	case s == syscall.SIGSTOP || slices.Contains(p.ignored, s):
	case react != nil:
		k.mu.Unlock()
		react(s)
		return
	case deadly(s):
		p.end(process.Exit{Signal: s})
	}
	k.mu.Unlock()
}

// end needs kernel.mu.
func (p *Process) end(exit process.Exit) {
	if p.ended {
		return
	}
	p.ended, p.exit = true, exit
	for _, t := range p.timers {
		t.Stop()
	}
	p.kernel.event("end %s: %s", p.name, exit)
	p.exited <- exit
	close(p.exited)
	close(p.done)
}

// deadly says whether the default action of a signal ends a process.
func deadly(s syscall.Signal) bool {
	switch s {
	case 0, syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH,
		syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
		return false
	default:
		return true
	}
}
