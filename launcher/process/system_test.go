package process_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/process"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

func spec(args ...string) process.Spec { return process.Spec{Args: args, Env: os.Environ()} }

func exit(t *testing.T, p process.Process) process.Exit {
	t.Helper()
	select {
	case e, ok := <-p.Exited():
		if !ok {
			t.Fatal("no exit: it was given before")
		}
		return e
	case <-time.After(patience):
		t.Fatal("does not end")
	}
	return process.Exit{}
}

func TestExitsAreExact(t *testing.T) {
	k := process.New(process.Config{})
	for _, code := range []int{0, 1, 7, 127, 128, 255} {
		p, err := k.Start(spec(helper("exit", fmt.Sprint(code))...))
		if err != nil {
			t.Fatal(err)
		}
		if got := exit(t, p); got != (process.Exit{Code: code}) {
			t.Errorf("%v, want exit status %d", got, code)
		}
		if _, open := <-p.Exited(); open {
			t.Error("a second exit")
		}
	}
	for _, s := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGUSR1, 40} {
		p, err := k.Start(spec(helper("die", strconv.Itoa(int(s)))...))
		if err != nil {
			t.Fatal(err)
		}
		if got := exit(t, p); got != (process.Exit{Signal: s}) {
			t.Errorf("%v, want killed by signal %d", got, s)
		}
	}
}

// TestSignalAfterTheEnd: whoever has the pid by then must not be hit.
func TestSignalAfterTheEnd(t *testing.T) {
	p, err := process.New(process.Config{}).Start(spec(helper("exit", "0")...))
	if err != nil {
		t.Fatal(err)
	}
	exit(t, p)
	if err := errors.Join(p.Signal(syscall.SIGKILL), p.SignalGroup(syscall.SIGKILL)); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(p.Pid(), 0); err != syscall.ESRCH {
		t.Errorf("%d is not reaped: %v", p.Pid(), err)
	}
}

// TestAStoppedProcessHasNotEnded: a stop is no exit.
func TestAStoppedProcessHasNotEnded(t *testing.T) {
	p, err := process.New(process.Config{}).Start(spec(helper("wait")...))
	if err != nil {
		t.Fatal(err)
	}
	p.Signal(syscall.SIGSTOP)
	select {
	case e := <-p.Exited():
		t.Errorf("a stop gave %v", e)
	case <-time.After(50 * time.Millisecond):
	}
	p.Signal(syscall.SIGCONT)
	p.Signal(syscall.SIGTERM)
	if got := exit(t, p); got.Signal != syscall.SIGTERM {
		t.Errorf("%v, want killed by SIGTERM", got)
	}
}

// withStderr runs f while descriptor 2 is a pipe, and returns what came.
func withStderr(t *testing.T, f func()) string {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	saved, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(saved)
	unix.Dup3(int(write.Fd()), 2, 0)
	f()
	unix.Dup3(saved, 2, 0)
	write.Close()
	read.SetReadDeadline(time.Now().Add(200 * time.Millisecond)) // a process left behind may hold it open
	out, _ := io.ReadAll(read)
	read.Close()
	return string(out)
}

