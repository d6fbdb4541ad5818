package health

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cleat/internal/probe"
	"cleat/launcher/process"
	"cleat/registry"
)

// expect compares an outcome with "status reason".
func expect(t *testing.T, o probe.Outcome, want string) {
	t.Helper()
	if got := string(o.Status) + " " + o.Reason; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// shell runs a command of the machine once.
func shell(t *testing.T, c Check, env ...string) probe.Outcome {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), c.Timeout)
	defer cancel()
	checker := New(process.New(process.Config{}), "")
	return checker.check(ctx, Target{Check: c.withDefaults(), Addr: netip.MustParseAddrPort("0.0.0.0:8080"), Env: append(env, "PATH="+os.Getenv("PATH"))})
}

func TestCommands(t *testing.T) {
	for _, test := range []struct {
		kind                  Kind
		command, want, output string
	}{
		{Script, "exit 0", "passing exit status 0", ""},
		{Script, "echo slow; exit 1", "warning exit status 1", "slow"},
		{Script, "echo one; echo two >&2; exit 2", "critical exit status 2", "one\ntwo"},
		{Script, "exit 255", "critical exit status 255", ""},
		{Script, "kill -9 $$", "critical killed by SIGKILL", ""},
		{Script, "echo $SERVICE_IP ${SERVICE_IP} '$SERVICE_PORT' $SERVICE_PORT_X $X", "passing exit status 0", "127.0.0.1 127.0.0.1 8080 y"},
		{Script, "read line || echo no stdin", "passing exit status 0", "no stdin"},
		{Command, `sh -c 'echo "$0 $1 $2"; exit 1' $SERVICE_IP:$SERVICE_PORT "a  b" '$HOME'`, "warning exit status 1", "127.0.0.1:8080 a  b $HOME"},
		{Command, "/does/not/exist", "critical start /does/not/exist: no such file or directory", ""},
		{Command, "no-such-command -x", `critical start no-such-command: not found on PATH "` + os.Getenv("PATH") + `": file does not exist`, ""},
		{Command, "'open", "critical the command cannot be split into words", ""},
	} {
		o := shell(t, Check{Kind: test.kind, Command: test.command}, "X=y")
		expect(t, o, test.want)
		if o.Output != test.output {
			t.Errorf("%s: the output is %q", test.command, o.Output)
		}
	}
}

func TestOutputIsBounded(t *testing.T) {
	o := shell(t, Check{Kind: Script, Command: "while :; do echo 0123456789; done", Timeout: time.Second})
	expect(t, o, "critical killed because it took longer than 1s")
	if len(o.Output) > MaxOutput || len(o.Output) < MaxOutput-20 {
		t.Errorf("%d bytes", len(o.Output))
	}
}

// TestNothingIsLeft looks for what checks start beside themselves: one ends by
// itself, one is killed when its time is over, one when the port closes.
func TestNothingIsLeft(t *testing.T) {
	dir := t.TempDir()
	script := func(name, rest string) Check {
		return Check{Kind: Script, Command: "sleep 300 & echo $! $$ > " + dir + "/." + name + "; mv " + dir + "/." + name + " " + dir + "/" + name + "; " + rest, Timeout: 1500 * time.Millisecond}
	}
	expect(t, shell(t, script("ended", "exit 0")), "passing exit status 0")
	expect(t, shell(t, script("late", "trap '' TERM; wait")), "critical killed because it took longer than 1.5s")

	c := New(process.New(process.Config{}), "")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	hour := func(name string) Target {
		check := script(name, "wait")
		check.Timeout = time.Hour
		return Target{ID: name, Check: check, Addr: loopback, Env: []string{"PATH=" + os.Getenv("PATH")}}
	}
	c.Set(hour("closed"))
	c.Set(hour("stopped"))
	waitFor(t, func() bool { return exists(dir+"/closed") && exists(dir+"/stopped") })
	c.Set(Target{ID: "closed", Check: hour("closed").Check})
	noneLeft(t, dir, "closed")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	noneLeft(t, dir, "ended", "late", "closed", "stopped")
}

func noneLeft(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		pids := strings.Fields(string(text))
		if len(pids) != 2 {
			t.Fatalf("%s: %q", name, text)
		}
		for _, digits := range pids {
			pid, err := strconv.Atoi(digits)
			if err != nil {
				t.Fatal(err)
			}
			waitFor(t, func() bool { return gone(pid) })
		}
	}
}

// gone says whether a process runs no more. An orphan may stay a zombie: nobody
// here reaps it.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, state, _ := strings.Cut(string(stat), ") ")
	return err != nil || strings.HasPrefix(state, "Z")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// waitFor waits for what other processes do.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
	}
}

func TestArguments(t *testing.T) {
	at := netip.MustParseAddrPort("[fd00::1]:80")
	for command, want := range map[string][]string{
		"a $SERVICE_IP $SERVICE_PORT":    {"a", "fd00::1", "80"},
		"a '$SERVICE_IP:$SERVICE_PORT' ": {"a", "fd00::1:80"},
		"a $SERVICE_PORTS $SERVICE_IP_":  {"a", "$SERVICE_PORTS", "$SERVICE_IP_"},
		"a # a comment":                  {"a"},
	} {
		if got, err := arguments(Check{Kind: Command, Command: command}, at); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", command, got, err)
		}
	}
}

func TestUserOfCommands(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to change the user")
	}
	c := New(process.New(process.Config{}), "65534:65534")
	o := c.check(t.Context(), Target{Check: Check{Kind: Script, Command: "id -u"}.withDefaults(), Addr: loopback, Env: []string{"PATH=" + os.Getenv("PATH")}})
	if o.Status != registry.Passing || o.Output != "65534" {
		t.Errorf("%+v", o)
	}
}
