package listeners

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tree is the processes below the init stage, as /proc tells them.
type tree struct {
	proc string
	root int
	own  []int // cleat's own pids, root among them
	// beside are the pids of what runs beside the child. Each leads a process group.
	beside []int

	hidden    bool // /proc leaves processes out (hidepid)
	hiddenAsk bool // hidden was asked
}

// find looks for the sockets in sought, by inode, in the descriptors of cleat and of its descendants, and notes in
// sought whose they are. It reports whether all processes below root could be read, so that what was not found is
// nobody's of them.
func (t *tree) find(sought map[uint32]verdict) (complete bool) {
	left := len(sought)
	for _, pid := range t.own {
		// An error here only means that cleat's own are not told from others; in practice it never comes: a process
		// may read its own descriptors, and the init stage is of the same uid and has no more rights.
		_ = t.sockets(pid, func(inode uint32, fd string) bool {
			if was, ok := sought[inode]; ok && was == unseen {
				if t.closeOnExec(pid, fd) {
					// Opened by cleat itself. A child that is between fork and exec shows it too for a moment, so
					// this is decided before children are looked at.
					sought[inode] = ofCleat
					left--
				} else {
					sought[inode] = inherited
				}
			}
			return left > 0
		})
	}
	child, beside, complete := t.descendants()
	look := func(pids []int, whose verdict) {
		for _, pid := range pids {
			if left == 0 {
				break
			}
			err := t.sockets(pid, func(inode uint32, _ string) bool {
				if was, ok := sought[inode]; ok && (was == unseen || was == inherited) {
					sought[inode] = whose
					left--
				}
				return left > 0
			})
			if err != nil && !gone(err) && !t.ended(pid) {
				complete = false
			}
		}
	}
	look(child, ofChild)
	look(beside, ofBeside)
	return complete && !t.hides()
}

// socketLink is how /proc/<pid>/fd/<n> shows a socket: socket:[inode].
const socketLink = "socket:["

// sockets calls each with the inode of every socket that pid holds, and its descriptor, until each returns false.
func (t *tree) sockets(pid int, each func(inode uint32, fd string) bool) error {
	dir := t.proc + "/" + strconv.Itoa(pid) + "/fd"
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	_ = f.Close()
	if err != nil && !gone(err) {
		return err
	}
	var denied error
	for _, fd := range names {
		link, err := os.Readlink(dir + "/" + fd)
		if err != nil {
			if !gone(err) {
				denied = err
			}
			continue
		}
		number, isSocket := strings.CutPrefix(link, socketLink)
		if !isSocket {
			continue
		}
		inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32)
		if err != nil {
			continue
		}
		if !each(uint32(inode), fd) {
			break
		}
	}
	return denied
}

// closeOnExec reads the flag of a descriptor.
func (t *tree) closeOnExec(pid int, fd string) bool {
	info, err := os.ReadFile(t.proc + "/" + strconv.Itoa(pid) + "/fdinfo/" + fd)
	if err != nil {
		return false
	}
	for line := range bytes.Lines(info) {
		octal, ok := bytes.CutPrefix(line, []byte("flags:"))
		if !ok {
			continue
		}
		flags, err := strconv.ParseUint(string(bytes.TrimSpace(octal)), 8, 64)
		return err == nil && flags&unix.O_CLOEXEC != 0
	}
	return false
}

// descendants lists the processes below root, cleat's own excepted: the child's, and those beside it. complete is
// false when some process could not be placed in the tree.
func (t *tree) descendants() (child, beside []int, complete bool) {
	children, complete := t.processes()
	queue := slices.Clone(children[t.root])
	var apart map[int]bool // what is beside the child, or descends from that
	if len(t.beside) > 0 {
		apart = make(map[int]bool)
	}
	for len(queue) > 0 {
		pid := queue[0]
		queue = append(queue[1:], children[pid]...)
		if slices.Contains(t.own, pid) {
			continue
		}
		if apart != nil && (apart[pid] || t.besideGroup(pid)) {
			beside = append(beside, pid)
			for _, below := range children[pid] {
				apart[below] = true
			}
			continue
		}
		child = append(child, pid)
	}
	return child, beside, complete
}

// besideGroup reports whether a process is in the group of one beside the child.
func (t *tree) besideGroup(pid int) bool {
	fields, err := t.stat(pid)
	if err != nil {
		return false
	}
	group, err := strconv.Atoi(string(fields[statGroup]))
	return err == nil && slices.Contains(t.beside, group)
}

// processes maps each pid to those of its children.
func (t *tree) processes() (children map[int][]int, complete bool) {
	f, err := os.Open(t.proc)
	if err != nil {
		return nil, false
	}
	names, err := f.Readdirnames(-1)
	_ = f.Close()
	if err != nil {
		return nil, false
	}
	complete = true
	children = make(map[int][]int, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		parent, err := t.parent(pid)
		switch {
		case err == nil:
			children[parent] = append(children[parent], pid)
		case !gone(err):
			complete = false
		}
	}
	return children, complete
}

// Columns of /proc/<pid>/stat, counted from 0 after the command's name, which is in brackets and may hold anything.
const (
	statState   = 0
	statParent  = 1
	statGroup   = 2
	statThreads = 17
)

func (t *tree) stat(pid int) ([][]byte, error) {
	stat, err := os.ReadFile(t.proc + "/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= statThreads {
		return nil, fs.ErrInvalid
	}
	return fields, nil
}

func (t *tree) parent(pid int) (int, error) {
	fields, err := t.stat(pid)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(fields[statParent]))
}

// ended reports whether a process is gone or a zombie: it holds nothing any more, but the kernel keeps even its owner
// from seeing that. A zombie that still has threads is one whose first thread alone has ended.
func (t *tree) ended(pid int) bool {
	fields, err := t.stat(pid)
	if err != nil {
		return gone(err)
	}
	threads, err := strconv.Atoi(string(fields[statThreads]))
	return err == nil && threads <= 1 && string(fields[statState]) == "Z"
}

// hides reports whether /proc is mounted so that it leaves out processes that we may not look into. Asked once: a
// container's /proc does not change.
func (t *tree) hides() bool {
	if t.hiddenAsk {
		return t.hidden
	}
	t.hiddenAsk = true
	mounts, err := os.ReadFile(t.proc + "/self/mounts")
	t.hidden = err != nil || hidesProcesses(mounts, t.proc)
	return t.hidden
}

// hidesProcesses reads the options of the mount at path in the form of /proc/self/mounts.
func hidesProcesses(mounts []byte, path string) bool {
	hides := false
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[1] != path {
			continue
		}
		hides = false // a later mount covers an earlier one
		for option := range strings.SplitSeq(fields[3], ",") {
			switch option {
			case "hidepid=2", "hidepid=4", "hidepid=invisible", "hidepid=ptraceable":
				hides = true
			}
		}
	}
	return hides
}

// gone tells a process that ended while we looked from one that we may not look into.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }
