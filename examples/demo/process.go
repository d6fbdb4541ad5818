//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"cleat/launcher/process/proctree"
)

// logBuffer is the length in bytes of the longest line that is understood; a
// longer one is kept in the log in pieces.
const logBuffer = 64 << 10

// process is a program that the demo has started: cleatd, or what stands for a
// container, a `cleat run` with a child below it. What they say, on stdout and
// stderr, goes to a file and is searched for events.
type process struct {
	name    string
	began   time.Time
	command *exec.Cmd
	ended   chan struct{} // closed when it has been waited for
	told    atomic.Bool   // to stop, by the demo

	mu      sync.Mutex
	entries []entry
}

// entry is one line of a log in JSON.
type entry struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Message string    `json:"msg"`
	fields  map[string]any
}

// starter starts processes from one thread that lives as long as this process:
// the kernel takes the end of the thread that started a process for the end of
// its parent (PR_SET_PDEATHSIG).
type starter struct {
	requests chan func()
}

func newStarter() *starter {
	s := &starter{requests: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for start := range s.requests {
			start()
		}
	}()
	return s
}

// start starts a program with the arguments, and these variables beside this
// process's own environment; the program is told to stop if this process dies.
func (s *starter) start(name, dir string, t *timeline, env []string, args ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	reading, writing, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, ended: make(chan struct{}), began: time.Now()}
	p.command = exec.CommandContext(context.Background(), args[0], args[1:]...) // ended by kill and stop alone
	p.command.Env = append(ownEnviron(), env...)
	p.command.Stdout, p.command.Stderr = writing, writing
	// A group of its own, so that Ctrl-C in a terminal reaches the demo alone.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	s.requests <- func() { started <- p.command.Start() }
	err = <-started
	writing.Close()
	if err != nil {
		reading.Close()
		log.Close()
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	go p.listen(reading, log, t)
	go func() {
		_ = p.command.Wait() // its state says more
		close(p.ended)
		if !p.told.Load() {
			t.saw("%s has ended, and nobody here told it to: %s", p.name, p.status())
		}
	}()
	return p, nil
}

// ownEnviron is this process's environment without what would be meant for
// cleat.
func ownEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "CLEAT") || strings.HasPrefix(entry, "SERVICE_")
	})
}

// listen reads what the process says, until nobody is left who could.
func (p *process) listen(from io.ReadCloser, log io.WriteCloser, t *timeline) {
	defer from.Close()
	defer log.Close()
	lines := bufio.NewReaderSize(from, logBuffer)
	for {
		line, err := lines.ReadSlice('\n')
		_, _ = log.Write(line) // a full disk does not stop the demo
		if text := strings.TrimSpace(string(line)); text != "" {
			e := parseEntry(text)
			p.mu.Lock()
			p.entries = append(p.entries, e)
			p.mu.Unlock()
			t.raw(p.name, e.String())
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

// parseEntry reads a line of a log; one that is not JSON is all message.
func parseEntry(line string) entry {
	e := entry{Time: time.Now()}
	fields := json.NewDecoder(strings.NewReader(line))
	fields.UseNumber()
	if json.Unmarshal([]byte(line), &e) != nil || e.Message == "" || fields.Decode(&e.fields) != nil {
		return entry{Time: time.Now(), Message: line}
	}
	for _, known := range []string{"time", "level", "msg"} {
		delete(e.fields, known)
	}
	return e
}

// String is the entry for people.
func (e entry) String() string {
	var b strings.Builder
	if e.Level != "" && e.Level != "INFO" {
		b.WriteString(strings.ToLower(e.Level) + ": ")
	}
	b.WriteString(e.Message)
	names := make([]string, 0, len(e.fields))
	for name := range e.fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch value := e.fields[name].(type) {
		case json.Number:
			if n, err := value.Int64(); err == nil && n > int64(time.Millisecond) && name != "pid" {
				fmt.Fprintf(&b, " %s=%v", name, time.Duration(n).Round(time.Millisecond)) // slog's way to write one
				continue
			}
			fmt.Fprintf(&b, " %s=%v", name, value)
		case string:
			if value != "" {
				fmt.Fprintf(&b, " %s=%q", name, value)
			}
		default:
			fmt.Fprintf(&b, " %s=%v", name, value)
		}
	}
	return b.String()
}

// names returns a field that is a list of instance ids, as the names of the
// launchers.
func (e entry) names(field string) []string {
	list, _ := e.fields[field].([]any)
	names := make([]string, 0, len(list))
	for _, item := range list {
		id, _ := item.(string)
		name, _, _ := strings.Cut(id, ":")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// number returns a field that is a number; durations are in nanoseconds.
func (e entry) number(field string) int64 {
	n, _ := e.fields[field].(json.Number)
	value, _ := n.Int64() // 0 when it is not there
	return value
}

// said returns the entries with that message from a time on.
func (p *process) said(message string, from time.Time) []entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []entry
	for _, e := range p.entries {
		if e.Message == message && !e.Time.Before(from) {
			found = append(found, e)
		}
	}
	return found
}

// tree returns the process and all that descends from it, itself first. For a
// launcher: its two stages, then the child.
func (p *process) tree() []proctree.Process {
	all, err := proctree.Read()
	if err != nil {
		return nil
	}
	return append([]proctree.Process{all[p.command.Process.Pid]}, all.Descendants(p.command.Process.Pid, nil)...)
}

// pids returns the pids of the tree.
func (p *process) pids() []int {
	var pids []int
	for _, member := range p.tree() {
		pids = append(pids, member.Pid)
	}
	return pids
}

// kill ends the whole tree with SIGKILL, as the kernel does when a container is
// killed. From outside there is no such thing as "at once"; the order is one in
// which nobody can do anything about it: first who reacts, then who is reacted
// to.
func (p *process) kill() {
	p.told.Store(true)
	tree := p.tree()
	for _, member := range append(tree[1:], tree[0]) {
		_ = member.Signal(syscall.SIGKILL) // gone already is as good
	}
	<-p.ended
	for _, member := range tree[1:] {
		// Orphans are this process's to reap now (PR_SET_CHILD_SUBREAPER).
		_, _ = syscall.Wait4(member.Pid, nil, 0, nil)
	}
}

// stop tells the process alone to stop.
func (p *process) stop() {
	p.told.Store(true)
	_ = p.command.Process.Signal(syscall.SIGTERM) // gone already is as good
}

// running reports whether the process has not ended.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// status tells how the process ended.
func (p *process) status() string { return p.command.ProcessState.String() }
