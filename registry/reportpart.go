package registry

// MaxReportedParts is how many parts a report lists: first those that are not
// well, then others.
const MaxReportedParts = 32

// PartKind is what a [ReportedPart] is.
type PartKind string

// The kinds of parts.
const (
	PartHook      PartKind = "hook"
	PartCoprocess PartKind = "coprocess"
	PartTask      PartKind = "task"
	PartVolume    PartKind = "volume"
	PartNetwork   PartKind = "network"
)

// ReportedPart is one thing around the child, how it is now or how it ended last.
// That a task runs is not told: it changes all the time.
type ReportedPart struct {
	Kind     PartKind `json:"kind"`
	Name     string   `json:"name"`
	State    string   `json:"state"` // idle, succeeded, failed; running, backoff, ending, ended; ready, gone
	Restarts int      `json:"restarts,omitempty"`
	Error    string   `json:"error,omitempty"` // why it is not well
}

// limit cuts what is said of the part.
func (p *ReportedPart) limit() {
	p.Kind, p.Name, p.State, p.Error = PartKind(Cut(string(p.Kind))), Cut(p.Name), Cut(p.State), Cut(p.Error)
	p.Restarts = max(p.Restarts, 0)
}