// TestOtherCommands get /dev/null as stdin, stderr as stdout, no inherited
// descriptors and a group of their own.
func TestOtherCommands(t *testing.T) {
	inherited, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	if _, err := unix.FcntlInt(inherited.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	k := process.New(process.Config{})
	got := withStderr(t, func() {
		if err := process.Run(t.Context(), k, spec(helper("describe")...)); err != nil {
			t.Error(err)
		}
	})
	groups, _ := os.Getgroups()
	want := fmt.Sprintf("input \"\" user %d:%d groups %v open [0 1 2] leader true\n", os.Getuid(), os.Getgid(), groups)
	if got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestUserIsChanged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	// The binary may lie where others may not go: copy it to where they may.
	self := filepath.Join(os.TempDir(), fmt.Sprintf("cleat-process-test-%d", os.Getpid()))
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(self, data, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(self)
	k := process.New(process.Config{})
	for user, want := range map[string]string{
		"4321":      "user 4321:0 groups []",
		"4321:8765": "user 4321:8765 groups [8765]",
		"root:77":   "user 0:77 groups [77]",
	} {
		s := spec(append([]string{self}, helper("describe")[1:]...)...)
		s.User = user
		got := withStderr(t, func() {
			if err := process.Run(t.Context(), k, s); err != nil {
				t.Error(err)
			}
		})
		if !strings.Contains(got, want) {
			t.Errorf("as %s: %s want %s", user, got, want)
		}
	}
	s := spec(helper("exit", "0")...)
	s.User = "nobody-of-that-name"
	if _, err := k.Start(s); !errors.Is(err, process.ErrUser) || process.StartError(err) != 125 {
		t.Errorf("unknown user: %v", err)
	}
}

// TestRunKillsTheWholeGroup: what a check has started dies with it.
func TestRunKillsTheWholeGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var err error
	out := withStderr(t, func() {
		time.AfterFunc(time.Second, cancel)
		err = process.Run(ctx, process.New(process.Config{}), spec(helper("family")...))
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	var pid int
	if _, err := fmt.Sscan(out, &pid); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	for range 1000 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("%d, started by the check, still runs", pid)
}

// TestRunDoesNotWaitForGrandchildren: one that keeps the descriptors open holds
// nothing up.
func TestRunDoesNotWaitForGrandchildren(t *testing.T) {
	var took time.Duration
	out := withStderr(t, func() {
		start := time.Now()
		if err := process.Run(t.Context(), process.New(process.Config{}), spec(helper("background")...)); err != nil {
			t.Error(err)
		}
		took = time.Since(start)
	})
	if took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	var pid int
	fmt.Sscan(out, &pid)
	syscall.Kill(pid, syscall.SIGKILL)
}

// TestNoGoroutineIsLeft after the processes are gone.
func TestNoGoroutineIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	k := process.New(process.Config{})
	for range 5 {
		if err := process.Run(t.Context(), k, spec(helper("exit", "0")...)); err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// TestStartErrors compares with the shells that are there.
func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	os.Mkdir(filepath.Join(dir, "directory"), 0o755)
	for _, test := range []struct {
		name, command string
		want          int
		says          string
		shells        bool // agree
	}{
		{"directory", "/etc", 126, "is a directory", true},
		{"directory on PATH", "directory", 126, "is a directory", false},
		{"no permission", write("plain", "x", 0o644), 126, "is not executable (chmod +x)", true},
		{"no permission, on PATH", "plain", 126, "is not executable (chmod +x)", false},
		{"not found", filepath.Join(dir, "none"), 127, "no such file", true},
		{"not found on PATH", "none-of-that-name", 127, "not found on PATH", true},
		{"no interpreter", write("script", "#!/no/such/shell -e\n", 0o755), 127, `interpreter "/no/such/shell" was not found`, true},
		{"no format", write("text", "neither\n", 0o755), 126, "neither a program", false},
		{"a file as directory", "/etc/passwd/x", 126, "not a directory", false},
		{"empty", "", 127, "its name is empty", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := process.Spec{Args: []string{test.command}, Env: []string{"PATH=/nowhere:" + dir}}
			_, err := process.New(process.Config{}).Start(s)
			if err == nil {
				t.Fatal("it starts")
			}
			if got := process.StartError(err); got != test.want || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v: status %d, want %d and %q", err, got, test.want, test.says)
			}
			if errors.Is(err, fs.ErrNotExist) != (test.want == 127) {
				t.Errorf("%v: fs.ErrNotExist %t", err, errors.Is(err, fs.ErrNotExist))
			}
			if !test.shells {
				return
			}
			for _, shell := range []string{"sh", "bash"} {
				path, err := exec.LookPath(shell)
				if err != nil {
					continue
				}
				c := exec.Command(path, "-c", `"$0"`, test.command)
				c.Env = s.Env
				c.Run()
				if got := c.ProcessState.ExitCode(); got != test.want {
					t.Errorf("%s gives %d, cleat %d", shell, got, test.want)
				}
			}
		})
	}
}

// TestLookup: PATH is the child's own, and the first file that can be executed
// wins.
func TestLookup(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"a/tool": 0o644, "b/tool": 0o755, "c/tool": 0o755} {
		path := filepath.Join(dir, name)
		os.Mkdir(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte("#!/proc/self/exe\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	path := fmt.Sprintf("%[1]s/none:%[1]s/a:%[1]s/b:%[1]s/c", dir)
	if got := process.Find("tool", path); got != dir+"/b/tool" {
		t.Errorf("Find = %s, want b/tool", got)
	}
	if got := process.Find("no-tool", path); got != "no-tool" {
		t.Errorf("Find = %s", got)
	}
	t.Chdir(dir + "/c")
	if got := process.Find("tool", dir+"/a:"); got != "./tool" {
		t.Errorf("an empty part of PATH: %s, want ./tool", got)
	}
	k := process.New(process.Config{})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := spec(append([]string{filepath.Base(self)}, helper("exit", "3")[1:]...)...)
	s.Env = append(s.Env, "PATH="+filepath.Dir(self)) // the last one counts
	p, err := k.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	if got := exit(t, p); got.Code != 3 {
		t.Errorf("%v, want exit status 3", got)
	}
}
