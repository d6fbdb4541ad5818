package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"cleat/launcher/process"
)

// lockRetry is how long after it was found locked a volume is tried again:
// another container is seeding it just then, and the kernel tells nobody when a
// lock becomes free without keeping a thread for it.
const lockRetry = 100 * time.Millisecond

// owner is whom a file is given to; -1: nobody else.
type owner struct{ uid, gid int }

var unchanged = owner{-1, -1}

// Prepare gets a volume ready that [Look] has found: an empty one is filled
// from its seed, and the directory gets its owner and mode. user is whom the
// child runs as, for Writable; empty: this process's own. What is done already
// is not done again, so that it may be called again after an error. When ctx
// ends, it stops between two entries, or within a large file.
func Prepare(ctx context.Context, v Volume, user string) (Prepared, error) {
	var done Prepared
	if v.Seed == "" && v.Owner == "" && v.Mode == nil {
		return done, nil
	}
	to, err := lookUpOwner(v.Owner)
	if err != nil {
		return done, err
	}
	dir, err := unix.Open(v.Path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return done, &fs.PathError{Op: "open", Path: v.Path, Err: err}
	}
	defer unix.Close(dir)
	if v.Seed != "" {
		unlock, err := lock(ctx, dir, v.Path)
		if err != nil {
			return done, err
		}
		defer unlock()
		s := seeding{ctx: ctx, volume: dir, path: v.Path, links: make(map[inode]string), keepOwners: os.Geteuid() == 0}
		done.Seeded, err = s.run(v.Seed)
		done.Entries, done.Bytes = s.entries, s.bytes
		if err != nil {
			return done, err
		}
	}
	if done.Changed, err = give(dir, v.Path, to, v.Mode); err != nil {
		return done, err
	}
	if v.Writable {
		return done, writable(v.Path, user)
	}
	return done, nil
}

// Check returns what is wrong with a volume's settings on this machine: a seed
// that is not there, an owner that nobody knows. Without one it is nil.
func (v Volume) Check() error {
	_, err := lookUpOwner(v.Owner)
	if v.Seed == "" {
		return err
	}
	info, missing := os.Stat(v.Seed)
	switch {
	case missing != nil:
		err = errors.Join(err, fmt.Errorf("the seed cannot be read: %w", missing))
	case !info.IsDir():
		err = errors.Join(err, fmt.Errorf("the seed %s is not a directory", v.Seed))
	}
	return err
}

// lookUpOwner returns the numbers of an owner. Without a group, the group stays
// as it is.
func lookUpOwner(text string) (owner, error) {
	if text == "" {
		return unchanged, nil
	}
	group := false
	for _, c := range text {
		group = group || c == ':'
	}
	user, err := process.LookupUser(text)
	if err != nil {
		return unchanged, err
	}
	if !group {
		return owner{int(user.UID), -1}, nil
	}
	return owner{int(user.UID), int(user.GID)}, nil
}

// lock waits until nobody else has the directory locked. Where the file system
// knows no locks, there is none.
func lock(ctx context.Context, dir int, path string) (unlock func(), err error) {
	for {
		switch err := unix.Flock(dir, unix.LOCK_EX|unix.LOCK_NB); err {
		case nil:
			return func() { _ = unix.Flock(dir, unix.LOCK_UN) }, nil
		case unix.EINTR:
			continue
		case unix.EWOULDBLOCK:
		default:
			return func() {}, nil
		}
		timer := time.NewTimer(lockRetry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("somebody else is seeding %s: %w", path, context.Cause(ctx))
		}
	}
}

// give gives the directory its owner and mode, and reports whether it had
// others.
func give(dir int, path string, to owner, mode *fs.FileMode) (changed bool, err error) {
	var is unix.Stat_t
	if err := unix.Fstat(dir, &is); err != nil {
		return false, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if to.uid >= 0 && uint32(to.uid) != is.Uid || to.gid >= 0 && uint32(to.gid) != is.Gid {
		if err := unix.Fchown(dir, to.uid, to.gid); err != nil {
			return false, &fs.PathError{Op: "chown", Path: path, Err: err}
		}
		changed = true
	}
	if mode == nil || uint32(*mode) == is.Mode&permissionBits {
		return changed, nil
	}
	if err := unix.Fchmod(dir, uint32(*mode)); err != nil {
		return changed, &fs.PathError{Op: "chmod", Path: path, Err: err}
	}
	return true, nil
}

// stopped returns why work must end; nil while it need not.
func stopped(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return errors.Join(errStopped, context.Cause(ctx))
}

var errStopped = errors.New("stopped")
