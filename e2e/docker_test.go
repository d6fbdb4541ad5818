package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	dockerLabel   = "cleat-e2e"
	dockerTimeout = 2 * time.Minute // for one call of the docker client
)

// docker calls the docker client. Errors carry what it said.
func docker(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dockerTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("docker %s: %w\n%s", strings.Join(args, " "), err, errs.Bytes())
	}
	return strings.TrimSpace(out.String()), nil
}

func mustDocker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := docker(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var engineAnswers = sync.OnceValue(func() error {
	if os.Getuid() != 0 {
		return errors.New("this user is not root")
	}
	_, err := docker("version", "--format", "{{.Server.Version}}")
	return err
})

func needsDocker(t *testing.T) {
	t.Helper()
	if err := engineAnswers(); err != nil {
		lacks(t, "root and a Docker engine on this machine", err)
	}
}

// removeDockerRun removes everything that carries this run's label.
func removeDockerRun() {
	if _, err := exec.LookPath("docker"); err != nil || engineAnswers() != nil {
		return
	}
	filter := "label=" + dockerLabel + "=" + run
	for _, kind := range []struct{ list, remove []string }{
		{[]string{"ps", "-aq"}, []string{"rm", "-fv"}},
		{[]string{"network", "ls", "-q"}, []string{"network", "rm"}},
		{[]string{"volume", "ls", "-q"}, []string{"volume", "rm", "-f"}},
		{[]string{"images", "-q"}, []string{"rmi", "-f"}},
	} {
		ids, err := docker(append(kind.list, "--filter", filter)...)
		if err == nil && ids != "" {
			_, err = docker(append(kind.remove, strings.Fields(ids)...)...)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "clean-up:", err)
		}
	}
}

// buildImage builds an image from the Dockerfile in a directory, or another that options name, and returns its name.
func buildImage(name, dir string, options ...string) (string, error) {
	name = "cleat-e2e/" + name + ":" + run
	args := append([]string{"build", "-q", "--label", dockerLabel + "=" + run, "-t", name}, options...)
	_, err := docker(append(args, dir)...)
	return name, err
}

// baseImage builds Dockerfile.base on a base, as its head says, but with the binary of this run.
func baseImage(name, base string) (string, error) {
	b, err := build()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(scratch, "base-")
	if err != nil {
		return "", err
	}
	for _, file := range []string{"Dockerfile.base", ".dockerignore"} {
		text, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
			return "", err
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "dist"), 0o755); err != nil {
		return "", err
	}
	if err := copyProgram(b.cleat, filepath.Join(dir, "dist", "cleat")); err != nil {
		return "", err
	}
	return buildImage(name, dir, "-f", filepath.Join(dir, "Dockerfile.base"), "--build-arg", "BASE="+base)
}

func copyProgram(from, to string) error {
	program, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, program, 0o755)
}

// withPrograms builds an image on another that has the named programs of this run at its root.
func withPrograms(name, base, rest string, files map[string]string, programs ...string) (string, error) {
	dir, err := os.MkdirTemp(scratch, "image-")
	if err != nil {
		return "", err
	}
	var dockerfile strings.Builder
	dockerfile.WriteString("FROM " + base + "\n")
	for _, program := range programs {
		if err := copyProgram(program, filepath.Join(dir, filepath.Base(program))); err != nil {
			return "", err
		}
		dockerfile.WriteString("COPY " + filepath.Base(program) + " /\n")
	}
	for path, text := range files {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile.String()+rest), 0o644); err != nil {
		return "", err
	}
	return buildImage(name, dir)
}

// smallImage is Dockerfile.base on nothing, with the test child.
var smallImage = sync.OnceValues(func() (string, error) {
	base, err := baseImage("base", "scratch")
	if err != nil {
		return "", err
	}
	b, err := build()
	if err != nil {
		return "", err
	}
	return withPrograms("small", base, "", nil, b.testchild)
})

// serverImage is cleatd alone.
var serverImage = sync.OnceValues(func() (string, error) {
	b, err := build()
	if err != nil {
		return "", err
	}
	return withPrograms("server", "scratch", `ENTRYPOINT ["/cleatd"]`+"\n", nil, b.cleatd)
})

func must(t *testing.T, image func() (string, error)) string {
	t.Helper()
	name, err := image()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// container is one that a test has started. It goes with the test; its log is shown when the test fails.
type container struct {
	t    *testing.T
	name string
	id   string
}

var containerCount = struct {
	sync.Mutex
	n int
}{}

// runContainer starts a container in the background. options are those of docker run, image and command.
func runContainer(t *testing.T, name string, options ...string) *container {
	t.Helper()
	c := createContainer(t, name, options...)
	mustDocker(t, "start", c.id)
	return c
}

// createContainer makes a container that is to be started. options are those of docker create, image and command.
func createContainer(t *testing.T, name string, options ...string) *container {
	t.Helper()
	containerCount.Lock()
	containerCount.n++
	unique := fmt.Sprintf("cleat-e2e-%s-%s-%d", run, name, containerCount.n)
	containerCount.Unlock()
	c := &container{t: t, name: name, id: unique}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, c.log())
		}
		_, _ = docker("rm", "-fv", unique)
	})
	mustDocker(t, append([]string{"create", "--name", unique, "--label", dockerLabel + "=" + run}, options...)...)
	return c
}

// log is all that the container has printed, with times.
func (c *container) log() string {
	out, err := exec.Command("docker", "logs", "-t", c.id).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", out, err)
	}
	return string(out)
}

// follow is all that the container prints, as it does.
func (c *container) follow() *record {
	c.t.Helper()
	out := &record{}
	cmd := exec.Command("docker", "logs", "-f", c.id)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return out
}

// waitLog waits for a text in the log.
func (c *container) waitLog(limit time.Duration, text string) {
	c.t.Helper()
	WaitFor(c.t, limit, func() error {
		if !strings.Contains(c.log(), text) {
			return fmt.Errorf("%s has not printed %q", c.name, text)
		}
		return nil
	})
}

func (c *container) inspect(format string) string {
	c.t.Helper()
	return mustDocker(c.t, "inspect", "-f", format, c.id)
}

// address is the container's on its only network.
func (c *container) address() netip.Addr {
	c.t.Helper()
	text := c.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
	addr, err := netip.ParseAddr(text)
	if err != nil {
		c.t.Fatalf("address of %s: %v", c.name, err)
	}
	return addr
}

func (c *container) exec(command ...string) string {
	c.t.Helper()
	return mustDocker(c.t, append([]string{"exec", c.id}, command...)...)
}

// stop is docker stop; it returns the exit code and how long it took.
func (c *container) stop(options ...string) (int, time.Duration) {
	c.t.Helper()
	began := time.Now()
	mustDocker(c.t, append(append([]string{"stop"}, options...), c.id)...)
	took := time.Since(began)
	return c.exitCode(), took
}

// exitCode waits for the end of the container.
func (c *container) exitCode() int {
	c.t.Helper()
	code, err := strconv.Atoi(mustDocker(c.t, "wait", c.id))
	if err != nil {
		c.t.Fatal(err)
	}
	return code
}

func (c *container) wantExit(want int) {
	c.t.Helper()
	if got := c.exitCode(); got != want {
		c.t.Errorf("%s exited with %d, expected %d", c.name, got, want)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
