package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"cleat/registry"
	"cleat/registry/access"
)

// The bounds of a connection.
const (
	// declareWithin is how long a connection may live without declaring.
	declareWithin = 5 * time.Second
	// messageWithin is how long a message may take from its first byte to its
	// last.
	messageWithin = 10 * time.Second
	// closeWithin is how long the end of a connection may take once a close
	// frame is due: for writing what is left, and for the peer's answer.
	closeWithin = time.Second
	// readAhead is the size in bytes of the buffer that every session keeps. It
	// holds some forty pings, or a small message.
	readAhead = 256
	// growBy is how much memory, in bytes, a message is given ahead of what has
	// arrived of it, so that a length alone costs nothing.
	growBy = 8 << 10
	// maxFragments is the number of frames that one message may be made of.
	maxFragments = 1024
	// maxUnderWay bounds, in bytes, the large messages that all connections
	// together may be in the middle of sending.
	maxUnderWay = 256 << 20
)

// link is the I/O of one session: a goroutine that reads, and while there is
// something in the outbox, one that writes.
//
//	idle --something arrives--> working --all of it is done--> idle
//	                               |
//	                               +--EOF, reset, cut--> ended
//	                               +--garbage, 1000, no answer in time,
//	                                  or the core has had enough--> closing:
//	                                  the peer has 1 s to read and to close
//
// The goroutine that reads is a new one in every state: a stack that has grown
// once to do something does not shrink to what waiting needs, and sessions wait
// most of the time.
type link struct {
	session
	server  *Server
	conn    net.Conn
	allowed atomic.Pointer[access.Grant] // what the session may declare

	unread   []byte // what has been read ahead
	failed   error  // of the last read
	buffer   [readAhead]byte
	head     [ws.MaxHeaderSize]byte
	ping     []byte // the payload of a ping to answer; nil: none
	reserved int64  // bytes of the server's budget for large messages
	limited  bool   // a read deadline for the message under way is set
	spoke    bool   // has declared
	closing  atomic.Bool
	done     atomic.Bool // the peer has closed; the writer closes behind the last frame
}

// idle waits for something to arrive. This is where a session spends its life;
// the stack must stay as small as stacks are.
func (l *link) idle() {
	n, err := l.conn.Read(l.buffer[:])
	if n > 0 {
		err = nil // it will come again
	}
	l.unread, l.failed = l.buffer[:n], err
	go l.work()
}

// work does what has arrived.
func (l *link) work() {
	err := l.failed
	if err == nil {
		if len(l.unread) > 0 {
			l.alive()
		}
		if err = l.read(); err == nil {
			go l.idle()
			return
		}
	}
	l.release()
	left, cause := judgeEnd(err)
	l.server.event(func(c *core) { c.closed(&l.session, left, cause) })
	l.answerEnd(err)
	l.conn.Close()
	l.server.forget(l)
}

// read does what has been read ahead, and waits for the rest where that ends in
// the middle of a message. It returns nil when nothing is under way.
func (l *link) read() error {
	var message []byte // the fragments of the message under way
	fragments := 0
	for {
		if len(l.unread) == 0 {
			l.pong()
			if fragments == 0 {
				return nil
			}
		}
		h, err := ws.ReadHeaderBuffer((*partial)(l), l.head[:])
		if err != nil {
			return garbled(err)
		}
		state := ws.StateServerSide
		if fragments > 0 {
			state |= ws.StateFragmented
		}
		if err := ws.CheckHeader(h, state); err != nil {
			return &violation{registry.CodeBadMessage, err}
		}
		if h.OpCode.IsControl() {
			if err := l.control(h); err != nil {
				return err
			}
			l.limit(fragments > 0)
			continue
		}
		if h.OpCode == ws.OpBinary {
			return &violation{registry.CodeBadMessage, errors.New("the message is binary; expected text")}
		}
		if fragments++; fragments > maxFragments {
			return &violation{registry.CodeBadMessage, errors.New("the message is made of too many fragments")}
		}
		if message, err = l.payload(h, message); err != nil {
			return err
		}
		l.limit(!h.Fin)
		if h.Fin {
			err := l.receive(message)
			message, fragments = nil, 0
			l.release()
			if err != nil {
				return err
			}
		}
	}
}

