//go:build unix

package main

import (
	"fmt"
	"syscall"
)

// raiseDescriptors raises the soft limit on file descriptors to the hard one.
// It returns the limit.
func raiseDescriptors() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("cannot read the limit on file descriptors: %w", err)
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return 0, fmt.Errorf("cannot raise the limit on file descriptors to %d: %w", limit.Max, err)
		}
	}
	const most = 1 << 30 // more than any system has
	return int(min(limit.Cur, most)), nil
}
