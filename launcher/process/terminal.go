package process

import (
	"errors"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// terminal is stdin, as far as it is cleat's controlling terminal. Guarded by
// system.mu.
type terminal struct {
	fd    int
	home  int // the process group of the init stage
	given int // the group that it was last given to; 0: none
}

// foreground is the process group that the terminal sends its signals to and
// takes input for; false when stdin is not the controlling terminal.
func (t *terminal) foreground() (group int, ok bool) {
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	return group, err == nil
}

// ours says whether cleat may pass the terminal on: it is its group's, or it
// still names a group that is gone.
func (t *terminal) ours() bool {
	group, ok := t.foreground()
	return ok && (group == t.home || t.given != 0 && group == t.given || empty(group))
}

// give makes group the foreground one.
func (t *terminal) give(group int) {
	// Whoever is not in the foreground is stopped for trying, unless it blocks
	// SIGTTOU. The mask is the thread's, so this one is held meanwhile.
	withMask(unix.SIG_BLOCK, sigset(syscall.SIGTTOU), func() {
		unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, group)
	})
}

// take gives the terminal back to cleat's group, unless it is somebody else's
// by now: a shell that has put cleat into the background has taken it already.
func (t *terminal) take() {
	group, ok := t.foreground()
	if !ok || group == t.home {
		return
	}
	if group == t.given || empty(group) {
		t.give(t.home)
	}
}

// empty says whether a process group has no members.
func empty(group int) bool {
	return group > 0 && errors.Is(syscall.Kill(-group, 0), syscall.ESRCH)
}

// handTerminal gives the terminal to a child that is about to be continued, if
// cleat has it.
func (s *system) handTerminal(p *started) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	if s.terminal == nil || ended {
		return
	}
	if group, ok := s.terminal.foreground(); ok && group == s.terminal.home {
		s.terminal.give(p.pid)
		s.terminal.given = p.pid
	}
}

// takeTerminal takes the terminal back from a child that has ended.
func (s *system) takeTerminal(p *started) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal != nil && s.terminal.given == p.pid {
		s.terminal.take()
	}
}

// stopped follows a stop of the child.
func (s *system) stopped(p *started, by syscall.Signal) {
	switch by {
	case syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
	default:
		return // SIGSTOP: somebody wants it frozen
	}
	p.mu.Lock()
	asked := p.asked == by
	p.mu.Unlock()
	if asked {
		s.suspend(by, false)
		return
	}
	s.mu.Lock()
	group, ok := 0, false
	if s.terminal != nil {
		group, ok = s.terminal.foreground()
	}
	if !ok {
		s.mu.Unlock()
		return // there is no terminal: somebody stopped the child itself
	}
	p.mu.Lock()
	p.suspended = true
	p.mu.Unlock()
	if group == s.terminal.given {
		s.terminal.take()
	}
	s.mu.Unlock()
	if group == s.terminal.home && by != syscall.SIGTSTP {
		// A shell has moved cleat to the foreground without a SIGCONT, and now
		// the child wanted the terminal: it can have it.
		p.Signal(syscall.SIGCONT)
		return
	}
	// In the background, wanting the terminal, it may as well stay stopped.
	s.suspend(by, by == syscall.SIGTSTP)
}

func (s *system) suspend(by syscall.Signal, byTerminal bool) {
	if s.config.Suspended != nil {
		s.config.Suspended(by, byTerminal)
	}
}

// withMask calls f on a thread whose signal mask is changed meanwhile.
func withMask(how int, set *unix.Sigset_t, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old unix.Sigset_t
	if err := unix.PthreadSigmask(how, set, &old); err == nil {
		defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	}
	f()
}

// sigset is the set of one signal. The words of the kernel's set are of
// different size on different machines, and signals 1 to 31 are in the first.
func sigset(s syscall.Signal) *unix.Sigset_t {
	var set unix.Sigset_t
	set.Val[0] = 1 << (s - 1)
	return &set
}
