package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Encode returns the message as it goes over the wire: lists are always there,
// the empty ones too.
func (m ClientMessage) Encode() []byte {
	if d := m.Declare; d != nil && (d.Provides == nil || d.Requires == nil) {
		whole := *d
		whole.Provides, whole.Requires = list(d.Provides), list(d.Requires)
		m.Declare = &whole
	}
	if d := m.Drain; d != nil && d.IDs == nil {
		whole := *d
		whole.IDs = list(d.IDs)
		m.Drain = &whole
	}
	return encode(m)
}

// Encode returns the message as it goes over the wire: lists are always there,
// the empty ones too.
func (m ServerMessage) Encode() []byte {
	if v := m.View; v != nil && (v.Add == nil || v.Drop == nil) {
		whole := *v
		whole.Add, whole.Drop = list(v.Add), list(v.Drop)
		m.View = &whole
	}
	if c := m.Cycle; c != nil && c.Links == nil {
		m.Cycle = &Cycle{Links: []CycleLink{}}
	}
	if d := m.Drained; d != nil && (d.IDs == nil || d.Pending == nil) {
		whole := *d
		whole.IDs, whole.Pending = list(d.IDs), list(d.Pending)
		m.Drained = &whole
	}
	return encode(m)
}

// DecodeClient returns the message in data, which it does not keep. Members
// that it does not know are passed over, so that a newer launcher can speak to
// an older server. What a declare says is not checked yet, see
// [Declare.Normalize]; the other messages are within their limits: texts for
// people are cut, and a drain that asks for too much is an error.
func DecodeClient(data []byte) (ClientMessage, error) {
	if len(data) > MaxClientMessage {
		return ClientMessage{}, fmt.Errorf("the message is %d bytes long; at most %d are allowed", len(data), MaxClientMessage)
	}
	if n := elements(data); n > MaxElements {
		return ClientMessage{}, fmt.Errorf("the message holds %d values; at most %d are allowed", n, MaxElements)
	}
	var m ClientMessage
	if err := decode(data, &m); err != nil {
		return ClientMessage{}, err
	}
	if m.Report != nil {
		m.Report.Limit()
	}
	if m.Applied != nil {
		m.Applied.Error = Cut(m.Applied.Error)
	}
	if d := m.Drain; d != nil {
		switch {
		case len(d.IDs) == 0 || len(d.IDs) > MaxProvides:
			return ClientMessage{}, fmt.Errorf("the drain names %d instances; expected 1 to %d", len(d.IDs), MaxProvides)
		case d.Wait < 0:
			return ClientMessage{}, errors.New("the drain's wait is negative")
		}
	}
	if n := set(m.Declare != nil, m.Report != nil, m.Applied != nil, m.Drain != nil); n != 1 {
		return ClientMessage{}, fmt.Errorf("the message has %d of the members declare, report, applied and drain; expected one", n)
	}
	return m, nil
}

// DecodeServer returns the message in data, which it does not keep. A message
// of a kind that it does not know is no error and has no member set.
func DecodeServer(data []byte) (ServerMessage, error) {
	var m ServerMessage
	if err := decode(data, &m); err != nil {
		return ServerMessage{}, err
	}
	return m, nil
}

func encode(m any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // filters are full of ampersands
	if err := e.Encode(m); err != nil {
		panic("registry: internal error: a message cannot be encoded: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func decode(data []byte, m any) error {
	if err := json.Unmarshal(data, m); err != nil {
		return fmt.Errorf("the message is not JSON of the expected form: %w", err)
	}
	return nil
}

// elements counts the values in the lists and objects of a JSON text, without
// looking at what they are: one more than the commas outside of strings. It
// says what a text would cost to decode before it is decoded.
func elements(data []byte) int {
	n, inString := 1, false
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			inString = !inString
		case '\\':
			i++
		case ',':
			if !inString {
				n++
			}
		}
	}
	return n
}

// list returns the empty list for none, which is [] on the wire and not null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func set(members ...bool) int {
	n := 0
	for _, member := range members {
		if member {
			n++
		}
	}
	return n
}
