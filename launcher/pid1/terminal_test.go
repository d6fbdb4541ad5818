package pid1_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// session is a program with a terminal of its own.
type session struct {
	t        *testing.T
	cmd      *exec.Cmd
	terminal *os.File
	lines    chan string
	done     chan error
}

// onTerminal starts a command as the leader of a session on a new terminal.
func onTerminal(t *testing.T, c *exec.Cmd) *session {
	t.Helper()
	attr := c.SysProcAttr
	if attr == nil {
		attr = &syscall.SysProcAttr{}
	}
	attr.Setsid, attr.Setctty = true, true
	f, err := pty.StartWithAttrs(c, &pty.Winsize{Rows: 24, Cols: 80}, attr)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, cmd: c, terminal: f, lines: make(chan string, 1024), done: make(chan error, 1)}
	go func() {
		defer close(s.lines)
		for scan := bufio.NewScanner(f); scan.Scan(); {
			s.lines <- strings.TrimSuffix(scan.Text(), "\r")
		}
	}()
	go func() { s.done <- c.Wait() }()
	t.Cleanup(func() {
		for _, p := range tree(t).Descendants(c.Process.Pid, nil) {
			p.Signal(syscall.SIGKILL)
		}
		c.Process.Kill()
		f.Close()
	})
	return s
}

// expect reads lines until one holds text.
func (s *session) expect(text string) string {
	s.t.Helper()
	var seen []string
	for {
		select {
		case l, ok := <-s.lines:
			if !ok {
				s.t.Fatalf("expected %q, got only %q", text, seen)
			}
			if seen = append(seen, l); strings.Contains(l, text) {
				return l
			}
		case <-time.After(patience):
			s.t.Fatalf("expected %q, got only %q", text, seen)
		}
	}
}

func (s *session) write(text string) {
	s.t.Helper()
	if _, err := s.terminal.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// foreground waits until a program leads the foreground of the terminal: one
// whose command line begins with the role, or is that program.
func (s *session) foreground(role, name string) {
	s.t.Helper()
	eventually(s.t, role+" "+name+" has the foreground", func() bool {
		group, err := unix.IoctlGetInt(int(s.terminal.Fd()), unix.TIOCGPGRP)
		line := strings.Fields(s.commandLine(group))
		if err != nil || len(line) == 0 {
			return false
		}
		p, known := tree(s.t)[group]
		if known && p.Stopped {
			return false
		}
		if role == "" {
			return filepath.Base(line[0]) == name
		}
		return len(line) > 1 && line[1] == role && (name == "" || len(line) > 2 && line[2] == name)
	})
}

// commandLine is the command line of a process.
func (s *session) commandLine(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.ReplaceAll(string(line), "\x00", " ")
}

func (s *session) wantExit(code int) {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatal("does not end")
	}
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("exit %d (%v), want %d", got, s.cmd.ProcessState, code)
	}
}

const (
	ctrlC = "\x03"
	ctrlD = "\x04"
	ctrlZ = "\x1a"
)

func TestTerminalIsTheChilds(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		s := onTerminal(t, command(helper("terminal"), where))
		s.expect("foreground true leader true <nil> true")
		s.wantExit(0)
	})
}

func TestTerminalInput(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		s := onTerminal(t, command(helper("copy"), where))
		s.write("typed\n" + ctrlD)
		s.expect("typed") // the echo
		s.expect("typed") // the copy
		s.wantExit(0)
	})
}

func TestCtrlC(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		s := onTerminal(t, command(helper("ready"), where))
		s.expect("ready")
		s.write(ctrlC)
		s.wantExit(130)
	})
}

// TestCtrlCComesOnce: not from the terminal and from cleat too.
func TestCtrlCComesOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		s := onTerminal(t, command(helper("count", fmt.Sprint(int(syscall.SIGINT))), where))
		s.expect("ready")
		s.write(ctrlC)
		s.expect("count 1")
		s.wantExit(0)
	})
}

func TestResizeComesOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		s := onTerminal(t, command(helper("count", fmt.Sprint(int(syscall.SIGWINCH))), where))
		s.expect("ready")
		if err := pty.Setsize(s.terminal, &pty.Winsize{Rows: 50, Cols: 132}); err != nil {
			t.Fatal(err)
		}
		s.expect("count 1")
		s.wantExit(0)
	})
}

// TestTerminalOnRestart: the next child has it too.
func TestTerminalOnRestart(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		s := onTerminal(t, command(helper("ready"), where, mode("again")))
		s.expect("ready")
		s.write(ctrlC)
		s.expect("ready")
		s.write(ctrlC)
		s.wantExit(130)
	})
}

// job is a shell that runs cleat as a job, with what stands between them.
func job(place string, between []string, args []string) *exec.Cmd {
	line := append(between, append([]string{"/proc/self/exe", roleCleat}, args...)...)
	shell := helper("shell", append([]string{place}, line...)...)
	return exec.Command(shell[0], shell[1:]...)
}

