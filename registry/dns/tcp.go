package dns

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// The numbers of TCP.
const (
	// maxConnections is the number of connections at the same time; further
	// ones are closed at once.
	maxConnections = 512
	// idleWithin is how long a connection may take for its next query, and to
	// read an answer.
	idleWithin = 10 * time.Second
	// crowdedWithin is the same while more than half of the connections are
	// taken.
	crowdedWithin = 2 * time.Second
	// prefixSize is the size of the length before each message.
	prefixSize = 2
)

// serveTCP answers on a TCP listener until it is closed.
func (s *Server) serveTCP(ctx context.Context, l *Listener) error {
	var work sync.WaitGroup
	defer work.Wait()
	for failures := 0; ; {
		conn, err := l.tcp.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			if failures++; failures == readFailures {
				return err
			}
			pause(ctx, readPause) // no file descriptor may be left just now
			continue
		}
		failures = 0
		select {
		case s.connections <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		work.Go(func() {
			defer func() { <-s.connections }()
			defer conn.Close()
			ended := context.AfterFunc(ctx, func() { conn.Close() })
			defer ended()
			s.converse(ctx, conn)
		})
	}
}

// converse answers the queries of one connection, in their order.
func (s *Server) converse(ctx context.Context, conn net.Conn) {
	by := via{tcp: true}
	if addr, err := netip.ParseAddrPort(conn.LocalAddr().String()); err == nil {
		by.local = addr.Addr().Unmap()
	}
	r := bufio.NewReaderSize(conn, maxQuery)
	for {
		patience := idleWithin
		if len(s.connections) > maxConnections/2 {
			patience = crowdedWithin
		}
		if conn.SetDeadline(time.Now().Add(patience)) != nil {
			return
		}
		packet, err := readMessage(r, maxQuery)
		if err != nil {
			return
		}
		answer := s.answerTCP(ctx, packet, by)
		if answer == nil || conn.SetWriteDeadline(time.Now().Add(idleWithin)) != nil {
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// answerTCP returns the answer with its length before it, or nil.
func (s *Server) answerTCP(ctx context.Context, packet []byte, by via) []byte {
	w := s.workers.Get().(*worker)
	defer s.workers.Put(w)
	answer, then := w.answer(packet, by)
	if then != nothingMore {
		if s.forwarder.begin() {
			defer s.forwarder.end()
			answer = s.complete(ctx, then, packet, answer, true)
		} else {
			answer = w.fail()
		}
	}
	if answer == nil {
		return nil
	}
	return prefixed(answer)
}

// prefixed returns a message with its length before it.
func prefixed(message []byte) []byte {
	b := make([]byte, prefixSize, prefixSize+len(message))
	binary.BigEndian.PutUint16(b, uint16(len(message)))
	return append(b, message...)
}

var errTooLong = errors.New("the message is too long")

// readMessage reads a message that has its length before it.
func readMessage(r io.Reader, most int) ([]byte, error) {
	var prefix [prefixSize]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(prefix[:]))
	if size > most {
		return nil, errTooLong
	}
	message := make([]byte, size)
	_, err := io.ReadFull(r, message)
	return message, err
}
