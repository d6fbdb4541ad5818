// Package proctree reads from /proc which processes descend from one, and ends
// them without ever hitting a stranger.
//
// A pid in a list is only a number: by the time that it is used, the process
// may be gone and the number another's. So a [Process] carries the time at
// which it was started, and [Process.Signal] holds the process by a pidfd,
// looks again, and only then sends.
//
// A list is a glimpse, not a lock: while it is read, processes fork and die.
// [End] therefore reads again until it has seen nothing twice.
//
// Another PID namespace's /proc would give numbers that mean other processes
// here. [Read] notices that and refuses.
package proctree

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// root is where the kernel shows its processes.
const root = "/proc"

// statSize bounds what is read of a stat file. The longest are about 400 bytes.
const statSize = 1024

// ErrForeign is returned by [Read] when /proc belongs to another PID namespace.
var ErrForeign = errors.New("/proc shows another PID namespace: mount it anew in this one")

// Process is one process as /proc showed it.
type Process struct {
	Pid, Parent, Group int
	// Start is when it was started, in clock ticks since boot. With Pid it
	// names a process for good.
	Start uint64
	// Stopped says that a signal has stopped it.
	Stopped bool
	// Dead says that it has ended and only waits to be reaped.
	Dead bool
}

// Tree is all processes at one moment, by pid.
type Tree map[int]Process

// Read reads all processes that may be seen.
func Read() (Tree, error) {
	self, err := os.Readlink(root + "/self")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	if self != strconv.Itoa(os.Getpid()) {
		return nil, ErrForeign
	}
	dir, err := os.Open(root)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil && len(names) == 0 {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	t := make(Tree, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, err := read(pid); err == nil {
			t[pid] = p
		}
	}
	return t, nil
}

// Children lists the children of a process, the dead ones too, without looking
// at any other process, which a full machine makes slow. The kernel may leave
// one out while another one ends. False when it cannot say.
func Children(pid int) (children []int, ok bool) {
	tasks := fmt.Sprintf("%s/%d/task", root, pid)
	dir, err := os.Open(tasks)
	if err != nil {
		return nil, false
	}
	defer dir.Close()
	threads, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, false
	}
	for _, thread := range threads {
		// A list may be long: it is read as a whole.
		list, err := os.ReadFile(tasks + "/" + thread + "/children")
		if errors.Is(err, unix.ESRCH) {
			continue // the thread has ended; its children are another's now
		}
		if err != nil {
			return nil, false // a kernel without these files
		}
		for field := range bytes.FieldsSeq(list) {
			child, err := strconv.Atoi(string(field))
			if err != nil {
				return nil, false
			}
			children = append(children, child)
		}
	}
	return children, true
}

// Descendants lists the living descendants of pid, not itself. Where skip says
// so, a process is left out together with all that descends from it; nil skips
// nothing.
func (t Tree) Descendants(pid int, skip func(Process) bool) []Process {
	children := make(map[int][]Process, len(t))
	for _, p := range t {
		children[p.Parent] = append(children[p.Parent], p)
	}
	var found []Process
	seen := map[int]bool{pid: true} // a torn glimpse can hold a circle
	queue := []int{pid}
	for len(queue) > 0 {
		parent := queue[0]
		queue = queue[1:]
		for _, p := range children[parent] {
			if seen[p.Pid] || skip != nil && skip(p) {
				continue
			}
			seen[p.Pid] = true
			queue = append(queue, p.Pid)
			if !p.Dead {
				found = append(found, p)
			}
		}
	}
	return found
}

// Signal sends a signal if the process is still the same one. That it is gone
// is no error.
func (p Process) Signal(s syscall.Signal) error {
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if err == unix.ESRCH {
		return nil
	}
	held := err == nil
	if held {
		defer unix.Close(fd)
	}
	now, err := read(p.Pid)
	if err != nil || now.Start != p.Start {
		return nil
	}
	if held {
		err = unix.PidfdSendSignal(fd, s, nil, 0)
	}
	if !held || err == unix.ENOSYS || err == unix.EPERM {
		// An old kernel, or a sandbox that does not know pidfds: the moment
		// since the look is the best that there is.
		err = syscall.Kill(p.Pid, s)
	}
	if err == nil || err == unix.ESRCH {
		return nil
	}
	return fmt.Errorf("send signal %d to process %d: %w", int(s), p.Pid, err)
}

func read(pid int) (Process, error) {
	fd, err := unix.Open(root+"/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Process{}, err
	}
	defer unix.Close(fd)
	var buffer [statSize]byte
	n, err := unix.Read(fd, buffer[:])
	if err != nil {
		return Process{}, err
	}
	p, ok := parse(buffer[:n])
	if !ok || p.Pid != pid {
		return Process{}, fs.ErrInvalid
	}
	return p, nil
}

// The fields of a stat file that follow the command's name, counted from 0
// there; proc_pid_stat(5) counts from 1 with two before.
const (
	fieldState   = 0
	fieldParent  = 1
	fieldGroup   = 2
	fieldThreads = 17
	fieldStart   = 19
	fieldsNeeded = fieldStart + 1
)

// parse reads "PID (NAME) STATE PARENT GROUP ...". The name may hold anything,
// also spaces and parentheses; nothing after it does.
func parse(stat []byte) (Process, bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return Process{}, false
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < fieldsNeeded || len(fields[fieldState]) != 1 {
		return Process{}, false
	}
	var p Process
	var threads int
	for _, number := range []struct {
		text []byte
		to   *int
	}{
		{bytes.TrimSpace(stat[:open]), &p.Pid},
		{fields[fieldParent], &p.Parent},
		{fields[fieldGroup], &p.Group},
		{fields[fieldThreads], &threads},
	} {
		n, err := strconv.Atoi(string(number.text))
		if err != nil {
			return Process{}, false
		}
		*number.to = n
	}
	start, err := strconv.ParseUint(string(fields[fieldStart]), 10, 64)
	if err != nil || p.Pid <= 0 {
		return Process{}, false
	}
	p.Start = start
	switch fields[fieldState][0] {
	case 'T':
		p.Stopped = true
	case 'Z', 'X':
		// A program whose first thread has ended looks dead and is not while
		// it has other threads.
		p.Dead = threads <= 1
	}
	return p, true
}
