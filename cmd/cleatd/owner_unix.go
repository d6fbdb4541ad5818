//go:build unix

package main

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives a file the owner and the mode of the one that it replaces: the
// server must still be able to read it.
func keepOwner(path string, file *os.File, mode fs.FileMode) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil //nolint:nilerr // a new file
	}
	if was, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := file.Chown(int(was.Uid), int(was.Gid)); err != nil {
			return fmt.Errorf("cannot give the new file its owner; run it as the owner of %s: %w", path, err)
		}
	}
	return file.Chmod(mode)
}
