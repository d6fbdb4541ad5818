package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/control"
	"cleat/registry"
)

// status asks a launcher of s.cleat.
func (p *process) status() (control.Status, error) {
	var status control.Status
	socket := ""
	for _, entry := range p.cmd.Env {
		if path, found := strings.CutPrefix(entry, "CLEAT_SOCKET="); found {
			socket = path
		}
	}
	out, err := exec.Command(built(p.t).cleat, "status", "-json", "-socket", socket).Output()
	if err != nil {
		return status, fmt.Errorf("cleat status: %w", err)
	}
	return status, json.Unmarshal(out, &status)
}

// said lists what of a process's output begins with a word, without it.
func (p *process) said(word string) []string {
	var all []string
	for line := range strings.Lines(p.out.String()) {
		if _, text, found := strings.Cut(strings.TrimSpace(line), " "+word+" "); found {
			all = append(all, text)
		}
	}
	return all
}

// below returns an error unless so many processes run below a launcher, the supervisor aside.
func (p *process) below(want int) error {
	if got := len(descendants(p.cmd.Process.Pid)) - 1; got != want {
		return fmt.Errorf("%d processes run, expected %d", got, want)
	}
	return nil
}

// TestHooks has all four, each of which leaves a process behind in its group, and one child that is killed once.
func TestHooks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, address := s.web("web-1")
	const hook = `sh -c 'sleep 1000 & echo hook $CLEAT_HOOK $CLEAT_WHY pid=${CLEAT_CHILD_PID:-none} exit=${CLEAT_CHILD_EXIT:-none} $WEB_ADDR $URL token=$CLEAT_TOKEN'`
	p := s.cleat("b", []string{
		"CLEAT_REQUIRE_WEB=web", "CLEAT_ENV_URL=http://{{web.addr}}/", "CLEAT_TOKEN=secret", "CLEAT_RESTART=on-failure",
		"CLEAT_HOOK_PRE_START=" + hook, "CLEAT_HOOK_POST_START=" + hook, "CLEAT_HOOK_PRE_STOP=" + hook, "CLEAT_HOOK_POST_STOP=" + hook,
	}, built(t).testchild, "signals")
	pid := 0
	WaitFor(t, 20*time.Second, func() error {
		status, err := p.status()
		if err == nil && (len(status.Hooks) != 4 || status.Hooks[1].Runs != 1) {
			err = fmt.Errorf("the hooks are %+v", status.Hooks)
		}
		pid = status.Child.PID
		return err
	})
	WaitFor(t, time.Second, func() error { return p.below(1) }) // what hooks leave behind is killed
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := 0
	WaitFor(t, 20*time.Second, func() error {
		status, err := p.status()
		if second = status.Child.PID; err == nil && (second == 0 || second == pid || status.Hooks[1].Runs != 2) {
			err = fmt.Errorf("the child is %+v", status.Child)
		}
		return err
	})
	code, took := p.stop(5 * time.Second)
	if code != 143 && code != 0 || took > 2*time.Second {
		t.Errorf("exit code %d after %v", code, took)
	}
	tail := " " + address + " http://" + address + "/ token="
	want := []string{
		"PRE_START first pid=none exit=none" + tail,
		fmt.Sprintf("POST_START first pid=%d exit=none", pid) + tail,
		fmt.Sprintf("POST_STOP crash pid=%d exit=137", pid) + tail,
		"PRE_START crash pid=none exit=none" + tail,
		fmt.Sprintf("POST_START crash pid=%d exit=none", second) + tail,
		fmt.Sprintf("PRE_STOP stop pid=%d exit=none", second) + tail,
		fmt.Sprintf("POST_STOP stop pid=%d exit=%d", second, code) + tail,
	}
	if got := p.said("hook"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestPostStartWaitsForTheChild has one that waits until all that the child offers passes.
func TestPostStartWaitsForTheChild(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p, _ := s.web("b", "CLEAT_HOOK_POST_START=sh -c 'until "+built(t).cleat+" status -check; do sleep 0.1; done; echo now $CLEAT_HOOK'")
	WaitFor(t, 20*time.Second, func() error {
		if got := p.said("now"); !slices.Equal(got, []string{"POST_START"}) {
			return fmt.Errorf("it said %q", got)
		}
		return nil
	})
	if err := passing("http://"+s.address, "web", 1); err != nil {
		t.Error(err)
	}
}

// TestPreStartHoldsTheChild has one that succeeds at the third time.
func TestPreStartHoldsTheChild(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startProcess(t, "b", []string{
		"CLEAT_SOCKET=none", "CLEAT_HOOK_PRE_START=sh -c 'echo x >>" + dir + "/tries; test $(wc -l <" + dir + "/tries) = 3'",
	}, built(t).cleat, "run", "sh", "-c", "echo tries $(wc -l <"+dir+"/tries)")
	if code := p.wait(20 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if got := p.said("tries"); !slices.Equal(got, []string{"3"}) {
		t.Errorf("the child was started after %q tries", got)
	}
}

// TestCoprocess has one that listens, and leaves processes in its group: an orphan and a child.
func TestCoprocess(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	port, beside := freePort(t), freePort(t)
	p := s.cleat("b", []string{
		"SERVICE_NAME=pair", "CLEAT_RESTART=always",
		fmt.Sprintf(`CLEAT_COPROCESS_METRICS=sh -c 'sleep 1000 & (sleep 1000 &) ; echo called $CLEAT_COPROCESS; exec %s listen 127.0.0.1:%d'`, built(t).testchild, beside),
	}, built(t).testchild, "web", "-listen", fmt.Sprintf("127.0.0.1:%d", port), "-name", "b")
	s.waitPassing("pair", 1)
	offered := func() error {
		var all registry.ServiceList
		if err := s.get("/api/v1/services", &all); err != nil {
			return err
		}
		if len(all.Services) != 1 || all.Services[0].Service != "pair" {
			return fmt.Errorf("services %+v, expected only that of the child", all.Services)
		}
		var detail registry.ServiceDetail
		if err := s.get("/api/v1/services/pair", &detail); err != nil {
			return err
		}
		if len(detail.Instances) != 1 || detail.Instances[0].Port != uint16(port) {
			return fmt.Errorf("instances %+v, expected port %d alone", detail.Instances, port)
		}
		return nil
	}
	Always(t, 1500*time.Millisecond, offered)
	before, err := p.status()
	if err != nil || len(before.Coprocesses) != 1 || before.Coprocesses[0].State != control.Running {
		t.Fatalf("the status is %+v: %v", before.Coprocesses, err)
	}
	coprocess := before.Coprocesses[0].PID
	WaitFor(t, 5*time.Second, func() error { return p.below(4) })

	// The child is killed and started again; the coprocess, its child and its orphan are left alone.
	if err := syscall.Kill(before.Child.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	WaitFor(t, 20*time.Second, func() error {
		status, err := p.status()
		if err == nil && (status.Child.PID == 0 || status.Child.PID == before.Child.PID) {
			err = fmt.Errorf("the child is %+v", status.Child)
		}
		return err
	})
	s.waitPassing("pair", 1)
	after, err := p.status()
	if err != nil || after.Coprocesses[0].PID != coprocess || after.Coprocesses[0].Restarts != 0 {
		t.Errorf("the status is %+v: %v", after.Coprocesses, err)
	}
	if err := p.below(4); err != nil {
		t.Error(err)
	}

	// It is killed: what it leaves goes with it, the child stays, and it is started again.
	if err := syscall.Kill(coprocess, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	WaitFor(t, 20*time.Second, func() error {
		status, err := p.status()
		if err == nil && (status.Coprocesses[0].State != control.Running || status.Coprocesses[0].Restarts != 1 || status.Coprocesses[0].LastExit != "killed by SIGKILL") {
			err = fmt.Errorf("the coprocess is %+v", status.Coprocesses)
		}
		return err
	})
	WaitFor(t, 5*time.Second, func() error { return p.below(4) })
	if last, err := p.status(); err != nil || last.Child.PID != after.Child.PID {
		t.Errorf("the child is %+v: %v", last.Child, err)
	}
	if err := offered(); err != nil {
		t.Error(err)
	}
	if got := p.said("called"); !slices.Equal(got, []string{"metrics", "metrics"}) {
		t.Errorf("it said %q", got)
	}
	all := p.tree()
	if code, took := p.stop(5 * time.Second); code != 143 && code != 0 || took > 3*time.Second {
		t.Errorf("exit code %d after %v", code, took)
	}
	for _, pid := range all {
		if _, there := processTree()[pid]; there {
			t.Errorf("process %d is left", pid)
		}
	}
}

// TestCoprocessOutput keeps stdout and stderr apart.
func TestCoprocessOutput(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(built(t).cleat, "run", "sleep", "0.3")
	cmd.Env = []string{"PATH=/usr/bin:/bin", "CLEAT_SOCKET=none", "CLEAT_COPROCESS_X=sh -c 'echo to-stdout; echo to-stderr >&2; exec sleep 1000'"}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || string(out) != "to-stdout\n" || !strings.Contains(stderr.String(), "to-stderr\n") || strings.Contains(stderr.String(), "to-stdout") {
		t.Errorf("%v; stdout %q, stderr %q", err, out, stderr.String())
	}
}

// TestStubbornCommands has a coprocess, a hook and a task that obey nothing: the container ends in time, with the exit
// code of its child, and nothing is left.
func TestStubbornCommands(t *testing.T) {
	t.Parallel()
	const stubborn = `sh -c 'trap "" TERM INT HUP; while :; do sleep 0.2; done'`
	p := startProcess(t, "b", []string{
		"CLEAT_SOCKET=none", "CLEAT_STOP_TIMEOUT=4s", "CLEAT_COPROCESS_A=" + stubborn, "CLEAT_COPROCESS_B=" + stubborn, "CLEAT_COPROCESS_B_STOP=before",
		"CLEAT_HOOK_POST_START=" + stubborn, "CLEAT_HOOK_PRE_STOP=" + stubborn, "CLEAT_HOOK_POST_STOP=" + stubborn, "CLEAT_TASK_X=@every 1s " + stubborn,
	}, built(t).cleat, "run", built(t).testchild, "signals", "-end", "15")
	time.Sleep(1500 * time.Millisecond) // until the task runs
	all := p.tree()
	code, took := p.stop(6 * time.Second)
	if code != 0 && code != 143 || took > 4300*time.Millisecond {
		t.Errorf("exit code %d after %v", code, took)
	}
	for _, pid := range all {
		if _, there := processTree()[pid]; there {
			t.Errorf("process %d is left", pid)
		}
	}
}
