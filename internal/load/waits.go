package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// measureWaits measures blocking queries of Consul's interface: what one costs
// that waits, and how long a change takes to the last.
func measureWaits(ctx context.Context, c *config, r *report) error {
	p, err := startServer(ctx, c)
	if err != nil {
		return err
	}
	defer p.stop()
	change, done, err := changer(p)
	if err != nil {
		return err
	}
	defer done()
	if err := change(); err != nil {
		return err
	}
	before, err := p.resident()
	if err != nil {
		return err
	}
	w := &waiters{address: p.address}
	defer w.leave()
	if err := w.gather(ctx, c.waits); err != nil {
		return err
	}
	if err := w.ask(); err != nil {
		return err
	}
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	after, err := p.resident()
	if err != nil {
		return err
	}
	var s spans
	for range c.rounds {
		began := time.Now()
		spent, err := p.spentIn(func() error {
			if err := change(); err != nil {
				return err
			}
			return w.answered()
		})
		if err != nil {
			return err
		}
		s.wall = append(s.wall, float64(time.Since(began).Microseconds())/1e3)
		s.cpu = append(s.cpu, float64(spent.Microseconds())/1e3)
		if err := w.ask(); err != nil {
			return err
		}
		// Until all of them wait.
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	all := fmt.Sprintf("%d blocking queries: ", c.waits)
	r.row(all+"memory, each", (after-before)/float64(c.waits)/1e3, "kB", budget{})
	r.row(all+"from a change until the last is answered", median(s.wall), "ms", budget{})
	r.row(all+"processor time for each", median(s.cpu)/float64(c.waits)*1e3, "µs", budget{})
	return nil
}

// waiters are connections with one blocking query each.
type waiters struct {
	address string
	index   string // of the last answer
	conns   []net.Conn
	readers []*bufio.Reader
}

func (w *waiters) gather(ctx context.Context, n int) error {
	for range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		conn, err := net.Dial("tcp", w.address)
		if err != nil {
			return err
		}
		w.conns = append(w.conns, conn)
		w.readers = append(w.readers, bufio.NewReaderSize(conn, 1024))
	}
	// The first answer says where they wait from.
	if _, err := fmt.Fprintf(w.conns[0], "GET /v1/health/service/web HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	return w.read(0)
}

// ask lets everybody wait for the next change.
func (w *waiters) ask() error {
	for _, conn := range w.conns {
		if _, err := fmt.Fprintf(conn, "GET /v1/health/service/web?index=%s&wait=5m HTTP/1.1\r\nHost: localhost\r\n\r\n", w.index); err != nil {
			return err
		}
	}
	return nil
}

// answered reads everybody's answer.
func (w *waiters) answered() error {
	for n := range w.conns {
		if err := w.read(n); err != nil {
			return err
		}
	}
	return nil
}

func (w *waiters) read(n int) error {
	_ = w.conns[n].SetReadDeadline(time.Now().Add(patience))
	answer, err := http.ReadResponse(w.readers[n], nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers %s", answer.Status)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	w.index = answer.Header.Get("X-Consul-Index")
	return nil
}

func (w *waiters) leave() {
	for _, conn := range w.conns {
		conn.Close()
	}
}
