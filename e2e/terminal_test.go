package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminal is a docker client on a pseudo-terminal, and the person before it.
type terminal struct {
	t   *testing.T
	cmd *exec.Cmd
	pty *os.File

	mu   sync.Mutex
	seen []byte
	read int // how far expect has read
	done chan struct{}
}

func openTerminal(t *testing.T, rows, columns uint16, command ...string) *terminal {
	t.Helper()
	term := &terminal{t: t, cmd: exec.Command(command[0], command[1:]...), done: make(chan struct{})}
	f, err := pty.StartWithSize(term.cmd, &pty.Winsize{Rows: rows, Cols: columns})
	if err != nil {
		t.Fatal(err)
	}
	term.pty = f
	go func() {
		defer close(term.done)
		buf := make([]byte, 4096)
		for {
			n, err := f.Read(buf)
			term.mu.Lock()
			term.seen = append(term.seen, buf[:n]...)
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = term.cmd.Process.Kill()
		_ = f.Close()
		<-term.done
		if t.Failed() {
			t.Logf("terminal:\n%s", term.seen)
		}
	})
	return term
}

func (term *terminal) write(text string) {
	term.t.Helper()
	if _, err := term.pty.WriteString(text); err != nil {
		term.t.Fatal(err)
	}
}

// expect waits for output that matches, after all that was expected before.
func (term *terminal) expect(pattern string) string {
	term.t.Helper()
	re := regexp.MustCompile(pattern)
	var found string
	WaitFor(term.t, 15*time.Second, func() error {
		term.mu.Lock()
		defer term.mu.Unlock()
		at := re.FindIndex(term.seen[term.read:])
		if at == nil {
			return fmt.Errorf("no output that matches %q", pattern)
		}
		found = string(term.seen[term.read:][at[0]:at[1]])
		term.read += at[1]
		return nil
	})
	return found
}

// repeat types a command again and again until its output matches.
func (term *terminal) repeat(command, pattern string) {
	term.t.Helper()
	re := regexp.MustCompile(pattern)
	WaitFor(term.t, 15*time.Second, func() error {
		if re.Match(term.all()) {
			return nil
		}
		term.write(command)
		time.Sleep(200 * time.Millisecond)
		return fmt.Errorf("%q: no output that matches %q", command, pattern)
	})
}

func (term *terminal) exitCode() int {
	term.t.Helper()
	<-term.done
	err := term.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		term.t.Fatal(err)
	}
	return 0
}

func (term *terminal) all() []byte {
	term.mu.Lock()
	defer term.mu.Unlock()
	return bytes.Clone(term.seen)
}

const (
	ctrlC = "\x03"
	ctrlZ = "\x1a"
)

// TestTerminalShell is docker run -it with a shell, as somebody would use it.
func TestTerminalShell(t *testing.T) {
	t.Parallel()
	image := must(t, debianImage(t))
	term := openTerminal(t, 24, 80, "docker", "run", "--rm", "-it", "--label", dockerLabel+"="+run, "-e", "PS1=ask> ",
		image, "bash", "--norc", "--noprofile")
	term.expect(`ask> `)
	if out := term.all(); bytes.Contains(out, []byte("no job control")) {
		t.Errorf("the shell has no job control: %s", out)
	}

	term.write("echo flags=$-\n")
	term.expect(`flags=\w*m\w*`) // m: job control

	// Ctrl-C ends the foreground job and not the shell, and cleat does not take it for a stop.
	term.write("sleep 100\n")
	term.expect(`sleep 100\r\n`)
	WaitFor(t, 10*time.Second, func() error { return foreground(image, "sleep") })
	term.write(ctrlC)
	term.expect(`ask> `)
	term.write("echo status=$?\n")
	term.expect(`status=130`)

	// Job control: stop, list, continue, end.
	term.write("sleep 100\n")
	WaitFor(t, 10*time.Second, func() error { return foreground(image, "sleep") })
	term.write(ctrlZ)
	term.expect(`Stopped\s+sleep 100`)
	term.write("bg; jobs\n")
	term.expect(`Running\s+sleep 100`)
	term.write("kill %1; wait; echo over=$?\n")
	term.expect(`over=\d+`)

	term.write("stty size\n")
	term.expect(`24 80`)
	term.write("trap 'echo re\"\"sized' WINCH; echo trap=set\n")
	term.expect(`[\r\n]trap=set`)
	if err := pty.Setsize(term.pty, &pty.Winsize{Rows: 40, Cols: 123}); err != nil {
		t.Fatal(err)
	}
	// A shell runs a trap once the command in the foreground is over. The client may pass its own signal on before the
	// size: the size is there shortly, and then only who is in the foreground hears of it.
	term.repeat("true\n", `resized`)
	term.repeat("stty size\n", `[\r\n]40 123`)

	term.write("exit 7\n")
	if code := term.exitCode(); code != 7 {
		t.Errorf("exit code %d, expected 7", code)
	}
}

// foreground reports whether a program of that name runs in a container of the image.
func foreground(image, name string) error {
	ids, err := docker("ps", "-q", "--filter", "ancestor="+image, "--filter", "label="+dockerLabel+"="+run)
	if err != nil {
		return err
	}
	for id := range bytes.FieldsSeq([]byte(ids)) {
		top, err := docker("top", string(id), "-o", "pid,stat,comm")
		if err == nil && regexp.MustCompile(`\+\s+`+name+`\b`).MatchString(top) {
			return nil
		}
	}
	return fmt.Errorf("no %s in the foreground of a container", name)
}

// TestTerminalInterrupt presses Ctrl-C before a program that listens to it: it comes once.
func TestTerminalInterrupt(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	image := must(t, smallImage)
	term := openTerminal(t, 24, 80, "docker", "run", "--rm", "-it", "--label", dockerLabel+"="+run, image, "/testchild", "signals")
	term.expect(`ready`)
	term.write(ctrlC)
	term.expect(`signal 2\r\n`)
	time.Sleep(500 * time.Millisecond)
	// Docker's client may resize the terminal as well, when it begins: signal 28.
	if out := term.all(); bytes.Count(out, []byte("signal 2\r\n")) != 1 {
		t.Errorf("one Ctrl-C came as %d signals: %s", bytes.Count(out, []byte("signal 2\r\n")), out)
	}
	if err := pty.Setsize(term.pty, &pty.Winsize{Rows: 30, Cols: 90}); err != nil {
		t.Fatal(err)
	}
	term.expect(`signal 28\r\n`)
}
