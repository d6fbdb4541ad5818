package pid1

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"cleat/launcher/process"

	"golang.org/x/sys/unix"
)

// Link is the supervisor's end of the pipes to the init stage. Its methods may
// be called from any goroutine.
type Link struct {
	welcome welcome
	lost    bool // the init stage was gone before Attach
	signals chan syscall.Signal
	records *os.File
}

// Attach returns the link when this process was started by Run, and removes
// the marker from the environment. Call it first thing in main: from then on
// no signal but SIGKILL and SIGSTOP ends or stops this process by being sent
// to it; those that count come down the link.
func Attach() (*Link, bool) {
	text, ok := os.LookupEnv(marker)
	if !ok {
		return nil, false
	}
	os.Unsetenv(marker)
	w, ok := parseWelcome(text)
	if !ok || !w.signals.is() || !w.records.is() {
		return nil, false // somebody else's, from an environment that leaked
	}
	unix.CloseOnExec(w.signals.fd)
	unix.CloseOnExec(w.records.fd)
	// Caught and dropped, for a signal that nobody catches would end us. But
	// what is ignored is ignored by the child too, as cleat's parent wanted.
	for _, s := range relayed() {
		switch n := s.(syscall.Signal); {
		case w.ignored.has(n):
			signal.Ignore(s)
		case n == syscall.SIGTTOU:
			// Blocked by the init stage, so that a log line to a terminal that
			// is not ours now can be written; catching it would unblock it.
		case n >= firstRealTime:
			// Go catches these anyway and does nothing (see os/signal). To ask for
			// one costs two switches between threads, and there are thirty.
		default:
			signal.Notify(dropped, s)
		}
	}
	// The name by which ps shows this process is "exe" else.
	os.WriteFile("/proc/self/comm", []byte(filepath.Base(os.Args[0])), 0)
	unix.SetNonblock(w.signals.fd, true)
	l := &Link{
		welcome: w,
		lost:    os.Getppid() != w.init,
		signals: make(chan syscall.Signal, readAtOnce),
		records: os.NewFile(uintptr(w.records.fd), "records"),
	}
	go l.receive(os.NewFile(uintptr(w.signals.fd), "signals"))
	return l, true
}

// dropped is never read: Go drops what does not fit into a channel.
var dropped = make(chan os.Signal, 1)

// is says whether the descriptor is that pipe.
func (p pipeEnd) is() bool {
	var stat unix.Stat_t
	return unix.Fstat(p.fd, &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFIFO && stat.Ino == p.inode
}

// InitPid is the pid of the init stage.
func (l *Link) InitPid() int { return l.welcome.init }

// PID1 says whether the init stage is PID 1.
func (l *Link) PID1() bool { return l.welcome.init == 1 }

// Kernel returns the kernel to start processes with: it knows the init stage,
// and gives processes the signal mask that cleat was started with. Call it
// once, before anything else opens descriptors.
func (l *Link) Kernel() process.Kernel {
	return process.New(process.Config{
		Init:      l.welcome.init,
		Mask:      l.welcome.blocked.sigset(),
		Suspended: func(s syscall.Signal, byTerminal bool) { l.Suspend(s, byTerminal) },
	})
}

// Signals yields the signals that the init stage received, in order. The
// runtime's own (URG, CHLD) are not among them. It is closed when the init
// stage is gone: then nobody else ends what the supervisor leaves behind.
func (l *Link) Signals() <-chan syscall.Signal { return l.signals }

// Record tells the exit code as it stands now, 0 to 255; the last one counts.
// After a record with rest > 0 the init stage ends everything when rest is
// over, whether or not End comes; rest 0 sets no bound.
func (l *Link) Record(code int, rest time.Duration) error {
	if code < 0 || code > 255 {
		return fmt.Errorf("record exit code %d: expected 0 to 255", code)
	}
	return l.send(message{kind: messageRecord, code: byte(code), rest: max(rest, 0)})
}

// End says that the supervisor is done; the process should exit right after.
func (l *Link) End() error { return l.send(message{kind: messageEnd}) }

// Suspend asks the init stage to stop itself by that signal, so that a shell
// sees its job stopped. byTerminal says that SIGCONT has to come down the link
// when it cannot be stopped: as PID 1, or without a shell above.
func (l *Link) Suspend(s syscall.Signal, byTerminal bool) error {
	return l.send(message{kind: messageSuspend, code: byte(s), byTerminal: byTerminal})
}

func (l *Link) send(m message) error {
	b := m.encode()
	if _, err := l.records.Write(b[:]); err != nil {
		return fmt.Errorf("tell the init stage: %w", err)
	}
	return nil
}

func (l *Link) receive(pipe io.ReadCloser) {
	defer close(l.signals)
	defer pipe.Close()
	if l.lost {
		return
	}
	var numbers [readAtOnce]byte
	for {
		n, err := pipe.Read(numbers[:])
		for _, s := range numbers[:n] {
			l.signals <- syscall.Signal(s)
		}
		if err != nil {
			return
		}
	}
}
