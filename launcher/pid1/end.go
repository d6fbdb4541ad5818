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
func (s *stage) endEverything() {
	if s.pid == 1 {
		endNamespace()
		return
	}
	// Mostly only the supervisor is left, and on its way out: that is worth a
	// moment, because to look at every process of a machine takes longer.
	for pause := firstLook; pause < slowestLook; pause *= 2 {
		if childless() {
			return
		}
		time.Sleep(pause)
	}
	proctree.End(context.Background(), func() ([]proctree.Process, error) {
		if childless() {
			return nil, nil
		}
		tree, err := proctree.Read()
		if err != nil {
			return nil, err
		}
		return tree.Descendants(s.pid, nil), nil
	}, Grace)
}

// childless says whether this process has no children, living or dead. Then it
// has no descendants: each hangs on a child, and orphans become ours.
func childless() bool {
	// WNOWAIT leaves the dead to the reaper.
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == unix.ECHILD
}

// endNamespace ends every process of the PID namespace but this one, which is
// its init. The kernel counts: it needs no /proc, and nobody can hide.
func endNamespace() {
	const everybody = -1
	left := func(s unix.Signal) bool { return !errors.Is(unix.Kill(everybody, s), unix.ESRCH) }
	if !left(unix.SIGTERM) {
		return
	}
	unix.Kill(everybody, unix.SIGCONT) // what is stopped could not obey
	kill := time.Now().Add(Grace)
	pause := firstLook
	for giveUp := kill.Add(killWait); time.Now().Before(giveUp); pause = min(2*pause, slowestLook) {
		time.Sleep(pause)
		probe := unix.Signal(0)
		if time.Now().After(kill) {
			probe = unix.SIGKILL
		}
		if !left(probe) {
			return
		}
	}
}
