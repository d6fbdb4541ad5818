package process_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// prefixed runs a script whose lines are prefixed, and returns what came out.
func prefixed(t *testing.T, script string) (stdout, stderr string, took time.Duration, code int) {
	t.Helper()
	words := helper("prefixed", "10s", script)
	cmd := exec.Command(words[0], words[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 30 * time.Second
	began := time.Now()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), time.Since(began), cmd.ProcessState.ExitCode()
}

func TestPrefix(t *testing.T) {
	for script, want := range map[string][2]string{
		"echo one; echo two >&2; echo three; exit 3": {"app | one\napp | three\n", "app | two\n"},
		"printf 'a\\n\\nb'":                          {"app | a\napp | \napp | b\n", ""},
		"printf a; sleep 0.05; printf 'b\\nc'":       {"app | ab\napp | c\n", ""},
		"true":                                       {"", ""},
		"printf '\\n'":                               {"app | \n", ""},
	} {
		stdout, stderr, _, code := prefixed(t, script)
		if stdout != want[0] || stderr != want[1] {
			t.Errorf("%s: got %q and %q, expected %q", script, stdout, stderr, want)
		}
		if strings.HasSuffix(script, "exit 3") != (code == 3) {
			t.Errorf("%s: exit code %d", script, code)
		}
	}
}

// A line that is longer than anybody should write, and more lines than a pipe
// holds, come out whole and in order.
func TestPrefixLosesNothing(t *testing.T) {
	stdout, _, _, _ := prefixed(t, `i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done; head -c 1000000 /dev/zero | tr '\0' x; echo; printf end`)
	var want strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&want, "app | %d\n", i)
	}
	want.WriteString("app | " + strings.Repeat("x", 1000000) + "\napp | end\n")
	if stdout != want.String() {
		t.Errorf("%d bytes came, expected %d", len(stdout), want.Len())
	}
}

// What is left behind keeps the pipe open, and holds nobody up.
func TestPrefixDoesNotWaitForWhatIsLeft(t *testing.T) {
	stdout, _, took, _ := prefixed(t, "echo before; (trap '' HUP; exec sleep 5 2>/dev/null) & echo after")
	if stdout != "app | before\napp | after\n" {
		t.Errorf("got %q", stdout)
	}
	if took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}

// While nobody reads, the command is held up as by a pipe, and goes on when
// somebody does; nothing is lost.
func TestPrefixWaitsForItsReader(t *testing.T) {
	words := helper("prefixed", "10s", "i=0; while [ $i -lt 50000 ]; do echo 0123456789; i=$((i+1)); done; echo done >&2")
	cmd := exec.Command(words[0], words[1:]...)
	read, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer errs.Close()
	cmd.Stderr = errs
	said := func() string {
		text, err := os.ReadFile(errs.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if got := said(); got != "" {
		t.Errorf("the command ran on though nobody read: %q", got)
	}
	all, err := io.ReadAll(read)
	if err != nil || len(all) != 50000*len("app | 0123456789\n") {
		t.Errorf("%d bytes came, %v", len(all), err)
	}
	if err := cmd.Wait(); err != nil || said() != "app | done\n" {
		t.Errorf("%v, %q", err, said())
	}
}

// A reader that has stopped to read delays the end for as long as it may, and no
// longer.
func TestPrefixGivesUpAReader(t *testing.T) {
	words := helper("prefixed", "200ms", "head -c 90000 /dev/zero | tr '\\0' x")
	cmd := exec.Command(words[0], words[1:]...)
	if _, err := cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := cmd.Process.Wait()
		done <- err
	}()
	select {
	case <-done:
		if took := time.Since(began); took < 200*time.Millisecond {
			t.Errorf("it took only %v", took)
		}
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		t.Error("it has not ended")
	}
}
