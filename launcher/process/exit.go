package process

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit codes that say why a command gave none of its own, as shells use them.
const (
	// StatusOwn is cleat's own failure, such as a user that does not exist.
	StatusOwn = 125
	// StatusNotExecutable is a command that was found and could not be executed.
	StatusNotExecutable = 126
	// StatusNotFound is a command, or the interpreter that it asks for, that
	// does not exist.
	StatusNotFound = 127
	// statusSignal is added to the number of the signal that ended a process.
	statusSignal = 128
)

// Exit is how a process ended.
type Exit struct {
	Code   int            // 0 to 255, when it exited by itself
	Signal syscall.Signal // not 0: that ended it
}

// Status is the exit code that a shell would give: Code, or 128 + Signal.
func (e Exit) Status() int {
	if e.Signal != 0 {
		return statusSignal + int(e.Signal)
	}
	return e.Code
}

// String is "exit status 3" or "killed by SIGSEGV".
func (e Exit) String() string {
	if e.Signal != 0 {
		return "killed by " + SignalName(e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// The first and the last real-time signal, as programs see them: the C library
// keeps the kernel's first two for itself.
const (
	RealTimeMin = 34
	RealTimeMax = 64
)

// SignalName returns the name of a signal: SIGTERM, SIGRTMIN+3, or the number
// where it has no name.
func SignalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	if s >= RealTimeMin && s <= RealTimeMax {
		return strings.TrimSuffix("SIGRTMIN+"+strconv.Itoa(int(s-RealTimeMin)), "+0")
	}
	return strconv.Itoa(int(s))
}

// ErrUser is in the chain of an error of Start when [Spec.User] does not exist
// or may not be changed to.
var ErrUser = errors.New("cannot run as that user")

// StartError maps an error of Start to the exit code: 127 not found, 126 not
// executable, 125 when the fault is not the command's ([ErrUser]).
func StartError(err error) int {
	switch {
	case errors.Is(err, ErrUser):
		return StatusOwn
	case errors.Is(err, fs.ErrNotExist):
		return StatusNotFound
	default:
		return StatusNotExecutable
	}
}
