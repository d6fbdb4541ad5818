package proctree

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// asChild makes this test binary a process to look at: "family" is one that
// has a child, "stubborn" one that ignores SIGTERM.
const asChild = "PROCTREE_TEST_CHILD"

func TestMain(m *testing.M) {
	role := os.Getenv(asChild)
	if role == "" {
		os.Exit(m.Run())
	}
	if role == "stubborn" {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM)
	}
	if role == "family" {
		child := exec.Command("/proc/self/exe")
		child.Env = []string{asChild + "=leaf"}
		if err := child.Start(); err != nil {
			panic(err)
		}
		fmt.Println(child.Process.Pid)
	} else {
		fmt.Println("ready")
	}
	time.Sleep(time.Minute) // until the test ends it
}

// child starts this binary in a role, waits for its line, and has it reaped at
// the end.
func child(t *testing.T, role string) (pid int, line string) {
	t.Helper()
	c, line, _ := started(t, role)
	return c.Process.Pid, line
}

// started is child, and the channel is closed when the process has been reaped.
func started(t *testing.T, role string) (*exec.Cmd, string, <-chan struct{}) {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env = []string{asChild + "=" + role}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { c.Process.Kill(); <-done })
	scanner := bufio.NewScanner(out)
	scanner.Scan()
	go func() { defer close(done); c.Wait() }()
	return c, scanner.Text(), done
}

func pids(list []Process) []int {
	var all []int
	for _, p := range list {
		all = append(all, p.Pid)
	}
	slices.Sort(all)
	return all
}

func TestDescendants(t *testing.T) {
	pid, line := child(t, "family")
	var grandchild int
	fmt.Sscan(line, &grandchild)
	tree, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	all := pids(tree.Descendants(os.Getpid(), nil))
	if !slices.Contains(all, pid) || !slices.Contains(all, grandchild) {
		t.Errorf("descendants %v lack %d or %d", all, pid, grandchild)
	}
	if got := pids(tree.Descendants(pid, nil)); !slices.Equal(got, []int{grandchild}) {
		t.Errorf("descendants of %d are %v, want %d", pid, got, grandchild)
	}
	without := pids(tree.Descendants(os.Getpid(), func(p Process) bool { return p.Pid == pid }))
	if slices.Contains(without, pid) || slices.Contains(without, grandchild) {
		t.Errorf("skipping %d left %v", pid, without)
	}
	if tree[grandchild].Parent != pid || tree[pid].Group != syscall.Getpgrp() {
		t.Errorf("read %+v and %+v", tree[grandchild], tree[pid])
	}
	tree[grandchild].Signal(syscall.SIGKILL)
}

func TestChildren(t *testing.T) {
	if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid())); err != nil {
		t.Skip("needs a kernel with CONFIG_PROC_CHILDREN")
	}
	first, _ := child(t, "leaf")
	second, line := child(t, "family")
	var grandchild int
	fmt.Sscan(line, &grandchild)
	got, ok := Children(os.Getpid())
	if slices.Sort(got); !ok || !slices.Contains(got, first) || !slices.Contains(got, second) || slices.Contains(got, grandchild) {
		t.Errorf("children %v, %t, want %d and %d and not %d", got, ok, first, second, grandchild)
	}
	if _, ok := Children(1 << 30); ok {
		t.Error("children of nobody")
	}
	tree, _ := Read()
	tree[grandchild].Signal(syscall.SIGKILL)
}

func TestDescendantsOfACircle(t *testing.T) {
	tree := Tree{2: {Pid: 2, Parent: 3}, 3: {Pid: 3, Parent: 2}, 4: {Pid: 4, Parent: 3, Dead: true}, 5: {Pid: 5, Parent: 4}}
	if got := pids(tree.Descendants(2, nil)); !slices.Equal(got, []int{3, 5}) {
		t.Errorf("got %v, want [3 5]: the dead are passed through and not listed", got)
	}
}

