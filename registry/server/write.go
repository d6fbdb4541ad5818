package server

import (
	"net"
	"time"
)

// start and hurry make a link the writer of its session's outbox.
func (l *link) start() { l.server.links.Go(l.write) }

func (l *link) hurry() {
	l.closing.Store(true)
	l.conn.SetDeadline(time.Now().Add(closeWithin))
}

// write writes all there is and ends.
func (l *link) write() {
	for {
		queue, more, finishing := l.out.take()
		if more {
			l.server.event(func(c *core) { c.serve(&l.session) })
			continue
		}
		if len(queue) == 0 {
			return
		}
		var err error
		if len(queue) == 1 {
			_, err = l.conn.Write(queue[0].frame)
		} else {
			buffers := make(net.Buffers, len(queue))
			for n, q := range queue {
				buffers[n] = q.frame
			}
			_, err = buffers.WriteTo(l.conn)
		}
		if err != nil {
			l.out.abandon()
			l.conn.Close() // the reader tells the core
			return
		}
		if finishing && l.done.Load() {
			l.conn.Close()
		} else if finishing {
			if half, ok := l.conn.(interface{ CloseWrite() error }); ok {
				half.CloseWrite()
			}
		}
	}
}
