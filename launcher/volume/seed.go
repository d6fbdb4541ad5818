package volume

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	// partial holds a copy of the seed that is not complete, and complete one
	// that is, and whose entries are moved up.
	partial  = ".cleat-seed.part"
	complete = ".cleat-seed.done"
	// mostDepth is how deep a seed may be: each level keeps two descriptors open.
	mostDepth = 128
	// chunk is how many bytes are copied between two looks at the context.
	chunk = 4 << 20
	// readAtOnce is how many names of a directory are read at a time.
	readAtOnce = 256
	// permissionBits are the permissions, and set-user-id, set-group-id and
	// sticky.
	permissionBits = 0o7777
	// setIDs are set-user-id and set-group-id.
	setIDs = unix.S_ISUID | unix.S_ISGID
	// staging is the mode of a directory while it is filled.
	staging = 0o700
)

// seeding fills one volume.
type seeding struct {
	ctx        context.Context
	volume     int // descriptor of its root
	path       string
	links      map[inode]string // where a file with several names was copied to, below partial
	keepOwners bool
	entries    int
	bytes      int64
}

// inode tells one file.
type inode struct{ dev, ino uint64 }

// run seeds the volume if it is empty, or goes on where an earlier one was
// interrupted; the package comment draws it.
func (s *seeding) run(seed string) (seeded bool, err error) {
	names, err := s.names(s.volume, s.path)
	if err != nil {
		return false, err
	}
	if !slices.Contains(names, complete) {
		empty := !slices.ContainsFunc(names, func(name string) bool { return !isOwn(name) && name != "lost+found" })
		if slices.Contains(names, partial) {
			if err := s.remove(s.volume, partial, 0); err != nil {
				return false, err
			}
		}
		if !empty {
			return false, nil
		}
		if err := s.copy(seed); err != nil {
			return false, err
		}
	}
	return true, s.moveUp(seed)
}

// copy makes a complete copy of the seed beside where it belongs.
func (s *seeding) copy(seed string) error {
	from, err := unix.Open(seed, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open the seed", Path: seed, Err: err}
	}
	defer unix.Close(from)
	if err := s.directory(from, s.volume, partial, filepath.Join(s.path, partial), 0); err != nil {
		return err
	}
	// Everything is written before it is called complete, so that not even a
	// loss of power leaves empty files behind.
	if err := unix.Syncfs(s.volume); err != nil {
		return &fs.PathError{Op: "write", Path: s.path, Err: err}
	}
	if err := unix.Renameat(s.volume, partial, s.volume, complete); err != nil {
		return &fs.PathError{Op: "rename", Path: filepath.Join(s.path, partial), Err: err}
	}
	return nil
}

// moveUp moves the entries of a complete copy to where they belong, and gives
// the root the owner, mode and times of the seed's. What somebody else has put
// there meanwhile stays.
func (s *seeding) moveUp(seed string) error {
	at := filepath.Join(s.path, complete)
	dir, err := unix.Openat(s.volume, complete, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: at, Err: err}
	}
	defer unix.Close(dir)
	var is unix.Stat_t // of the seed: the copy's own times change with each move
	if err := unix.Stat(seed, &is); err != nil {
		return &fs.PathError{Op: "stat the seed", Path: seed, Err: err}
	}
	names, err := s.names(dir, at)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := stopped(s.ctx); err != nil {
			return err
		}
		if err := moveNew(dir, name, s.volume); err != nil && err != unix.EEXIST {
			return &fs.PathError{Op: "rename", Path: filepath.Join(at, name), Err: err}
		}
	}
	if err := s.remove(s.volume, complete, 0); err != nil {
		return err
	}
	return s.like(s.volume, s.path, &is)
}

// moveNew renames an entry unless there is one of that name.
func moveNew(from int, name string, to int) error {
	err := unix.Renameat2(from, name, to, name, unix.RENAME_NOREPLACE)
	if err != unix.EINVAL && err != unix.ENOSYS {
		return err
	}
	// The file system cannot promise it: the lock keeps others like us away.
	var is unix.Stat_t
	if err := unix.Fstatat(to, name, &is, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		return unix.EEXIST
	}
	return unix.Renameat(from, name, to, name)
}

