package control

import (
	"time"

	"cleat/registry"
)

// Status is how a launcher, its child and all that it cares for are. Its JSON
// form is what GET /status answers. It holds names, addresses and messages, but
// no value of a template, an argument or a variable.
type Status struct {
	Now       time.Time `json:"now"` // at the launcher, to compare the other times with
	Version   string    `json:"version"`
	ID        string    `json:"id"`
	Namespace string    `json:"namespace"`
	Zone      string    `json:"zone,omitempty"`
	State     string    `json:"state"` // provisioning, waiting, preparing, hooking, running, turning, halting, backoff, draining, lingering, stopping, ending, releasing
	Since     time.Time `json:"since"` // when the launcher began
	Healthy   bool      `json:"healthy"`
	Why       string    `json:"why"` // it is healthy, or not: one line

	Child     Child                `json:"child"`
	Server    *Server              `json:"server,omitempty"` // absent: a plain PID 1
	Provides  []Instance           `json:"provides"`
	Changed   []string             `json:"changed,omitempty"` // what `set` has changed, as it was said
	Volumes   []Volume             `json:"volumes,omitempty"`
	Networks  []Network            `json:"networks,omitempty"`
	Requires  []Requirement        `json:"requires"`
	Cycle     []registry.CycleLink `json:"cycle,omitempty"` // of containers that wait for each other, and this one for them
	Render    Render               `json:"render"`
	Templates []Template           `json:"templates"` // sorted by destination
	Actions   []Action             `json:"actions"`   // the last ones, the oldest first

	Hooks       []Hook      `json:"hooks,omitempty"`       // in the order in which they run
	Coprocesses []Coprocess `json:"coprocesses,omitempty"` // sorted by name
	Tasks       []Task      `json:"tasks,omitempty"`       // sorted by name
}

// Child is the process that the launcher is there for.
type Child struct {
	Command  string    `json:"command"`       // without its arguments
	PID      int       `json:"pid,omitempty"` // as the launcher sees it; absent: it does not run
	Started  time.Time `json:"started,omitzero"`
	Restarts int       `json:"restarts"`            // since the launcher began
	LastExit string    `json:"last_exit,omitempty"` // "exit status 1", "killed by SEGV"
	Ended    time.Time `json:"ended,omitzero"`      // when that was
	// Use is what it and its descendants used when that was last looked at,
	// about once a minute while there is a session; absent: never yet.
	Use *registry.Use `json:"use,omitempty"`
}

// Server is how the launcher stands with the discovery servers.
type Server struct {
	Connected bool      `json:"connected"`     // there is a session
	URL       string    `json:"url,omitempty"` // of the server that has, or had, the session
	Since     time.Time `json:"since,omitzero"`
	Warming   bool      `json:"warming,omitempty"` // it had just restarted when the session began
	Error     string    `json:"error,omitempty"`   // why there is no session
}

// Instance is one service that the container offers.
type Instance struct {
	registry.Instance
	ListensOn string `json:"listens_on"` // the child's port, as `set -port` takes it
	Declared  bool   `json:"declared"`   // false: no address is known for it yet
}

// Requirement is one need of the container and what became of it.
type Requirement struct {
	Alias     string            `json:"alias"`
	Text      string            `json:"requirement"`
	Standing  Standing          `json:"standing"`
	Why       string            `json:"why,omitempty"` // it is not met, or not by its view
	Optional  bool              `json:"optional,omitempty"`
	Min       int               `json:"min"`
	Listed    int               `json:"listed"`   // in the server's view
	Revision  registry.Revision `json:"revision"` // of the server's view; 0: none has come
	Warming   bool              `json:"warming,omitempty"`
	Used      int               `json:"used"`             // endpoints in use
	Endpoints []Endpoint        `json:"endpoints"`        // of these, at most [MaxEndpoints]
	Chosen    string            `json:"chosen,omitempty"` // id of the chosen endpoint
	Cached    time.Time         `json:"cached,omitzero"`  // when the view was noted that is in use from the cache
}

// MaxEndpoints is how many endpoints of a requirement a status lists.
const MaxEndpoints = 100

// Standing is how a requirement stands.
type Standing string

// How a requirement may stand.
const (
	Met      Standing = "met"
	Unmet    Standing = "unmet"    // the child waits for it
	Held     Standing = "held"     // under min: the last good endpoints stay in use
	Short    Standing = "short"    // under min, and passed on as it is
	Fallback Standing = "fallback" // the fallback is in use
	Cached   Standing = "cached"   // the last good view of an earlier launcher is in use: no server has said more yet
	Lost     Standing = "lost"     // on-loss=stop: the child is stopped for it
)

// Endpoint is one endpoint in use.
type Endpoint struct {
	registry.Endpoint
	Chosen bool `json:"chosen,omitempty"`
	Listed bool `json:"listed"` // by the server; else it is held, or a fallback
}

// Render is the last render, of everything.
type Render struct {
	At     time.Time `json:"at,omitzero"`
	Wrote  int       `json:"wrote"`           // files, since the launcher began
	Failed string    `json:"error,omitempty"` // of the last one; then it has changed nothing
}

// Template is one file that is rendered.
type Template struct {
	Destination string    `json:"destination"`
	Source      string    `json:"source"`
	Action      string    `json:"action"`
	Rendered    time.Time `json:"rendered,omitzero"` // the last time that it was rendered well
	Wrote       time.Time `json:"wrote,omitzero"`    // the last time that its bytes changed
	SHA256      string    `json:"sha256,omitempty"`  // of the bytes that are in its place
	Error       string    `json:"error,omitempty"`   // of its source; the last good version stays in use
}

// Action is one thing that was done to the child or for it.
type Action struct {
	At    time.Time `json:"at"`
	What  string    `json:"what"`            // restart, a signal, a command
	Why   string    `json:"why,omitempty"`   // of a restart
	Error string    `json:"error,omitempty"` // it failed, and will be tried again
}