// partial reads the rest of a message whose beginning has arrived.
type partial link

func (p *partial) Read(b []byte) (int, error) {
	l := (*link)(p)
	if len(l.unread) == 0 {
		l.limit(true)
		into := b // large pieces need no buffer
		if len(b) < len(l.buffer) {
			into = l.buffer[:]
		}
		n, err := l.conn.Read(into)
		if n == 0 {
			return 0, err
		}
		l.alive()
		if len(b) >= len(l.buffer) {
			return n, nil
		}
		l.unread = l.buffer[:n]
	}
	n := copy(b, l.unread)
	l.unread = l.unread[n:]
	return n, nil
}

// limit bounds the time for the rest of a message when on, and lifts the bound
// when the message is complete. The first declare has a bound of its own.
func (l *link) limit(on bool) {
	if on == l.limited || l.closing.Load() {
		return
	}
	l.limited = on
	var till time.Time
	if !l.spoke {
		till = l.connected.Add(declareWithin)
	}
	if on {
		if whole := time.Now().Add(messageWithin); till.IsZero() || whole.Before(till) {
			till = whole
		}
	}
	l.conn.SetReadDeadline(till)
	if l.closing.Load() { // in between
		l.hurry()
	}
}

// alive notes a sign of life.
func (l *link) alive() {
	l.heard.Store(int64(time.Since(l.server.core.start)))
	if l.asked.Load() {
		l.server.event(func(c *core) { c.answered(&l.session) })
	}
}

// pong answers the last ping.
func (l *link) pong() {
	switch {
	case l.ping == nil:
		return
	case len(l.ping) == 0:
		l.out.putPong(pongFrame)
	default:
		l.out.putPong(newFrame(ws.OpPong, l.ping))
	}
	l.ping = nil
}

// control reads a control frame and does what it asks.
func (l *link) control(h ws.Header) error {
	payload := make([]byte, h.Length) // at most 125 bytes
	if _, err := io.ReadFull((*partial)(l), payload); err != nil {
		return err
	}
	ws.Cipher(payload, h.Mask, 0)
	switch h.OpCode {
	case ws.OpPing:
		l.ping = payload
	case ws.OpClose:
		code, reason := ws.ParseCloseFrameData(payload)
		if code == registry.CloseLeft {
			return errLeft
		}
		return &goodbye{code, reason}
	}
	return nil
}

// payload appends the payload of a data frame to the message.
func (l *link) payload(h ws.Header, message []byte) ([]byte, error) {
	if h.Length > int64(registry.MaxClientMessage-len(message)) {
		return nil, &violation{registry.CodeBadMessage, fmt.Errorf("the message is larger than %d bytes", registry.MaxClientMessage)}
	}
	begin := len(message)
	for left := int(h.Length); left > 0; {
		n := min(left, max(growBy, len(message)))
		if err := l.reserve(len(message) + n); err != nil {
			return nil, err
		}
		message = slices.Grow(message, n)
		if _, err := io.ReadFull((*partial)(l), message[len(message):len(message)+n]); err != nil {
			return nil, err
		}
		message = message[:len(message)+n]
		left -= n
	}
	ws.Cipher(message[begin:], h.Mask, 0)
	return message, nil
}

// reserve takes what a large message needs from what all of them may have.
func (l *link) reserve(size int) error {
	if size <= growBy {
		return nil
	}
	more := int64(size) - l.reserved
	l.reserved += more
	if l.server.underWay.Add(more) > maxUnderWay {
		return &violation{registry.CodeTooMany, errors.New("too many large messages are under way; try again")}
	}
	return nil
}

func (l *link) release() {
	if l.reserved > 0 {
		l.server.underWay.Add(-l.reserved)
		l.reserved = 0
	}
}