// directory copies a directory with all that is in it.
func (s *seeding) directory(from, parent int, name, path string, depth int) error {
	if depth > mostDepth {
		return fmt.Errorf("%s: the seed has more than %d directories in one another", path, mostDepth)
	}
	if err := unix.Mkdirat(parent, name, staging); err != nil {
		return &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	to, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(to)
	names, err := s.names(from, path)
	if err != nil {
		return err
	}
	for _, entry := range names {
		if err := s.entry(from, to, entry, filepath.Join(path, entry), depth); err != nil {
			return err
		}
	}
	var is unix.Stat_t
	if err := unix.Fstat(from, &is); err != nil {
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return s.like(to, path, &is)
}

// entry copies one entry of a directory.
func (s *seeding) entry(from, to int, name, path string, depth int) error {
	if err := stopped(s.ctx); err != nil {
		return err
	}
	var is unix.Stat_t
	if err := unix.Fstatat(from, name, &is, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	kind := is.Mode & unix.S_IFMT
	if kind == unix.S_IFSOCK {
		return nil // somebody listens there, or nobody
	}
	s.entries++
	if kind == unix.S_IFDIR {
		dir, err := unix.Openat(from, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return &fs.PathError{Op: "open", Path: path, Err: err}
		}
		defer unix.Close(dir)
		return s.directory(dir, to, name, path, depth+1)
	}
	if linked, err := s.link(to, name, path, &is); linked || err != nil {
		return err
	}
	switch kind {
	case unix.S_IFREG:
		return s.file(from, to, name, path, &is)
	case unix.S_IFLNK:
		return s.symlink(from, to, name, path, &is)
	}
	if err := unix.Mknodat(to, name, is.Mode, int(is.Rdev)); err != nil {
		return &fs.PathError{Op: "mknod", Path: path, Err: err}
	}
	return s.likeNamed(to, name, path, &is)
}

// link makes a further name of a file that was copied under another one. Where
// the kernel does not let it, the file is copied once more.
func (s *seeding) link(to int, name, path string, is *unix.Stat_t) (linked bool, err error) {
	if is.Nlink < 2 {
		return false, nil
	}
	id := inode{is.Dev, is.Ino}
	first, copied := s.links[id]
	if !copied {
		s.links[id], _ = filepath.Rel(s.path, path)
		return false, nil
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(s.volume, first, &how)
	if err != nil {
		return false, nil
	}
	defer unix.Close(fd)
	err = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), to, name, unix.AT_SYMLINK_FOLLOW)
	return err == nil, nil
}

func (s *seeding) file(from, to int, name, path string, is *unix.Stat_t) error {
	in, err := open(from, name, path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := open(to, name, path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, staging)
	if err != nil {
		return err
	}
	defer out.Close()
	for {
		n, err := io.CopyN(out, in, chunk)
		s.bytes += n
		if err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("copy to %s: %w", path, bare(err))
		}
		if err := stopped(s.ctx); err != nil {
			return err
		}
	}
	if err := s.like(int(out.Fd()), path, is); err != nil {
		return err
	}
	return out.Close()
}

// open opens a file below a directory; it follows no link.
func open(dir int, name, path string, flags int, mode uint32) (*os.File, error) {
	fd, err := unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	_ = unix.SetNonblock(fd, false) // a regular file never blocks
	return os.NewFile(uintptr(fd), path), nil
}

func (s *seeding) symlink(from, to int, name, path string, is *unix.Stat_t) error {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(from, name, target)
	if err != nil {
		return &fs.PathError{Op: "readlink", Path: path, Err: err}
	}
	if err := unix.Symlinkat(string(target[:n]), to, name); err != nil {
		return &fs.PathError{Op: "symlink", Path: path, Err: err}
	}
	return s.likeNamed(to, name, path, is)
}

// mode is what a copy gets: the set-id bits only together with their owner.
func (s *seeding) mode(is *unix.Stat_t) uint32 {
	mode := is.Mode & permissionBits
	if !s.keepOwners {
		mode &^= setIDs
	}
	return mode
}

// like gives an open copy the owner, mode and times of its original, in this
// order: a change of the owner takes set-user-id away.
func (s *seeding) like(fd int, path string, is *unix.Stat_t) error {
	if s.keepOwners {
		if err := unix.Fchown(fd, int(is.Uid), int(is.Gid)); err != nil {
			return &fs.PathError{Op: "chown", Path: path, Err: err}
		}
	}
	if err := unix.Fchmod(fd, s.mode(is)); err != nil {
		return &fs.PathError{Op: "chmod", Path: path, Err: err}
	}
	// By /proc, because the call for descriptors has only microseconds.
	times := []unix.Timespec{is.Atim, is.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), times, 0); err != nil {
		return &fs.PathError{Op: "set the times of", Path: path, Err: err}
	}
	return nil
}

// likeNamed is like for what cannot be opened without an effect.
func (s *seeding) likeNamed(dir int, name, path string, is *unix.Stat_t) error {
	if s.keepOwners {
		if err := unix.Fchownat(dir, name, int(is.Uid), int(is.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &fs.PathError{Op: "chown", Path: path, Err: err}
		}
	}
	if is.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(dir, name, s.mode(is), 0); err != nil {
			return &fs.PathError{Op: "chmod", Path: path, Err: err}
		}
	}
	if err := unix.UtimesNanoAt(dir, name, []unix.Timespec{is.Atim, is.Mtim}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "set the times of", Path: path, Err: err}
	}
	return nil
}

// names returns the names in an open directory, sorted.
func (s *seeding) names(dir int, path string) ([]string, error) {
	// Its own descriptor, so that each reading begins at the first name.
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var all []string
	for {
		some, err := f.Readdirnames(readAtOnce)
		all = append(all, some...)
		if err == io.EOF {
			slices.Sort(all)
			return all, nil
		} else if err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: bare(err)}
		}
		if err := stopped(s.ctx); err != nil {
			return nil, err
		}
	}
}

// remove removes what is called so, with all that is in it, if it is there. It
// follows no link.
func (s *seeding) remove(parent int, name string, depth int) error {
	if err := stopped(s.ctx); err != nil {
		return err
	}
	err := unix.Unlinkat(parent, name, 0)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	dir, opened := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if opened != nil || depth > mostDepth+1 {
		return &fs.PathError{Op: "remove", Path: filepath.Join(s.path, name), Err: err}
	}
	defer unix.Close(dir)
	// A copy has the modes of the seed: only root may take something out of a
	// directory that is not writable.
	_ = unix.Fchmod(dir, staging) // what follows fails if this was needed
	names, err := s.names(dir, name)
	if err != nil {
		return err
	}
	for _, entry := range names {
		if err := s.remove(dir, entry, depth+1); err != nil {
			return err
		}
	}
	if err := unix.Unlinkat(parent, name, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "remove", Path: filepath.Join(s.path, name), Err: err}
	}
	return nil
}
