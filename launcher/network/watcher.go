package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// gatherTime is how long notifications are gathered before they are told:
	// an interface that comes up sends several.
	gatherTime = 10 * time.Millisecond
	// groups are the notifications that are listened to.
	groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR
	// receiveSize is how many bytes of a notification are taken; the rest of it
	// is dropped, because none of it is read.
	receiveSize = 64
)

// Watcher tells when it is worth to look at networks again.
type Watcher struct {
	changed chan<- struct{}
}

// NewWatcher returns a watcher that sends to changed, which has room for one:
// once for any number of changes that nobody has taken yet.
func NewWatcher(changed chan<- struct{}) *Watcher { return &Watcher{changed: changed} }

// Run watches this process's network namespace until ctx ends. The error says
// why it cannot.
func (w *Watcher) Run(ctx context.Context) error {
	socket, err := listen()
	if err != nil {
		return fmt.Errorf("networks cannot be watched: %w", err)
	}
	w.tell() // whatever happened before the socket was there
	told := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		receive(socket, told)
	}()
	defer func() {
		_ = socket.Close()
		<-ended
	}()
	var gathered <-chan time.Time
	for {
		select {
		case <-told:
			if gathered == nil {
				gathered = time.After(gatherTime)
			}
		case <-gathered:
			gathered = nil
			w.tell()
		case <-ctx.Done():
			return nil
		}
	}
}

func (w *Watcher) tell() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// listen opens a socket to the kernel's notifications that Go's own poller
// waits for.
func listen() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), nil
}

// receive tells of notifications until the socket is closed. That some were
// lost (ENOBUFS) is told as well.
func receive(socket *os.File, told chan<- struct{}) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	buffer := make([]byte, receiveSize)
	for raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), buffer, 0)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	}) == nil {
		select {
		case told <- struct{}{}:
		default:
		}
	}
}
