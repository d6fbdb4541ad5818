package consul

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxBody is the size in bytes of the largest body of a request: more than a
// registration with everything at its limit needs.
const maxBody = 128 << 10

// read decodes the body of a request. An empty one is an empty object.
func read(w http.ResponseWriter, r *http.Request, into any) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return refuse(http.StatusRequestEntityTooLarge, "Request body too large, max size: %d bytes.", tooLarge.Limit)
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "the request cannot be read: %v", err)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte("{}")
	}
	if err := decode(data, into); err != nil {
		return refuse(http.StatusBadRequest, "Request decode failed: %v", err)
	}
	return nil
}

// decode decodes an object as Consul does: names of fields in any case, with or
// without underscores (DeregisterCriticalServiceAfter is also
// deregister_critical_service_after). Fields that into does not have are
// ignored; of those that are there twice, the last one counts.
func decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		return nil
	}
	if first, err := d.Token(); err != nil {
		return notJSON(err)
	} else if first != json.Delim('{') {
		return errors.New("expected a JSON object")
	}
	out := []byte{'{'}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return notJSON(err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return notJSON(err)
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		// A name is a string: the decoder has made sure of it.
		out = strconv.AppendQuoteToASCII(out, plainName(strings.ReplaceAll(name.(string), "_", "")))
		out = append(append(out, ':'), value...)
	}
	if _, err := d.Token(); err != nil {
		return notJSON(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is something after the JSON object")
	}
	return json.Unmarshal(append(out, '}'), into)
}

// plainName keeps the letters of a field's name. No field that is known here has
// others, and not all quotes of Go are quotes of JSON.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '?'
	}, name)
}

func notJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the JSON object has no end")
	}
	return fmt.Errorf("it is not JSON: %w", err)
}

// duration is a time as Consul's clients write it: "10s", or a number of
// nanoseconds.
type duration time.Duration

func (d *duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err == nil {
		if text == "" {
			return nil
		}
		parsed, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%.80q is no duration; expected one such as 10s", text)
		}
		*d = duration(parsed)
		return nil
	}
	var nanoseconds int64
	if err := json.Unmarshal(data, &nanoseconds); err != nil {
		return fmt.Errorf("%.80s is no duration; expected one such as \"10s\"", data)
	}
	*d = duration(nanoseconds)
	return nil
}
