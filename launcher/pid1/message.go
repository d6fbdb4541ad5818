package pid1

import (
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// marker is the variable that makes a process the supervisor. Attach removes
// it, and believes it only if the pipes that it names are really there.
const marker = "CLEAT_STAGE"

// welcome is what the init stage tells the supervisor through the marker.
type welcome struct {
	init             int // pid of the init stage
	signals, records pipeEnd
	ignored, blocked signalSet // as the init stage was started with
}

// pipeEnd is a descriptor, and the inode by which the pipe is known.
type pipeEnd struct {
	fd    int
	inode uint64
}

const welcomeFormat = "%d:%d:%d:%d:%d:%x:%x"

func (w welcome) String() string {
	return fmt.Sprintf(welcomeFormat, w.init, w.signals.fd, w.signals.inode,
		w.records.fd, w.records.inode, uint64(w.ignored), uint64(w.blocked))
}

func parseWelcome(text string) (welcome, bool) {
	var w welcome
	var ignored, blocked uint64
	n, err := fmt.Sscanf(text, welcomeFormat, &w.init, &w.signals.fd, &w.signals.inode,
		&w.records.fd, &w.records.inode, &ignored, &blocked)
	w.ignored, w.blocked = signalSet(ignored), signalSet(blocked)
	ok := err == nil && n == strings.Count(welcomeFormat, "%") &&
		w.init > 0 && w.signals.fd > 2 && w.records.fd > 2 && w.String() == text
	return w, ok
}

// message is one from the supervisor. All have the same size, which the kernel
// writes to a pipe in one piece.
type message struct {
	kind messageKind
	// code of a record; or the signal of a suspend.
	code byte
	// byTerminal of a suspend.
	byTerminal bool
	// rest of a record.
	rest time.Duration
}

type messageKind byte

const (
	messageRecord  messageKind = 'r'
	messageEnd     messageKind = 'e'
	messageSuspend messageKind = 's'
)

// messageSize is kind, code, byTerminal, and rest in nanoseconds.
const messageSize = 1 + 1 + 1 + 8

func (m message) encode() [messageSize]byte {
	b := [messageSize]byte{byte(m.kind), m.code}
	if m.byTerminal {
		b[2] = 1
	}
	binary.LittleEndian.PutUint64(b[3:], uint64(m.rest))
	return b
}

func decode(b [messageSize]byte) message {
	return message{
		kind:       messageKind(b[0]),
		code:       b[1],
		byTerminal: b[2] == 1,
		rest:       time.Duration(binary.LittleEndian.Uint64(b[3:])),
	}
}

func (m message) signal() syscall.Signal { return syscall.Signal(m.code) }
