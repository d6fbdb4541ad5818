package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
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
		{"mapped, of several", []string{"-e", "CLEAT_MAP_EXIT=0:255,255:0,7:8"}, []string{"/testchild", "exit", "255"}, 0},
		{"no command", nil, nil, 125},
		{"two dashes twice", nil, []string{"--", "/testchild", "exit", "0"}, 127},
		{"name like an option", nil, []string{"-x"}, 127},
		{"under init, success", []string{"--init"}, []string{"/testchild", "exit", "0"}, 0},
		{"under init, any", []string{"--init"}, []string{"/testchild", "exit", "42"}, 42},
		{"under init, terminated", []string{"--init"}, []string{"/testchild", "die", "15"}, 143},
		{"under init, not found", []string{"--init"}, []string{"/nothing"}, 127},
		{"under init, mapped", []string{"--init", "-e", "CLEAT_MAP_EXIT=143:0"}, []string{"/testchild", "die", "15"}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
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
	for name, test := range map[string]struct {
		options   []string
		processes int
	}{
		"PID 1":      {nil, 3},                // the init stage, the supervisor, the child
		"under init": {[]string{"--init"}, 4}, // and the engine's own, whose orphans those of docker exec are
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leaveOrphans(t, image, test.processes, test.options...)
		})
	}
}

func leaveOrphans(t *testing.T, image string, processes int, options ...string) {
	t.Helper()
	const count = 100
	c := runContainer(t, "orphans", append(options, image, "/testchild", "orphans", strconv.Itoa(count))...)
	c.waitLog(30*time.Second, fmt.Sprint("orphaned ", count))
	for range 10 {
		c.exec("/testchild", "exec-orphan")
	}
	WaitFor(t, 5*time.Second, func() error {
		if states := processStates(c); len(states) != processes || strings.Contains(strings.Join(states, "\n"), " Z ") {
			return fmt.Errorf("processes in the container:\n%s", strings.Join(states, "\n"))
		}
		return nil
	})
	if code, _ := c.stop(); code != 143 {
		t.Errorf("exit code %d, expected 143: the child does nothing about TERM", code)
	}
}

// wrapped is a testchild under cleat, however that runs.
type wrapped struct {
	signal func(number int) error
	log    func() string
	stop   func()
}

// everyParent runs a test as PID 1 of a container, under the engine's own init, and as a process of this machine.
// settings are cleat's.
func everyParent(t *testing.T, settings, command []string, test func(t *testing.T, w wrapped, parent string)) {
	t.Parallel()
	for _, parent := range []string{"PID 1", "under init", "plain process"} {
		t.Run(parent, func(t *testing.T) {
			t.Parallel()
			var w wrapped
			if parent == "plain process" {
				w = wrapProcess(t, settings, command)
			} else {
				needsDocker(t)
				var options []string
				if parent == "under init" {
					options = append(options, "--init")
				}
				for _, s := range settings {
					options = append(options, "-e", s)
				}
				options = append(options, must(t, smallImage))
				c := runContainer(t, "signals", append(options, command...)...)
				// As docker kill does, which has no more to do with cleat and takes a hundred times as long.
				init, err := strconv.Atoi(c.inspect("{{.State.Pid}}"))
				if err != nil {
					t.Fatal(err)
				}
				w.signal = func(number int) error { return syscall.Kill(init, syscall.Signal(number)) }
				w.log, w.stop = c.follow().String, func() { c.stop("-t", "1") }
			}
			test(t, w, parent)
		})
	}
}

func wrapProcess(t *testing.T, settings, command []string) wrapped {
	t.Helper()
	b := built(t)
	out, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	cmd := exec.Command(b.cleat, append([]string{"run", "--", b.testchild}, command[1:]...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = settings, out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() }) // TERM may mean nothing here
		defer kill.Stop()
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	return wrapped{
		signal: func(number int) error { return cmd.Process.Signal(syscall.Signal(number)) },
		log: func() string {
			text, err := os.ReadFile(out.Name())
			if err != nil {
				return err.Error()
			}
			return string(text)
		},
		stop: stop,
	}
}

