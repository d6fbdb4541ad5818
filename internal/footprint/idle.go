package main

import (
	"context"
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
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// launchers is how many launchers are measured at idle, one after the other:
	// the proportional set size must not share with another one.
	launchers = 3
	// settle is how long a launcher has before it is measured: it looks more
	// often at its child while that is new.
	settle = 5 * time.Second
	// patience bounds every wait for what comes at once on an idle machine.
	patience = 20 * time.Second
	// service is what the launcher offers, and requires.
	service = "footprint"
)

// usage is what both stages of one launcher use at idle, in MB.
type usage struct {
	Init, Supervisor memory
	Switches         float64 // voluntary context switches a second
}

// memory is what one process has resident, in MB.
type memory struct{ Anon, File, Proportional float64 }

func (m memory) resident() float64 { return m.Anon + m.File }

// listen is the child: it listens, and is idle.
func listen(address string) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, "footprint:", err)
		os.Exit(1)
	}
	_, _ = l.Accept() // nobody calls
}

// idle measures launchers that have nothing to do, in a network of their own
// where that is possible: every look at the sockets passes over all those of the
// network, which in a container are few.
func (c config) idle(ctx context.Context, r *report) error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	command := []string{own, idleRole, c.bin, c.span.String()}
	if namespace := unshare(ctx, "--net"); namespace != nil {
		command = append(namespace, command...)
	} else {
		r.note("idle in a network that others use, too: unshare is missing, or may make no namespaces here")
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("measure at idle: %w", err)
	}
	var all [2][]usage // plain, and with more
	if err := json.Unmarshal(out, &all); err != nil {
		return fmt.Errorf("measure at idle: %w", err)
	}
	of := func(all []usage, number func(usage) float64) float64 {
		var numbers []float64
		for _, u := range all {
			numbers = append(numbers, number(u))
		}
		return median(numbers)
	}
	resident := func(u usage) float64 { return u.Init.resident() + u.Supervisor.resident() }
	proportional := func(u usage) float64 { return u.Init.Proportional + u.Supervisor.Proportional }
	switches := func(u usage) float64 { return u.Switches }
	plain, more := all[0], all[1]
	r.row("idle: resident (RSS), both stages summed", of(plain, resident), budgetResident, "MB")
	r.row("  init stage, its own", of(plain, func(u usage) float64 { return u.Init.Anon }), none, "MB")
	r.row("  init stage, of the binary", of(plain, func(u usage) float64 { return u.Init.File }), none, "MB")
	r.row("  supervisor, its own", of(plain, func(u usage) float64 { return u.Supervisor.Anon }), none, "MB")
	r.row("  supervisor, of the binary", of(plain, func(u usage) float64 { return u.Supervisor.File }), none, "MB")
	r.row("idle: proportional (PSS), both stages", of(plain, proportional), none, "MB")
	r.row("idle: voluntary context switches a second", of(plain, switches), budgetSwitches, "")
	r.row("idle, with more: resident (RSS), both stages summed", of(more, resident), budgetResident, "MB")
	r.row("idle, with more: proportional (PSS), both stages", of(more, proportional), none, "MB")
	r.row("idle, with more: voluntary context switches a second", of(more, switches), budgetSwitches, "")
	return nil
}

