package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"cleat/launcher/process"
)

// Look returns why a volume is not there as it should be, and nil when it is.
// user is whom the child runs as, for Writable; empty: this process's own.
//
// A file system that does not answer (a network one whose server is away)
// cannot hold the caller up: when ctx ends, Look returns, and what hangs in the
// kernel is left behind.
func Look(ctx context.Context, v Volume, user string) error {
	answer := make(chan error, 1)
	go func() { answer <- look(v, user) }()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the file system does not answer: %w", context.Cause(ctx))
	}
}

func look(v Volume, user string) error {
	info, err := os.Stat(v.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such directory")
	case err != nil:
		return fmt.Errorf("it cannot be looked at: %w", bare(err))
	case !info.IsDir():
		return errors.New("it is not a directory")
	}
	if v.Mounted {
		real, err := filepath.EvalSymlinks(v.Path)
		if err != nil {
			return fmt.Errorf("it cannot be looked at: %w", bare(err))
		}
		if mounted, err := isMounted(real); err != nil {
			return err
		} else if !mounted {
			return errors.New("nothing is mounted there")
		}
	}
	if v.Writable && v.Owner == "" && v.Mode == nil {
		return writable(v.Path, user)
	}
	return nil
}

// bare is the cause in an error that has the path in it once more.
func bare(err error) error {
	if in, ok := errors.AsType[*fs.PathError](err); ok {
		return in.Err
	}
	return err
}

// writable returns why the user cannot make a file in a directory. It makes
// one, which has no name where the file system has that, because nothing else
// tells for sure: access lists, remapped and read-only file systems.
func writable(dir, user string) error {
	try := func() error { return tryFile(dir) }
	if user == "" {
		return describe(try(), "")
	}
	who, err := process.LookupUser(user)
	if err != nil {
		return err
	}
	if int(who.UID) == os.Geteuid() {
		return describe(try(), user)
	}
	answer := make(chan error, 1)
	go func() { answer <- as(who, try) }()
	return describe(<-answer, user)
}

func describe(err error, user string) error {
	switch {
	case err == nil:
		return nil
	case user == "":
		return fmt.Errorf("it cannot be written to: %w", bare(err))
	}
	return fmt.Errorf("the user %s cannot write to it: %w", user, bare(err))
}

// probe begins the name of the file that writable makes where there are no
// files without a name.
const probe = ".cleat-probe-"

func tryFile(dir string) error {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return unix.Close(fd)
	}
	if err != unix.EOPNOTSUPP && err != unix.EISDIR && err != unix.EINVAL {
		return err
	}
	f, err := os.CreateTemp(dir, probe)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// as calls f with another user's rights to files. It must be called by a
// goroutine of its own, which ends with it: its thread, which keeps those
// rights, then ends as well.
func as(who process.User, f func() error) error {
	runtime.LockOSThread() // and never unlocked
	groups := append([]uint32{}, who.Groups...)
	if len(groups) == 0 {
		groups = []uint32{who.GID}
	}
	// The system call itself: unix.Setgroups changes all threads.
	if _, _, errno := syscall.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0); errno != 0 {
		return fmt.Errorf("cleat cannot act as this user: %w", errno)
	}
	_, _ = unix.SetfsgidRetGid(int(who.GID))
	_, _ = unix.SetfsuidRetUid(int(who.UID))
	// They tell no failure; asked for an impossible number, they tell what is.
	if uid, _ := unix.SetfsuidRetUid(-1); uint32(uid) != who.UID {
		return fmt.Errorf("cleat cannot act as this user: %w", unix.EPERM)
	}
	return f()
}

// isOwn reports whether an entry of a volume's root is cleat's own, and will be
// gone.
func isOwn(name string) bool {
	return name == partial || name == complete || strings.HasPrefix(name, probe)
}
