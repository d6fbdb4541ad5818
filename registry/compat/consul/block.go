package consul

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"cleat/registry"
)

// gatherFor is how long a blocked query waits after it was woken, so that
// changes that come together are one answer: a service of 100 instances that
// comes up within a second is 20 lists for each who waits for it, and not 100.
const gatherFor = 50 * time.Millisecond

// answerWithin is how long the answer of a blocked query may take to be sent.
const answerWithin = 30 * time.Second

// view is what a list has in it at one moment.
type view struct {
	revision registry.Revision
	changed  <-chan struct{}       // closed when the list may be another one; nil: never
	body     func() (*body, error) // encodes it, or has it already
	hidden   bool                  // it leaves out what the asker may not see
}

// index is what clients are given as X-Consul-Index. It is never 0, which a
// client would take for none and never block.
func (v view) index() uint64 { return max(1, uint64(v.revision)) }

// list answers with a list, at once or when it has changed.
//
// A query whose index is that of the list waits until the list is another one,
// or until the time that it gave is over. Any other index, a smaller or a larger
// one, is answered at once: a larger one is of another server, or of this one
// before it lost what it knew.
//
// The revision of a list may grow although nothing in it has changed, for
// example when an instance comes that the filter does not let through. Who
// waits is not told of that: what he knows is still right.
func (f *face) list(w http.ResponseWriter, r *http.Request, q query, look func() view) {
	if f.server.Warming() {
		answerError(w, refuse(http.StatusInternalServerError, "No cluster leader"))
		return
	}
	v := look()
	b, err := v.body()
	if err == nil && q.index != 0 && q.index == v.index() {
		known := b.sum
		for waiting := f.newWait(w, q); ; {
			b = nil // nothing is kept for who waits
			again := waiting.again(r, v.changed)
			v = look()
			if b, err = v.body(); !again || err != nil || b.sum != known {
				break
			}
		}
	}
	if err != nil {
		answerError(w, err)
		return
	}
	h := w.Header()
	h.Set("X-Consul-Index", strconv.FormatUint(v.index(), 10))
	h.Set("X-Consul-Lastcontact", "0")
	h.Set("X-Consul-Knownleader", "true")
	h.Set("X-Consul-Effective-Consistency", q.consistency)
	h.Set("X-Consul-Query-Backend", "blocking-query")
	if v.hidden {
		h.Set("X-Consul-Results-Filtered-By-Acls", "true")
	}
	answer(w, r, q.pretty, http.StatusOK, b)
}

// wait is the time that a query may be blocked.
type wait struct {
	w     http.ResponseWriter
	limit time.Duration
	until time.Time // zero: it has not begun
}

func (f *face) newWait(w http.ResponseWriter, q query) *wait {
	return &wait{w: w, limit: q.wait + rand.N(q.wait/jitterPart+1)}
}

// again waits for a change. It reports false when the time is over, or the
// client gone, or the server about to end.
func (t *wait) again(r *http.Request, changed <-chan struct{}) bool {
	if t.until.IsZero() {
		t.until = time.Now().Add(t.limit)
		// The server's own limits are for requests that are answered at once.
		// What cannot be set cannot run out either.
		control := http.NewResponseController(t.w)
		_ = control.SetReadDeadline(t.until.Add(answerWithin))
		_ = control.SetWriteDeadline(t.until.Add(answerWithin))
	}
	if !pause(r, changed, time.Until(t.until)) {
		return false
	}
	pause(r, nil, gatherFor)
	return r.Context().Err() == nil
}

// pause waits until the channel is closed, and reports false when the time is
// over first, or the client gone.
func pause(r *http.Request, changed <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-changed:
		return true
	case <-timer.C:
	case <-r.Context().Done():
	}
	return false
}
