package registry

import (
	"fmt"
	"slices"
)

// Status is what an instance can do for its consumers just now.
//
// Several things decide it, and the first of these that applies wins:
// an operator's maintenance, a drain, a start that is not over, the checks.
type Status string

// The statuses, from the strongest to the weakest reason.
const (
	// Maintenance: an operator has taken the instance out of service.
	Maintenance Status = "maintenance"
	// Draining: the instance is leaving or restarting; nobody should begin
	// anything new with it.
	Draining Status = "draining"
	// Starting: the instance does not listen yet.
	Starting Status = "starting"
	// Critical: a check says that the instance cannot serve.
	Critical Status = "critical"
	// Warning: a check says that the instance serves, but not well.
	Warning Status = "warning"
	// Passing: the instance serves.
	Passing Status = "passing"
)

// Statuses returns all of them, from the strongest to the weakest reason.
func Statuses() []Status {
	return []Status{Maintenance, Draining, Starting, Critical, Warning, Passing}
}

// ParseStatus returns the status of that name.
func ParseStatus(name string) (Status, error) {
	if s := Status(name); slices.Contains(Statuses(), s) {
		return s, nil
	}
	return "", fmt.Errorf("%s is no status; expected passing, warning, critical, starting, draining or maintenance", quote(name))
}

// Serving reports whether instances with this status are in everybody's views.
func (s Status) Serving() bool { return s == Passing || s == Warning }

// Peering reports whether instances with this status are in the views of their
// own kind (requirements of "self"), where nodes that found a cluster together
// see each other before any of them serves.
func (s Status) Peering() bool { return s.Serving() || s == Starting || s == Critical }