// measureIdle is this program inside the network: it prints usages.
func (c config) measureIdle(ctx context.Context) error {
	if err := raiseLoopback(); err != nil {
		return err
	}
	server, err := freeAddress()
	if err != nil {
		return err
	}
	cleatd := exec.CommandContext(ctx, filepath.Join(c.bin, "cleatd"), "-listen", server)
	cleatd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cleatd.Start(); err != nil {
		return err
	}
	defer stop(cleatd)
	dir, err := os.MkdirTemp("", "footprint")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	more, err := template(dir)
	if err != nil {
		return err
	}
	more = append(more, "CLEAT_CACHE="+filepath.Join(dir, "cache"), "CLEAT_SOCKET="+filepath.Join(dir, "socket"),
		"CLEAT_HOOK_POST_START=true", "CLEAT_TASK_X=@hourly true", "CLEAT_COPROCESS_X=sleep 1000")
	var all [2][]usage
	for range launchers {
		for i, settings := range [][]string{nil, more} {
			u, err := c.launcher(ctx, filepath.Join(c.bin, "cleat"), server, settings)
			if err != nil {
				return err
			}
			all[i] = append(all[i], u)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}

// raiseLoopback makes 127.0.0.1 work in a new network namespace.
func raiseLoopback() error {
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); err != nil {
		return fmt.Errorf("look at the loopback interface: %w", err)
	}
	if request.Uint16()&unix.IFF_UP != 0 {
		return nil
	}
	request.SetUint16(request.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("raise the loopback interface: %w", err)
	}
	return nil
}

// launcher measures one launcher, with more settings than it needs.
func (c config) launcher(ctx context.Context, cleat, server string, more []string) (u usage, err error) {
	own, err := os.Executable()
	if err != nil {
		return u, err
	}
	address, err := freeAddress()
	if err != nil {
		return u, err
	}
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.CommandContext(ctx, cleat, "run", "--", own, childRole, address)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"CLEAT_SERVER=http://" + server,
		"SERVICE_" + port + "_NAME=" + service,
		"CLEAT_REQUIRE_PEER=" + service + "?optional=true",
		"CLEAT_LOG_LEVEL=error",
	}, more...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return u, err
	}
	defer stop(cmd)
	if err := awaitPassing(ctx, server); err != nil {
		return u, err
	}
	if err := sleep(ctx, settle); err != nil {
		return u, err
	}
	supervisor, err := childOf(cmd.Process.Pid)
	if err != nil {
		return u, err
	}
	both := []int{cmd.Process.Pid, supervisor}
	before, err := switches(both...)
	if err != nil {
		return u, err
	}
	began := time.Now()
	if err := sleep(ctx, c.span); err != nil {
		return u, err
	}
	after, err := switches(both...)
	if err != nil {
		return u, err
	}
	u.Switches = float64(after-before) / time.Since(began).Seconds()
	if u.Init, err = memoryOf(both[0]); err != nil {
		return u, err
	}
	u.Supervisor, err = memoryOf(both[1])
	return u, err
}

// awaitPassing waits until the server knows the instance as passing.
func awaitPassing(ctx context.Context, server string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+server+"/api/v1/services", nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
			response.Body.Close()
			if err == nil && strings.Contains(string(body), `"passing":1`) {
				return nil
			}
		}
		if sleep(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("%s was not passing within %v", service, patience)
		}
	}
}

// stop ends a process in order, and waits for it.
func stop(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// freeAddress returns a loopback address that nobody listens on now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// childOf returns the only child of a process.
func childOf(pid int) (int, error) {
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range paths {
		text, _ := os.ReadFile(path)
		if fields := strings.Fields(string(text)); len(fields) > 0 {
			return strconv.Atoi(fields[0])
		}
	}
	return 0, fmt.Errorf("process %d has no child: has the launcher ended?", pid)
}

// memoryOf reads what a process has resident.
func memoryOf(pid int) (memory, error) {
	numbers, err := fields(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	rollup, err := fields(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return memory{}, err
	}
	const kB = 1024 / 1e6 // in MB
	return memory{
		Anon:         float64(numbers["RssAnon"]) * kB,
		File:         float64(numbers["RssFile"]+numbers["RssShmem"]) * kB,
		Proportional: float64(rollup["Pss"]) * kB,
	}, nil
}

// switches counts the voluntary context switches of all threads of the
// processes since they began.
func switches(pids ...int) (sum int, err error) {
	for _, pid := range pids {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if len(threads) == 0 {
			return 0, fmt.Errorf("process %d is gone", pid)
		}
		for _, thread := range threads {
			numbers, err := fields(thread)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return 0, err
			}
			sum += numbers["voluntary_ctxt_switches"]
		}
	}
	return sum, nil
}

// fields reads the lines "name: number" of a file in /proc.
func fields(path string) (map[string]int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	numbers := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if words := strings.Fields(value); len(words) > 0 {
			if n, err := strconv.Atoi(words[0]); err == nil {
				numbers[name] = n
			}
		}
	}
	return numbers, nil
}
