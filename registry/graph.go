package registry

// Graph is who requires whom across everything that a server knows: the body
// of GET /api/v1/graph.
type Graph struct {
	Revision Revision    `json:"revision"`
	Warming  bool        `json:"warming"`
	Nodes    []GraphNode `json:"nodes"` // sorted by id
	Edges    []GraphEdge `json:"edges"` // sorted by from, to, filter, optional, min, alias
	// Cycles are nodes of which each needs the next, and the last the first, so
	// that none of them can be the first to start. Optional requirements make no
	// cycle. Each is named once, from its smallest id on.
	Cycles [][]string `json:"cycles"`
}

// GraphNode is a service, or launchers that offer nothing, are called alike and
// require the same.
type GraphNode struct {
	// ID is namespace/name of a service, launchers:namespace/name of launchers.
	// No name has a colon in it, and no two nodes have the same id.
	ID        string         `json:"id"`
	Kind      NodeKind       `json:"kind"`
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Instances map[Status]int `json:"instances,omitempty"` // of a service; absent: it has none
	Held      int            `json:"held,omitempty"`      // of these, kept although their session is lost
	Launchers int            `json:"launchers"`           // that offer the service, or that the node stands for
	// Single says that the node is a single point of failure: a requirement of
	// another one is met by as many of its instances as it must have, and by
	// none to spare.
	Single bool `json:"single,omitempty"`
	// Breaks are the nodes that need this one, directly or through others, and
	// not optionally: what its loss would break. Sorted.
	Breaks []string `json:"breaks,omitempty"`
}

// Count returns how many instances the node's service has, and how many of
// them serve.
func (n GraphNode) Count() (serving, all int) {
	for status, count := range n.Instances {
		all += count
		if status.Serving() {
			serving += count
		}
	}
	return serving, all
}

// NodeKind is what a node of a [Graph] stands for.
type NodeKind string

// The kinds.
const (
	NodeService   NodeKind = "service"
	NodeLaunchers NodeKind = "launchers"
)

// GraphEdge is one requirement, shared by all launchers of a node that have it.
type GraphEdge struct {
	From      string `json:"from"`
	To        string `json:"to"`
	Alias     string `json:"alias"`
	Filter    string `json:"filter"` // canonical
	Min       int    `json:"min"`
	Optional  bool   `json:"optional,omitempty"`
	Self      bool   `json:"self,omitempty"` // its own service, whose instances found a cluster together
	Launchers int    `json:"launchers"`      // that have the requirement
	Endpoints int    `json:"endpoints"`      // that the filter finds
	Unmet     bool   `json:"unmet,omitempty"`
	Held      int    `json:"held,omitempty"`    // launchers that go on with an earlier view in its stead
	Waiting   int    `json:"waiting,omitempty"` // launchers whose child waits for it
}

// Spare returns how many endpoints could go before the requirement is unmet;
// negative: so many are missing.
func (e GraphEdge) Spare() int { return e.Endpoints - max(e.Min, 1) }
