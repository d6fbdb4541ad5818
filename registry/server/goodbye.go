package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/gobwas/ws"

	"cleat/registry"
)

// errLeft is the end of a connection that was closed with code 1000.
var errLeft = errors.New("left")

// goodbye is the end of a connection that was closed with another code.
type goodbye struct {
	code   ws.StatusCode
	reason string
}

func (g *goodbye) Error() string {
	return fmt.Sprintf("closed with code %d (%.100q)", g.code, g.reason)
}

// garbled tells garbage from the end of a connection.
func garbled(err error) error {
	if errors.Is(err, ws.ErrHeaderLengthMSB) || errors.Is(err, ws.ErrHeaderLengthUnexpected) {
		return &violation{registry.CodeBadMessage, err}
	}
	return err
}

// violation is what a peer did that the protocol forbids.
type violation struct {
	code registry.Code
	err  error
}

func (v *violation) Error() string { return v.err.Error() }

// judgeEnd returns whether the launcher left, and if not, what happened, in
// words for the log.
func judgeEnd(err error) (left bool, cause string) {
	v, broke := errors.AsType[*violation](err)
	switch {
	case errors.Is(err, errLeft):
		return true, "left"
	case isGoodbye(err):
		return false, err.Error()
	case broke:
		return false, "broke the protocol: " + v.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return false, "closed without a goodbye"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, "took too long over a message"
	case errors.Is(err, net.ErrClosed):
		return false, "cut off"
	}
	return false, "connection lost"
}

func isGoodbye(err error) bool {
	_, is := errors.AsType[*goodbye](err)
	return is
}

// answerEnd says goodbye to a peer that may still be listening, and waits until
// it has closed as well: closing before it has read everything would reset the
// connection, and with it what it is told.
func (l *link) answerEnd(err error) {
	v, broke := errors.AsType[*violation](err)
	switch {
	case errors.Is(err, errLeft), isGoodbye(err):
		l.done.Store(true) // the peer will send nothing more
		l.out.finish(closeFrame(registry.CloseLeft, ""))
	case broke:
		l.session.expel(v.code, v.Error())
	case errors.Is(err, os.ErrDeadlineExceeded) && !l.closing.Load():
		l.session.expel(registry.CodeBadMessage, "the message, or the first declare, did not come in time")
	default:
		return
	}
	l.hurry()
	for {
		if _, err := l.conn.Read(l.buffer[:]); err != nil {
			return
		}
	}
}
