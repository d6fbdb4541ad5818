package pid1

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// firstDescriptor is the lowest number that the supervisor's ends of the pipes
// get: above what a parent is likely to pass on, and inherited ones that are
// higher are skipped over. Not above 63, where the kernel has to make a larger
// table first, and waits 10 ms or more for that in a process with threads.
const firstDescriptor = 60

// newPipe makes a pipe. The supervisor's end is moved up and will be inherited;
// ours is close-on-exec, and Go's poller waits on it.
func newPipe(supervisorReads bool) (supervisors pipeEnd, own *os.File, err error) {
	var ends [2]int // the one to read from, the one to write to
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return pipeEnd{}, nil, fmt.Errorf("make a pipe: %w", err)
	}
	theirs, ours := ends[0], ends[1]
	if !supervisorReads {
		theirs, ours = ours, theirs
	}
	defer unix.Close(theirs)
	unix.SetNonblock(ours, true)
	own = os.NewFile(uintptr(ours), "pipe to the supervisor")
	var stat unix.Stat_t
	if err := unix.Fstat(theirs, &stat); err != nil {
		return pipeEnd{}, nil, fmt.Errorf("look at a pipe: %w", err)
	}
	high, err := unix.FcntlInt(uintptr(theirs), unix.F_DUPFD, firstDescriptor)
	if err != nil {
		return pipeEnd{}, nil, fmt.Errorf("move a pipe to descriptor %d or above: %w", firstDescriptor, err)
	}
	return pipeEnd{fd: high, inode: stat.Ino}, own, nil
}
