package logline

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// waitingLines is how many lines may wait for a reader that is slow; more are
// dropped, and counted.
const waitingLines = 1000

// Background is a writer that never makes its caller wait: whoever reads a
// container's output may have stopped to, and a launcher must go on. Lines are
// written in order by a goroutine of its own.
type Background struct {
	w       io.Writer
	lines   chan []byte
	dropped atomic.Int64
	closing chan struct{}
	ended   chan struct{}
}

// NewBackground returns a writer to w. Close it.
func NewBackground(w io.Writer) *Background {
	b := &Background{w: w, lines: make(chan []byte, waitingLines), closing: make(chan struct{}), ended: make(chan struct{})}
	go b.run()
	return b
}

// Write takes a whole line and never blocks, and never fails.
func (b *Background) Write(line []byte) (int, error) {
	select {
	case b.lines <- append([]byte(nil), line...):
	default:
		b.dropped.Add(1)
	}
	return len(line), nil
}

// Close writes what waits, for at most limit. What is written later is lost.
// Call it once.
func (b *Background) Close(limit time.Duration) {
	close(b.closing)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-b.ended:
	case <-timer.C:
	}
}

func (b *Background) run() {
	defer close(b.ended)
	for {
		select {
		case line := <-b.lines:
			b.write(line)
			continue
		default:
		}
		select {
		case line := <-b.lines:
			b.write(line)
		case <-b.closing:
			if len(b.lines) == 0 {
				return
			}
		}
	}
}

func (b *Background) write(line []byte) {
	_, _ = b.w.Write(line) // there is nowhere to tell of a failure
	if n := b.dropped.Swap(0); n > 0 {
		fmt.Fprintf(b.w, "cleat: warning: %d lines of this log were dropped: nobody read them\n", n)
	}
}
