package server

import (
	"bytes"
	"net/http"
	"strings"
	"time"
)

// The times of a stream.
const (
	// StreamBeat is how often something must be sent, so that both ends and what
	// is between them know that the stream lives; [Stream.Beat] does.
	StreamBeat = 15 * time.Second
	// streamWithin is how long one write may take: who does not read is cut off.
	streamWithin = 10 * time.Second
)

// eventStream is the type of a stream.
const eventStream = "text/event-stream"

// Stream is an answer that goes on: server-sent events, as the HTML standard has
// them (https://html.spec.whatwg.org/multipage/server-sent-events.html). One
// goroutine writes; each event is sent at once. It ends when its handler returns,
// which it must when the request's context is over or a method fails.
type Stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  bytes.Buffer
}

// NewStream begins a stream: status and header are sent.
func NewStream(w http.ResponseWriter) (*Stream, error) {
	h := w.Header()
	h.Set("Content-Type", eventStream)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // for nginx in front
	s := &Stream{w: w, control: http.NewResponseController(w)}
	w.WriteHeader(http.StatusOK)
	return s, s.Beat()
}

// Send sends an event. The id is what the client shows when it comes again
// (Last-Event-ID), event its kind; each may be empty, and has no line break in
// it. data may have several lines.
func (s *Stream) Send(id, event string, data []byte) error {
	s.buffer.Reset()
	if id != "" {
		s.buffer.WriteString("id: " + oneLine(id) + "\n")
	}
	if event != "" {
		s.buffer.WriteString("event: " + oneLine(event) + "\n")
	}
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		s.buffer.WriteString("data: ")
		s.buffer.Write(bytes.TrimSuffix(line, []byte("\r")))
		s.buffer.WriteByte('\n')
	}
	s.buffer.WriteByte('\n')
	return s.flush()
}

// Beat sends what every client passes over.
func (s *Stream) Beat() error {
	s.buffer.Reset()
	s.buffer.WriteString(":\n\n")
	return s.flush()
}

func (s *Stream) flush() error {
	if err := s.control.SetWriteDeadline(time.Now().Add(streamWithin)); err != nil {
		return err
	}
	if _, err := s.w.Write(s.buffer.Bytes()); err != nil {
		return err
	}
	return s.control.Flush()
}

func oneLine(text string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(text) }
