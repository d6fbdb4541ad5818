package main

import (
	"context"
	"fmt"
	"time"

	"cleat/registry"
)

const (
	// settled is how long a crowd has before its memory is read: the runtime
	// collects its garbage at the latest every two minutes, and gives the pages
	// back after that.
	settled = 150 * time.Second
	// beating is how long its processor time is measured.
	beating = 20 * time.Second
)

// measureSessions measures crowds of launchers that have nothing to do, and as
// many bare sockets as the largest has sessions.
func measureSessions(ctx context.Context, c *config, r *report) error {
	for _, n := range []int{1000, 5000, c.sessions} {
		if n > c.sessions {
			continue
		}
		if err := c.sessionsOf(ctx, r, n); err != nil {
			return err
		}
	}
	p, err := startFloor(ctx, "broadcast")
	if err != nil {
		return err
	}
	defer p.stop()
	each, err := perConnection(ctx, p, c.sessions, nil, nil)
	r.row(fmt.Sprintf("%d bare sockets: memory, each", c.sessions), each/1e3, "kB", budget{})
	return err
}

func (c *config) sessionsOf(ctx context.Context, r *report, n int) error {
	p, err := startServer(ctx, c)
	if err != nil {
		return err
	}
	defer p.stop()
	var share float64
	began := time.Now()
	each, err := perConnection(ctx, p, n, consumer, func() error {
		began := time.Now()
		spent, err := p.spentIn(func() error { return sleep(ctx, beating) })
		share = spent.Seconds() / time.Since(began).Seconds()
		return err
	})
	if err != nil {
		return err
	}
	connected := time.Since(began) - settled - beating
	all := fmt.Sprintf("%d sessions: ", n)
	r.row(all+"connect and declare, each", float64(connected.Microseconds())/float64(n), "µs", budget{})
	r.row(all+"memory, each", each/1e3, "kB", budget{most: 8.2})
	most := budget{}
	if n >= 15000 {
		most = budget{most: 0.1}
	}
	r.row(all+"beating, all", share, "cores", most)
	r.row(all+"beating, each", share/float64(n)*1e6, "µs/s", budget{})
	return nil
}

// perConnection returns what one of n connections costs the process in bytes,
// and does what else is to be done while they are there.
func perConnection(ctx context.Context, p *process, n int, declare func(int) registry.Declare, then func() error) (float64, error) {
	before, err := p.resident()
	if err != nil {
		return 0, err
	}
	crowd, err := gather(ctx, p, n, declare)
	if err != nil {
		return 0, err
	}
	if declare != nil {
		beats, stop := context.WithCancel(ctx)
		defer stop()
		go crowd.alive(beats)
	}
	if err := sleep(ctx, settled); err != nil {
		return 0, err
	}
	after, err := p.resident()
	if err != nil {
		return 0, err
	}
	if then != nil {
		if err := then(); err != nil {
			return 0, err
		}
	}
	return (after - before) / float64(n), crowd.leave()
}
