package pid1_test

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestGroup: a signal goes to the child alone, or to all of its group.
func TestGroup(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		alone := start(t, helper("pair"), where)
		alone.ready()
		alone.signal(syscall.SIGHUP)
		alone.wantExit(1)
		all := start(t, helper("pair"), where, mode("group"))
		all.ready()
		all.signal(syscall.SIGHUP)
		all.wantExit(0)
	})
}

// stops are the signals that stop a process and that can be caught.
var stops = []syscall.Signal{syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU}

func TestSignalsAreForwarded(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		r := start(t, helper("signals"), where)
		r.ready()
		for _, s := range catchable() {
			r.signal(s)
			if got := r.line(); got != strconv.Itoa(int(s)) {
				t.Errorf("sent %d, the child got %s", s, got)
			}
		}
		r.stdin.Close()
		r.wantExit(0)
	})
}

// TestSignalsThatAreNotForwarded do no harm either.
func TestSignalsThatAreNotForwarded(t *testing.T) {
	r := start(t, helper("signals"))
	r.ready()
	r.signal(syscall.SIGURG)
	r.signal(syscall.SIGCHLD)
	r.signal(syscall.SIGPROF)
	r.signal(syscall.SIGUSR1)
	if got := r.line(); got != "10" {
		t.Errorf("the child got %s, want only 10", got)
	}
	r.stdin.Close()
	r.wantExit(0)
}

// TestSignalsBeforeTheSupervisorListens: none is lost, and none ends it.
func TestSignalsBeforeTheSupervisorListens(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		r := start(t, helper("signals"), where, mode("deaf"))
		eventually(t, "the supervisor runs", func() bool { return len(r.family()) == 1 })
		sent := []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGINT}
		for _, s := range sent {
			r.signal(s)
			time.Sleep(5 * time.Millisecond) // signals that wait together have no order
		}
		// The child is started before it can catch them, so some end it: what
		// counts is that the supervisor had them.
		if got := r.exit(); got != 129 && got != 138 && got != 143 && got != 130 {
			t.Errorf("exit %d, want by one of the signals", got)
		}
	})
}

// TestStopBeforeTheStart: a signal that comes first is obeyed, and nothing is
// started.
func TestStopBeforeTheStart(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		r := start(t, []string{"/must/not/be/started"}, where, mode("refuse"))
		eventually(t, "the supervisor runs", func() bool { return len(r.family()) == 1 })
		r.signal(syscall.SIGTERM)
		r.wantExit(143)
	})
}

// TestSignalsToTheSupervisorDoNothing: only what is sent to the container
// counts, and a SIGPIPE from its own socket must not end it.
func TestSignalsToTheSupervisorDoNothing(t *testing.T) {
	r := start(t, helper("signals"), mode("info"))
	var init, supervisor, child int
	var is1, hidden bool
	info, ready := r.info()
	fmt.Sscan(info, &init, &is1, &supervisor, &child, &hidden)
	if init != r.cmd.Process.Pid || is1 || !hidden {
		t.Errorf("init %d (want %d), PID 1 %t, marker hidden %t", init, r.cmd.Process.Pid, is1, hidden)
	}
	if ready != child {
		t.Errorf("child %d, want %d", child, ready)
	}
	for _, s := range catchable() {
		syscall.Kill(supervisor, s)
	}
	r.signal(syscall.SIGUSR2)
	if got := r.line(); got != "12" {
		t.Errorf("the child got %s, want only 12", got)
	}
	r.stdin.Close()
	r.wantExit(0)
}

func TestInfoAsPID1(t *testing.T) {
	needNamespaces(t)
	r := start(t, helper("ready"), asPID1, mode("info"))
	if got, _ := r.info(); !strings.HasPrefix(got, "1 true ") || !strings.HasSuffix(got, " true") {
		t.Errorf("supervisor sees %q", got)
	}
	r.signal(syscall.SIGTERM)
	r.wantExit(143)
}

