package dashboard

import (
	"net/http"
	"slices"

	"cleat/registry"
	"cleat/registry/access"
	"cleat/registry/server"
)

// eventsBody is the body of the events' page.
type eventsBody struct {
	Rows []server.Event // the latest first
	More bool           // there are earlier ones
}

// maxEvents is how many events are shown.
const maxEvents = 250

func (d *dashboard) showEvents(w http.ResponseWriter, r *http.Request) {
	p := d.newPage(r, "Events", "events", d.graph(r))
	grant := access.Of(r.Context())
	var rows []server.Event
	for last := registry.Revision(0); ; {
		events, _, _ := d.server.Events(last)
		if len(events) == 0 {
			break
		}
		last = events[len(events)-1].Revision
		for _, e := range events {
			if (p.Namespace == "" || e.Namespace == p.Namespace || e.Namespace == "") && mayHear(grant, e) &&
				matches(p.Query, e.ID, e.Service, e.Namespace, string(e.Kind), string(e.Cause), string(e.Status), e.Why) {
				rows = append(rows, e)
			}
		}
	}
	slices.Reverse(rows)
	b := eventsBody{Rows: rows}
	if len(rows) > maxEvents {
		b.Rows, b.More = rows[:maxEvents], true
	}
	p.Body = b
	d.show(w, http.StatusOK, "events", p)
}

// mayHear reports whether somebody may hear of an event: of an instance, who may
// read its service; of a launcher, who may read its whole namespace; of the
// server, everybody.
func mayHear(grant access.Grant, e server.Event) bool {
	return e.Namespace == "" || grant.Allows(access.Read, e.Namespace, e.Service)
}
