package dashboard

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"cleat/registry"
	"cleat/registry/server"
)

// The pace of streams.
const (
	// maxStreams is how many pages are kept fresh at the same time. Others are
	// told to ask again later, and say so.
	maxStreams = 512
	// gather is how long after a change pages are told, so that what has one
	// cause comes as one.
	gather = 150 * time.Millisecond
	// calm is how long pages are not told again: faster, nobody could read.
	calm = time.Second
	// tick is how often pages are told although nothing that is an event has
	// happened: reports, acknowledgements and times change as well.
	tick = 5 * time.Second
)

// live answers GET /live: an event "change" whenever the page should be asked
// for again.
func (d *dashboard) live(w http.ResponseWriter, r *http.Request) {
	if d.streams.Add(1) > maxStreams {
		d.streams.Add(-1)
		w.Header().Set("Retry-After", "30")
		d.problem(w, r, http.StatusServiceUnavailable, "too many pages are open", "close some")
		return
	}
	defer d.streams.Add(-1)
	stream, err := server.NewStream(w)
	if err != nil {
		return
	}
	said := func() error {
		data, err := json.Marshal(struct {
			Build   string    `json:"build"`
			Started time.Time `json:"started"`
		}{build(), d.server.Stats().Started})
		if err != nil {
			return err
		}
		return stream.Send("", "change", data)
	}
	var last registry.Revision // of the journal
	d.happened(&last)
	for ctx := r.Context(); ctx.Err() == nil; {
		if said() != nil {
			return
		}
		if !wait(ctx, nil, calm) {
			return
		}
		more := d.happened(&last)
		if !wait(ctx, more, tick) || !wait(ctx, nil, gather) {
			return
		}
	}
}

// happened returns a channel that is closed when something happens after the
// event that was the last; at once, if something has. It brings last up to date.
func (d *dashboard) happened(last *registry.Revision) <-chan struct{} {
	began := *last
	for {
		events, _, more := d.server.Events(*last)
		if len(events) > 0 {
			*last = events[len(events)-1].Revision
			continue
		}
		if *last == began {
			return more
		}
		over := make(chan struct{})
		close(over)
		return over
	}
}

// wait waits for something to happen, or for so long. It reports false when the
// request is over.
func wait(ctx context.Context, happens <-chan struct{}, at time.Duration) bool {
	timer := time.NewTimer(at)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-happens:
	case <-timer.C:
	}
	return true
}
