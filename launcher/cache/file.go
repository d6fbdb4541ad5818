package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// loadTime is how long a file may take to be read: a start does not wait for a
// file system that hangs.
const loadTime = time.Second

// ownerOnly is the file's mode: it holds the key.
const ownerOnly = 0o600

// directoryMode is that of the file's directory, where it has to be made.
const directoryMode = 0o700

// Load returns what the file at path holds for the owner; the zero value where
// there is none. The error says why it cannot be used; usable says whether the
// file may be written nevertheless.
func Load(path string, owner Owner) (c Content, usable bool, err error) {
	type result struct {
		c   Content
		err error
	}
	done := make(chan result, 1)
	go func() {
		c, err := load(path, owner)
		done <- result{c, err}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), loadTime)
	defer cancel()
	select {
	case r := <-done:
		if r.err != nil {
			return Content{}, !errors.Is(r.err, errForeign), r.err
		}
		return r.c, true, nil
	case <-ctx.Done():
		return Content{}, false, fmt.Errorf("it was not read within %v", loadTime)
	}
}

func load(path string, owner Owner) (Content, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0) // a pipe must not block
	if errors.Is(err, fs.ErrNotExist) {
		return Content{}, nil
	}
	if errors.Is(err, syscall.ELOOP) {
		return Content{}, fmt.Errorf("it is a symbolic link: %w", errForeign)
	}
	if err != nil {
		return Content{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Content{}, err
	}
	if !info.Mode().IsRegular() {
		return Content{}, fmt.Errorf("it is no regular file: %w", errForeign)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return Content{}, fmt.Errorf("it belongs to the user %d, who could have put anything into it", stat.Uid)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return Content{}, err
	}
	if len(data) > MaxSize {
		return Content{}, fmt.Errorf("it is longer than %d bytes: %w", MaxSize, errForeign)
	}
	return decode(data, owner)
}

// bare takes the names of files out of an error: a temporary one says nothing to
// people, and is another one each time.
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}

// write puts the data into the file's place.
func write(path string, data []byte) error {
	// Where it is there already, or cannot be made, what follows tells.
	_ = os.MkdirAll(filepath.Dir(path), directoryMode)
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".cleat-*") // made with mode 0600
	if err != nil {
		return writeInPlace(path, data, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		return nil
	}
	_ = os.Remove(f.Name()) // what is wrong with it is known already
	if errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) {
		return writeInPlace(path, data, err) // it is mounted
	}
	return err
}

// writeInPlace writes a file that nothing can be moved to; why says why not.
func writeInPlace(path string, data []byte, why error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, ownerOnly)
	if err != nil {
		return why
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return why
	}
	if info.Mode().Perm()&^ownerOnly != 0 {
		if err := f.Chmod(ownerOnly); err != nil {
			return err
		}
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.Write(data)
	return err
}
