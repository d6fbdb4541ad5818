package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"cleat/registry"
)

// perSession is how many instances a launcher of a large registry provides, and
// perService of how many instances a service consists.
const (
	perSession = 250
	perService = 10
)

// measureGrowth measures what a change, a query and an instance cost in ever
// larger registries.
func measureGrowth(ctx context.Context, c *config, r *report) error {
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
	empty, err := p.resident()
	if err != nil {
		return err
	}
	var providers []*crowd
	have := 0
	for _, size := range []int{100, 1000, 10_000, 100_000} {
		crowd, err := gather(ctx, p, (size-have+perSession-1)/perSession, func(n int) registry.Declare {
			return many(have+n*perSession, min(perSession, size-have-n*perSession))
		})
		if err != nil {
			return err
		}
		providers = append(providers, crowd)
		beats, stop := context.WithCancel(ctx)
		defer stop()
		go crowd.alive(beats)
		have = size
		if err := c.grown(ctx, r, p, size, empty); err != nil {
			return err
		}
	}
	for _, crowd := range providers {
		if err := crowd.leave(); err != nil {
			return err
		}
	}
	return nil
}

func (c *config) grown(ctx context.Context, r *report, p *process, size int, empty float64) error {
	all := fmt.Sprintf("%d instances: ", size)
	rate, err := declares(ctx, p)
	if err != nil {
		return err
	}
	r.row(all+"declare", 1e6/rate, "µs", budget{})
	rate, err = queries(ctx, p)
	if err != nil {
		return err
	}
	r.row(all+"DNS query", 1e6/rate, "µs", budget{})
	rate, err = reads(ctx, p)
	if err != nil {
		return err
	}
	r.row(all+"read of a service over HTTP", 1e6/rate, "µs", budget{})
	if size < 10_000 {
		return nil // the runtime's own memory is more than that of so few
	}
	now, err := p.resident()
	if err != nil {
		return err
	}
	r.row(all+"memory, each", (now-empty)/float64(size)/1e3, "kB", budget{})
	return nil
}

// many declares so many instances, from a first number on.
func many(first, n int) registry.Declare {
	d := registry.Declare{
		ID: fmt.Sprintf("providers-%d", first), Key: "0123456789abcdef", Namespace: registry.DefaultNamespace, Requires: []registry.Require{},
	}
	for i := first; i < first+n; i++ {
		d.Provides = append(d.Provides, registry.Instance{
			ID: fmt.Sprintf("host-%d:80", i), Service: fmt.Sprintf("service-%d", i/perService),
			Address: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), Port: 80, Status: registry.Passing,
			Tags: []string{"blue", "v1"}, Attributes: map[string]string{"weight": "10"}, Zone: "zone-a",
		})
	}
	return d
}

// reads returns how many reads of one service a second of its processor time the
// server answers on one connection.
func reads(ctx context.Context, p *process) (float64, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	n := 0
	spent, err := p.spentIn(func() error {
		for end := time.Now().Add(flowing / 2); time.Now().Before(end); n++ {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/api/v1/services/web", nil)
			if err != nil {
				return err
			}
			answer, err := client.Do(request)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if err != nil || answer.StatusCode != http.StatusOK {
				return fmt.Errorf("the server answers %s: %w", answer.Status, err)
			}
		}
		return nil
	})
	return float64(n) / spent.Seconds(), err
}
