package proctree

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// A process that computes, and one that it has started and waited for, count;
// one that is gone is an error.
func TestUseOf(t *testing.T) {
	before, err := UseOf(os.Getpid())
	if err != nil || before.Memory < 1<<20 || before.Processes < 1 {
		t.Fatalf("%+v, %v", before, err)
	}
	cmd := exec.Command("sh", "-c", "sleep 60 & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}()
	deadline := time.Now().Add(10 * time.Second)
	for {
		use, err := UseOf(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if use.Processes >= before.Processes+2 && use.Memory > before.Memory {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("two more processes are not counted: %+v, before %+v", use, before)
		}
	}
	for { // computes
		after, err := UseOf(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after.CPU >= before.CPU+50*time.Millisecond {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("computing went from %v to %v", before.CPU, after.CPU)
		}
	}
	if _, err := UseOf(1 << 30); err == nil {
		t.Error("a process that is not there uses something")
	}
}

func TestUseOfAStat(t *testing.T) {
	const stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 20 30 20 0 1 0 12345 1000000 300 18446744073709551615 0 0"
	var u Use
	if !u.addStat([]byte(stat)) || u.CPU != 2500*time.Millisecond || u.Memory != 300*int64(os.Getpagesize()) || u.Processes != 1 {
		t.Errorf("%+v", u)
	}
	for _, bad := range []string{"", "7 (a) S 1", "7 (a) S 1 7 7 0 -1 4194560 1 2 3 4 x 50 20 30 20 0 1 0 12345 1000000 300 0"} {
		if u.addStat([]byte(bad)) {
			t.Errorf("%q is taken", bad)
		}
	}
}
