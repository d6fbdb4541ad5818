package control

import "time"

// Hook is a command at a turn of the child's life.
type Hook struct {
	Name    string    `json:"name"`    // PRE_START, POST_START, PRE_STOP, POST_STOP
	Command string    `json:"command"` // without its arguments
	Running bool      `json:"running,omitempty"`
	Runs    int       `json:"runs"` // that have ended
	Began   time.Time `json:"began,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Took    float64   `json:"took_seconds,omitempty"` // the last run that has ended
	Error   string    `json:"error,omitempty"`        // how that failed
}

// Coprocess is a command that is kept running beside the child.
type Coprocess struct {
	Name     string         `json:"name"`
	Command  string         `json:"command"` // without its arguments
	State    CoprocessState `json:"state"`
	PID      int            `json:"pid,omitempty"`
	Started  time.Time      `json:"started,omitzero"` // if it runs
	Next     time.Time      `json:"next,omitzero"`    // in backoff: when it is started again
	Restarts int            `json:"restarts"`
	LastExit string         `json:"last_exit,omitempty"`
	Ended    time.Time      `json:"ended,omitzero"`  // when that was
	Error    string         `json:"error,omitempty"` // why it could not be started
}

// CoprocessState says what a coprocess is doing.
type CoprocessState string

// What a coprocess may be doing.
const (
	Idle    CoprocessState = "idle"    // the child has not been started yet
	Running CoprocessState = "running" // as its name says
	Backoff CoprocessState = "backoff" // it has ended and will be started again
	Ending  CoprocessState = "ending"  // it was told to end
	Ended   CoprocessState = "ended"   // for good
)

// Task is a command that runs from time to time.
type Task struct {
	Name     string    `json:"name"`
	Schedule string    `json:"schedule"`
	Command  string    `json:"command"` // without its arguments
	Running  bool      `json:"running,omitempty"`
	Runs     int       `json:"runs"`     // that have ended
	Failures int       `json:"failures"` // of these
	LeftOut  int       `json:"left_out"` // it was still running, or the child did not run
	Began    time.Time `json:"began,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	Took     float64   `json:"took_seconds,omitempty"` // the last run that has ended
	Error    string    `json:"error,omitempty"`        // how that failed
	Next     time.Time `json:"next,omitzero"`
}
