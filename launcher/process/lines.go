package process

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// longestLine is how many bytes of a line are gathered before they are
	// written, so that lines of several commands are not mixed. A longer one
	// goes on in parts, and loses nothing.
	longestLine = 64 << 10
	// mostLeft is how many bytes are still read of what was written before a
	// command's end: the most that a pipe may hold without privileges.
	mostLeft = 1 << 20
)

// lines are the two pipes of a command whose lines are prefixed.
type lines struct {
	ends    [2]int // of the command, until it is started
	streams [2]*stream
}

// stream copies one pipe to one of cleat's own descriptors, line by line.
//
//	copying --the command has ended--> draining --nothing is left--> done
//	   |  who writes on waits while              (or mostLeft bytes)   ^
//	   |  nobody reads, as with the descriptor itself                  |
//	   +--end of file, or nobody will ever read--------------------- --+
type stream struct {
	read   *os.File
	to     int
	prefix []byte
	ended  atomic.Bool   // the command has ended
	done   chan struct{} // closed when nothing is copied any more
	inside bool          // a part of the line under way has been written
}

// newLines opens the pipes; user is who the command runs as, so that it can open
// /dev/stdout and /dev/stderr anew.
func newLines(prefix string, user *syscall.Credential) (*lines, error) {
	l := new(lines)
	for i := range l.streams {
		var ends [2]int
		if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
			l.abandon(i)
			return nil, fmt.Errorf("open a pipe for a command's output: %w", err)
		}
		// Only the end that is read here: the command must not find its stdout
		// non-blocking.
		_ = unix.SetNonblock(ends[0], true) // of a descriptor that has just been made
		if user != nil {
			_ = unix.Fchown(ends[1], int(user.Uid), int(user.Gid)) // without, only opening it anew fails
		}
		l.ends[i] = ends[1]
		l.streams[i] = &stream{
			read: os.NewFile(uintptr(ends[0]), "output"), to: 1 + i, prefix: []byte(prefix), done: make(chan struct{}),
		}
	}
	return l, nil
}

// abandon closes the first n pipes.
func (l *lines) abandon(n int) {
	for i := range n {
		unix.Close(l.ends[i])
		l.streams[i].read.Close()
	}
}

// started closes the command's ends here, and begins to copy.
func (l *lines) started() {
	for i, s := range l.streams {
		unix.Close(l.ends[i])
		go s.copy()
	}
}

// end says that the command has ended, without waiting. A nil receiver is a
// command without pipes.
func (l *lines) end() {
	if l != nil {
		for _, s := range l.streams {
			s.end()
		}
	}
}

// end says that the command has ended. What it wrote is still copied; what
// something that it left behind writes later is not. It does not wait.
func (s *stream) end() {
	s.ended.Store(true)
	_ = s.read.SetReadDeadline(time.Now()) // an error means that it is closed
}

func (s *stream) copy() {
	defer close(s.done)
	defer s.read.Close()
	var part []byte // of a line that is not complete
	buffer := make([]byte, longestLine)
	for {
		n, err := s.read.Read(buffer)
		if part = s.pass(append(part, buffer[:n]...)); part == nil {
			return
		}
		if err == nil {
			continue
		}
		if s.ended.Load() {
			part = s.drain(part, buffer)
		}
		if len(part) > 0 || s.inside {
			s.write(append(s.begin(nil), append(part, '\n')...))
		}
		return
	}
}

// drain copies what is in the pipe, and waits for nothing.
func (s *stream) drain(part, buffer []byte) []byte {
	raw, err := s.read.SyscallConn()
	if err != nil {
		return part
	}
	for left := mostLeft; left > 0; {
		n := 0
		err := raw.Control(func(fd uintptr) {
			for {
				var err error
				if n, err = unix.Read(int(fd), buffer); err != unix.EINTR {
					return
				}
			}
		})
		if err != nil || n <= 0 {
			return part
		}
		left -= n
		if part = s.pass(append(part, buffer[:n]...)); part == nil {
			return nil
		}
	}
	return part
}

// pass writes the complete lines of data and returns the rest; nil when nobody
// will ever read it.
func (s *stream) pass(data []byte) []byte {
	end := bytes.LastIndexByte(data, '\n') + 1
	var out []byte
	for line := range bytes.Lines(data[:end]) {
		out = append(s.begin(out), line...)
		s.inside = false
	}
	rest := data[end:]
	if len(rest) >= longestLine {
		out = append(s.begin(out), rest...)
		s.inside, rest = true, rest[:0]
	}
	if len(out) > 0 && !s.write(out) {
		return nil
	}
	return slices.Clip(append([]byte{}, rest...))
}

// begin appends the prefix, unless the line has one.
func (s *stream) begin(out []byte) []byte {
	if s.inside {
		return out
	}
	return append(out, s.prefix...)
}

// write writes all of it, however long that takes.
func (s *stream) write(out []byte) bool {
	for len(out) > 0 {
		n, err := unix.Write(s.to, out)
		switch {
		case err == unix.EAGAIN: // somebody else has made it so
			ready := []unix.PollFd{{Fd: int32(s.to), Events: unix.POLLOUT}}
			_, _ = unix.Poll(ready, -1) // what is wrong the next write tells
		case err != nil && err != unix.EINTR:
			return false
		default:
			out = out[max(n, 0):]
		}
	}
	return true
}

// prefixed opens the pipes of a command whose lines are prefixed, and puts them
// into its attributes.
func (s *system) prefixed(spec Spec, user *syscall.Credential, files []uintptr) (*lines, error) {
	l, err := newLines(spec.Prefix, user)
	if err != nil {
		return nil, err
	}
	files[1], files[2] = uintptr(l.ends[0]), uintptr(l.ends[1])
	s.lines.Lock()
	defer s.lines.Unlock()
	s.lines.all = slices.DeleteFunc(s.lines.all, (*stream).over)
	s.lines.all = append(s.lines.all, l.streams[:]...)
	return l, nil
}

func (s *stream) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Flush implements [Kernel].
func (s *system) Flush(limit time.Duration) {
	s.lines.Lock()
	all := slices.Clone(s.lines.all)
	s.lines.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for _, stream := range all {
		stream.end()
	}
	for _, stream := range all {
		select {
		case <-stream.done:
		case <-timer.C:
			return
		}
	}
}
