//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cleat/launcher/process/proctree"
	"cleat/registry"
	"cleat/registry/client"
)

const (
	// stopTime is how long everything may take to stop at the end; then it is
	// killed.
	stopTime = 3 * time.Second
	// hurryTime is when everything is told a second time to stop, which tells a
	// launcher to wait for nobody.
	hurryTime = 300 * time.Millisecond
	// lastLines is how much of each log is shown when something is broken.
	lastLines = 15
)

// serverName is what cleatd is called here.
const serverName = "cleatd"

// world is everything that the demo has started.
type world struct {
	dir       string // of the binaries, the logs and the front's files
	logs      string
	timeline  *timeline
	starter   *starter
	server    *process
	address   string // of cleatd
	front     *process
	backends  []*process // that run, by age
	processes []*process // all that ever ran
}

// build makes the two binaries.
func build(ctx context.Context, t *timeline, dir string) error {
	tool, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("cannot find the go command, which builds cleat and cleatd: %w; install Go from https://go.dev/dl and put it on PATH", err)
	}
	t.did("BUILD", "go build cleat/cmd/cleat cleat/cmd/cleatd")
	began := time.Now()
	command := exec.CommandContext(ctx, tool, "build", "-buildvcs=false", "-o", dir+"/", "cleat/cmd/cleat", "cleat/cmd/cleatd")
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = stopTime
	if output, err := command.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		hint := ""
		if bytes.Contains(output, []byte("cleat/cmd/cleat is not in std")) {
			hint = "run it inside cleat's source tree: go run ./examples/demo\n"
		}
		return fmt.Errorf("cannot build cleat and cleatd: %w\n%s%s", err, output, hint)
	}
	t.saw("built with %s in %.1f s", runtime.Version(), time.Since(began).Seconds())
	return nil
}

func newWorld(ctx context.Context, dir string, t *timeline) (*world, error) {
	w := &world{dir: dir, logs: filepath.Join(dir, "logs"), timeline: t, starter: newStarter()}
	// Whatever loses its parent comes to this process, so that it can be ended.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("cannot become a subreaper: %w", err)
	}
	if err := os.Mkdir(w.logs, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(w.template(), []byte(upstreamsTemplate), 0o600); err != nil {
		return nil, err
	}
	free, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w.address = free.Addr().String()
	return w, free.Close()
}

func (w *world) cleat() string         { return filepath.Join(w.dir, "cleat") }
func (w *world) template() string      { return filepath.Join(w.dir, "upstreams.tmpl") }
func (w *world) configuration() string { return filepath.Join(w.dir, "upstreams.conf") }
func (w *world) serverURL() string     { return "http://" + w.address }

// longestSocket is the length in bytes of the longest path that a unix socket
// can have.
const longestSocket = 107

// socket is where a launcher can be asked: among the demo's own files, because
// one that is killed leaves it behind.
func (w *world) socket(name string) string {
	path := filepath.Join(w.dir, name+".sock")
	if len(path) > longestSocket {
		return "none"
	}
	return path
}

// startServer starts cleatd, which knows nothing.
func (w *world) startServer() error {
	p, err := w.starter.start(serverName, w.logs, w.timeline, []string{"CLEATD_LOG=json"}, filepath.Join(w.dir, "cleatd"), "-listen", w.address, "-dns", "off")
	if err != nil {
		return err
	}
	w.server = p
	w.processes = append(w.processes, p)
	return nil
}

// run starts this program in a role under cleat run.
func (w *world) run(name, role string, args []string, env ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	env = append(env, "CLEAT_SERVER="+w.serverURL(), "CLEAT_ID="+name, "CLEAT_LOG=json", "CLEAT_SOCKET="+w.socket(name))
	p, err := w.starter.start(name, w.logs, w.timeline, env, append([]string{w.cleat(), "run", "--", self, role}, args...)...)
	if err == nil {
		w.processes = append(w.processes, p)
	}
	return p, err
}

// startFront starts the front proxy, which needs the service web.
func (w *world) startFront() (err error) {
	w.front, err = w.run("front", roleFront, []string{w.configuration()},
		"SERVICE_NAME=front", "CLEAT_REQUIRE_WEB=web",
		"CLEAT_TEMPLATE_UPSTREAMS="+w.template()+":"+w.configuration()+":HUP")
	return err
}

