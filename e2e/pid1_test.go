package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestContainerExitCode runs the whole way: child, supervisor, init stage, runtime, engine, client.
func TestContainerExitCode(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	image := must(t, smallImage)
	cases := []struct {
		name    string
		options []string
		command []string
		want    int
	}{
		{"success", nil, []string{"/testchild", "exit", "0"}, 0},
		{"failure", nil, []string{"/testchild", "exit", "1"}, 1},
		{"any", nil, []string{"/testchild", "exit", "42"}, 42},
		{"largest", nil, []string{"/testchild", "exit", "255"}, 255},
		{"hangup", nil, []string{"/testchild", "die", "1"}, 129},
		{"kill", nil, []string{"/testchild", "die", "9"}, 137},
		{"segmentation fault", nil, []string{"/testchild", "die", "11"}, 139},
		{"terminated", nil, []string{"/testchild", "die", "15"}, 143},
		{"not found", nil, []string{"/nothing"}, 127},
		{"not executable", nil, []string{"/etc"}, 126},
		{"bad setting", []string{"-e", "CLEAT_PROTS=auto"}, []string{"/testchild", "exit", "0"}, 125},
		{"requirement without server", []string{"-e", "CLEAT_REQUIRE_DB=mysql"}, []string{"/testchild", "exit", "0"}, 125},
		{"mapped", []string{"-e", "CLEAT_MAP_EXIT=143:0"}, []string{"/testchild", "die", "15"}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"run", "--rm", "--label", dockerLabel + "=" + run}, c.options...)
			out, err := exec.Command("docker", append(append(args, image), c.command...)...).CombinedOutput()
			got := 0
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				got = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("exit code %d, expected %d; printed:\n%s", got, c.want, out)
			}
		})
	}
}

