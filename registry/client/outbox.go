package client

import (
	"slices"
	"sync"

	"cleat/registry"
)

// outbox holds what is to be written on one connection, in order. What a later
// message replaces is taken out, so that it stays short however long a write
// takes.
type outbox struct {
	mu       sync.Mutex
	messages []registry.ClientMessage
	answer   []byte // the payload of a pong that is due; nil: none
	wake     chan struct{}
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

// declare replaces a declare that waits, if nothing was asked for after it: a
// drain, and a declare that ends it, must not change places.
func (o *outbox) declare(d registry.Declare) {
	o.replace(registry.ClientMessage{Declare: &d}, func(m registry.ClientMessage) bool { return m.Declare != nil },
		func(m registry.ClientMessage) bool { return m.Drain != nil })
}

func (o *outbox) report(r registry.Report) {
	o.replace(registry.ClientMessage{Report: &r}, func(m registry.ClientMessage) bool { return m.Report != nil }, nil)
}

func (o *outbox) applied(a registry.Applied) {
	o.replace(registry.ClientMessage{Applied: &a}, func(m registry.ClientMessage) bool {
		return m.Applied != nil && m.Applied.Filter == a.Filter
	}, nil)
}

func (o *outbox) add(m registry.ClientMessage) { o.replace(m, nil, nil) }

// pong makes the answer to a ping due; only the last one needs an answer.
func (o *outbox) pong(payload []byte) {
	o.mu.Lock()
	o.answer = append([]byte{}, payload...)
	o.mu.Unlock()
	o.signal()
}

// take empties the box.
func (o *outbox) take() (messages []registry.ClientMessage, pong []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	messages, pong = o.messages, o.answer
	o.messages, o.answer = nil, nil
	return messages, pong
}

// replace appends m, and takes out the last message that old is true for, if
// none that barrier is true for came after it.
func (o *outbox) replace(m registry.ClientMessage, old, barrier func(registry.ClientMessage) bool) {
	o.mu.Lock()
	if old != nil {
		for i, waiting := range slices.Backward(o.messages) {
			if barrier != nil && barrier(waiting) {
				break
			}
			if old(waiting) {
				o.messages = slices.Delete(o.messages, i, i+1)
				break
			}
		}
	}
	o.messages = append(o.messages, m)
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
