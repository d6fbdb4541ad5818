package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cleat/registry"
)

// processTree maps each pid to its parent's, zombies left out.
func processTree() map[int]int {
	parents := make(map[int]int)
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 || fields[0] == "Z" {
			continue
		}
		if parents[pid], err = strconv.Atoi(fields[1]); err != nil {
			delete(parents, pid)
		}
	}
	return parents
}

// descendants lists the processes below pid.
func descendants(pid int) []int {
	parents := processTree()
	var below []int
	for candidate := range parents {
		for up := parents[candidate]; up != 0; up = parents[up] {
			if up == pid {
				below = append(below, candidate)
				break
			}
		}
	}
	return below
}

// endDescendants kills what tests have left.
func endDescendants() {
	for range 10 {
		left := descendants(os.Getpid())
		if len(left) == 0 {
			return
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(pollEvery)
	}
}

// record is what a process prints, with the time of each line.
type record struct {
	mu    sync.Mutex
	lines []string
	half  []byte
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.half = append(r.half, b...)
	for {
		line, rest, found := bytes.Cut(r.half, []byte{'\n'})
		if !found {
			return len(b), nil
		}
		r.lines = append(r.lines, time.Now().Format("15:04:05.000 ")+string(line))
		r.half = bytes.Clone(rest)
	}
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n") + "\n" + string(r.half)
}

// process is a program that a test has started: cleatd, or cleat run with a child.
type process struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	out    *record
	exited chan struct{}
}

// startProcess starts a program with nothing in its environment but what is given.
func startProcess(t *testing.T, name string, env []string, command ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(command[0], command[1:]...), out: &record{}, exited: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	// A child that is left behind holds the pipe; the end of the process itself is what counts.
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		<-p.exited
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, p.out)
		}
	})
	return p
}

// kill ends the process and all below it at once, as a container's end does.
func (p *process) kill() {
	below := descendants(p.cmd.Process.Pid)
	_ = p.cmd.Process.Kill()
	for _, pid := range below {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %v to %s: %v", s, p.name, err)
	}
}

// wait waits for the end and returns the exit code, -1 if a signal ended it.
func (p *process) wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(limit):
		p.t.Fatalf("%s is still running after %v", p.name, limit)
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop sends TERM and returns the exit code and how long it took.
func (p *process) stop(limit time.Duration) (int, time.Duration) {
	p.t.Helper()
	began := time.Now()
	p.signal(syscall.SIGTERM)
	return p.wait(limit), time.Since(began)
}

func (p *process) waitLog(limit time.Duration, text string) {
	p.t.Helper()
	WaitFor(p.t, limit, func() error {
		if !strings.Contains(p.out.String(), text) {
			return fmt.Errorf("%s has not printed %q", p.name, text)
		}
		return nil
	})
}

// childPid is the pid of the wrapped child: the only process below the supervisor, which is the only one below the
// init stage.
func (p *process) childPid() (int, error) {
	parents := processTree()
	only := func(parent int) (int, error) {
		found := 0
		for pid, up := range parents {
			if up == parent {
				if found != 0 {
					return 0, fmt.Errorf("process %d has several children", parent)
				}
				found = pid
			}
		}
		if found == 0 {
			return 0, fmt.Errorf("process %d has no children", parent)
		}
		return found, nil
	}
	supervisor, err := only(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	return only(supervisor)
}

// tree is the launcher and all below it.
func (p *process) tree() []int { return append(descendants(p.cmd.Process.Pid), p.cmd.Process.Pid) }

// site is one discovery server with what a test runs around it, on loopback.
type site struct {
	t       *testing.T
	server  *process
	address string // of the server
	via     string // how launchers reach it; the same unless there is something in between
	options []string
}

// freePort finds a port on loopback that nobody has. Nobody has promised it, so it is to be used soon.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func newSite(t *testing.T, options ...string) *site {
	t.Helper()
	s := &site{t: t, address: fmt.Sprintf("127.0.0.1:%d", freePort(t)), options: options}
	s.via = s.address
	s.startServer()
	return s
}

func (s *site) startServer() {
	s.t.Helper()
	args := append([]string{built(s.t).cleatd, "-listen", s.address}, s.options...)
	s.server = startProcess(s.t, "cleatd", nil, args...)
	WaitFor(s.t, 10*time.Second, func() error { return s.get("/readyz", nil) })
}

// cleat starts the launcher with settings and a command.
func (s *site) cleat(name string, settings []string, command ...string) *process {
	s.t.Helper()
	env := append([]string{
		"CLEAT_SERVER=http://" + s.via,
		"CLEAT_ID=" + name,
		"CLEAT_SOCKET=" + filepath.Join(scratch, fmt.Sprintf("%s-%d.sock", name, freePort(s.t))),
		"CLEAT_LOG_LEVEL=debug",
	}, settings...)
	return startProcess(s.t, name, env, append([]string{built(s.t).cleat, "run", "--"}, command...)...)
}

