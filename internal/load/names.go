package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
)

// measureDNS measures how many queries the server answers, and, beside it, how
// many packets an echo does.
func measureDNS(ctx context.Context, c *config, r *report) error {
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
	answers, err := queries(ctx, p)
	if err != nil {
		return err
	}
	bare, err := startFloor(ctx, "echo")
	if err != nil {
		return err
	}
	defer bare.stop()
	echoes, err := queries(ctx, bare)
	if err != nil {
		return err
	}
	r.row("DNS queries", answers, "/s of one core", budget{least: 100_000})
	r.row("packets of a bare echo", echoes, "/s of one core", budget{})
	r.row("ratio", answers/echoes, "", budget{})
	return nil
}

// queries returns how many queries for one service a second of its processor
// time a server answers.
func queries(ctx context.Context, p *process) (float64, error) {
	m := new(dns.Msg).SetQuestion("web.default.cleat.", dns.TypeA)
	packet, err := m.Pack()
	if err != nil {
		return 0, err
	}
	conn, err := net.Dial("udp", p.names)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	// So many are on the way at any time; what is lost is sent again.
	const window = 64
	const lost = 200 * time.Millisecond
	buffer := make([]byte, 1500)
	answered := 0
	spent, err := p.spentIn(func() error {
		onTheWay, id := 0, uint16(0)
		for end := time.Now().Add(flowing); time.Now().Before(end); {
			if err := ctx.Err(); err != nil {
				return err
			}
			for ; onTheWay < window; onTheWay++ {
				id++
				binary.BigEndian.PutUint16(packet, id)
				if _, err := conn.Write(packet); err != nil {
					return err
				}
			}
			if answered%1024 == 0 {
				_ = conn.SetReadDeadline(time.Now().Add(lost))
			}
			n, err := conn.Read(buffer)
			if err != nil {
				onTheWay = 0
				_ = conn.SetReadDeadline(time.Now().Add(lost))
				continue
			}
			if n < len(packet) {
				return fmt.Errorf("an answer has %d bytes", n)
			}
			answered++
			onTheWay--
		}
		return nil
	})
	if answered == 0 && err == nil {
		return 0, fmt.Errorf("nobody answers on %s", p.names)
	}
	return float64(answered) / spent.Seconds(), err
}
