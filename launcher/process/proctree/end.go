package proctree

import (
	"context"
	"syscall"
	"time"
)

const (
	// firstLook and slowestLook are the time between two looks at what is
	// left: first short, because most processes end at once, then doubling.
	firstLook   = 250 * time.Microsecond
	slowestLook = 20 * time.Millisecond
	// killWait is how long after the first SIGKILL End gives up. Only a
	// process that is stuck in the kernel, or that forks faster than it is
	// killed, lives that long.
	killWait = time.Second
	// looksForNone is how many looks in a row must see nothing, because one
	// look can miss a process that is forked while the look is taken.
	looksForNone = 2
)

// End ends the processes that list yields: each gets SIGTERM when it is first
// seen (and SIGCONT whenever it is stopped, or it could not obey), and after grace,
// SIGKILL. It returns when list has been empty twice, when list fails, when ctx
// ends, or a second after grace. The result is how many were left when it last
// looked.
func End(ctx context.Context, list func() ([]Process, error), grace time.Duration) (left int, err error) {
	type name struct {
		pid   int
		start uint64
	}
	asked := make(map[name]bool)
	kill := time.Now().Add(grace)
	giveUp := kill.Add(killWait)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	none, pause := 0, firstLook
	for {
		found, err := list()
		if err != nil {
			return left, err
		}
		left = len(found)
		if left == 0 {
			if none++; none == looksForNone {
				return 0, nil
			}
			continue
		}
		none = 0
		now := time.Now()
		if now.After(giveUp) {
			return left, nil
		}
		for _, p := range found {
			if !now.Before(kill) {
				p.Signal(syscall.SIGKILL)
				continue
			}
			if id := (name{p.Pid, p.Start}); !asked[id] {
				asked[id] = true
				p.Signal(syscall.SIGTERM)
			}
			if p.Stopped { // perhaps only since it was asked
				p.Signal(syscall.SIGCONT)
			}
		}
		wait := pause
		if now.Before(kill) {
			wait = min(wait, kill.Sub(now))
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return left, context.Cause(ctx)
		}
		pause = min(2*pause, slowestLook)
	}
}
