package pid1

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"cleat/internal/resident"
	"cleat/launcher/process"

	"github.com/hashicorp/go-reap"
	"golang.org/x/sys/unix"
)

const (
	// Grace is how long what is left has between SIGTERM and SIGKILL when the
	// init stage ends everything. Short, because by then the supervisor has
	// stopped the child in its own time, and Docker counts to ten.
	Grace = 500 * time.Millisecond
	// leaveWait is how long the supervisor may take to be gone after it said
	// end, before it is ended like everything else.
	leaveWait = 250 * time.Millisecond
	// reapAgain is how long after the start the reaper is sure to listen.
	reapAgain = 500 * time.Millisecond
	// memoryLimit is where the garbage collector begins to work, in bytes. The
	// init stage allocates next to nothing, and never comes there.
	memoryLimit = 8 << 20
	// complaintWait bounds the writing of the one line that the init stage
	// prints: a full pipe on stderr must not hold an exit up.
	complaintWait = 100 * time.Millisecond
)

// Run is the init stage. It never returns before everything is over; the result
// is the exit code, for os.Exit. args is the whole argv to re-execute as the
// supervisor. Call it from main, first thing after Attach; it takes the whole
// process over.
func Run(args, environ []string) int {
	ignored := ignoredSignals()
	signals := make(chan os.Signal, signalBuffer)
	signal.Notify(signals, relayed()...)

	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryLimit)

	s := &stage{pid: os.Getpid(), signals: signals}
	if s.pid != 1 {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			complain("cannot take in orphans, they will not be reaped or ended: %v", err)
		}
	}
	go reap.ReapChildren(nil, nil, nil, nil)
	if err := s.start(args, environ, ignored); err != nil {
		complain("cannot start the supervisor: %v", err)
		return process.StatusOwn
	}
	// For a child that died before the reaper listened: it reaps at a SIGCHLD.
	// Once more later, because nothing says when it does listen.
	unix.Kill(s.pid, unix.SIGCHLD)
	time.AfterFunc(reapAgain, func() {
		unix.Kill(s.pid, unix.SIGCHLD)
		resident.Trim() // this stage does next to nothing from now on
	})
	return s.run()
}

// stage is the init stage at work. The goroutine of run owns it.
type stage struct {
	pid     int
	signals chan os.Signal
	down    *os.File // signal numbers, to the supervisor
	up      *os.File // messages, from the supervisor
}

// start makes the pipes and the supervisor.
func (s *stage) start(args, environ []string, ignored signalSet) error {
	signals, down, err := newPipe(true)
	if err != nil {
		return err
	}
	defer unix.Close(signals.fd)
	records, up, err := newPipe(false)
	if err != nil {
		return err
	}
	defer unix.Close(records.fd)
	s.down, s.up = down, up

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w := welcome{init: s.pid, signals: signals, records: records, ignored: ignored, blocked: threadMask()}
	env := make([]string, 0, len(environ)+1)
	for _, entry := range environ {
		if !strings.HasPrefix(entry, marker+"=") {
			env = append(env, entry)
		}
	}
	attr := syscall.ProcAttr{
		Env:   append(env, marker+"="+w.String()),
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	}
	// See Attach for SIGTTOU. The supervisor gives its children the old mask.
	unix.PthreadSigmask(unix.SIG_BLOCK, signalSet(1<<(syscall.SIGTTOU-1)).sigset(), nil)
	defer unix.PthreadSigmask(unix.SIG_SETMASK, w.blocked.sigset(), nil)
	var failures []error
	for _, path := range ownBinary(args, environ) {
		if _, err := syscall.ForkExec(path, args, &attr); err == nil {
			return nil
		} else {
			failures = append(failures, fmt.Errorf("%s: %w", path, err))
		}
	}
	return errors.Join(failures...)
}

// ownBinary lists where this program may be found: first as what is running,
// also when its file has been replaced; then by its name, where there is no
// /proc.
func ownBinary(args, environ []string) []string {
	paths := []string{"/proc/self/exe"}
	if len(args) > 0 && args[0] != "" {
		path := ""
		for _, entry := range environ {
			if value, ok := strings.CutPrefix(entry, "PATH="); ok {
				path = value
			}
		}
		paths = append(paths, process.Find(args[0], path))
	}
	return paths
}

// run is the loop: it follows the messages to the end.
func (s *stage) run() int {
	relay := newRelay(s.signals, s.down)
	go relay.run()
	messages := make(chan message)
	go s.receive(messages)
	code := process.StatusOwn
	rest := time.NewTimer(0)
	<-rest.C
	for {
		select {
		case m, ok := <-messages:
			switch {
			case !ok:
				complain("the supervisor was lost: ending everything")
				s.endEverything(reapAll())
				return process.StatusOwn
			case m.kind == messageRecord:
				code = int(m.code)
				rest.Stop()
				if m.rest > 0 {
					rest.Reset(m.rest)
				}
			case m.kind == messageSuspend:
				go relay.suspend(m.signal(), m.byTerminal)
			case m.kind == messageEnd:
				childless := reapAll()
				left := time.NewTimer(leaveWait)
				for ok := true; ok; {
					select {
					case _, ok = <-messages:
					case <-childless:
						ok = false
					case <-left.C:
						ok = false
					}
				}
				s.endEverything(childless)
				return code
			}
		case <-rest.C:
			complain("the supervisor did not finish in its time: ending everything")
			s.endEverything(reapAll())
			return code
		}
	}
}

// receive reads messages until the supervisor is gone. Nothing else holds the
// other end of the pipe, so that its end is the supervisor's.
func (s *stage) receive(messages chan<- message) {
	defer close(messages)
	for {
		var b [messageSize]byte
		if _, err := io.ReadFull(s.up, b[:]); err != nil {
			return
		}
		messages <- decode(b)
	}
}

// complain prints a line on stderr, and does not wait for it for long.
func complain(format string, args ...any) {
	written := make(chan struct{})
	go func() {
		defer close(written)
		// To a terminal that is another's now, too: see Attach.
		runtime.LockOSThread()
		unix.PthreadSigmask(unix.SIG_BLOCK, signalSet(1<<(syscall.SIGTTOU-1)).sigset(), nil)
		fmt.Fprintf(os.Stderr, "cleat: "+format+"\n", args...)
	}()
	timer := time.NewTimer(complaintWait)
	defer timer.Stop()
	select {
	case <-written:
	case <-timer.C:
	}
}
