package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// runImage is smallImage with a /run, as every distribution has it, and the check of its health that docs/asking.md
// names, more often.
var runImage = sync.OnceValues(func() (string, error) {
	small, err := smallImage()
	if err != nil {
		return "", err
	}
	return withPrograms("run", small, "WORKDIR /run\nWORKDIR /\n"+
		`HEALTHCHECK --interval=1s --timeout=5s --retries=2 CMD ["/sbin/cleat", "status", "-check"]`+"\n", nil)
})

// ask runs a command of cleat in the container, as a user ("": the container's own).
func (c *container) ask(user string, args ...string) (string, error) {
	options := []string{"exec"}
	if user != "" {
		options = append(options, "--user", user)
	}
	return docker(append(append(options, c.id, "/sbin/cleat"), args...)...)
}

// socketStatus is what the tests need of cleat status -json.
type socketStatus struct {
	State   string `json:"state"`
	Healthy bool   `json:"healthy"`
	Child   struct {
		Restarts int `json:"restarts"`
	} `json:"child"`
}

func (c *container) status(user string) (s socketStatus, err error) {
	out, err := c.ask(user, "status", "-json")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(out), &s)
}

func (c *container) waitRunning(user string) {
	c.t.Helper()
	WaitFor(c.t, 20*time.Second, func() error {
		s, err := c.status(user)
		if err == nil && (s.State != "running" || !s.Healthy) {
			err = fmt.Errorf("the state is %+v", s)
		}
		return err
	})
}

const nobody = "65534:65534"

// TestContainerSocket asks launchers in containers that are closed up in all the ways that people close them up: as the
// container's own user, as root, and as somebody else.
func TestContainerSocket(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	plain, withRun := must(t, smallImage), must(t, runImage)
	for _, test := range []struct {
		name    string
		image   string
		options []string
		owner   string // who may tell it what to do, beside root
		other   string // who may only read
		socket  string
	}{
		{"plain", withRun, nil, "", "1234", "/run/cleat.sock"},
		{"no-run", plain, nil, "", "1234", "/dev/shm/cleat-0/cleat.sock"},
		{"read-only", withRun, []string{"--read-only"}, "", "1234", "/dev/shm/cleat-0/cleat.sock"},
		{"read-only-run", withRun, []string{"--read-only", "--tmpfs", "/run"}, "", "1234", "/run/cleat.sock"},
		{"user", withRun, []string{"--user", nobody}, nobody, "1234", "/dev/shm/cleat-65534/cleat.sock"},
		{"user-read-only", withRun, []string{"--user", nobody, "--read-only", "--tmpfs", "/run"}, nobody, "1234", "/dev/shm/cleat-65534/cleat.sock"},
		{"user-tmp", withRun, []string{"--user", nobody, "--read-only", "--tmpfs", "/tmp"}, nobody, "1234", "/tmp/cleat-65534/cleat.sock"},
		{"cleat-user", withRun, []string{"-e", "CLEAT_USER=" + nobody}, "", nobody, "/run/cleat.sock"},
		{"no-capabilities", withRun, []string{"--cap-drop", "ALL", "--security-opt", "no-new-privileges"}, "", "1234", "/run/cleat.sock"},
		{"init", withRun, []string{"--init"}, "", "1234", ""},
		{"named", withRun, []string{"-e", "CLEAT_SOCKET=/run/here.sock"}, "", "1234", "/run/here.sock"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			options := append(test.options, "-e", "CLEAT_LOG_LEVEL=debug", "-e", "CLEAT_STOP_TIMEOUT=3s")
			c := runContainer(t, test.name, append(options, test.image, "/testchild", "listen", ":8080")...)
			for _, user := range []string{"", "0", test.owner, test.other} {
				c.waitRunning(user)
			}
			if out, err := c.ask(test.other, "status"); err != nil || !strings.Contains(out, "healthy") {
				t.Errorf("%v: %s", err, out)
			}
			if out, err := c.ask(test.other, "status", "-check"); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			if test.socket != "" && !strings.Contains(c.log(), "listening for those who ask socket="+test.socket) {
				t.Errorf("the socket is not at %s", test.socket)
			}
			if out, err := c.ask(test.other, "restart"); err == nil || !strings.Contains(err.Error(), "root") {
				t.Errorf("user %q may restart: %v, %s; expected a message that says who may", test.other, err, out)
			}
			for i, user := range []string{"0", test.owner} {
				if out, err := c.ask(user, "reload"); err != nil {
					t.Errorf("user %q may not reload: %v: %s", user, err, out)
				}
				if out, err := c.ask(user, "restart"); err != nil {
					t.Errorf("user %q may not restart: %v: %s", user, err, out)
				}
				WaitFor(t, 20*time.Second, func() error {
					s, err := c.status("")
					if err == nil && (s.Child.Restarts != i+1 || s.State != "running") {
						err = fmt.Errorf("the state is %+v, expected %d restarts", s, i+1)
					}
					return err
				})
			}
		})
	}
}