// startBackend starts a web backend.
func (w *world) startBackend(number int) (*process, error) {
	p, err := w.run("web-"+strconv.Itoa(number), roleWeb, nil, "SERVICE_NAME=web")
	if err == nil {
		w.backends = append(w.backends, p)
	}
	return p, err
}

// removed forgets a backend that was stopped.
func (w *world) removed(p *process) {
	w.backends = slices.DeleteFunc(w.backends, func(b *process) bool { return b == p })
}

// names returns the names of the backends.
func (w *world) names() []string {
	var names []string
	for _, b := range w.backends {
		names = append(names, b.name)
	}
	slices.Sort(names)
	return names
}

// configured waits for the front to use exactly these backends since a time,
// and returns when it began to.
func (w *world) configured(ctx context.Context, names []string, from time.Time) (at time.Time, err error) {
	var last []string
	err = until(ctx, func() bool {
		reloads := w.front.said(reloadedMessage, from)
		if len(reloads) == 0 {
			return false
		}
		latest := reloads[len(reloads)-1]
		at, last = latest.Time, latest.names("backends")
		return slices.Equal(last, names)
	})
	if err != nil {
		return at, fmt.Errorf("front does not use %v: it uses %v (%w)", names, last, err)
	}
	return at, nil
}

// api asks cleatd.
func (w *world) api() *client.API {
	return client.NewAPI(client.Config{Servers: []string{w.serverURL()}})
}

// find returns where a service is, as a launcher that requires it would be told;
// empty when it is nowhere.
func (w *world) find(ctx context.Context, service string) string {
	detail, err := w.api().Service(ctx, registry.Filter{Service: service, Namespace: registry.DefaultNamespace})
	if err != nil {
		return ""
	}
	for _, i := range detail.Instances {
		if i.Status == registry.Passing {
			return net.JoinHostPort(i.Address, strconv.Itoa(int(i.Port)))
		}
	}
	return ""
}

// registered returns how many instances of each service pass, and whether the
// server is warming; nothing when it does not answer. It reads no addresses:
// who does that without a session makes later drains wait for it.
func (w *world) registered(ctx context.Context) (passing map[string]int, warming bool) {
	list, err := w.api().Services(ctx, registry.DefaultNamespace)
	if err != nil {
		return nil, true
	}
	passing = make(map[string]int)
	for _, s := range list.Services {
		passing[s.Service] = s.Instances[registry.Passing] - s.Held
	}
	return passing, list.Warming
}

// end stops everything, and returns how many processes could not be ended.
func (w *world) end() (left int) {
	isServer := func(p *process) bool { return p.name == serverName }
	w.stop(hurryTime, func(p *process) bool { return !isServer(p) })
	w.stop(stopTime, func(p *process) bool { return !isServer(p) })
	w.stop(stopTime, isServer)
	// What is left has not listened, or has lost its launcher.
	left, err := proctree.End(context.Background(), func() ([]proctree.Process, error) {
		tree, err := proctree.Read()
		return tree.Descendants(os.Getpid(), nil), err
	}, 0)
	if err != nil {
		w.timeline.broken("cannot look for processes that are left: %v", err)
	}
	return left
}

// stop tells some of the processes to stop, and waits for them at most that
// long.
func (w *world) stop(most time.Duration, which func(*process) bool) {
	over := time.After(most)
	var told []*process
	for _, p := range w.processes {
		if which(p) && p.running() {
			p.stop()
			told = append(told, p)
		}
	}
	for _, p := range told {
		select {
		case <-p.ended:
		case <-over:
			return
		}
	}
}

// showLogs prints the last lines of every log.
func (w *world) showLogs(out io.Writer) {
	for _, p := range w.processes {
		p.mu.Lock()
		entries := p.entries[max(0, len(p.entries)-lastLines):]
		p.mu.Unlock()
		fmt.Fprintf(out, "\n--- the last lines of %s\n", p.name)
		for _, e := range entries {
			fmt.Fprintf(out, "%s %s\n", e.Time.Format("15:04:05.000"), e)
		}
	}
}

// look is the time between two looks at something that is waited for.
const look = 2 * time.Millisecond

// until waits for something to become true.
func until(ctx context.Context, done func() bool) error {
	ticks := time.NewTicker(look)
	defer ticks.Stop()
	for !done() {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
