package pid1_test

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/process/proctree"
)

func TestExitCodes(t *testing.T) {
	codes := []int{0, 1, 2, 3, 32, 64, 125, 126, 127, 128, 143, 254, 255}
	if *full {
		codes = nil
		for code := range 256 {
			codes = append(codes, code)
		}
	}
	everywhere(t, func(t *testing.T, where option) {
		for _, code := range codes {
			start(t, helper("exit", strconv.Itoa(code)), where).wantExit(code)
		}
	})
}

// TestDeadlySignals: a child that ends by a signal gives 128 and its number.
func TestDeadlySignals(t *testing.T) {
	deadly := []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGABRT,
		syscall.SIGBUS, syscall.SIGFPE, syscall.SIGKILL, syscall.SIGUSR1, syscall.SIGSEGV, syscall.SIGUSR2,
		syscall.SIGPIPE, syscall.SIGALRM, syscall.SIGTERM, syscall.SIGSTKFLT, syscall.SIGXCPU, syscall.SIGXFSZ,
		syscall.SIGVTALRM, syscall.SIGPROF, syscall.SIGIO, syscall.SIGPWR, syscall.SIGSYS, 34, 35, 64,
	}
	for _, s := range deadly {
		t.Run(process.SignalName(s), func(t *testing.T) {
			t.Parallel()
			start(t, helper("die", strconv.Itoa(int(s)))).wantExit(128 + int(s))
		})
	}
}

func TestStartFailures(t *testing.T) {
	for _, test := range []struct {
		command string
		want    int
		says    string
	}{
		{"/etc", 126, "is a directory"},
		{"/etc/passwd", 126, "not executable"},
		{"/etc/passwd/x", 126, "not a directory"},
		{"no-such-command-zzzz", 127, "not found on PATH"},
		{"/no/such/command", 127, "no such file"},
		{"", 127, "name is empty"},
	} {
		t.Run(test.command, func(t *testing.T) {
			t.Parallel()
			r := start(t, []string{test.command})
			r.wantExit(test.want)
			if !strings.Contains(r.errors(), test.says) {
				t.Errorf("stderr %q does not say %q", r.errors(), test.says)
			}
		})
	}
}

func TestSupervisorLost(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		r := start(t, helper("stubborn"), where, mode("die"))
		r.ready()
		family := r.family()
		if len(family) < 2 {
			t.Fatalf("only %v run", family)
		}
		r.signal(syscall.SIGUSR1)
		r.wantExit(125)
		wantGone(t, family)
		if want := "cleat: the supervisor was lost"; strings.Count(r.errors(), want) != 1 || strings.Count(r.errors(), "\n") != 1 {
			t.Errorf("stderr %q, want one line that says %q", r.errors(), want)
		}
	})
}

func TestSupervisorCannotBeStarted(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, for a root directory without /proc and without cleat")
	}
	c := exec.Command("/proc/self/exe", helper("alone", t.TempDir())[1:]...)
	out, _ := c.CombinedOutput()
	if c.ProcessState.ExitCode() != 125 || !strings.Contains(string(out), "cleat: cannot start the supervisor: /proc/self/exe") {
		t.Errorf("%v: %s", c.ProcessState, out)
	}
}

func TestSupervisorHangsAfterTheRecord(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		r := start(t, helper("leave"), where, mode("hang"))
		r.line()
		began := time.Now()
		family := r.family()
		r.wantExit(7)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		wantGone(t, family)
	})
}

// TestNothingIsLeft: what a child leaves behind is ended before cleat exits.
func TestNothingIsLeft(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		r := start(t, helper("leave", "wait"), where)
		r.line()
		family := r.family()
		if len(family) != 3 {
			t.Fatalf("%v run, want supervisor, child and one that it made", family)
		}
		r.signal(syscall.SIGTERM)
		r.wantExit(143)
		wantGone(t, family)
	})
}

// TestLeftoversAreEndedBeforeTheNextStart: the first child's is gone when the
// second one runs.
func TestLeftoversAreEndedBeforeTheNextStart(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		r := start(t, helper("leave", "wait"), where, mode("again"))
		r.line()
		before := r.family()
		r.signal(syscall.SIGTERM)
		r.line()
		after := r.family()
		if len(before) != 3 || len(after) != 3 {
			t.Errorf("%d and %d processes, want 3 each: %v, %v", len(before), len(after), before, after)
		}
		r.signal(syscall.SIGTERM)
		r.wantExit(143)
		wantGone(t, append(before, after...))
	})
}