func TestSignalSparesAStranger(t *testing.T) {
	pid, _ := child(t, "leaf")
	p, err := read(pid)
	if err != nil {
		t.Fatal(err)
	}
	stranger := p
	stranger.Start--
	if err := stranger.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	time.Sleep(20 * time.Millisecond) // a SIGKILL would have ended it by then
	if now, err := read(pid); err != nil || now.Dead {
		t.Fatalf("a process of another start time was killed: %+v, %v", now, err)
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	waitGone(t, p)
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Errorf("signal to one that is gone: %v", err)
	}
}

func waitGone(t *testing.T, p Process) {
	t.Helper()
	for range 1000 {
		now, err := read(p.Pid)
		if err != nil || now.Start != p.Start || now.Dead {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("process %d does not end", p.Pid)
}

func TestEndAsksFirst(t *testing.T) {
	willing, _, willingEnded := started(t, "leaf")
	stopped, _, stoppedEnded := started(t, "leaf")
	syscall.Kill(stopped.Process.Pid, syscall.SIGSTOP)
	left, err := End(t.Context(), ownDescendants, time.Minute)
	if left != 0 || err != nil {
		t.Errorf("left %d, %v", left, err)
	}
	wantEndedBy(t, willing, willingEnded, syscall.SIGTERM)
	wantEndedBy(t, stopped, stoppedEnded, syscall.SIGTERM)
}

func TestEndKillsTheStubborn(t *testing.T) {
	stubborn, _, ended := started(t, "stubborn")
	const grace = 50 * time.Millisecond
	start := time.Now()
	left, err := End(t.Context(), ownDescendants, grace)
	if left != 0 || err != nil {
		t.Errorf("left %d, %v", left, err)
	}
	if took := time.Since(start); took < grace {
		t.Errorf("%v, but SIGKILL comes after %v", took, grace)
	}
	wantEndedBy(t, stubborn, ended, syscall.SIGKILL)
}

func ownDescendants() ([]Process, error) {
	tree, err := Read()
	return tree.Descendants(os.Getpid(), nil), err
}

func wantEndedBy(t *testing.T, c *exec.Cmd, ended <-chan struct{}, s syscall.Signal) {
	t.Helper()
	<-ended
	if status := c.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != s {
		t.Errorf("process %d ended by %v, want %v", c.Process.Pid, c.ProcessState, s)
	}
}

func TestEndIsBounded(t *testing.T) {
	immortal := func() ([]Process, error) { return []Process{{Pid: 1 << 30}}, nil }
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		left, err := End(t.Context(), immortal, 3*time.Second)
		took := time.Since(start)
		if left != 1 || err != nil || took < 4*time.Second || took > 4*time.Second+2*slowestLook {
			t.Errorf("left %d, %v after %v, want 1 after 4s", left, err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if _, err := End(ctx, immortal, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestEndLooksTwice(t *testing.T) {
	looks := 0
	End(t.Context(), func() ([]Process, error) {
		looks++
		if looks == 2 { // missed by the first look
			return []Process{{Pid: 1 << 30}}, nil
		}
		return nil, nil
	}, 0)
	if looks != 4 {
		t.Errorf("%d looks, want 4", looks)
	}
}

func FuzzParse(f *testing.F) {
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own)
	f.Add([]byte("7 (a) b (c)) S 1 2 3 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 99 0 0"))
	f.Add([]byte("7 (x) Z 1"))
	f.Add([]byte(") ("))
	f.Fuzz(func(t *testing.T, stat []byte) {
		if p, ok := parse(stat); ok && p.Pid <= 0 {
			t.Errorf("parse(%q) = %+v", stat, p)
		}
	})
}

func TestParse(t *testing.T) {
	p, ok := parse([]byte("7 (a) b (c)) T 1 2 3 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 99 0 0"))
	if want := (Process{Pid: 7, Parent: 1, Group: 2, Start: 99, Stopped: true}); !ok || p != want {
		t.Errorf("parse = %+v, %t, want %+v", p, ok, want)
	}
	p, ok = parse([]byte("7 (x) Z 1 2 3 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 3 0 99 0 0"))
	if !ok || p.Dead {
		t.Errorf("one with other threads counts as dead: %+v", p)
	}
}
