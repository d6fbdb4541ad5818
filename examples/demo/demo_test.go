//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets this binary be the demo, and the demo's cast.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{roleWeb, roleFront, "-for"}, os.Args[1]) {
		main()
	}
	os.Exit(m.Run())
}

// demo starts the demo with its files below dir.
func demo(t *testing.T, dir string, out io.Writer, args ...string) *exec.Cmd {
	t.Helper()
	if testing.Short() {
		t.Skip("takes 15 s and more: not with -short")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self, args...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.Env = append(os.Environ(), "TMPDIR="+dir)
	command.Stdout, command.Stderr = out, out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command
}

// nothingLeft fails if files or processes of the demo are left.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Errorf("%s is left in the temporary directory", f.Name())
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		if line, err := os.ReadFile(path); err == nil && bytes.Contains(line, []byte(dir)) {
			t.Errorf("a process is left: %s", bytes.ReplaceAll(line, []byte{0}, []byte(" ")))
		}
	}
}

// row is a line of the summary: name, effect, requests, retried, failed,
// slowest, verdict.
var row = regexp.MustCompile(`^(\w[\w ]+?)  +(.+?)  +(\d+) +(\d+) +(\d+)  +([\d.]+ m?s)  (\w+)$`)

func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out bytes.Buffer
	command := demo(t, dir, &out, "-for", shortest.String())
	err := command.Wait()
	t.Logf("\n%s", out.String())
	if err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, dir)
	steps := make(map[string][]string)
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		if n := len([]rune(line)); n > 100 {
			t.Errorf("a line of %d columns: %q", n, line)
		}
		if cells := row.FindStringSubmatch(line); cells != nil {
			steps[cells[1]] = cells[2:]
		}
	}
	for _, name := range []string{"all is well", "kill a backend", "add a backend", "relocate a backend", "kill the server", "the server warms up"} {
		cells := steps[name]
		if cells == nil {
			t.Errorf("the summary has no step %q", name)
			continue
		}
		requests, _ := strconv.Atoi(cells[1])
		if requests < rate/4 || cells[5] != "ok" {
			t.Errorf("%s: %v", name, cells)
		}
		if name != "kill a backend" && (cells[2] != "0" || cells[3] != "0") {
			t.Errorf("%s: %s requests were sent again, %s failed", name, cells[2], cells[3])
		}
	}
	if !strings.Contains(out.String(), "All that is promised happened.") {
		t.Error("no verdict")
	}
}

func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	reading, writing := io.Pipe()
	command := demo(t, dir, writing, "-for", "1m")
	var said strings.Builder
	lines := bufio.NewScanner(reading)
	go func() {
		_ = command.Wait() // looked at below
		writing.Close()
	}()
	var interrupted time.Time
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "  KILL  ") {
			interrupted = time.Now()
			if err := command.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("\n%s", said.String())
	if took := time.Since(interrupted); interrupted.IsZero() || took > 2*stopTime {
		t.Errorf("ended %v after the interrupt", took)
	}
	if code := command.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	nothingLeft(t, dir)
}

func TestCommandLine(t *testing.T) {
	for _, args := range [][]string{{"-for", "1s"}, {"-for", "soon"}, {"x"}, {"-x"}} {
		if code := demoMain(args, os.Stdout); code != exitUsage {
			t.Errorf("%v: exit code %d, want %d", args, code, exitUsage)
		}
	}
}

func TestFrontTriesTheNextBackend(t *testing.T) {
	alive := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "alive") }))
	defer alive.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			connection.Close()
		}
	}))
	defer broken.Close()
	refusing := httptest.NewServer(nil)
	refusing.Close()
	address := func(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }
	for _, test := range []struct {
		name, method string
		backends     []string
		retried      string
		answered     bool
	}{
		{"the first answers", "GET", []string{address(alive)}, "", true},
		{"the first refuses", "GET", []string{address(refusing), address(alive)}, retriedRefused, true},
		{"the first breaks off", "GET", []string{address(broken), address(alive)}, retriedBroken, true},
		{"all fail", "GET", []string{address(broken), address(refusing)}, "", false},
		{"a POST may not be sent twice", "POST", []string{address(broken), address(alive)}, "", false},
		{"nobody is there", "GET", nil, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			backends := make([]backend, 0, len(test.backends))
			for _, a := range test.backends {
				backends = append(backends, backend{a, a})
			}
			f := &front{transport: &http.Transport{DisableKeepAlives: true}}
			f.backends.Store(&backends)
			f.requests.Store(^uint64(0)) // the next one is 0: the first backend
			answer, err := f.RoundTrip(httptest.NewRequestWithContext(t.Context(), test.method, "/", nil))
			if (err == nil) != test.answered {
				t.Fatalf("error %v", err)
			}
			if err == nil {
				answer.Body.Close()
				if got := answer.Header.Get(retriedHeader); got != test.retried {
					t.Errorf("sent again because %q, want %q", got, test.retried)
				}
			}
		})
	}
}

func TestParseBackends(t *testing.T) {
	got, err := parseBackends(strings.NewReader("# 2 backends\nbackend a 127.0.0.1:1\n\nbackend b [::1]:2\n"))
	if want := []backend{{"a", "127.0.0.1:1"}, {"b", "[::1]:2"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, text := range []string{"backend a", "backend a b c", "front a b"} {
		if got, err := parseBackends(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"one two", []string{"one two"}},
		{"one two three", []string{"one two", "three"}},
		{"incomprehensible word", []string{"incomprehensible", "word"}},
	} {
		if got := wrap(test.text, 8); !slices.Equal(got, test.want) {
			t.Errorf("wrap(%q) = %q, want %q", test.text, got, test.want)
		}
	}
}
