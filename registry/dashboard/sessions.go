package dashboard

import (
	"net/http"
	"slices"
	"time"

	"cleat/registry"
	"cleat/registry/access"
)

// sessionsFor returns the sessions that the request may see.
func (d *dashboard) sessionsFor(r *http.Request) []registry.SessionDetail {
	grant := access.Of(r.Context())
	var list []registry.SessionDetail
	for _, s := range d.server.Sessions() {
		if grant.Allows(access.Read, s.Namespace, "") {
			list = append(list, s)
		}
	}
	return list
}

// sessionsBody is the body of the launchers' page.
type sessionsBody struct {
	Rows  []sessionRow
	Found int
	More  int
	Quiet registry.Milliseconds // a launcher that says nothing for longer is late
}

// sessionRow is a launcher in a list.
type sessionRow struct {
	registry.SessionDetail
	Since  time.Time // when it connected
	Late   bool
	Unmet  int
	Health string // how it is, as a status
	State  string
}

func (d *dashboard) showSessions(w http.ResponseWriter, r *http.Request) {
	p := d.newPage(r, "Launchers", "sessions", d.graph(r))
	stats := d.server.Stats()
	b := sessionsBody{Quiet: registry.InMilliseconds(2 * stats.BeatEvery)}
	now := time.Now()
	for _, s := range d.sessionsFor(r) {
		texts := append([]string{s.ID, s.Namespace, s.Zone, s.Peer, s.Session}, s.Provides...)
		for _, need := range s.Requires {
			texts = append(texts, need.Alias, need.Filter)
		}
		if p.Namespace != "" && s.Namespace != p.Namespace || !matches(p.Query, texts...) {
			continue
		}
		if b.Found++; b.Found > maxRows {
			b.More++
			continue
		}
		b.Rows = append(b.Rows, newSessionRow(s, now, b.Quiet))
	}
	p.Body = b
	d.show(w, http.StatusOK, "sessions", p)
}

func newSessionRow(s registry.SessionDetail, now time.Time, quiet registry.Milliseconds) sessionRow {
	row := sessionRow{SessionDetail: s, Since: now.Add(-s.Connected.Duration()), Late: s.Silent > quiet, Health: "launchers", State: "no report"}
	for _, need := range s.Requires {
		if !need.Optional && need.Endpoints < max(need.Min, 1) {
			row.Unmet++
		}
	}
	if s.Report == nil {
		return row
	}
	row.State = s.Report.State
	switch {
	case s.Report.LastError != "" || row.Unmet > 0 || row.Late || len(s.Report.Held) > 0 || slices.ContainsFunc(s.Report.Parts, unwell):
		row.Health = string(registry.Warning)
	case s.Report.State == "running":
		row.Health = string(registry.Passing)
	default:
		row.Health = string(registry.Starting)
	}
	return row
}

// unwell reports whether something around the child is not as it should be.
func unwell(p registry.ReportedPart) bool { return p.Error != "" }
