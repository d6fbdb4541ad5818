package peers

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// scratch is a directory for the whole run.
var scratch string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "cleat-peers-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		scratch = dir
		defer func() { _ = os.RemoveAll(dir) }()
		return m.Run()
	}())
}

// builder builds a program once.
func builder(name, dir, target string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		path := filepath.Join(scratch, name)
		cmd := exec.Command("go", "build", "-o", path, target)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build %s: %w\n%s", target, err, out)
		}
		return path, nil
	})
}

var (
	cleatd         = builder("cleatd", "../..", "./cmd/cleatd")
	cleat          = builder("cleat", "../..", "./cmd/cleat")
	consulTemplate = builder("consul-template", ".", "github.com/hashicorp/consul-template")
)

func built(t *testing.T, build func() (string, error)) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// process is a program that runs until the test ends.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	log  output
	over chan struct{}
}

// output collects what a process says.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start starts a program.
func start(t *testing.T, env []string, path string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(path), cmd: exec.Command(path, args...), over: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.Env = append(os.Environ(), env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.over)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("what %s said:\n%s", p.name, p.log.String())
		}
	})
	return p
}

// stop ends the program, politely at first.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.over:
	case <-time.After(15 * time.Second):
		p.kill()
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.over
}

// listens finds the address that cleatd listens on in its log.
var listens = regexp.MustCompile(`msg="cleatd listens" address=(\S+)`)

// server is a cleatd.
type server struct {
	*process
	address string
}

// serve starts a server, on a port that the kernel chooses if the address is
// empty.
func serve(t *testing.T, address string, options ...string) *server {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	s := &server{process: start(t, nil, built(t, cleatd), append([]string{"-listen", address, "-dns", "off", "-log-level", "debug"}, options...)...)}
	eventually(t, 20*time.Second, func() error {
		found := listens.FindStringSubmatch(s.log.String())
		if found == nil {
			return errors.New("cleatd does not listen")
		}
		s.address = found[1]
		return nil
	})
	return s
}

// launch starts a container's process under cleat, which offers the service as
// long as it lives.
func (s *server) launch(name, service string, more ...string) *process {
	s.t.Helper()
	port := freePort(s.t)
	env := append([]string{
		"CLEAT_SERVER=http://" + s.address, "CLEAT_ID=" + name, "CLEAT_ADVERTISE=static:127.0.0.1", "CLEAT_SOCKET=" + filepath.Join(s.t.TempDir(), name),
		fmt.Sprintf("SERVICE_%d_NAME=%s", port, service),
	}, more...)
	// The test's own binary is the child: see TestChild.
	env = append(env, fmt.Sprintf("%s=127.0.0.1:%d", childEnv, port))
	return start(s.t, env, built(s.t, cleat), "run", "--", os.Args[0], "-test.run=^TestChild$")
}

// childEnv makes this binary a child that listens.
const childEnv = "PEERS_CHILD"

// TestChild is the child of launch. In every other run it does nothing.
func TestChild(t *testing.T) {
	address := os.Getenv(childEnv)
	if address == "" {
		return
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
}

// freePort returns a port that nobody listens on just now.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

// eventually asks until there is no error, for at most limit; then the last
// error fails the test. It returns how long it took.
func eventually(t *testing.T, limit time.Duration, ask func() error) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		err := ask()
		took := time.Since(began)
		if err == nil {
			return took
		}
		if took > limit {
			t.Fatalf("after %v: %v", limit, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// linesOf returns the lines of a file that are not empty.
func linesOf(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var lines []string
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		if line := strings.TrimSpace(scanner.Text()); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
