package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gobwas/ws"

	"cleat/registry"
)

// measureFanOut measures how long one change takes to the last of an audience,
// and a bare loop before and after it: this process can have files open for one
// crowd of 10,000 at a time.
func measureFanOut(ctx context.Context, c *config, r *report) error {
	n := c.audience
	var server, bare spans
	if err := bare.loop(ctx, n, c.rounds/2); err != nil {
		return err
	}
	if err := server.changes(ctx, c, n); err != nil {
		return err
	}
	if err := bare.loop(ctx, n, c.rounds-c.rounds/2); err != nil {
		return err
	}
	all := fmt.Sprintf("one change to %d sessions: ", n)
	r.row(all+"until the last has it", median(server.wall), "ms", budget{})
	r.row(all+"a bare loop", median(bare.wall), "ms", budget{})
	r.row(all+"ratio", median(server.wall)/median(bare.wall), "", budget{most: 1.3})
	r.row(all+"processor time", median(server.cpu), "ms", budget{})
	r.row(all+"processor time of a bare loop", median(bare.cpu), "ms", budget{})
	r.row(all+"ratio of processor time", median(server.cpu)/median(bare.cpu), "", budget{most: 1.3})
	return nil
}

// spans are how long rounds took by the clock, and what the server spent on
// them, in milliseconds.
type spans struct{ wall, cpu []float64 }

// loop lets a bare loop write to n sockets.
func (s *spans) loop(ctx context.Context, n, rounds int) error {
	p, err := startFloor(ctx, "broadcast")
	if err != nil {
		return err
	}
	defer p.stop()
	sockets, err := gather(ctx, p, n, nil)
	if err != nil {
		return err
	}
	for range rounds {
		if err := s.round(ctx, p, sockets, func() error { _, err := p.stdin.Write([]byte{1}); return err }); err != nil {
			return err
		}
	}
	return sockets.leave()
}

// changes lets n sessions hear of changes.
func (s *spans) changes(ctx context.Context, c *config, n int) error {
	p, err := startServer(ctx, c)
	if err != nil {
		return err
	}
	defer p.stop()
	consumers, err := gather(ctx, p, n, consumer)
	if err != nil {
		return err
	}
	beats, stop := context.WithCancel(ctx)
	defer stop()
	go consumers.alive(beats)
	change, done, err := changer(p)
	if err != nil {
		return err
	}
	defer done()
	for range c.rounds {
		if err := s.round(ctx, p, consumers, change); err != nil {
			return err
		}
	}
	stop()
	return consumers.leave()
}

// round measures one change until everybody has heard of it.
func (s *spans) round(ctx context.Context, p *process, c *crowd, change func() error) error {
	// What the last one left is done by then.
	if err := sleep(ctx, 200*time.Millisecond); err != nil {
		return err
	}
	heard := c.expect(len(c.conns))
	began := time.Now()
	spent, err := p.spentIn(func() error {
		if err := change(); err != nil {
			return err
		}
		return c.all(ctx, heard)
	})
	s.wall = append(s.wall, float64(time.Since(began).Microseconds())/1e3)
	s.cpu = append(s.cpu, float64(spent.Microseconds())/1e3)
	return err
}

// changer returns what changes the service web once: a launcher's declare.
func changer(p *process) (change func() error, done func(), err error) {
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReader(conn)
	if err := handshake(conn, r); err != nil {
		return nil, nil, err
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	statuses := []registry.Status{registry.Passing, registry.Warning}
	n := 0
	change = func() error {
		d := provider("provider", statuses[n%2])
		n++
		_, err := conn.Write(frame(ws.OpText, registry.ClientMessage{Declare: &d}.Encode()))
		return err
	}
	return change, func() { conn.Close() }, nil
}
