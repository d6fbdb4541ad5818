package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// notes is the file that a child and all that runs beside it write to, in the order in which they do.
type notes struct {
	t *testing.T
	c *container
	// path on this machine; in the container it is notesPath.
	path string
}

const notesPath = "/notes/all"

// note is a command that writes there. The options are the test child's.
func note(text string, options ...string) string {
	return strings.Join(append(append([]string{"/testchild", "note"}, options...), notesPath, text), " ")
}

// runNotes starts a container with a child of that name, and what the settings say beside it.
func runNotes(t *testing.T, settings, child []string) notes {
	t.Helper()
	dir := t.TempDir()
	options := []string{"-v", dir + ":" + filepath.Dir(notesPath)}
	for _, s := range settings {
		options = append(options, "-e", s)
	}
	return notes{t: t, c: runContainer(t, "beside", append(append(options, must(t, smallImage)), child...)...), path: filepath.Join(dir, filepath.Base(notesPath))}
}

func (n notes) lines() []string {
	text, err := os.ReadFile(n.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		n.t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func (n notes) wait(want ...string) {
	n.t.Helper()
	WaitFor(n.t, 20*time.Second, func() error {
		lines := n.lines()
		for _, line := range want {
			if !slices.Contains(lines, line) {
				return fmt.Errorf("%q is not among the notes: %q", line, lines)
			}
		}
		return nil
	})
}

// wantOrder wants each of these lines exactly once, in this order, whatever lies between.
func (n notes) wantOrder(want ...string) {
	n.t.Helper()
	lines, last := n.lines(), -1
	for _, line := range want {
		at := slices.Index(lines, line)
		if at <= last || slices.Contains(lines[at+1:], line) {
			n.t.Errorf("the notes are\n%s\nand %q is not there once, in the order %q", strings.Join(lines, "\n"), line, want)
			return
		}
		last = at
	}
}

// TestContainerBeside has, as PID 1, the four hooks, coprocesses and a task beside the child: all in order, nothing left,
// the exit code the child's.
func TestContainerBeside(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	n := runNotes(t, []string{
		"CLEAT_HOOK_PRE_START=" + note("pre-start"), "CLEAT_HOOK_POST_START=" + note("post-start"),
		"CLEAT_HOOK_PRE_STOP=" + note("pre-stop"), "CLEAT_HOOK_POST_STOP=" + note("post-stop"),
		"CLEAT_COPROCESS_OUTER=" + note("outer", "-stay"), "CLEAT_COPROCESS_OUTER_START=before",
		"CLEAT_COPROCESS_INNER=" + note("inner", "-stay"), "CLEAT_COPROCESS_INNER_STOP=before",
		"CLEAT_TASK_TICK=@every 1s " + note("tick"),
	}, strings.Fields(note("child", "-stay", "-exit", "7")))
	n.wait("post-start", "outer begins", "inner begins", "child begins", "tick")
	WaitFor(t, 5*time.Second, func() error { // a task may be running
		if states := processStates(n.c); len(states) != 5 || strings.Contains(strings.Join(states, "\n"), " Z ") {
			return fmt.Errorf("expected both stages, the child and two coprocesses:\n%s", strings.Join(states, "\n"))
		}
		return nil
	})
	// What docker exec leaves behind is asked to end as well.
	mustDocker(t, append([]string{"exec", "-d", n.c.id}, strings.Fields(note("stranger", "-stay"))...)...)
	n.wait("stranger begins")

	code, took := n.c.stop()
	if code != 7 || took > 4*time.Second {
		t.Errorf("exit code %d after %v, expected the child's 7 at once", code, took)
	}
	n.wantOrder("pre-start", "outer begins", "pre-stop", "inner ends", "child ends", "outer ends")
	n.wantOrder("pre-start", "child begins", "inner ends")
	n.wantOrder("pre-start", "post-start", "pre-stop", "child ends", "post-stop")
	n.wantOrder("stranger begins", "child ends", "stranger ends")
}

// TestContainerBesideStubborn has nothing that obeys: the container ends in its time, of cleat's own doing.
func TestContainerBesideStubborn(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	const timeout = 3 * time.Second
	deaf := func(text string) string { return note(text, "-stay", "-deaf") }
	n := runNotes(t, []string{
		"CLEAT_STOP_TIMEOUT=" + timeout.String(), "CLEAT_HOOK_POST_START=" + deaf("post-start"), "CLEAT_HOOK_PRE_STOP=" + deaf("pre-stop"),
		"CLEAT_HOOK_POST_STOP=" + deaf("post-stop"), "CLEAT_COPROCESS_SIDE=" + deaf("side"), "CLEAT_TASK_TICK=@every 1s " + deaf("tick"),
	}, strings.Fields(deaf("child")))
	n.wait("child begins", "post-start begins", "side begins", "tick begins")
	code, took := n.c.stop()
	// The engine takes its time, too. After 10 s it would have killed.
	if code != 137 || took > timeout+2*time.Second || !strings.Contains(n.c.log(), `status="killed by SIGKILL" exit=137`) {
		t.Errorf("exit code %d after %v, expected 137 after %v", code, took, timeout)
	}
	n.wantOrder("pre-stop begins", "post-stop begins")
}
