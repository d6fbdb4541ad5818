//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// rate is how many requests are begun in a second, whatever becomes of
	// them.
	rate = 200
	// patience is how long a request may take before it has failed.
	patience = 2 * time.Second
	// mostAnswer bounds what is read of an answer, in bytes.
	mostAnswer = 1 << 10
)

// tally counts requests.
type tally struct {
	open     int // under way
	requests int // that have ended
	failed   int
	refused  int // sent again by the front, because a backend took no connection
	broken   int // sent again by the front, because a backend went away with it
	slowest  time.Duration
	failure  string // the first one
}

func (t tally) retried() int { return t.refused + t.broken }

// load keeps requests flowing at a constant rate. Its methods are safe for
// concurrent use.
type load struct {
	client *http.Client
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu   sync.Mutex
	all  tally
	part *tally // of the step under way; requests count for the one they began in
}

func newLoad() *load {
	return &load{
		client: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: rate}},
		cancel: func() {},
		part:   new(tally),
	}
}

// begin starts the flow of requests to the URL.
func (l *load) begin(url string) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.done.Go(func() {
		ticks := time.NewTicker(time.Second / rate)
		defer ticks.Stop()
		began, sent := time.Now(), 0
		for {
			select {
			case now := <-ticks.C:
				// A ticker drops ticks when the machine is busy; the rate stays.
				for due := int(now.Sub(began) * rate / time.Second); sent < due; sent++ {
					l.done.Go(func() { l.request(url) })
				}
			case <-ctx.Done():
				return
			}
		}
	})
}

// end stops the flow, and waits for the requests that are under way.
func (l *load) end() {
	l.cancel()
	l.done.Wait()
	l.client.CloseIdleConnections()
}

// step begins to count for a new part of the story, once the requests of the
// part before have ended: what happens next cannot happen to them.
func (l *load) step(ctx context.Context) *tally {
	l.mu.Lock()
	before, next := l.part, new(tally)
	l.part = next
	l.mu.Unlock()
	_ = until(ctx, func() bool { return l.read(before).open == 0 }) // the step that begins sees the end of ctx too
	return next
}

// total returns what there was so far.
func (l *load) total() tally { return l.read(&l.all) }

// read returns a copy of a tally.
func (l *load) read(t *tally) tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *t
}

func (l *load) request(url string) {
	l.mu.Lock()
	part := l.part
	part.open++
	l.mu.Unlock()
	began := time.Now()
	retried, err := l.get(url)
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	part.open--
	for _, t := range []*tally{&l.all, part} {
		t.requests++
		t.slowest = max(t.slowest, took)
		switch {
		case err != nil:
			t.failed++
			if t.failure == "" {
				t.failure = err.Error()
			}
		case retried == retriedRefused:
			t.refused++
		case retried != "":
			t.broken++
		}
	}
}

// get sends one request and reads the whole answer.
func (l *load) get(url string) (retried string, err error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil) // the client has a timeout
	if err != nil {
		return "", err
	}
	answer, err := l.client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	switch {
	case err != nil:
		return "", err
	case answer.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s: %s", answer.Status, body)
	}
	return answer.Header.Get(retriedHeader), nil
}
