package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"cleat/internal/filewatch"
	"cleat/templates"
)

// staged is an output beside its destination, ready to be put into place.
//
//	stage --> staged --place--> replaced --undo--> as before
//	             |                  |
//	             +---- discard -----+--> the temporary file is gone
type staged struct {
	output
	path     string // of the temporary file
	target   string // the destination, symlinks followed
	inPlace  bool   // a rename cannot work: written over instead
	before   *output
	replaced bool
}

// stagedMark is in the name of every temporary file, so that those which a
// killed predecessor left behind are known.
const stagedMark = ".cleat-"

// NewWatcher returns a watcher of files, to which temporary ones of cleat's own
// do not count.
func NewWatcher(log *slog.Logger) *filewatch.Watcher { return filewatch.New(stagedMark, log) }

// mostLinks is how many symbolic links a destination may lead through, as the
// kernel has it.
const mostLinks = 40

// spareDirs are where a file is staged whose own directory cannot be written:
// a read-only root file system has at least the second one.
var spareDirs = []string{"/tmp", "/dev/shm"}

// stage writes the output to a temporary file in the destination's directory:
// .<name>.cleat-*. Where that directory cannot be written (a single file mounted
// into a read-only system), it is put into a spare directory and later copied
// over. Nothing that is there already changes.
func stage(o output) (*staged, error) {
	s := &staged{output: o}
	var err error
	if s.target, err = resolve(o.destination); err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", o.destination, err)
	}
	if s.before, err = present(s.target); err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", o.destination, err)
	}
	dir := filepath.Dir(s.target)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the directory of %s: %w", o.destination, err)
	}
	pattern := "." + filepath.Base(s.target) + stagedMark + "*"
	f, err := os.CreateTemp(dir, pattern)
	if s.before != nil {
		for _, spare := range spareDirs {
			if err == nil {
				break
			}
			s.inPlace = true
			f, err = os.CreateTemp(spare, pattern)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write beside %s: %w", o.destination, err)
	}
	s.path = f.Name()
	if err := s.fill(f); err != nil {
		s.discard()
		return nil, fmt.Errorf("cannot write %s: %w", o.destination, err)
	}
	return s, nil
}

// fill writes, and closes, the temporary file. An owner that is not asked for
// stays the old one where that is allowed; else the file is cleat's own.
func (s *staged) fill(f *os.File) error {
	_, err := f.Write(s.data)
	if err == nil && s.before != nil {
		_ = f.Chown(s.before.uid, s.before.gid)
	}
	if err == nil && (s.uid >= 0 || s.gid >= 0) {
		err = f.Chown(s.uid, s.gid)
	}
	if err == nil {
		err = f.Chmod(s.mode)
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

// place puts the staged file into its place. When it fails, undo may be needed.
func (s *staged) place() error {
	if !s.inPlace {
		err := os.Rename(s.path, s.target)
		if err == nil {
			s.replaced = true
			return nil
		}
		// A mount point cannot be renamed over: it is written in place.
		if s.before == nil || !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.EXDEV) {
			return fmt.Errorf("cannot put %s into its place: %w", s.destination, err)
		}
		s.inPlace = true
	}
	s.replaced = true
	err := overwrite(s.target, s.data)
	if err == nil {
		_, err = adjust(s.output)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s in place: %w", s.destination, err)
	}
	return nil
}

// undo brings back what was there before place: bytes, mode and owner.
func (s *staged) undo() error {
	if !s.replaced {
		return nil
	}
	if err := s.goBack(); err != nil {
		return fmt.Errorf("cannot bring back the old %s: %w", s.destination, err)
	}
	s.replaced = false
	return nil
}

func (s *staged) goBack() error {
	switch {
	case s.before == nil:
		return os.Remove(s.target)
	case s.inPlace:
		if err := overwrite(s.target, s.before.data); err != nil {
			return err
		}
		_, err := adjust(*s.before)
		return err
	}
	old, err := stage(*s.before)
	if err != nil {
		ours := *s.before // its bytes count for more than its owner
		ours.uid, ours.gid = -1, -1
		if old, err = stage(ours); err != nil {
			return err
		}
	}
	defer old.discard()
	return old.place()
}

// discard removes the temporary file, if it is still there.
func (s *staged) discard() { os.Remove(s.path) }

// resolve follows the symbolic links at the end of a path, also to where
// nothing is yet: a link stays a link, and what it leads to is written.
func resolve(path string) (string, error) {
	for range mostLinks {
		to, err := os.Readlink(path)
		if err != nil {
			return path, nil //nolint:nilerr // no link, or nothing there
		}
		if !filepath.IsAbs(to) {
			dir, err := filepath.EvalSymlinks(filepath.Dir(path))
			if err != nil {
				return "", err
			}
			to = filepath.Join(dir, to)
		}
		path = to
	}
	return "", errors.New("too many symbolic links")
}

// present returns what a file holds now, as an output that would bring it back;
// nil when there is none. The error says why the file is not one to write over.
func present(path string) (*output, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("it is %s, not a file", kind(info.Mode()))
	case info.Size() > templates.MaxOutputSize:
		return nil, fmt.Errorf("the file there has %d bytes, and no template gives more than %d; is it the right one?", info.Size(), templates.MaxOutputSize)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	o := &output{destination: path, mode: info.Mode().Perm(), modeAsked: true, data: data}
	o.uid, o.gid = ownerOf(info)
	return o, nil
}

// overwrite writes data over the file without changing which file it is. What
// is too long is cut off last, so that a full disk leaves the room for undoing.
func overwrite(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Truncate(int64(len(data)))
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

// removeStale removes the temporary files that a killed predecessor left beside
// the destination.
func removeStale(destination string) {
	target, err := resolve(destination)
	if err != nil {
		return
	}
	dir, name := filepath.Dir(target), filepath.Base(target)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+name+stagedMark) && e.Type().IsRegular() {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// kind names what is not a regular file.
func kind(mode fs.FileMode) string {
	if mode.IsDir() {
		return "a directory"
	}
	return "a device, a pipe or a socket"
}
