package registry

import "strings"

// StateWaiting is the state of a launcher whose child waits for requirements, in
// its [Report].
const StateWaiting = "waiting"

// MaxCycle is how many launchers of a cycle are named at most.
const MaxCycle = 32

// Cycle tells a launcher that its child's first start waits for launchers that
// wait for each other, and will do so for ever. It is in place of an earlier
// one; without links there is none any more.
type Cycle struct {
	Links []CycleLink `json:"links"`
}

// CycleLink is one launcher that waits, and for which service; the next one in
// the cycle, after the last the first, provides that. All of it is empty where
// the session may not know it.
type CycleLink struct {
	ID        string `json:"id"`
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
}

// String returns the cycle in one line: "web-1 waits for db, db-1 waits for web";
// empty when there is none.
func (c Cycle) String() string {
	var parts []string
	for _, l := range c.Links {
		if l.ID == "" {
			parts = append(parts, "...")
			continue
		}
		parts = append(parts, l.ID+" waits for "+l.Service)
	}
	return strings.Join(parts, ", ")
}