// TestCtrlZWithAShell: the shell sees its job stopped and continues it, and has
// its terminal back each time.
func TestCtrlZWithAShell(t *testing.T) {
	t.Parallel()
	for name, between := range map[string][]string{"cleat itself": nil, "a script": helper("script")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := onTerminal(t, job("foreground", between, helper("ready")))
			s.expect("ready")
			for range 2 {
				s.foreground(roleHelper, "ready")
				s.write(ctrlZ)
				s.expect("shell: stopped by 20 terminal returned true")
				eventually(t, "only the supervisor runs", func() bool {
					var running []string
					for _, p := range tree(t).Descendants(s.cmd.Process.Pid, nil) {
						if !p.Stopped {
							running = append(running, s.commandLine(p.Pid))
						}
					}
					return len(running) == 1 && strings.Contains(running[0], roleCleat)
				})
				s.write("\n")
			}
			s.foreground(roleHelper, "ready")
			s.write(ctrlC)
			s.expect("shell: ended 130 terminal returned true")
			s.wantExit(0)
		})
	}
}

// TestCtrlZIsCaught: a child that handles the signal goes on, and so does cleat.
func TestCtrlZIsCaught(t *testing.T) {
	t.Parallel()
	s := onTerminal(t, job("foreground", nil, helper("signals")))
	s.expect("ready")
	s.write(ctrlZ)
	s.expect("20")
	s.write(ctrlD)
	s.expect("shell: ended 0 terminal returned true")
	s.wantExit(0)
}

// TestBackgroundJobReads: reading the terminal stops the job, and fg gives it
// the terminal.
func TestBackgroundJobReads(t *testing.T) {
	t.Parallel()
	s := onTerminal(t, job("background", nil, helper("copy")))
	s.expect("shell: stopped by 21 terminal returned true")
	s.write("\n")
	s.foreground(roleHelper, "copy")
	s.write("typed\n")
	s.expect("typed") // the echo
	s.expect("typed") // the copy
	s.write(ctrlD)
	s.expect("shell: ended 0 terminal returned true")
	s.wantExit(0)
}

// TestRunningJobIsMovedToTheForeground: there is no SIGCONT then, and the child
// has the terminal as soon as it wants it.
func TestRunningJobIsMovedToTheForeground(t *testing.T) {
	t.Parallel()
	s := onTerminal(t, job("background", nil, helper("ask")))
	s.expect("ready")
	s.cmd.Process.Signal(syscall.SIGUSR1)
	s.foreground(roleCleat, "")
	for _, p := range tree(t).Descendants(s.cmd.Process.Pid, nil) {
		if strings.Contains(s.commandLine(p.Pid), roleHelper+" ask") && !strings.Contains(s.commandLine(p.Pid), roleCleat) {
			syscall.Kill(p.Pid, syscall.SIGUSR1) // now it reads
		}
	}
	s.foreground(roleHelper, "ask")
	s.write("typed\n")
	s.expect("answer typed")
	s.expect("shell: ended 0 terminal returned true")
	s.wantExit(0)
}

// TestCtrlZWithoutAShell: nobody could continue the child, so it goes on.
func TestCtrlZWithoutAShell(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		s := onTerminal(t, command(helper("ready"), where))
		s.expect("ready")
		s.write(ctrlZ)
		time.Sleep(300 * time.Millisecond)
		for _, p := range tree(t).Descendants(s.cmd.Process.Pid, nil) {
			if p.Stopped {
				t.Errorf("%d is stopped for good", p.Pid)
			}
		}
		s.write(ctrlC)
		s.wantExit(130)
	})
}

// TestShellHasJobControl: bash keeps its -m only with a terminal of its own.
func TestShellHasJobControl(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	everywhere(t, func(t *testing.T, where option) {
		s := onTerminal(t, command([]string{bash, "--norc", "-m", "-c", "echo flags $-; sleep 0.01 & fg; exit 4"}, where))
		if flags := s.expect("flags "); !strings.Contains(flags, "m") {
			t.Errorf("bash says %q: without m there is no job control", flags)
		}
		s.wantExit(4)
	})
}

// TestInteractiveShell: a whole session, as with docker run -it.
func TestInteractiveShell(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	everywhere(t, func(t *testing.T, where option) {
		s := onTerminal(t, command([]string{bash, "--norc", "--noediting", "-i"}, where))
		s.write("PS1=; stty -echo; echo qu''iet\n")
		s.expect("quiet")
		s.write("sleep 50\n")
		s.foreground("", "sleep")
		s.write(ctrlZ)
		s.expect("Stopped")
		s.foreground("", "bash")
		s.write("fg\n")
		s.expect("sleep 50")
		s.foreground("", "sleep")
		s.write(ctrlC)
		s.write("echo code $?\n")
		s.expect("code 130")
		s.write("exit 6\n")
		s.wantExit(6)
	})
}
