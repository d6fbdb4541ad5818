package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"cleat/launcher/control"
	"cleat/registry"
)

// TestMain is also cleat itself, and a child that it runs.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "test-child":
		child()
	case os.Getenv("CMD_TEST_CLEAT") != "":
		main()
	default:
		os.Exit(m.Run())
	}
}

// child prints which sockets it has inherited, and waits to be ended.
func child() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		fmt.Println(err)
	}
	for _, entry := range entries {
		if to, _ := os.Readlink("/proc/self/fd/" + entry.Name()); strings.HasPrefix(to, "socket:") {
			fmt.Println("inherited", to)
		}
	}
	fmt.Println("child ready")
	<-ended
	os.Exit(7)
}

// full is a status with something in every place.
func full() control.Status {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	return control.Status{
		Now: now, Version: "1.2.3", ID: "web-1", Namespace: "default", Zone: "eu-1", State: "running",
		Since: now.Add(-26 * time.Hour), Healthy: true, Why: "the child runs, pid 12, and all that it offers passes (2)",
		Child: control.Child{
			Command: "nginx", PID: 12, Started: now.Add(-3*time.Hour - 2*time.Minute), Restarts: 1,
			LastExit: "exit status 1", Ended: now.Add(-3*time.Hour - 2*time.Minute),
		},
		Server: &control.Server{Connected: true, URL: "http://cleatd:9640", Since: now.Add(-90 * time.Second)},
		Provides: []control.Instance{
			{Instance: registry.Instance{ID: "web-1:80", Service: "web", Address: "10.0.0.3", Port: 80, Status: registry.Passing, Tags: []string{"blue", "primary"}, Attributes: map[string]string{"role": "master"}}, ListensOn: "80", Declared: true},
			{Instance: registry.Instance{ID: "web-1:81", Service: "web-admin", Address: "10.0.0.3", Port: 81, Status: registry.Critical, Reason: "nothing listens on port 81"}, ListensOn: "81", Declared: true},
		},
		Changed: []string{"tag+=primary -port 80"},
		Requires: []control.Requirement{{
			Alias: "db", Text: "mysql?tag=primary", Standing: control.Held, Why: "0 of 1 instances are there", Min: 1, Revision: 42, Used: 1,
			Endpoints: []control.Endpoint{{Endpoint: registry.Endpoint{ID: "db-1:3306", Address: "10.0.0.7", Port: 3306, Status: registry.Passing, Zone: "eu-1"}, Chosen: true}},
		}},
		Render: control.Render{At: now.Add(-4 * time.Second), Wrote: 3},
		Templates: []control.Template{{
			Destination: "/etc/nginx/conf.d/a-rather-long-name-of-a-file.conf", Source: "/x", Action: "SIGHUP",
			Wrote: now.Add(-4 * time.Second), SHA256: strings.Repeat("0123456789abcdef", 4),
			Error: "/x:3:7: there is no alias \"bd\" " + strings.Repeat("and much more to say ", 8),
		}},
		Actions: []control.Action{
			{At: now.Add(-10 * time.Second), What: "restart", Why: "somebody asked for it"},
			{At: now.Add(-4 * time.Second), What: "nginx -s reload", Error: "exit status 1"},
		},
		Hooks: []control.Hook{
			{Name: "PRE_START", Command: "/app/migrate", Runs: 2, Ended: now.Add(-time.Minute), Took: 1.5},
			{Name: "POST_START", Command: "warm-up", Runs: 1, Ended: now.Add(-time.Hour), Error: "exit status 3", Running: true, Began: now.Add(-2 * time.Second)},
			{Name: "POST_STOP", Command: "bye"},
		},
		Coprocesses: []control.Coprocess{
			{Name: "exporter", Command: "mysqld_exporter", State: control.Running, PID: 31, Started: now.Add(-time.Minute), Restarts: 2, LastExit: "killed by SIGSEGV", Ended: now.Add(-61 * time.Second)},
			{Name: "proxy", Command: "proxy", State: control.Backoff, Next: now.Add(8 * time.Second), Error: "start proxy: not found on PATH"},
		},
		Tasks: []control.Task{
			{Name: "backup", Schedule: "30 3 * * *", Command: "/app/backup", Runs: 7, Failures: 1, LeftOut: 2, Ended: now.Add(-time.Hour), Took: 61, Next: now.Add(26 * time.Minute)},
			{Name: "rotate", Schedule: "@every 1h", Command: "rotate", Next: now.Add(time.Minute)},
		},
	}
}

