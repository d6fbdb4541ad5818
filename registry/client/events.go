package client

import (
	"context"
	"slices"
	"sync"

	"cleat/registry"
)

// maxSeparate is how many events may wait before changes of one view are merged
// into one event, so that a receiver that has stopped receiving costs no more
// memory than its views do.
const maxSeparate = 256

// eventQueue hands events on in order. Putting never blocks.
type eventQueue struct {
	out chan Event

	mu      sync.Mutex
	waiting []Event
	wake    chan struct{} // holds one token while something waits
}

func newEventQueue() *eventQueue {
	return &eventQueue{out: make(chan Event), wake: make(chan struct{}, 1)}
}

func (q *eventQueue) put(e Event) {
	q.mu.Lock()
	if len(q.waiting) < maxSeparate || !merge(q.waiting, e) {
		q.waiting = append(q.waiting, e)
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// pump hands the events to whoever receives them, until ctx ends.
func (q *eventQueue) pump(ctx context.Context) {
	for {
		q.mu.Lock()
		var e Event
		if len(q.waiting) > 0 {
			e = q.waiting[0]
			q.waiting[0] = nil
			q.waiting = q.waiting[1:]
		} else {
			q.waiting = nil
		}
		q.mu.Unlock()
		if e == nil {
			select {
			case <-q.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case q.out <- e:
		case <-ctx.Done():
			return
		}
	}
}

// merge puts e, if it is a view, into the last event about the same view, unless
// the connection has changed in between. It reports whether it did.
func merge(waiting []Event, e Event) bool {
	later, ok := e.(Viewed)
	if !ok {
		return false
	}
	for i, event := range slices.Backward(waiting) {
		switch earlier := event.(type) {
		case Connected, Disconnected:
			return false
		case Viewed:
			if earlier.Message.Filter == later.Message.Filter {
				waiting[i] = mergeViews(earlier, later)
				return true
			}
		}
	}
	return false
}

// mergeViews returns one event for two: the later view, with everything that
// came on the way and is still there, and everything that went and is still
// gone, for the last cause that was given.
func mergeViews(earlier, later Viewed) Viewed {
	m := registry.ViewMessage{
		Filter:   later.Message.Filter,
		Revision: later.Message.Revision,
		Complete: earlier.Message.Complete || later.Message.Complete,
		Warming:  later.Message.Warming,
	}
	came := make(map[string]bool)
	for _, e := range slices.Concat(earlier.Message.Add, later.Message.Add) {
		came[e.ID] = true
	}
	there := make(map[string]bool, len(later.View.Endpoints))
	for _, e := range later.View.Endpoints {
		there[e.ID] = true
		if came[e.ID] || m.Complete {
			m.Add = append(m.Add, e)
		}
	}
	told := make(map[string]bool)
	for _, drops := range [][]registry.Drop{later.Message.Drop, earlier.Message.Drop} {
		for _, drop := range drops {
			if !there[drop.ID] && !told[drop.ID] {
				told[drop.ID] = true
				m.Drop = append(m.Drop, drop)
			}
		}
	}
	return Viewed{View: later.View, Message: m}
}