// TestContainerChildSees shows that the child gets its arguments and environment, and nothing that it must not.
func TestContainerChildSees(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	image := must(t, smallImage)
	out := mustDocker(t, "run", "--rm", "-e", "CLEAT_TOKEN=very-secret", "-e", "PLAIN=1", "-e", "CLEAT_ENV_GREETING=hello {{env.PLAIN}}",
		image, "/testchild", "show", "two words", "", "-x", "{{.Names}}", "--")
	for _, want := range []string{"arg two words", "arg \n", "arg -x", "arg {{.Names}}", "arg --", "env PLAIN=1", "env GREETING=hello 1"} {
		if !strings.Contains(out+"\n", want) {
			t.Errorf("child printed no %q in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "very-secret") {
		t.Errorf("child sees cleat's token:\n%s", out)
	}
}

func TestContainerStop(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	image := must(t, smallImage)

	t.Run("child obeys", func(t *testing.T) {
		t.Parallel()
		c := runContainer(t, "obeys", image, "/testchild", "signals")
		c.waitLog(10*time.Second, "ready")
		code, took := c.stop()
		if code != 0 || took > 3*time.Second {
			t.Errorf("exit code %d after %v, expected 0 in less than 3s", code, took)
		}
		if log := c.log(); strings.Count(log, "signal 15") != 1 {
			t.Errorf("the child did not get exactly one TERM:\n%s", log)
		}
	})
	t.Run("stop signal of the image", func(t *testing.T) {
		t.Parallel()
		c := runContainer(t, "quit", "--stop-signal", "QUIT", image, "/testchild", "signals", "-end", "3")
		c.waitLog(10*time.Second, "ready")
		code, took := c.stop()
		if code != 0 || took > 3*time.Second {
			t.Errorf("exit code %d after %v, expected 0 in less than 3s", code, took)
		}
		if log := c.log(); strings.Count(log, "signal 3") != 1 || strings.Contains(log, "signal 15") {
			t.Errorf("the child did not get QUIT alone:\n%s", log)
		}
	})
	t.Run("child ignores", func(t *testing.T) {
		t.Parallel()
		c := runContainer(t, "ignores", "-e", "CLEAT_STOP_TIMEOUT=2s", image, "/testchild", "signals", "-end", "0")
		c.waitLog(10*time.Second, "ready")
		code, took := c.stop()
		if code != 137 || took < 1500*time.Millisecond || took > 4*time.Second {
			t.Errorf("exit code %d after %v, expected 137 after about 2s", code, took)
		}
	})
	t.Run("child ignores, default time", func(t *testing.T) {
		t.Parallel()
		c := runContainer(t, "stubborn", image, "/testchild", "signals", "-end", "0")
		c.waitLog(10*time.Second, "ready")
		code, took := c.stop()
		// Docker kills at 10 s, PID 1 and all. Cleat must be through before that, and say so.
		if code != 137 || took < 8500*time.Millisecond || !strings.Contains(c.log(), `status="killed by SIGKILL" exit=137`) {
			t.Errorf("exit code %d after %v, expected 137 by cleat's own doing after about 9s", code, took)
		}
	})
	t.Run("while waiting for a requirement", func(t *testing.T) {
		t.Parallel()
		c := runContainer(t, "waiting", "-e", "CLEAT_SERVER=http://127.0.0.1:9640", "-e", "CLEAT_REQUIRE_DB=mysql", image, "/testchild", "signals")
		time.Sleep(time.Second) // nothing says that it waits before there is a server
		code, took := c.stop()
		if code != 143 || took > 3*time.Second {
			t.Errorf("exit code %d after %v, expected 143 at once", code, took)
		}
		if strings.Contains(c.log(), "ready") {
			t.Error("the child was started without what it requires")
		}
	})
}

// processStates runs ps in the container and returns its lines, itself left out.
func processStates(c *container) []string {
	c.t.Helper()
	var lines []string
	for line := range strings.Lines(c.exec("/testchild", "ps")) {
		fields := strings.Fields(line)
		if len(fields) == 4 && fields[1] == "0" && fields[0] != "1" {
			continue // what docker exec starts has no parent here
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// TestContainerOrphans leaves orphans behind in the container, by the child and by docker exec, and looks for zombies.
func TestContainerOrphans(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	image := must(t, smallImage)
	const count = 100
	c := runContainer(t, "orphans", image, "/testchild", "orphans", strconv.Itoa(count))
	c.waitLog(30*time.Second, fmt.Sprint("orphaned ", count))
	for range 10 {
		c.exec("/testchild", "exec-orphan")
	}
	WaitFor(t, 5*time.Second, func() error {
		// The init stage, the supervisor, the child.
		if states := processStates(c); len(states) != 3 || strings.Contains(strings.Join(states, "\n"), " Z ") {
			return fmt.Errorf("processes in the container:\n%s", strings.Join(states, "\n"))
		}
		return nil
	})
	if code, _ := c.stop(); code != 143 {
		t.Errorf("exit code %d, expected 143: the child does nothing about TERM", code)
	}
}

// TestContainerSupervisorLost kills the supervisor: the init stage ends what is left and says so with its exit code.
func TestContainerSupervisorLost(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	image := must(t, smallImage)
	c := runContainer(t, "lost", image, "/testchild", "signals")
	c.waitLog(10*time.Second, "ready")
	supervisor := ""
	for _, line := range processStates(c) {
		if fields := strings.Fields(line); fields[1] == "1" {
			supervisor = fields[0]
		}
	}
	// From outside, since the image has no kill: the pids as the engine's machine sees them.
	for line := range strings.Lines(mustDocker(t, "top", c.id, "-o", "pid,ppid,args")) {
		fields := strings.Fields(line)
		if len(fields) > 2 && fields[1] == c.inspect("{{.State.Pid}}") {
			if err := exec.Command("kill", "-9", fields[0]).Run(); err != nil {
				t.Fatal(err)
			}
			c.wantExit(125)
			return
		}
	}
	t.Fatalf("no process below PID 1 seen from outside; inside it is %s", supervisor)
}
