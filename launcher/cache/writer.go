package cache

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// settle is for how long changes are gathered before they are written.
	settle = 100 * time.Millisecond
	// distance is the least time between two writes.
	distance = time.Second
	// retryAfter is how long after a failure the same content is written again,
	// if it does not change before.
	retryAfter = time.Minute
)

// Writer writes what is put, aside from who puts it.
//
//	idle --Put--> gathering --settle, distance--> writing --> idle
//	                  ^                              |
//	                  +------- failed: retryAfter ---+
type Writer struct {
	path   string
	owner  Owner
	tell   func(error)
	wake   chan struct{} // holds one token while something waits
	mu     sync.Mutex
	latest *Content // to be written; nil: nothing
}

// NewWriter returns a writer that Run brings to life. tell is told, by the
// goroutine of Run, what went wrong with a write, and nil after the next good
// one.
func NewWriter(path string, owner Owner, tell func(error)) *Writer {
	return &Writer{path: path, owner: owner, tell: tell, wake: make(chan struct{}, 1)}
}

// Put has the content written soon, in place of one that still waits. It never
// blocks. Nothing in c may be changed afterwards.
func (w *Writer) Put(c Content) {
	w.mu.Lock()
	w.latest = &c
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends, and then, at once, what still waits.
func (w *Writer) Run(ctx context.Context) {
	var last time.Time
	for {
		select {
		case <-w.wake:
		case <-ctx.Done():
			w.write()
			return
		}
		pause := settle
		if !last.IsZero() {
			pause = max(pause, distance-time.Since(last))
		}
		for {
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				w.write()
				return
			}
			if w.write() {
				break
			}
			pause = retryAfter
		}
		last = time.Now()
	}
}

// write writes what waits, and reports whether nothing does any more.
func (w *Writer) write() bool {
	w.mu.Lock()
	c := w.latest
	w.latest = nil
	w.mu.Unlock()
	if c == nil {
		return true
	}
	data, left := encode(w.owner, *c)
	err := bare(write(w.path, data))
	if err == nil && len(left) > 0 {
		w.tell(fmt.Errorf("it would be longer than %d bytes; left out: %s", MaxSize, strings.Join(left, ", ")))
		return true
	}
	w.tell(err)
	if err == nil {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.latest == nil {
		w.latest = c
	}
	return false
}
