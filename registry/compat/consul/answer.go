package consul

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// leastZipped is the size in bytes of the smallest body that is compressed when
// the client takes that; a smaller one is one packet anyway.
const leastZipped = 1400

// body is an encoded answer. Everybody who asks for the same shares it.
type body struct {
	plain  []byte
	sum    [sha256.Size]byte // of plain
	zipped func() []byte
}

// encode makes a body of what can be encoded as JSON.
func encode(v any) *body {
	plain, err := json.Marshal(v)
	if err != nil {
		panic("consul: internal error: an answer cannot be encoded: " + err.Error())
	}
	b := &body{plain: plain, sum: sha256.Sum256(plain)}
	b.zipped = sync.OnceValue(func() []byte {
		var out bytes.Buffer
		z, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed) // the level is a good one
		_, _ = z.Write(plain)                             // a buffer takes everything
		_ = z.Close()
		return out.Bytes()
	})
	return b
}

// answer sends a body with what all answers have in common.
func answer(w http.ResponseWriter, r *http.Request, pretty bool, status int, b *body) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	h.Set("X-Consul-Default-Acl-Policy", "allow")
	data := b.plain
	switch {
	case pretty:
		var out bytes.Buffer
		_ = json.Indent(&out, data, "", "    ") // it is JSON
		data = append(out.Bytes(), '\n')
	case len(data) >= leastZipped && takesGzip(r):
		h.Set("Content-Encoding", "gzip")
		data = b.zipped()
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(data) // a client that is gone needs no answer
	}
}

// takesGzip reports whether the client has said that it takes gzip.
func takesGzip(r *http.Request) bool {
	for _, value := range r.Header["Accept-Encoding"] {
		for part := range strings.SplitSeq(value, ",") {
			name, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
			if name = strings.TrimSpace(name); name == "gzip" || name == "*" {
				return strings.ReplaceAll(quality, " ", "") != "q=0"
			}
		}
	}
	return false
}

// answerError sends an error as Consul does: its text, and nothing else.
func answerError(w http.ResponseWriter, err error) {
	r := asRefusal(err)
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(r.status)
	_, _ = w.Write([]byte(r.text))
}
