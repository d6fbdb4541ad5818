package pid1

import (
	"context"
	"errors"
	"time"

	"cleat/launcher/process/proctree"

	"golang.org/x/sys/unix"
)

const (
	// firstLook and slowestLook are the time between two looks at what is left,
	// which doubles: mostly it is the supervisor alone, on its way out.
	firstLook   = 250 * time.Microsecond
	slowestLook = 5 * time.Millisecond
	// killWait is how long after SIGKILL the init stage gives up on what is
	// stuck in the kernel.
	killWait = time.Second
)

// endEverything ends all that is left: SIGTERM, after Grace SIGKILL, bounded.
func (s *stage) endEverything(childless <-chan struct{}) {
	// Mostly only the supervisor is left, and on its way out: that is worth a
	// moment, because to look at every process of a machine takes longer.
	select {
	case <-childless:
	case <-time.After(slowestLook):
	}
	if s.pid == 1 {
		endNamespace(childless)
		return
	}
	proctree.End(context.Background(), func() ([]proctree.Process, error) {
		select {
		case <-childless:
			return nil, nil
		default:
		}
		tree, err := proctree.Read()
		if err != nil {
			return nil, err
		}
		return tree.Descendants(s.pid, nil), nil
	}, Grace)
}

// reapAll reaps until this process has no children, and closes the channel then.
// It has no descendants then: each hangs on a child, and orphans become ours.
// The reaper would do as well, but hears of each death by a signal, through three
// goroutines; this one is woken by the death itself.
func reapAll() (childless <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := unix.Wait4(-1, nil, 0, nil); err != nil && err != unix.EINTR {
				return // ECHILD
			}
		}
	}()
	return done
}

// endNamespace ends every process of the PID namespace but this one, which is
// its init. The kernel counts: it needs no /proc, and nobody can hide, nor what is
// no child, as docker exec starts.
func endNamespace(childless <-chan struct{}) {
	const everybody = -1
	left := func(s unix.Signal) bool { return !errors.Is(unix.Kill(everybody, s), unix.ESRCH) }
	if !left(unix.SIGTERM) {
		return
	}
	unix.Kill(everybody, unix.SIGCONT) // what is stopped could not obey
	kill := time.Now().Add(Grace)
	pause := firstLook
	for giveUp := kill.Add(killWait); time.Now().Before(giveUp); pause = min(2*pause, slowestLook) {
		select {
		case <-childless:
			childless = nil // what is left now has another parent, outside
		case <-time.After(pause):
		}
		probe := unix.Signal(0)
		if time.Now().After(kill) {
			probe = unix.SIGKILL
		}
		if !left(probe) {
			return
		}
	}
}
