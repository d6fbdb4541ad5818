package pid1

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// lastSignal is the highest signal number of Linux on the machines that Go
	// knows, MIPS aside, which has more and is treated alike.
	lastSignal = 64
	// firstRealTime is the first real-time signal that Go can catch. The kernel
	// begins at 32; 32 to 34 belong to the C libraries' threads (34 to musl's),
	// and Go leaves them alone.
	firstRealTime = 35
	// signalBuffer is how many signals may wait for the goroutine that passes
	// them on. Go drops what does not fit, and its runtime holds up to two of
	// each number while that goroutine has no processor: more than 64 waited in
	// bursts on a busy machine. Memory that is not used costs nothing.
	signalBuffer = 4096
	// readAtOnce is how many signals the supervisor takes out of the pipe, and
	// holds, at once.
	readAtOnce = 256
)

// relayed lists the signals that are passed on: all that can be caught, but
// SIGCHLD, which is the reaper's, SIGURG, which Go sends to itself, and
// SIGPROF, which Go keeps for its profiler and never gives to a channel.
func relayed() []os.Signal {
	var signals []os.Signal
	for s := syscall.Signal(1); s <= lastSignal; s++ {
		switch {
		case s == syscall.SIGKILL, s == syscall.SIGSTOP, s == syscall.SIGCHLD, s == syscall.SIGURG, s == syscall.SIGPROF:
		case s > syscall.SIGSYS && s < firstRealTime:
		default:
			signals = append(signals, s)
		}
	}
	return signals
}

// signalSet is a set of signals, bit s-1 for signal s, as the kernel has it.
type signalSet uint64

func (s signalSet) has(n syscall.Signal) bool { return s>>(n-1)&1 != 0 }

// ignoredSignals is what was ignored when this process was started, as far as
// it can still be told: for the others, Go's runtime has installed its own
// handler before any code of ours could look. Call it before signal.Notify.
func ignoredSignals() signalSet {
	const ignored = 1 // SIG_IGN
	var set signalSet
	for s := syscall.Signal(1); s <= lastSignal; s++ {
		var action sigaction
		if action.change(s, nil) == nil && action.handler == ignored {
			set |= 1 << (s - 1)
		}
	}
	return set
}

// sigaction is large enough for the kernel's struct, which begins with the
// handler on all machines but MIPS; there, change fails for its setSize.
type sigaction struct {
	handler uintptr
	rest    [15]uintptr
}

// change reads the action of a signal into a, and sets a new one unless it is
// nil. The zero value is the default action.
func (a *sigaction) change(s syscall.Signal, to *sigaction) error {
	const setSize = 8 // bytes of the kernel's signal set
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s),
		uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(a)), setSize, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// threadMask is the signal mask of this thread.
func threadMask() signalSet {
	var now unix.Sigset_t
	unix.PthreadSigmask(unix.SIG_BLOCK, nil, &now)
	return maskOf(now)
}

// maskOf and sigset convert from and to the form that the kernel's calls take.
// A word of it has 32 or 64 bits, and the lowest signals come first.
func maskOf(set unix.Sigset_t) signalSet {
	bits := 8 * int(unsafe.Sizeof(set.Val[0]))
	var mask signalSet
	for i := range lastSignal / bits {
		mask |= signalSet(set.Val[i]) << (i * bits)
	}
	return mask
}

func (s signalSet) sigset() *unix.Sigset_t {
	var set unix.Sigset_t
	bits := 8 * int(unsafe.Sizeof(set.Val[0]))
	for n := range lastSignal {
		if s>>n&1 != 0 {
			set.Val[n/bits] |= 1 << (n % bits)
		}
	}
	return &set
}