// TestLeftoversAhead: what a command ahead of the child left behind is ended
// before it is tried again; what ran before is spared.
func TestLeftoversAhead(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		r := start(t, helper("leave", "wait"), where, mode("ahead"))
		r.line()
		family := r.family()
		if len(family) != 5 {
			t.Errorf("%d processes, want 5 (supervisor, child, and what it, the last command and the volume's left behind): %v", len(family), family)
		}
		r.signal(syscall.SIGTERM)
		r.wantExit(143)
		wantGone(t, family)
	})
}

// TestInitKilled: without PID 1 nobody else cleans up, so the supervisor must
// hear of it.
func TestInitKilled(t *testing.T) {
	r := start(t, helper("stubborn"))
	r.ready()
	family := r.family()
	r.cmd.Process.Kill()
	<-r.done
	eventually(t, "all are gone", func() bool { return gone(t, family) })
}

// TestGroupKilled: the supervisor is not in the group of the job, so that it can
// still end the child.
func TestGroupKilled(t *testing.T) {
	t.Parallel()
	r := start(t, helper("stubborn"), func(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} })
	r.ready()
	family := r.family()
	syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	<-r.done
	eventually(t, "all are gone", func() bool { return gone(t, family) })
}

func gone(t *testing.T, family []proctree.Process) bool {
	all := tree(t)
	return !slices.ContainsFunc(family, func(p proctree.Process) bool {
		now, ok := all[p.Pid]
		return ok && now.Start == p.Start && !now.Dead
	})
}

func TestStatusesInAStorm(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		program := helper("exit")
		if sh, err := exec.LookPath("sh"); err == nil {
			program = []string{sh, "-c"} // starts faster
		}
		r := start(t, program, where, mode("storm="+strconv.Itoa(*starts)))
		const each = 30 * time.Millisecond // at the most, a start among orphans on a busy machine
		if got := r.lineWithin(patience + time.Duration(*starts)*each); got != "lost 0" {
			t.Error(got, r.errors())
		}
		time.Sleep(time.Second)
		zombies := 0
		all := tree(t)
		init := r.cmd.Process.Pid
		for _, p := range all {
			if p.Parent == init && p.Dead {
				zombies++
			}
		}
		if zombies != 0 {
			t.Errorf("%d zombies a second later", zombies)
		}
		r.signal(syscall.SIGTERM)
		r.wantExit(0)
	})
}

// TestOrphansAreReaped: a child of an earlier child becomes the init stage's,
// and is no zombie a second after its end.
func TestOrphansAreReaped(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		r := start(t, helper("orphans"), where)
		init := r.cmd.Process.Pid
		eventually(t, "supervisor and child run", func() bool { return len(r.family()) >= 2 })
		r.signal(syscall.SIGSTOP) // freeze the reaper while orphans gather
		eventually(t, "orphans come to the init stage", func() bool { return zombiesOf(t, init) >= 10 })
		r.signal(syscall.SIGCONT)
		eventually(t, "zombies are reaped", func() bool { return zombiesOf(t, init) < 3 })
		r.signal(syscall.SIGTERM)
		r.wantExit(143)
	})
}

// TestEarlierChildrenAreReaped: those that died before cleat began.
func TestEarlierChildrenAreReaped(t *testing.T) {
	t.Parallel()
	r := start(t, helper("ready"), func(c *exec.Cmd) {
		c.Args = append(helper("parent", "/proc/self/exe"), c.Args[1:]...)
	})
	r.ready()
	began := time.Now()
	eventually(t, "the dead child is reaped", func() bool { return zombiesOf(t, r.cmd.Process.Pid) == 0 })
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("reaped only after %v", took)
	}
	r.signal(syscall.SIGTERM)
	r.wantExit(143)
}

func zombiesOf(t *testing.T, parent int) (n int) {
	for _, p := range tree(t) {
		if p.Parent == parent && p.Dead {
			n++
		}
	}
	return n
}
