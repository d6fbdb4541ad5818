package server

import (
	"slices"
	"sync"
)

// The bounds of an outbox.
const (
	// maxQueuedViews is the number of view messages that may wait for a slow
	// consumer before they are given up in favour of complete views.
	maxQueuedViews = 128
	// maxQueuedBytes is the number of bytes of view messages that may wait. A
	// single larger one may wait alone.
	maxQueuedBytes = 256 << 10
	// maxQueuedAnswers is the number of other messages that may wait. Who asks
	// for more without reading the answers is cut off.
	maxQueuedAnswers = 64
)

// outbox holds what a session is to be sent. It has no goroutine: whoever puts
// a frame into an idle outbox starts a writer, which ends when the outbox is
// empty.
//
//	idle --put--> writing --empty--> idle
//	  |              |
//	  +---finish-----+--> finishing: what is there is written, nothing new is
//	                      taken; then the connection is closed
//
// It is safe for concurrent use. Its lock is the innermost: nothing is called
// while it is held.
type outbox struct {
	writer writer // nil in tests of the core, where nobody writes

	mu        sync.Mutex
	queue     []queued
	views     int  // how many of them are views
	bytes     int  // of the views
	writing   bool // there is a writer
	due       bool // the core has views for the writer to fetch when all is written
	finishing bool
}

// writer is who empties an outbox. Its methods return at once.
type writer interface {
	start() // something is waiting, and nobody writes
	hurry() // the last frame is waiting: an end to patience
}

type queued struct {
	frame frame
	kind  kind
}

type kind int8

const (
	answer kind = iota
	pong
	viewed
)

// put appends an answer: a message that is no view. It reports false when too
// many are waiting.
func (o *outbox) put(f frame) bool {
	o.mu.Lock()
	if o.finishing {
		o.mu.Unlock()
		return true
	}
	if len(o.queue)-o.views >= maxQueuedAnswers {
		o.mu.Unlock()
		return false
	}
	o.append(queued{f, answer})
	return true
}

// putView appends a view message. When it does not fit, it gives up all the
// views that are waiting and reports false.
func (o *outbox) putView(f frame) bool {
	o.mu.Lock()
	if o.finishing {
		o.mu.Unlock()
		return true
	}
	if o.views > 0 && (o.views >= maxQueuedViews || o.bytes+len(f) > maxQueuedBytes) {
		o.queue = slices.DeleteFunc(o.queue, func(q queued) bool { return q.kind == viewed })
		o.views, o.bytes = 0, 0
		o.mu.Unlock()
		return false
	}
	o.views++
	o.bytes += len(f)
	o.append(queued{f, viewed})
	return true
}

// fits reports whether a view message of that size would be taken.
func (o *outbox) fits(size int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.views == 0 || o.views < maxQueuedViews && o.bytes+size <= maxQueuedBytes
}

// putPong appends the answer to a ping, in place of an earlier one that still
// waits: only the last ping needs an answer.
func (o *outbox) putPong(f frame) {
	o.mu.Lock()
	if o.finishing {
		o.mu.Unlock()
		return
	}
	for n := range o.queue {
		if o.queue[n].kind == pong {
			o.queue[n].frame = f
			o.mu.Unlock()
			return
		}
	}
	o.append(queued{f, pong})
}

// owe makes the writer ask the core for views once it has written all that is
// here.
func (o *outbox) owe() {
	o.mu.Lock()
	o.due = true
	o.unlock()
}

// finish appends the last frame. Later ones are passed over.
func (o *outbox) finish(last frame) {
	o.mu.Lock()
	if o.finishing {
		o.mu.Unlock()
		return
	}
	o.finishing = true
	o.due = false
	o.append(queued{last, answer})
	if o.writer != nil {
		o.writer.hurry()
	}
}

// abandon is called by a writer that cannot write: nothing is taken any more.
func (o *outbox) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finishing = true
	o.queue, o.views, o.bytes, o.due = nil, 0, 0, false
}

// take hands all that is waiting to the writer. When there is nothing, the
// writer either asks the core for more or its time is over.
func (o *outbox) take() (queue []queued, more, finishing bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	queue = o.queue
	o.queue, o.views, o.bytes = nil, 0, 0
	if len(queue) == 0 {
		more = o.due
		o.due = false
		o.writing = more
	}
	return queue, more, o.finishing
}

// append is called with the lock held and releases it.
func (o *outbox) append(q queued) {
	o.queue = append(o.queue, q)
	o.unlock()
}

// unlock releases the lock, and starts a writer when there is none.
func (o *outbox) unlock() {
	start := !o.writing && o.writer != nil
	if start {
		o.writing = true
	}
	o.mu.Unlock()
	if start {
		o.writer.start()
	}
}
