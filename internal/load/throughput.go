package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gobwas/ws"

	"cleat/registry"
)

// flowing is how long a stream of messages or queries is measured.
const flowing = 5 * time.Second

// measureDeclares measures how many changes of an instance the server takes.
func measureDeclares(ctx context.Context, c *config, r *report) error {
	p, err := startServer(ctx, c)
	if err != nil {
		return err
	}
	defer p.stop()
	rate, err := declares(ctx, p)
	if err != nil {
		return err
	}
	r.row("declares that change an instance", rate, "/s of one core", budget{least: 40_000})
	return nil
}

// declares returns how many declares a second of its processor time the server
// takes from one session.
func declares(ctx context.Context, p *process) (float64, error) {
	var batch []byte
	const pairs = 50
	for range pairs {
		for _, status := range []registry.Status{registry.Warning, registry.Passing} {
			d := provider("stream", status)
			batch = append(batch, frame(ws.OpText, registry.ClientMessage{Declare: &d}.Encode())...)
		}
	}
	return stream(ctx, p, batch, 2*pairs)
}

// measureBeats measures how many beats the server takes.
func measureBeats(ctx context.Context, c *config, r *report) error {
	p, err := startServer(ctx, c)
	if err != nil {
		return err
	}
	defer p.stop()
	const beats = 500
	rate, err := stream(ctx, p, bytes.Repeat(frame(ws.OpPing, nil), beats), beats)
	if err != nil {
		return err
	}
	r.row("beats", rate, "/s of one core", budget{least: 150_000})
	return nil
}

// stream writes batches of n messages on one session, and returns how many a
// second of its processor time the server takes.
func stream(ctx context.Context, p *process, batch []byte, n int) (float64, error) {
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 64<<10)
	if err := handshake(conn, r); err != nil {
		return 0, err
	}
	d := provider("stream", registry.Passing)
	if _, err := conn.Write(frame(ws.OpText, registry.ClientMessage{Declare: &d}.Encode())); err != nil {
		return 0, err
	}
	// The server has done everything before a ping when it answers that.
	const last = "last"
	answered := make(chan error, 1)
	go func() {
		for {
			h, err := ws.ReadHeader(r)
			if err != nil {
				answered <- err
				return
			}
			payload := make([]byte, h.Length)
			if _, err := io.ReadFull(r, payload); err != nil {
				answered <- err
				return
			}
			if h.OpCode == ws.OpPong && string(payload) == last {
				answered <- nil
				return
			}
			if h.OpCode == ws.OpText && bytes.HasPrefix(payload, []byte(`{"error"`)) {
				answered <- fmt.Errorf("the server says %s", payload)
				return
			}
		}
	}()
	sent := 0
	spent, err := p.spentIn(func() error {
		for end := time.Now().Add(flowing); time.Now().Before(end); sent += n {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, err := conn.Write(batch); err != nil {
				return err
			}
		}
		if _, err := conn.Write(frame(ws.OpPing, []byte(last))); err != nil {
			return err
		}
		select {
		case err := <-answered:
			return err
		case <-time.After(patience):
			return fmt.Errorf("the server has not done %d messages after %s", sent, patience)
		}
	})
	return float64(sent) / spent.Seconds(), err
}
