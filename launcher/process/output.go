package process

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// outputRest is how long after a command's end its output is still read.
	// All that it wrote is in the pipe by then; only something that has left
	// its group and keeps the pipe open makes this wait needed.
	outputRest = 100 * time.Millisecond
	// outputPart is how much is read at once, in bytes.
	outputPart = 4 << 10
)

// output is the pipe that a command writes to, and what is read from it.
type output struct {
	end  int // of the command, until it is started
	read *os.File
	done chan struct{} // closed when nothing is written to the writer any more
}

// newOutput opens a pipe and copies what comes out of it to w.
func newOutput(w io.Writer) (*output, error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("open a pipe for a command's output: %w", err)
	}
	// Only the end that is read here, so that it can have a deadline: the
	// command must not find its stdout non-blocking.
	if err := unix.SetNonblock(ends[0], true); err != nil {
		unix.Close(ends[0])
		unix.Close(ends[1])
		return nil, fmt.Errorf("set up a pipe for a command's output: %w", err)
	}
	o := &output{end: ends[1], read: os.NewFile(uintptr(ends[0]), "output"), done: make(chan struct{})}
	go o.copy(w)
	return o, nil
}

func (o *output) copy(w io.Writer) {
	defer close(o.done)
	defer o.read.Close()
	buffer := make([]byte, outputPart)
	for {
		n, err := o.read.Read(buffer)
		if n > 0 {
			_, _ = w.Write(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}

// started closes the command's end here, so that the pipe ends with the
// command, or at once when it could not be started.
func (o *output) started() { unix.Close(o.end) }

// finish reads what is left. Without a pipe it does nothing.
func (o *output) finish() {
	if o == nil {
		return
	}
	// An error means that the copying is over.
	_ = o.read.SetReadDeadline(time.Now().Add(outputRest))
	<-o.done
}
