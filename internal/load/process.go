package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience bounds every wait for what comes at once on an idle machine.
const patience = time.Minute

// process is a server on one core: cleatd, or what it is compared with.
type process struct {
	cmd     *exec.Cmd
	address string // TCP
	names   string // DNS, or the echo's
	stdin   io.WriteCloser
}

// startServer starts a cleatd without warming that takes connections.
func startServer(ctx context.Context, c *config) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	names, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &process{address: address, names: names}
	p.cmd = exec.CommandContext(ctx, filepath.Join(c.bin, "cleatd"), "-listen", address, "-dns", names, "-warming", "0", "-log-level", "error")
	return p, p.start()
}

// startFloor starts this program as what a server is compared with.
func startFloor(ctx context.Context, kind string) (*process, error) {
	own, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &process{address: address, names: address}
	p.cmd = exec.CommandContext(ctx, own, floorRole, kind+" "+address)
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return p, p.start()
}

func (p *process) start() error {
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	p.cmd.Stderr = os.Stderr
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(end) {
			p.stop()
			return fmt.Errorf("%s does not answer: %w", p.cmd.Path, err)
		}
	}
}

// stop ends the process, and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// spent returns the processor time of all threads of the process.
func (p *process) spent() (time.Duration, error) {
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil || len(paths) == 0 {
		return 0, fmt.Errorf("the kernel does not say what process %d spends", p.cmd.Process.Pid)
	}
	var sum time.Duration
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // a thread that has just ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n)
	}
	return sum, nil
}

// spentIn returns the processor time that the process spends while work is done.
func (p *process) spentIn(work func() error) (time.Duration, error) {
	before, err := p.spent()
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	after, err := p.spent()
	return after - before, err
}

// resident returns the memory of its own that the process has, in bytes.
func (p *process) resident() (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "RssAnon:" {
			kB, err := strconv.ParseFloat(fields[1], 64)
			return kB * 1024, err
		}
	}
	return 0, fmt.Errorf("the kernel does not say what process %d has resident", p.cmd.Process.Pid)
}

// freeAddress returns a loopback address that nobody listens on now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
