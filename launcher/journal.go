package launcher

import (
	"time"

	"cleat/launcher/control"
	"cleat/registry/client"
)

// mostActions is how many of the last actions are remembered.
const mostActions = 10

// journal is what has happened so far, for those who ask. Nothing is decided by
// it.
type journal struct {
	began   time.Time // of the launcher
	server  control.Server
	render  control.Render
	files   []fileState
	wrote   map[string]time.Time // by destination
	actions []control.Action     // the oldest first
	exit    string               // the child's last one
	ended   time.Time
}

func newJournal() journal { return journal{began: time.Now(), wrote: make(map[string]time.Time)} }

func (j *journal) connected(e client.Connected) {
	j.server = control.Server{Connected: true, URL: e.Server, Since: time.Now(), Warming: e.Welcome.Warming}
}

func (j *journal) disconnected(err error) {
	j.server.Connected, j.server.Since, j.server.Warming, j.server.Error = false, time.Now(), false, ""
	if err != nil {
		j.server.Error = err.Error()
	}
}

// rendered notes the result of a render.
func (j *journal) rendered(r rendered) {
	now := time.Now()
	j.render.Failed = ""
	if r.err != nil {
		j.render.Failed = r.err.Error()
	} else {
		j.render.At = now
	}
	for _, c := range r.changed {
		j.wrote[c.destination] = now
	}
	if r.states != nil {
		j.files = r.states
	}
}

// acted notes that something was done to the child or for it, or that it failed.
func (j *journal) acted(what, why string, err error) {
	a := control.Action{At: time.Now(), What: what, Why: why}
	if err != nil {
		a.Error = err.Error()
	}
	if j.actions = append(j.actions, a); len(j.actions) > mostActions {
		j.actions = j.actions[1:]
	}
}

// childEnded notes how the child ended.
func (j *journal) childEnded(exit string) { j.exit, j.ended = exit, time.Now() }

// templates returns the files as those who ask see them.
func (j *journal) templates() []control.Template {
	all := make([]control.Template, 0, len(j.files))
	for _, f := range j.files {
		t := control.Template{
			Destination: f.destination, Source: f.source, Action: f.action, SHA256: f.sum,
			Wrote: j.wrote[f.destination], Error: f.problem,
		}
		if f.sum != "" {
			t.Rendered = j.render.At
		}
		all = append(all, t)
	}
	return all
}
