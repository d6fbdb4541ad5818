package pid1

import (
	"bytes"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"cleat/launcher/process/proctree"

	"golang.org/x/sys/unix"
)

// continuedWait is how long after a stop the SIGCONT that ended it may take to
// come out of Go's runtime. If none comes, there was no stop.
const continuedWait = 100 * time.Millisecond

// relay passes signals down the pipe as they come. Go drops a signal that does
// not fit into the channel, so this always reads, also when the pipe is full
// because the supervisor does not.
type relay struct {
	signals   <-chan os.Signal
	continued atomic.Int64 // how many SIGCONT have come
	extra     chan byte    // signals of our own making
	down      *os.File
	waiting   []byte // for the writer, in order
	spare     []byte // what the writer has had before
}

// plainlyWaiting is how many signals may wait for the writer before one that
// waits already is dropped when it comes again, as the kernel does at once.
const plainlyWaiting = 1024

func newRelay(signals <-chan os.Signal, down *os.File) *relay {
	return &relay{signals: signals, down: down, extra: make(chan byte)}
}

func (r *relay) run() {
	batches := make(chan []byte)
	go r.write(batches)
	for {
		var to chan<- []byte
		if len(r.waiting) > 0 {
			to = batches
		}
		select {
		case s := <-r.signals:
			if s == syscall.SIGCONT {
				r.continued.Add(1)
			}
			r.add(byte(s.(syscall.Signal)))
		case number := <-r.extra:
			r.add(number)
		case to <- r.waiting:
			// The writer is done with the batch before.
			r.waiting, r.spare = r.spare[:0], r.waiting
		}
	}
}

func (r *relay) add(number byte) {
	if len(r.waiting) < plainlyWaiting || bytes.IndexByte(r.waiting, number) < 0 {
		r.waiting = append(r.waiting, number)
	}
}

// write writes batches. An error means that the supervisor is gone, which the
// stage sees as well.
func (r *relay) write(batches <-chan []byte) {
	for batch := range batches {
		r.down.Write(batch)
	}
}

// suspend stops this process by a signal, as if it had been sent by the
// terminal, and returns when a shell has continued it. The kernel does not let
// it be stopped when nobody could: as PID 1, or in an orphaned process group.
func (r *relay) suspend(s syscall.Signal, byTerminal bool) {
	before := r.continued.Load()
	if byTerminal {
		stopGroup(s)
	}
	stopSelf(s)
	if !byTerminal {
		return
	}
	for end := time.Now().Add(continuedWait); time.Now().Before(end); time.Sleep(continuedWait / 20) {
		if r.continued.Load() != before {
			return
		}
	}
	r.extra <- byte(syscall.SIGCONT)
}

// stopSelf takes the default action of a stop signal. It is sent to this very
// thread, so that the process has been stopped, or has not, when this returns.
func stopSelf(s syscall.Signal) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	one := signalSet(1 << (s - 1)).sigset()
	var mask unix.Sigset_t
	unix.PthreadSigmask(unix.SIG_UNBLOCK, one, &mask)
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &mask, nil)
	var caught sigaction
	if caught.change(s, &sigaction{}) != nil {
		return
	}
	unix.Tgkill(os.Getpid(), unix.Gettid(), s)
	var ignored sigaction
	ignored.change(s, &caught)
}

// stopGroup stops what shares the terminal's job with this process: a script
// that runs cleat, or the rest of a pipeline. The terminal would have, had the
// child not had the foreground for itself.
func stopGroup(s syscall.Signal) {
	group := unix.Getpgrp()
	tree, err := proctree.Read()
	if err != nil || group == 0 {
		return
	}
	for _, p := range tree {
		if p.Group == group && p.Pid != os.Getpid() {
			p.Signal(s)
		}
	}
}