// TestContainerWithoutSocket has no place at all that can be written to: the child runs, a warning says what does not
// work, and whoever asks is told so.
func TestContainerWithoutSocket(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	c := runContainer(t, "closed", "--read-only", "--ipc", "none", must(t, runImage), "/testchild", "listen", ":8080")
	c.waitLog(20*time.Second, "ready 1")
	c.waitLog(5*time.Second, "no socket to be asked over (CLEAT_SOCKET)")
	if out, err := c.ask("", "status"); err == nil || !strings.Contains(err.Error(), "no launcher") {
		t.Errorf("got %v: %s", err, out)
	}
	if code, _ := c.stop(); code != 143 {
		t.Errorf("exit code %d, expected 143", code)
	}
}

// TestContainerStaleSocket leaves a socket file behind, by SIGKILL, and starts the same container again.
func TestContainerStaleSocket(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	for name, options := range map[string][]string{"root": nil, "user": {"--user", nobody}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o777); err != nil { // for the container's user
				t.Fatal(err)
			}
			options := append(options, "-v", dir+":/place", "-e", "CLEAT_SOCKET=/place/cleat.sock")
			c := runContainer(t, "stale-"+name, append(options, must(t, runImage), "/testchild", "listen", ":8080")...)
			for range 2 {
				c.waitRunning("")
				mustDocker(t, "kill", "-s", "KILL", c.id)
				c.wantExit(137)
				if !exists(filepath.Join(dir, "cleat.sock")) {
					t.Error("the socket is not there any more: the test shows nothing")
				}
				mustDocker(t, "start", c.id)
			}
			c.waitRunning("")
			if strings.Contains(c.log(), "no socket to be asked over") {
				t.Error("it could not make its socket")
			}
			if code, _ := c.stop(); code != 143 {
				t.Errorf("exit code %d, expected 143", code)
			}
		})
	}
}

// TestContainerHealthcheck has the engine ask by the image's HEALTHCHECK, as the child comes, goes and comes back.
func TestContainerHealthcheck(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	image := must(t, runImage)
	for name, options := range map[string][]string{
		"root": nil, "user": {"--user", nobody}, "read-only": {"--read-only"}, "cleat-user": {"-e", "CLEAT_USER=" + nobody}, "init": {"--init"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A server that is away makes nobody ill.
			options := append(options, "-e", "CLEAT_SERVER=http://127.0.0.1:9640", "-e", "SERVICE_8080_NAME=web")
			c := runContainer(t, "health-"+name, append(options, image, "/testchild", "listen", ":8080")...)
			becomes := func(want string) {
				t.Helper()
				WaitFor(t, 30*time.Second, func() error {
					if got := c.inspect("{{.State.Health.Status}}"); got != want {
						return errors.New("the container is " + got + ": " + c.inspect("{{json .State.Health.Log}}"))
					}
					return nil
				})
			}
			becomes("healthy")
			mustDocker(t, "kill", "-s", "USR1", c.id)
			becomes("unhealthy")
			if log := c.inspect("{{json .State.Health.Log}}"); !strings.Contains(log, "nothing listens on port 8080") {
				t.Errorf("the engine was not told why: %s", log)
			}
			mustDocker(t, "kill", "-s", "USR2", c.id)
			becomes("healthy")
		})
	}
}
