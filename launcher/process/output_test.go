package process_test

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/process"
)

// shell runs a script to its end, as a whole, and returns what it wrote.
func shell(t *testing.T, script string) (string, process.Exit) {
	t.Helper()
	var out bytes.Buffer
	p, err := process.New(process.Config{}).Start(process.Spec{Args: []string{"/bin/sh", "-c", script}, Output: &out, Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	exit := <-p.Exited()
	return out.String(), exit
}

func TestOutputIsAllThatTheCommandWrote(t *testing.T) {
	got, exit := shell(t, "echo one; echo two >&2; read x || echo three; exit 7")
	if got != "one\ntwo\nthree\n" || exit.Code != 7 {
		t.Errorf("%q, %v", got, exit)
	}
	// More than a pipe holds.
	if got, _ := shell(t, "i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done"); len(got) != 20000*11 {
		t.Errorf("%d bytes", len(got))
	}
}

// TestWholeLeavesNothing starts sleepers that would outlive the command.
func TestWholeLeavesNothing(t *testing.T) {
	begin := time.Now()
	out, exit := shell(t, "sleep 60 & echo $!; exit 3")
	if exit.Code != 3 {
		t.Errorf("%v", exit)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatalf("%q", out)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	for deadline := time.Now().Add(10 * time.Second); !gone(pid); {
		if time.Now().After(deadline) {
			t.Fatalf("process %d still runs", pid)
		}
		time.Sleep(time.Millisecond)
	}
}

// gone says whether a process runs no more; nobody here reaps an orphan, so a
// zombie is gone too.
func gone(pid int) bool {
	return syscall.Kill(pid, 0) != nil || zombie(pid)
}

func TestOutputOfWhatCannotStart(t *testing.T) {
	var out bytes.Buffer
	_, err := process.New(process.Config{}).Start(process.Spec{Args: []string{"/does/not/exist"}, Output: &out})
	if process.StartError(err) != process.StatusNotFound || out.Len() != 0 {
		t.Errorf("%v, %q", err, out.String())
	}
}

// TestOutputIsNotHeldUpByWhatEscaped leaves a process outside the group, with
// the pipe in its hands.
func TestOutputIsNotHeldUpByWhatEscaped(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("needs setsid, of util-linux")
	}
	begin := time.Now()
	out, _ := shell(t, "setsid sh -c 'echo $$; exec sleep 5' & sleep 0.5")
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("took %v", took)
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(out)); err == nil && pid > 1 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	} else {
		t.Errorf("%q", out)
	}
}

func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, after, ok := strings.Cut(string(stat), ") ")
	return err != nil || ok && strings.HasPrefix(after, "Z")
}

// TestBesideHasStdout: what runs beside the child writes to cleat's own stdout,
// all other commands to its stderr.
func TestBesideHasStdout(t *testing.T) {
	for _, beside := range []bool{true, false} {
		got := withStderr(t, func() {
			s := spec("/bin/sh", "-c", "[ /proc/self/fd/1 -ef /proc/self/fd/2 ] && echo same >&2 || echo other >&2")
			s.Beside = beside
			if err := process.Run(t.Context(), process.New(process.Config{}), s); err != nil {
				t.Error(err)
			}
		})
		if want := map[bool]string{true: "other\n", false: "same\n"}[beside]; got != want {
			t.Errorf("beside %v: stdout is %q than stderr, expected %q", beside, got, want)
		}
	}
}