// prints waits until a text has been printed that often.
func (w wrapped) prints(t *testing.T, text string, times int) {
	t.Helper()
	WaitFor(t, 20*time.Second, func() error {
		if n := strings.Count(w.log()+"\n", text+"\n"); n != times {
			return fmt.Errorf("%q has been printed %d times, expected %d, in:\n%s", text, n, times, w.log())
		}
		return nil
	})
}

// TestEverySignal sends every signal that can be caught, those that stop by default among them: first one by one, then
// all at once. KILL and STOP nobody can catch, CHLD and URG are the runtime's own, PROF the profiler's; and 32 to 34, the
// C library's, no Go program such as this child sees.
func TestEverySignal(t *testing.T) {
	// Nothing begins a stop but the last of all signals.
	everyParent(t, []string{"CLEAT_STOP_ON=64"}, []string{"/testchild", "signals", "-end", "64"}, func(t *testing.T, w wrapped, parent string) {
		w.prints(t, "ready", 1)
		var burst []int
		for number := 1; number < 64; number++ {
			switch signal := syscall.Signal(number); signal {
			case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPROF, 32, 33, 34:
				continue
			case syscall.SIGFPE, syscall.SIGILL, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGABRT, syscall.SIGTRAP, syscall.SIGSYS,
				syscall.SIGTTIN, syscall.SIGTTOU:
				if parent == "under init" {
					continue // that init does not pass them on
				}
			}
			if err := w.signal(number); err != nil {
				t.Fatal(err)
			}
			w.prints(t, fmt.Sprint("signal ", number), 1)
			switch syscall.Signal(number) {
			case syscall.SIGCONT, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
				// The kernel drops one of these that waits when another comes.
			default:
				burst = append(burst, number)
			}
		}
		for _, number := range burst {
			if err := w.signal(number); err != nil {
				t.Fatal(err)
			}
		}
		for _, number := range burst {
			w.prints(t, fmt.Sprint("signal ", number), 2)
		}
		if err := w.signal(64); err != nil {
			t.Fatal(err)
		}
		w.prints(t, "signal 64", 1)
	})
}

// TestRewrite changes what the child is sent: two signals change places, one becomes another, one is dropped.
func TestRewrite(t *testing.T) {
	everyParent(t, []string{"CLEAT_REWRITE=1:12,12:1,WINCH:HUP,USR1:0"}, []string{"/testchild", "signals"}, func(t *testing.T, w wrapped, _ string) {
		w.prints(t, "ready", 1)
		for _, step := range []struct {
			send  syscall.Signal
			comes string
			times int
		}{
			{syscall.SIGUSR1, "signal 10", 0},
			{syscall.SIGHUP, "signal 12", 1},
			{syscall.SIGUSR2, "signal 1", 1},
			{syscall.SIGWINCH, "signal 1", 2},
			{syscall.SIGUSR1, "signal 10", 0},
			{syscall.SIGALRM, "signal 14", 1},
		} {
			if err := w.signal(int(step.send)); err != nil {
				t.Fatal(err)
			}
			w.prints(t, step.comes, step.times)
		}
		w.stop()
		w.prints(t, "signal 10", 0)
		w.prints(t, "signal 28", 0)
		w.prints(t, "signal 15", 1)
	})
}

// TestKillGroup sends signals to the child alone, or to all of its group.
func TestKillGroup(t *testing.T) {
	for setting, times := range map[string]int{"false": 1, "true": 2} {
		t.Run(setting, func(t *testing.T) {
			everyParent(t, []string{"CLEAT_KILL_GROUP=" + setting, "CLEAT_STOP_TIMEOUT=1s"}, []string{"/testchild", "family"}, func(t *testing.T, w wrapped, _ string) {
				w.prints(t, "ready", 2)
				if err := w.signal(int(syscall.SIGUSR1)); err != nil {
					t.Fatal(err)
				}
				w.prints(t, "signal 10", times)
				if err := w.signal(int(syscall.SIGUSR2)); err != nil { // whoever gets the first late has it before this
					t.Fatal(err)
				}
				w.prints(t, "signal 12", times)
				w.prints(t, "signal 10", times)
			})
		})
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