// TestBackground is job control without a terminal: a stop signal stops the
// child and, unless it is PID 1, cleat with it, and SIGCONT continues both.
func TestBackground(t *testing.T) {
	for _, s := range stops {
		t.Run(unix.SignalName(s), func(t *testing.T) {
			everywhere(t, func(t *testing.T, where option) {
				// A group of its own, with this process as its shell: else it
				// would be an orphaned one, which cannot be stopped.
				r := start(t, helper("ready"), where, func(c *exec.Cmd) {
					if c.SysProcAttr == nil {
						c.SysProcAttr = &syscall.SysProcAttr{}
					}
					c.SysProcAttr.Setpgid = true
				})
				r.ready()
				is1 := r.cmd.SysProcAttr.Cloneflags != 0
				family := r.family()
				child := family[len(family)-1].Pid
				for range 2 {
					r.signal(s)
					eventually(t, "the child is stopped", func() bool { return tree(t)[child].Stopped })
					if !is1 {
						eventually(t, "cleat is stopped", func() bool { return tree(t)[r.cmd.Process.Pid].Stopped })
					} else {
						time.Sleep(150 * time.Millisecond)
						if !tree(t)[child].Stopped || tree(t)[r.cmd.Process.Pid].Stopped {
							t.Error("as PID 1: the child must stay stopped, and cleat run")
						}
					}
					r.signal(syscall.SIGCONT)
					eventually(t, "both are continued", func() bool {
						return !tree(t)[child].Stopped && !tree(t)[r.cmd.Process.Pid].Stopped
					})
				}
				r.signal(syscall.SIGTERM)
				r.wantExit(143)
			})
		})
	}
}

// TestDispositionsAndMask: the child sees default ones and an empty mask.
func TestDispositionsAndMask(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		got := status(t, where)
		if got["SigIgn"] != 0 || got["SigBlk"] != 0 || got["SigCgt"] != 0 {
			t.Errorf("the child begins with %#x", got)
		}
	})
}

// TestInheritedDispositions: what Go lets cleat see is passed on. It does not see
// that QUIT and USR1 were ignored.
func TestInheritedDispositions(t *testing.T) {
	t.Parallel()
	got := status(t, func(c *exec.Cmd) {
		c.Args = append(helper("nasty", "ignore", "/proc/self/exe"), c.Args[1:]...)
	})
	want := bits(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTTOU, syscall.SIGTTIN, syscall.SIGTSTP, syscall.SIGCONT)
	if got["SigIgn"] != want {
		t.Errorf("ignored in the child: %#x, want %#x", got["SigIgn"], want)
	}
}

// TestInheritedMask: what Go does not need for itself stays blocked.
func TestInheritedMask(t *testing.T) {
	t.Parallel()
	got := status(t, func(c *exec.Cmd) {
		c.Args = append(helper("nasty", "block", "/proc/self/exe"), c.Args[1:]...)
	})
	want := ^bits(syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGABRT, syscall.SIGSYS, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV,
		syscall.SIGSTKFLT, syscall.SIGPROF, syscall.SIGCHLD, syscall.SIGURG, 32, 33, 34)
	if got["SigBlk"] != want {
		t.Errorf("blocked in the child: %#x, want %#x", got["SigBlk"], want)
	}
}

func bits(signals ...syscall.Signal) (set uint64) {
	for _, s := range signals {
		set |= 1 << (s - 1)
	}
	return set
}

// status is what /proc says about the signals of a child that has done nothing
// about them: cat.
func status(t *testing.T, options ...option) map[string]uint64 {
	t.Helper()
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Skip("needs cat, a program that leaves signals alone")
	}
	got := make(map[string]uint64)
	for line := range strings.Lines(output(t, []string{cat, "/proc/self/status"}, options...)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		if strings.HasPrefix(name, "Sig") {
			got[name], _ = strconv.ParseUint(value, 16, 64)
		}
	}
	if len(got) < 4 {
		t.Fatalf("read only %v", got)
	}
	return got
}

// TestSignalsOfTheCLibrary shows the limit: Go cannot catch 32 to 34. But for 33,
// which it uses itself, they end cleat when it is not PID 1, and then nothing is
// left either; PID 1 does not notice.
func TestSignalsOfTheCLibrary(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		for s := syscall.Signal(32); s <= 34; s++ {
			r := start(t, helper("ready"), where)
			r.ready()
			family := r.family()
			r.signal(s)
			if r.cmd.SysProcAttr == nil && s != 33 {
				r.wantExit(-int(s))
				eventually(t, "all are gone", func() bool {
					_, ok := tree(t)[family[len(family)-1].Pid]
					return !ok
				})
				continue
			}
			r.signal(syscall.SIGTERM)
			r.wantExit(143)
		}
	})
}
