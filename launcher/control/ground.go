package control

// Volume is a directory that must be there before the child starts.
type Volume struct {
	Name  string     `json:"name"`
	Path  string     `json:"path"`
	State Settlement `json:"state"`
	Why   string     `json:"why,omitempty"` // it is not ready
}

// Network is one that must be up before the child starts.
type Network struct {
	Name    string     `json:"name"`
	Spec    string     `json:"spec"`
	State   Settlement `json:"state"`
	Address string     `json:"address,omitempty"` // by which it is up
	Why     string     `json:"why,omitempty"`     // it is not
}

// Settlement is how a volume or a network stands.
type Settlement string

// How a volume or a network may stand.
const (
	Awaited Settlement = "waited for" // before the first start
	Ready   Settlement = "ready"
	Gone    Settlement = "gone" // it was ready; the child is left alone, and the next start waits
)
