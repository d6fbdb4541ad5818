package process

import (
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// started is a [Process] of the machine.
type started struct {
	pid    int
	kernel *system
	main   bool
	whole  bool
	output *output // nil: cleat's stderr
	lines  *lines  // nil: it is not prefixed
	exited chan Exit

	mu sync.Mutex
	// ended is set under mu together with the wait that frees the pid.
	ended bool
	// asked is the last stop signal that was sent to it from here and that no
	// SIGCONT has followed: such a stop is not the terminal's.
	asked syscall.Signal
	// suspended says that the terminal has stopped its group.
	suspended bool
}

// Pid implements [Process].
func (p *started) Pid() int { return p.pid }

// Exited implements [Process].
func (p *started) Exited() <-chan Exit { return p.exited }

// Signal implements [Process].
func (p *started) Signal(s syscall.Signal) error { return p.send(p.pid, s) }

// SignalGroup implements [Process].
func (p *started) SignalGroup(s syscall.Signal) error { return p.send(-p.pid, s) }

func (p *started) send(to int, s syscall.Signal) error {
	if s == syscall.SIGCONT && p.main {
		p.kernel.handTerminal(p)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil
	}
	switch s {
	case syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
		p.asked = s
	case syscall.SIGCONT:
		if p.suspended {
			// The terminal stopped the whole group.
			to = -p.pid
		}
		p.asked, p.suspended = 0, false
	}
	if err := syscall.Kill(to, s); err != nil && err != syscall.ESRCH {
		return &SignalError{Signal: s, Pid: to, Err: err}
	}
	return nil
}

// wait follows the process to its end. It looks first and takes the status
// under the lock, so that until then the pid is the process's.
func (p *started) wait() {
	events := unix.WEXITED | unix.WSTOPPED | unix.WNOWAIT
	if p.whole {
		events &^= unix.WSTOPPED // so that what follows comes after its end
	}
	for {
		err := unix.Waitid(unix.P_PID, p.pid, nil, events, nil)
		if err == unix.EINTR {
			continue
		}
		if err == nil && p.whole {
			// It is a zombie, and the group's id still its own.
			_ = syscall.Kill(-p.pid, syscall.SIGKILL)
			p.kernel.groups.Delete(p.pid)
		}
		var status syscall.WaitStatus
		p.mu.Lock()
		got, err := syscall.Wait4(p.pid, &status, syscall.WNOHANG|syscall.WUNTRACED, nil)
		stopped := err == nil && got == p.pid && status.Stopped()
		p.ended = err != syscall.EINTR && !stopped && (err != nil || got == p.pid)
		ended := p.ended
		p.mu.Unlock()
		switch {
		case stopped:
			if p.main {
				p.kernel.stopped(p, status.StopSignal())
			}
		case ended:
			if p.main {
				p.kernel.takeTerminal(p)
			}
			p.output.finish()
			p.lines.end()
			p.exited <- exitOf(status, err)
			close(p.exited)
			return
		}
	}
}

// exitOf is how a process ended. When its status was taken by somebody else
// (err), which nothing in the supervisor does, that is cleat's own failure.
func exitOf(status syscall.WaitStatus, err error) Exit {
	switch {
	case err != nil:
		return Exit{Code: StatusOwn}
	case status.Signaled():
		return Exit{Signal: status.Signal()}
	default:
		return Exit{Code: status.ExitStatus()}
	}
}