func TestScreen(t *testing.T) {
	var b bytes.Buffer
	if err := showStatus(&b, full()); err != nil {
		t.Fatal(err)
	}
	const want = `  launcher  web-1, namespace default, zone eu-1, cleat 1.2.3
  state     running; the launcher has been up for 1d2h
  child     nginx, pid 12, up 3h2m, restarts 1 (last: exit status 1, 3h2m ago)
  server    http://cleatd:9640, connected for 1m30s
  healthy   the child runs, pid 12, and all that it offers passes (2)
  set       tag+=primary -port 80

provides
  web        10.0.0.3:80/tcp  passing   tags blue primary, role=master
  web-admin  10.0.0.3:81/tcp  critical  nothing listens on port 81

requires
  db  mysql?tag=primary  held     0 of 1 instances are there; 1 in use, 0 listed, min 1, revision 42
      * 10.0.0.7:3306    passing  zone eu-1, not in the server's view

templates, rendered 4s ago, 3 written
`
	got := b.String()
	if !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nexpected it to begin with\n%s", got, want)
	}
	for line := range strings.Lines(got) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > screenWidth {
			t.Errorf("a line has %d characters: %q", n, line)
		}
	}
	words := strings.Join(strings.Fields(got), " ")
	for _, part := range []string{"0123456789ab wrote 4s ago", "there is no alias \"bd\" and much more to say", "4s ago nginx -s reload failed: exit status 1", "10s ago restart done; somebody asked for it",
		"hooks PRE_START /app/migrate done 1m0s ago, took 1s POST_START warm-up runs for 2s; failed 1h0m ago: exit status 3 POST_STOP bye has not run yet",
		"coprocesses exporter mysqld_exporter running, pid 31, up 1m0s restarts 2; last: killed by SIGSEGV, 1m1s ago proxy proxy backoff, again in 8s restarts 0; start proxy: not found on PATH",
		"tasks backup 30 3 * * * /app/backup done 1h0m ago, took 1m1s; 1 of 7 failed; left out 2; next in 26m0s rotate @every 1h rotate has not run yet; next in 1m0s"} {
		if !strings.Contains(words, part) {
			t.Errorf("%q is not in\n%s", part, got)
		}
	}
}

// Whatever is in it, the screen keeps its width and drives no terminal.
func TestScreenOfHostileTexts(t *testing.T) {
	s := full()
	s.Why = strings.Repeat("x", 1000) + "\x1b[2J\nroot: all is well"
	s.Requires[0].Text = strings.Repeat("ä", 500)
	s.Child.Command = "\x1b]0;title\x07"
	s.Templates[0].SHA256 = ""
	var b bytes.Buffer
	if err := showStatus(&b, s); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\x07") || strings.Contains(b.String(), "\nroot:") {
		t.Errorf("got %q", b.String())
	}
}

