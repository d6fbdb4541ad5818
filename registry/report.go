package registry

import "time"

const (
	// MaxReportedChecks is how many checks a report lists: the first of those
	// that do not pass, then others.
	MaxReportedChecks = 32
	// MaxReportedActions is how many of the last actions a report lists.
	MaxReportedActions = 5
)

// Report tells how the launcher and its child are, for people who look at the
// fleet. It is sent when it changed, at most once a second. Its times are by the
// launcher's clock. It holds no value of a variable, an argument or a template.
type Report struct {
	State     string   `json:"state"`    // a life state of the launcher: waiting, running, ...
	Restarts  int      `json:"restarts"` // of the child, since the launcher started
	Renders   int      `json:"renders"`  // files written, since then
	LastError string   `json:"last_error,omitempty"`
	Unmet     []string `json:"unmet,omitempty"`  // aliases that are waited for
	Held      []string `json:"held,omitempty"`   // aliases whose last view is held
	Cached    []string `json:"cached,omitempty"` // aliases whose view is from before the launcher's start, out of its cache
	Version   string   `json:"version,omitempty"`

	Child   *ReportedChild   `json:"child,omitempty"` // absent: none was ever started
	Render  *ReportedRender  `json:"render,omitempty"`
	Checks  []ReportedCheck  `json:"checks,omitempty"`  // of what it offers; at most MaxReportedChecks
	Actions []ReportedAction `json:"actions,omitempty"` // the last ones, the oldest first; at most MaxReportedActions
	Parts   []ReportedPart   `json:"parts,omitempty"`   // around the child; at most MaxReportedParts
	Use     *Use             `json:"use,omitempty"`
}

// ReportedChild is how the child is.
type ReportedChild struct {
	Command  string    `json:"command"`       // without its arguments
	PID      int       `json:"pid,omitempty"` // in its container; absent: it does not run
	Started  time.Time `json:"started,omitzero"`
	Starts   int       `json:"starts"`              // since the launcher began
	LastExit string    `json:"last_exit,omitempty"` // "exit status 1", "killed by SIGSEGV"
	Ended    time.Time `json:"ended,omitzero"`      // when that was
}

// ReportedRender is the last render, of all files.
type ReportedRender struct {
	At    time.Time `json:"at,omitzero"` // the last good one
	Files int       `json:"files"`
	Error string    `json:"error,omitempty"` // of the last one; then it has changed nothing
}

// ReportedCheck is how one instance is, as its launcher finds it: a drain and a
// maintenance lie over that.
type ReportedCheck struct {
	ID     string    `json:"id"`
	Status Status    `json:"status"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"` // it has been so
}

// ReportedAction is one thing that was done to the child or for it.
type ReportedAction struct {
	At    time.Time `json:"at"`
	What  string    `json:"what"`            // restart, a signal, a command
	Why   string    `json:"why,omitempty"`   // of a restart
	Error string    `json:"error,omitempty"` // it failed, and will be tried again
}

// Use is what the child and its descendants use. On its own it is reported at
// most once a minute.
type Use struct {
	CPU       Milliseconds `json:"cpu"`       // of processor time: of those that live, and of those that they have waited for
	Memory    int64        `json:"memory"`    // bytes resident; what is shared counts for each
	Processes int          `json:"processes"` // that live
}

// Limit cuts what the report says to what a server is willing to keep.
func (r *Report) Limit() {
	r.State, r.LastError, r.Version = Cut(r.State), Cut(r.LastError), Cut(r.Version)
	r.Restarts, r.Renders = max(r.Restarts, 0), max(r.Renders, 0)
	for _, aliases := range []*[]string{&r.Unmet, &r.Held, &r.Cached} {
		*aliases = (*aliases)[:min(len(*aliases), MaxRequires)]
		for i, alias := range *aliases {
			(*aliases)[i] = Cut(alias)
		}
	}
	if c := r.Child; c != nil {
		c.Command, c.LastExit = Cut(c.Command), Cut(c.LastExit)
		c.PID, c.Starts = max(c.PID, 0), max(c.Starts, 0)
	}
	if r.Render != nil {
		r.Render.Error, r.Render.Files = Cut(r.Render.Error), max(r.Render.Files, 0)
	}
	r.Checks = r.Checks[:min(len(r.Checks), MaxReportedChecks)]
	for i := range r.Checks {
		c := &r.Checks[i]
		c.ID, c.Status, c.Reason = Cut(c.ID), Status(Cut(string(c.Status))), Cut(c.Reason)
	}
	r.Actions = r.Actions[max(0, len(r.Actions)-MaxReportedActions):]
	for i := range r.Actions {
		a := &r.Actions[i]
		a.What, a.Why, a.Error = Cut(a.What), Cut(a.Why), Cut(a.Error)
	}
	r.Parts = r.Parts[:min(len(r.Parts), MaxReportedParts)]
	for i := range r.Parts {
		r.Parts[i].limit()
	}
	if u := r.Use; u != nil {
		u.CPU, u.Memory, u.Processes = max(u.CPU, 0), max(u.Memory, 0), max(u.Processes, 0)
	}
}
