package server

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"cleat/registry"
)

// The sizes of answers in bytes.
const (
	// worthPacking is what does not fit into one packet anyway.
	worthPacking = 1400
	// maxTagged is how much of an answer waits until it is whole, so that it can
	// have a tag. Longer ones go out as they are made.
	maxTagged = 1 << 20
)

// compact answers reads with a tag of what they say (ETag, RFC 9110), and with
// nothing but that when the client has it already; and packs answers by gzip for
// those who can unpack them. Streams go out as they are.
func compact(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == registry.SessionPath || r.Method != http.MethodGet {
			next.ServeHTTP(w, r)
			return
		}
		c := &compactWriter{ResponseWriter: w, match: r.Header.Get("If-None-Match"), packs: acceptsGzip(r.Header)}
		defer c.finish()
		next.ServeHTTP(c, r)
	})
}

// acceptsGzip reports whether the client says that it unpacks gzip.
func acceptsGzip(h http.Header) bool {
	for part := range strings.SplitSeq(strings.Join(h["Accept-Encoding"], ","), ",") {
		coding, quality, _ := strings.Cut(part, ";")
		if coding = strings.TrimSpace(coding); coding != "gzip" && coding != "*" {
			continue
		}
		value, found := strings.CutPrefix(strings.ReplaceAll(quality, " ", ""), "q=")
		q, err := strconv.ParseFloat(value, 64)
		return !found || err == nil && q > 0
	}
	return false
}

// packers are used again: one has a quarter of a megabyte.
var packers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // that level exists
	return z
}}

// compactWriter holds an answer back until it is whole.
//
//	waiting --the handler returns----------------> sent whole: tagged, packed
//	   +-----more than 1 MiB, flushed, no 200----> flowing: as it comes
type compactWriter struct {
	http.ResponseWriter
	match  string // the tags that the client has
	packs  bool
	status int
	body   bytes.Buffer
	flows  bool
	packer *gzip.Writer // of a flowing answer
}

// Unwrap is for [http.ResponseController].
func (c *compactWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *compactWriter) WriteHeader(status int) {
	if c.status != 0 {
		return
	}
	c.status = status
	h := c.Header()
	if status != http.StatusOK || h.Get("Content-Type") == eventStream || h.Get("Content-Encoding") != "" || h.Get("Content-Range") != "" {
		c.flows = true
		c.ResponseWriter.WriteHeader(status)
	}
}

func (c *compactWriter) Write(data []byte) (int, error) {
	if c.status == 0 {
		c.WriteHeader(http.StatusOK)
	}
	if !c.flows && c.body.Len()+len(data) > maxTagged {
		if err := c.flow(); err != nil {
			return 0, err
		}
	}
	switch {
	case !c.flows:
		return c.body.Write(data)
	case c.packer != nil:
		return c.packer.Write(data)
	}
	return c.ResponseWriter.Write(data)
}

// FlushError sends what there is, for [http.ResponseController].
func (c *compactWriter) FlushError() error {
	if !c.flows {
		if err := c.flow(); err != nil {
			return err
		}
	}
	if c.packer != nil {
		if err := c.packer.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(c.ResponseWriter).Flush()
}

// flow sends what has waited, and from now on everything as it comes.
func (c *compactWriter) flow() error {
	c.flows = true
	h := c.Header()
	if c.packs && c.packable() {
		c.pack(h)
		c.packer = packers.Get().(*gzip.Writer)
		c.packer.Reset(c.ResponseWriter)
	}
	c.ResponseWriter.WriteHeader(max(c.status, http.StatusOK))
	waiting := c.body.Bytes()
	c.body = bytes.Buffer{}
	_, err := c.Write(waiting)
	return err
}

// pack says in the header that the body is packed.
func (c *compactWriter) pack(h http.Header) {
	h.Set("Content-Encoding", "gzip")
	h.Del("Content-Length")
}

// packable reports whether the answer is text.
func (c *compactWriter) packable() bool {
	c.Header().Add("Vary", "Accept-Encoding")
	kind, _, _ := strings.Cut(c.Header().Get("Content-Type"), ";")
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "json") || strings.HasSuffix(kind, "xml") || strings.HasSuffix(kind, "javascript")
}

// finish sends what is still waiting.
func (c *compactWriter) finish() {
	switch {
	case c.packer != nil:
		_ = c.packer.Close() // a client that is gone needs no answer
		packers.Put(c.packer)
		return
	case c.flows:
		return
	case c.status == 0:
		return // net/http says 200
	}
	h := c.Header()
	tag := h.Get("ETag")
	if tag == "" {
		sum := fnv.New128a()
		_, _ = sum.Write(c.body.Bytes())
		tag = `W/"` + hex.EncodeToString(sum.Sum(nil)) + `"`
		h.Set("ETag", tag)
	}
	if has(c.match, tag) {
		h.Del("Content-Type")
		h.Del("Content-Length")
		c.ResponseWriter.WriteHeader(http.StatusNotModified)
		return
	}
	if packable := c.packable(); c.packs && packable && c.body.Len() >= worthPacking {
		c.pack(h)
		c.ResponseWriter.WriteHeader(http.StatusOK)
		z := packers.Get().(*gzip.Writer)
		z.Reset(c.ResponseWriter)
		_, _ = z.Write(c.body.Bytes())
		_ = z.Close()
		packers.Put(z)
		return
	}
	c.ResponseWriter.WriteHeader(http.StatusOK)
	_, _ = c.ResponseWriter.Write(c.body.Bytes())
}

// has reports whether a tag is one of a list, compared weakly (RFC 9110, 8.8.3.2).
func has(list, tag string) bool {
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		if part == "*" || strings.TrimPrefix(part, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}