// standIn is a launcher's loop with a socket.
func standIn(t *testing.T, status control.Status) (path string, asked func() []control.Request) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	socket, err := control.Listen([]control.Place{{Path: path}}, control.Surroundings{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	requests := make(chan control.Request)
	var mu sync.Mutex
	var all []control.Request
	var running sync.WaitGroup
	running.Go(func() { _ = socket.Serve(ctx, requests) })
	running.Go(func() {
		for {
			select {
			case r := <-requests:
				mu.Lock()
				all = append(all, r)
				mu.Unlock()
				switch r.Do {
				case control.DoStatus:
					r.Reply(control.Answer{Status: &status})
				case control.DoRestart:
					r.Reply(control.Answer{Refused: &control.RefusedError{Problem: registry.Problem{Error: "not now"}}})
				default:
					r.Reply(control.Answer{Done: "one\ntwo\x1b"})
				}
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return path, func() []control.Request {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func TestTell(t *testing.T) {
	healthy, asked := standIn(t, full())
	ill := full()
	ill.Healthy, ill.Why = false, "web (port 80) is critical"
	bad, _ := standIn(t, ill)
	for _, test := range []struct {
		args []string
		code int
		out  string // what it begins with
		errs string // what it holds
	}{
		{[]string{"status", "-socket", healthy}, 0, "  launcher  web-1", ""},
		{[]string{"status", "-check", "-socket", healthy}, 0, "the child runs, pid 12, and all that it offers passes (2)\n", ""},
		{[]string{"status", "-check", "-socket", bad}, 1, "web (port 80) is critical\n", ""},
		{[]string{"status", "-socket", bad}, 0, "  launcher     web-1", ""},
		{[]string{"status", "-socket", "/nonexistent/s"}, 1, "", "cleat status: there is no launcher's socket at /nonexistent/s"},
		{[]string{"status", "-check", "-socket", "/nonexistent/s"}, 1, "", "no launcher's socket"},
		{[]string{"status", "-check", "-json"}, 2, "", "usage: cleat status"},
		{[]string{"status", "web"}, 2, "", "usage: cleat status"},
		{[]string{"status", "-h"}, 0, "", "usage: cleat status"},
		{[]string{"drain", "-socket", healthy}, 0, "one\ntwo?\n", ""},
		{[]string{"undrain", "-socket", healthy}, 0, "one\n", ""},
		{[]string{"reload", "-socket", healthy}, 0, "one\n", ""},
		{[]string{"restart", "-socket", healthy}, 1, "", "cleat restart: not now"},
		{[]string{"restart", "now"}, 2, "", "usage: cleat restart"},
		{[]string{"set", "-socket", healthy, "tag+=a", "-port", "53/udp", "attr.b="}, 0, "one\n", ""},
		{[]string{"set"}, 2, "", "usage: cleat set"},
		{[]string{"set", "a"}, 2, "", `the change "a" has no '='`},
		{[]string{"set", "-port", "x", "tag+=a"}, 2, "", `"x" is no port`},
		{[]string{"set", "-nonsense"}, 2, "", "usage: cleat set"},
	} {
		var out, errs bytes.Buffer
		code := tell{out: &out, errs: &errs, getenv: func(string) string { return "" }}.command(test.args[0], test.args[1:])
		if code != test.code || !strings.HasPrefix(out.String(), test.out) || !strings.Contains(errs.String(), test.errs) ||
			test.out == "" && out.Len() > 0 || test.errs == "" && errs.Len() > 0 {
			t.Errorf("%q: %d\nout: %s\nerrs: %s", test.args, code, out.String(), errs.String())
		}
	}
	all := asked()
	set := all[len(all)-1]
	if len(set.Changes) != 2 || set.Port.String() != "53/udp" {
		t.Errorf("set asked for %+v", set)
	}
	var out bytes.Buffer
	if code := (tell{out: &out, errs: &out, getenv: func(name string) string {
		return map[string]string{"CLEAT_SOCKET": healthy}[name]
	}}).command("status", []string{"-json"}); code != 0 {
		t.Errorf("-json: %d", code)
	}
	var got control.Status
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.ID != "web-1" || got.Requires[0].Endpoints[0].Address != "10.0.0.7" {
		t.Errorf("-json: %v: %s", err, out.String())
	}
}

// TestRunIsAsked runs the real thing: both stages, a child, the socket.
func TestRunIsAsked(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "cleat.sock")
	cleat := func(args ...string) *exec.Cmd {
		cmd := exec.Command(exe, args...)
		cmd.Env = []string{"CMD_TEST_CLEAT=1", "CLEAT_SOCKET=" + socket, "CLEAT_TEMPLATES=", "GORACE=atexit_sleep_ms=0", "PATH=" + os.Getenv("PATH")}
		return cmd
	}
	run := cleat("run", "--", exe, "test-child")
	file, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	log := func() string {
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	run.Stdout, run.Stderr = file, file
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Wait() }()
	defer run.Process.Kill()
	check := func() (string, error) {
		out, err := cleat("status", "-check").CombinedOutput()
		return string(out), err
	}
	eventually := func(what string, condition func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !condition(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				out, _ := cleat("status").CombinedOutput()
				t.Fatalf("not in time: %s; the status is\n%s\nthe log is\n%s", what, out, log())
			}
		}
	}
	// Running is healthy here, and a child that is only beginning ends by SIGTERM.
	childReady := func(times int) func() bool {
		return func() bool { return strings.Count(log(), "child ready") == times }
	}
	eventually("it is healthy", func() bool { _, err := check(); return err == nil })
	eventually("the child catches signals", childReady(1))
	if out, err := cleat("restart").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "restarting ") {
		t.Errorf("restart: %v: %s", err, out)
	}
	eventually("it was restarted", func() bool {
		out, err := cleat("status").CombinedOutput()
		return err == nil && strings.Contains(strings.Join(strings.Fields(string(out)), " "), "restarts 1 (last: exit status 7")
	})
	eventually("the second child catches signals", childReady(2))
	if out, err := cleat("drain").CombinedOutput(); err == nil || !strings.Contains(string(out), "there is no discovery server") {
		t.Errorf("drain: %v: %s", err, out)
	}
	// A second launcher with the same socket says so, and does its work.
	second := cleat("run", "--", exe, "version")
	if out, err := second.CombinedOutput(); err != nil || !strings.Contains(string(out), "warning: no socket") || !strings.Contains(string(out), "another launcher listens on "+socket) {
		t.Errorf("the second launcher: %v: %s", err, out)
	}
	if _, err := check(); err != nil {
		t.Error("the first launcher is not reached any more")
	}
	if err := run.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ended
	if code := run.ProcessState.ExitCode(); code != 7 {
		t.Errorf("the exit code is %d, expected 7: %s", code, log())
	}
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is still there")
	}
	if out, err := check(); err == nil || !strings.Contains(out, "there is no launcher's socket") {
		t.Errorf("after the end: %v: %s", err, out)
	}
	if text := log(); strings.Contains(text, "inherited") || strings.Count(text, "child ready") != 2 {
		t.Errorf("the log is %s", text)
	}
}
