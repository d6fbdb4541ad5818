package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// socketMode lets everybody connect: who may ask what is decided by who
	// they are.
	socketMode = 0o666
	// probeTime is how long it may take to find out whether somebody listens.
	probeTime = time.Second
	// lockTime is how long to wait for another launcher that is just making its
	// socket in the same directory, and lockPoll how often to look.
	lockTime = time.Second
	lockPoll = 10 * time.Millisecond
	// MaxPath is the length in bytes of a socket's path; the kernel sets it.
	MaxPath = len(syscall.RawSockaddrUnix{}.Path) - 1
)

// Socket is a launcher's end: what others connect to.
//
//	(nothing, or a stale file) --Listen--> listening --Close--> (nothing)
type Socket struct {
	listener *net.UnixListener
	path     string
	made     fs.FileInfo // to tell it from one that took its place
}

// Listen makes the socket in the first of the places where that works. The
// error joins what was wrong with each.
func Listen(places []Place, s Surroundings) (*Socket, error) {
	var errs []error
	for _, place := range places {
		err := place.prepare(s)
		if err == nil {
			var socket *Socket
			if socket, err = listen(place); err == nil {
				return socket, nil
			}
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// Path returns where the socket is.
func (s *Socket) Path() string { return s.path }

// Close removes the socket's file, if it is still this one's, and refuses
// whoever comes. Connections that there are stay.
func (s *Socket) Close() error {
	// The file goes first: as long as somebody listens, nobody takes its place.
	if info, err := os.Lstat(s.path); err == nil && os.SameFile(info, s.made) {
		_ = os.Remove(s.path) // a directory that has become read-only: the next launcher replaces it
	}
	return s.listener.Close()
}

func listen(place Place) (*Socket, error) {
	if len(place.Path) > MaxPath {
		return nil, fmt.Errorf("the path of the socket has %d bytes; at most %d are possible: %s", len(place.Path), MaxPath, shorten(place.Path))
	}
	defer lock(filepath.Dir(place.Path))()
	if err := clear(place.Path); err != nil {
		return nil, err
	}
	if place.Private {
		sweep(filepath.Dir(place.Path))
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: place.Path, Net: "unix"})
	if err != nil {
		return nil, bare(err, place.Path)
	}
	listener.SetUnlinkOnClose(false) // see Close
	s := &Socket{listener: listener, path: place.Path}
	if s.made, err = os.Lstat(s.path); err == nil {
		err = os.Chmod(s.path, socketMode)
	}
	if err != nil {
		_ = os.Remove(s.path)
		_ = listener.Close()
		return nil, fmt.Errorf("cannot make the socket: %w", err)
	}
	return s, nil
}

// clear removes a socket file that nobody listens on any more.
func clear(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot make the socket: %w", err)
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s is there and is no socket", path)
	case !stale(path):
		return fmt.Errorf("another launcher listens on %s", path)
	}
	return os.Remove(path)
}

// stale reports whether certainly nobody listens on a socket.
func stale(path string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// sweep removes what launchers that were killed have left in a private
// directory.
func sweep(dir string) {
	for _, left := range sockets(dir, -1) {
		if stale(left.path) {
			_ = os.Remove(left.path)
		}
	}
}

// lock keeps other launchers from making a socket in the directory, as far as
// that is possible: two that replace the same stale file would else undo each
// other. It returns what ends that.
func lock(dir string) (unlock func()) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return func() {}
	}
	for end := time.Now().Add(lockTime); ; time.Sleep(lockPoll) {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err == nil || !time.Now().Before(end) {
			return func() { unix.Close(fd) }
		}
	}
}

// bare takes from the error of a listen or a dial what is said about it
// already.
func bare(err error, path string) error {
	if inner, ok := errors.AsType[syscall.Errno](err); ok {
		err = inner
	}
	return fmt.Errorf("cannot make the socket %s: %w", path, err)
}