// web starts a backend of the service "web" and returns its address.
func (s *site) web(name string, settings ...string) (*process, string) {
	s.t.Helper()
	port := freePort(s.t)
	settings = append(settings, fmt.Sprintf("SERVICE_%d_NAME=web", port))
	address := fmt.Sprintf("127.0.0.1:%d", port)
	return s.cleat(name, settings, built(s.t).testchild, "web", "-listen", address, "-name", name), address
}

// httpTimeout bounds a request to the server or to a child.
const httpTimeout = 5 * time.Second

// fresh makes a connection for each request.
var fresh = &http.Client{Timeout: httpTimeout, Transport: &http.Transport{DisableKeepAlives: true}}

// getJSON fetches a URL and decodes its body unless into is nil.
func getJSON(url string, into any) error {
	answer, err := fresh.Get(url)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", url, answer.Status, body)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}

// get asks the server.
func (s *site) get(path string, into any) error { return getJSON("http://"+s.address+path, into) }

// passing returns an error unless the service has exactly that many passing instances and no others, as the server
// whose API is at base sees it.
func passing(base, service string, want int) error {
	var detail registry.ServiceDetail
	if err := getJSON(base+"/api/v1/services/"+service, &detail); err != nil {
		if want == 0 && strings.Contains(err.Error(), "404") {
			return nil
		}
		return err
	}
	var states []string
	good := 0
	for _, i := range detail.Instances {
		states = append(states, fmt.Sprintf("%s=%s held=%v %s", i.ID, i.Status, i.Held, i.Reason))
		if i.Status == registry.Passing && !i.Held {
			good++
		}
	}
	if good != want || len(detail.Instances) != want {
		return fmt.Errorf("service %s has %d instances, expected %d, all passing: %s", service, len(states), want, strings.Join(states, "; "))
	}
	return nil
}

func (s *site) waitPassing(service string, want int) time.Duration {
	s.t.Helper()
	return WaitFor(s.t, 20*time.Second, func() error { return passing("http://"+s.address, service, want) })
}

// load sends requests one after the other from several clients until it is stopped, each over a connection of its
// own, and counts.
type load struct {
	wg     sync.WaitGroup
	stop   chan struct{}
	mu     sync.Mutex
	good   int
	failed []string
	seen   map[string]int // by the body
}

const (
	loadClients = 4
	// loadPause is between two requests of one client, so that a small machine has something left for what is tested.
	loadPause = 3 * time.Millisecond
)

func startLoad(t *testing.T, url string) *load {
	l := &load{stop: make(chan struct{}), seen: map[string]int{}}
	for range loadClients {
		l.wg.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				case <-time.After(loadPause):
					l.request(url)
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) request(url string) {
	answer, err := fresh.Get(url)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(answer.Body)
		_ = answer.Body.Close()
	}
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed = append(l.failed, time.Now().Format("15:04:05.000 ")+err.Error())
		return
	}
	l.good++
	l.seen[strings.TrimSpace(string(body))]++
}

// end stops the clients; it may be called again.
func (l *load) end() {
	l.mu.Lock()
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.mu.Unlock()
	l.wg.Wait()
}

// answers tells how often a name was answered.
func (l *load) answers(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[name]
}

// wantNoFailure ends the load and fails the test for each request that failed.
func (l *load) wantNoFailure(t *testing.T, atLeast int) {
	t.Helper()
	l.end()
	t.Logf("%d requests answered, %d failed, by %v", l.good, len(l.failed), l.seen)
	for i, failure := range l.failed {
		if i == 5 {
			t.Errorf("and %d more", len(l.failed)-i)
			break
		}
		t.Errorf("request failed: %s", failure)
	}
	if l.good < atLeast {
		t.Errorf("%d requests answered, expected at least %d, or the test shows nothing", l.good, atLeast)
	}
}

// file is one that a launcher writes; a test watches that it stays as it is.
type file struct {
	path string
	text string
	info os.FileInfo
}

func snapshot(t *testing.T, path string) file {
	t.Helper()
	f, err := readFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func readFile(path string) (file, error) {
	info, err := os.Stat(path)
	if err != nil {
		return file{}, err
	}
	text, err := os.ReadFile(path)
	return file{path, string(text), info}, err
}

// unchanged returns an error when the file was written or replaced, even with the same bytes.
func (f file) unchanged() error {
	now, err := readFile(f.path)
	switch {
	case err != nil:
		return err
	case now.text != f.text:
		return fmt.Errorf("file changed from %q to %q", f.text, now.text)
	case !os.SameFile(f.info, now.info) || !f.info.ModTime().Equal(now.info.ModTime()):
		return errors.New("file was written again with the same bytes")
	}
	return nil
}
