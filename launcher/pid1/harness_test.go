package pid1_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/process/proctree"
)

// patience is how long a test waits for what should come at once: this machine
// may have a lot to do.
const patience = 20 * time.Second

// run is one cleat run of a test.
type run struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string
	done  chan struct{}

	mu     sync.Mutex
	stderr bytes.Buffer
}

// option changes how cleat is started.
type option func(*exec.Cmd)

func mode(m string) option {
	return func(c *exec.Cmd) { c.Env = append(c.Env, modeVariable+"="+m) }
}

// asPID1 starts cleat as the init of a PID namespace of its own.
func asPID1(c *exec.Cmd) {
	c.Env = append(c.Env, mountVariable+"=1")
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWPID
	// Unshared rather than cloned, because then Go makes the mounts private.
	c.SysProcAttr.Unshareflags |= syscall.CLONE_NEWNS
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
}

// everywhere runs a test as PID 1 and as a subreaper.
func everywhere(t *testing.T, f func(t *testing.T, where option)) {
	t.Parallel()
	t.Run("PID 1", func(t *testing.T) {
		t.Parallel()
		needNamespaces(t)
		f(t, asPID1)
	})
	t.Run("subreaper", func(t *testing.T) {
		t.Parallel()
		f(t, func(*exec.Cmd) {})
	})
}

var namespaces = sync.OnceValue(func() error {
	c := exec.Command("/proc/self/exe", roleHelper, "exit", "0")
	asPID1(c)
	return c.Run()
})

func needNamespaces(t *testing.T) {
	t.Helper()
	if err := namespaces(); err != nil {
		t.Skipf("needs to make a PID namespace (root, or user namespaces that the system allows): %v", err)
	}
}

// command is cleat with a command to run.
func command(args []string, options ...option) *exec.Cmd {
	c := exec.Command("/proc/self/exe", append([]string{roleCleat}, args...)...)
	c.Env = os.Environ()
	for _, o := range options {
		o(c)
	}
	return c
}

// start starts cleat; at the end of the test it must be gone.
func start(t *testing.T, args []string, options ...option) *run {
	t.Helper()
	r := &run{t: t, cmd: command(args, options...), lines: make(chan string, 4096), done: make(chan struct{})}
	var err error
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.cmd.Stderr = r
	r.cmd.WaitDelay = time.Second // when something outlives cleat
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.done)
		for s := bufio.NewScanner(out); s.Scan(); {
			r.lines <- s.Text()
		}
		close(r.lines)
		r.cmd.Wait()
	}()
	t.Cleanup(func() {
		select {
		case <-r.done:
		default:
			family := r.family()
			r.cmd.Process.Kill()
			for _, p := range family {
				p.Signal(syscall.SIGKILL)
			}
			<-r.done
		}
		if t.Failed() {
			t.Logf("stderr: %s", r.errors())
		}
	})
	return r
}

// Write takes stderr.
func (r *run) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stderr.Write(p)
}

func (r *run) errors() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stderr.String()
}

// line is the next line of output.
func (r *run) line() string {
	r.t.Helper()
	return r.lineWithin(patience)
}

// lineWithin is the next line of output, which may take longer.
func (r *run) lineWithin(limit time.Duration) string {
	r.t.Helper()
	select {
	case l, ok := <-r.lines:
		if !ok {
			r.t.Fatal("the output has ended")
		}
		return l
	case <-time.After(limit):
		r.t.Fatal("no output")
	}
	return ""
}

// ready waits for the line "ready PID" and returns the pid.
func (r *run) ready() (pid int) {
	r.t.Helper()
	if n, err := fmt.Sscanf(r.line(), "ready %d", &pid); n != 1 {
		r.t.Fatal("expected ready:", err)
	}
	return pid
}

// info waits for the supervisor's line of the mode info, and for the child's
// line "ready PID"; either may be the first.
func (r *run) info() (line string, pid int) {
	r.t.Helper()
	for range 2 {
		next := r.line()
		if n, _ := fmt.Sscanf(next, "ready %d", &pid); n == 0 {
			line = next
		}
	}
	return line, pid
}

func (r *run) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// exit waits for the end and returns the exit code; negative for a signal.
func (r *run) exit() int {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(patience):
		r.t.Fatal("cleat does not end")
	}
	status := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return -int(status.Signal())
	}
	return status.ExitStatus()
}

// wantExit waits for the end and checks the exit code.
func (r *run) wantExit(code int) {
	r.t.Helper()
	if got := r.exit(); got != code {
		r.t.Errorf("cleat exits %d, want %d", got, code)
	}
}

// tree is all processes now.
func tree(t *testing.T) proctree.Tree {
	t.Helper()
	all, err := proctree.Read()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// family are cleat and all that lives below it.
func (r *run) family() []proctree.Process {
	r.t.Helper()
	return tree(r.t).Descendants(r.cmd.Process.Pid, nil)
}

// wantGone checks that none of these still lives.
func wantGone(t *testing.T, family []proctree.Process) {
	t.Helper()
	all := tree(t)
	for _, p := range family {
		if now, ok := all[p.Pid]; ok && now.Start == p.Start && !now.Dead {
			t.Errorf("process %d is still there: %+v", p.Pid, now)
		}
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatal("never happened: ", what)
}

// output runs cleat to its end and returns its output.
func output(t *testing.T, args []string, options ...option) string {
	t.Helper()
	c := command(args, options...)
	out, err := c.Output()
	if err != nil {
		exit, _ := errors.AsType[*exec.ExitError](err)
		if exit != nil {
			t.Fatalf("%v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(out), "\n")
}
