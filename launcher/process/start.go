package process

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// defaultPath is where commands are looked for when the environment has no
	// PATH, as execvp does.
	defaultPath = "/bin:/usr/bin"
	// executable is the permission that execve wants for somebody.
	executable = 0o111
	// firstInherited is the first descriptor after stdin, stdout and stderr.
	firstInherited = 3
	// searchedInherited bounds the search for inherited descriptors where
	// /proc cannot be read.
	searchedInherited = 256
	// interpreterLine bounds what is read of a script to name its interpreter;
	// the kernel reads as much.
	interpreterLine = 256
)

// fork is fork and exec with this mask; nil leaves it as it is.
func fork(path string, args []string, attr *syscall.ProcAttr, mask *unix.Sigset_t) (pid int, err error) {
	if mask == nil {
		return syscall.ForkExec(path, args, attr)
	}
	withMask(unix.SIG_SETMASK, mask, func() { pid, err = syscall.ForkExec(path, args, attr) })
	return pid, err
}

// lookup lists the files that a command may mean, in the order in which they
// are to be tried. A name with a slash means itself. An empty part of PATH is
// the working directory, as everywhere but in Go's own lookup.
func lookup(args, env []string) ([]string, error) {
	if len(args) == 0 || args[0] == "" {
		return nil, fmt.Errorf("start a command: its name is empty: %w", fs.ErrNotExist)
	}
	name := args[0]
	if strings.Contains(name, "/") {
		return []string{name}, nil
	}
	path := defaultPath
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			path = value
		}
	}
	found, refused := search(name, path)
	switch {
	case len(found) > 0:
		return found, nil
	case refused != nil:
		return nil, refused
	default:
		return nil, fmt.Errorf("start %s: not found on PATH %q: %w", name, path, fs.ErrNotExist)
	}
}

// Find is the file that a command's name means with this PATH; the name itself
// when there is none.
func Find(name, path string) string {
	if !strings.Contains(name, "/") {
		if found, _ := search(name, path); len(found) > 0 {
			return found[0]
		}
	}
	return name
}

// search lists the executable files of that name on a PATH. The error says why
// another one of that name is none.
func search(name, path string) (found []string, refused error) {
	for _, dir := range filepath.SplitList(path) {
		candidate := dir + "/" + name
		if dir == "" {
			candidate = "./" + name
		}
		info, err := os.Stat(candidate)
		switch {
		case err != nil:
		case info.IsDir():
			refused = fmt.Errorf("start %s: %s is a directory: %w", name, candidate, fs.ErrPermission)
		case info.Mode()&executable == 0:
			refused = fmt.Errorf("start %s: %s is not executable (chmod +x): %w", name, candidate, fs.ErrPermission)
		default:
			found = append(found, candidate)
		}
	}
	return found, refused
}

// startFailure says what was wrong with a file that could not be executed.
func startFailure(path string, spec Spec, err error) error {
	if err == syscall.EPERM && spec.User != "" {
		return fmt.Errorf("start %s: %w %q (cleat must run as root for that): %w", path, ErrUser, spec.User, err)
	}
	info, statErr := os.Stat(path)
	switch {
	case err == syscall.ENOENT && statErr == nil:
		if name := interpreter(path); name != "" {
			return fmt.Errorf("start %s: its interpreter %s was not found: %w", path, name, err)
		}
		return fmt.Errorf("start %s: the program loader that it needs was not found (was it built for another system?): %w", path, err)
	case err == syscall.EACCES && statErr == nil && info.IsDir():
		return fmt.Errorf("start %s: is a directory: %w", path, err)
	case err == syscall.EACCES && statErr == nil && info.Mode()&executable == 0:
		return fmt.Errorf("start %s: is not executable (chmod +x): %w", path, err)
	case err == syscall.ENOEXEC:
		return fmt.Errorf("start %s: is neither a program for this machine nor a script that begins with #!: %w", path, err)
	default:
		return fmt.Errorf("start %s: %w", path, err)
	}
}

// interpreter is the one that a script names in its first line; empty for
// anything else.
func interpreter(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	var buffer [interpreterLine]byte
	n, _ := f.Read(buffer[:])
	line, _, _ := strings.Cut(string(buffer[:n]), "\n")
	line, ok := strings.CutPrefix(line, "#!")
	if fields := strings.Fields(line); ok && len(fields) > 0 {
		return strconv.Quote(fields[0])
	}
	return ""
}

// claimInherited lists the open descriptors from 3 up that are not
// close-on-exec, in order, and makes them so.
func claimInherited() []int {
	var open []int
	if names, err := os.ReadDir("/proc/self/fd"); err == nil {
		for _, name := range names {
			if fd, err := strconv.Atoi(name.Name()); err == nil && fd >= firstInherited {
				open = append(open, fd)
			}
		}
	} else {
		for fd := firstInherited; fd < searchedInherited; fd++ {
			open = append(open, fd)
		}
	}
	var inherited []int
	for _, fd := range open {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.CloseOnExec(fd)
			inherited = append(inherited, fd)
		}
	}
	slices.Sort(inherited)
	return inherited
}

// inheritedFiles are the descriptors from 3 up for a ProcAttr, each at its own
// number, with holes.
func inheritedFiles(inherited []int) []uintptr {
	if len(inherited) == 0 {
		return nil
	}
	const hole = math.MaxUint // -1 as a descriptor: closed in the child
	files := make([]uintptr, inherited[len(inherited)-1]+1-firstInherited)
	for i := range files {
		files[i] = hole
	}
	for _, fd := range inherited {
		files[fd-firstInherited] = uintptr(fd)
	}
	return files
}

// SignalError is a signal that could not be sent.
type SignalError struct {
	Signal syscall.Signal
	Pid    int // negative: a group
	Err    error
}

// Error names the signal, the target and the cause.
func (e *SignalError) Error() string {
	if e.Pid < 0 {
		return fmt.Sprintf("send %s to process group %d: %v", SignalName(e.Signal), -e.Pid, e.Err)
	}
	return fmt.Sprintf("send %s to process %d: %v", SignalName(e.Signal), e.Pid, e.Err)
}

// Unwrap returns the cause.
func (e *SignalError) Unwrap() error { return e.Err }
