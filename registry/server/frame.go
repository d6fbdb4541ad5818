package server

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/gobwas/ws"

	"cleat/registry"
)

// A frame is one whole WebSocket frame from the server, header included. It is
// made once and never changed, so that any number of outboxes can hold it.
type frame []byte

// textFrame wraps an encoded message.
func textFrame(payload []byte) frame { return newFrame(ws.OpText, payload) }

func newFrame(op ws.OpCode, payload []byte) frame {
	var b bytes.Buffer
	b.Grow(ws.MaxHeaderSize + len(payload))
	// Neither can fail: a Buffer takes everything, and the length is one.
	_ = ws.WriteHeader(&b, ws.Header{Fin: true, OpCode: op, Length: int64(len(payload))})
	b.Write(payload)
	return b.Bytes()
}

var (
	pingFrame = newFrame(ws.OpPing, nil)
	pongFrame = newFrame(ws.OpPong, nil)
)

func closeFrame(code int, reason string) frame {
	return newFrame(ws.OpClose, ws.NewCloseFrameBody(ws.StatusCode(code), reason))
}

func messageFrame(m registry.ServerMessage) frame { return textFrame(m.Encode()) }

// viewFrame encodes a view message from endpoints that are encoded already, so
// that a complete view costs a copy of its bytes and no more. The result is
// byte for byte what [registry.ServerMessage.Encode] makes of the same message.
func viewFrame(m registry.ViewMessage, filter []byte, add []*instance) frame {
	size := 128 + len(filter) + 64*len(m.Drop)
	for _, i := range add {
		size += len(i.encoded()) + 1
	}
	b := make([]byte, 0, size)
	b = append(b, `{"view":{"filter":`...)
	b = append(b, filter...)
	b = append(b, `,"revision":`...)
	b = strconv.AppendUint(b, uint64(m.Revision), 10)
	b = append(b, `,"complete":`...)
	b = strconv.AppendBool(b, m.Complete)
	b = append(b, `,"warming":`...)
	b = strconv.AppendBool(b, m.Warming)
	b = append(b, `,"add":[`...)
	for n, i := range add {
		if n > 0 {
			b = append(b, ',')
		}
		b = append(b, i.encoded()...)
	}
	b = append(b, `],"drop":`...)
	if m.Drop == nil {
		m.Drop = []registry.Drop{}
	}
	b = append(b, encodeJSON(m.Drop)...)
	b = append(b, `}}`...)
	return textFrame(b)
}

// encodeJSON encodes what the model is made of, in the way of its messages:
// without escaping for HTML, because filters are full of ampersands.
func encodeJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("server: internal error: a message cannot be encoded: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
