package main

import (
	"errors"
	"os"
	"syscall"
)

// mount makes a directory, and mounts a file system in memory there.
func mount(args []string) error {
	if len(args) != 1 {
		return errors.New("mount takes a directory")
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		return err
	}
	return syscall.Mount("none", args[0], "tmpfs", 0, "")
}

func umount(args []string) error {
	if len(args) != 1 {
		return errors.New("umount takes a directory")
	}
	return syscall.Unmount(args[0], 0)
}
