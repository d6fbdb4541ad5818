package health

import (
	"errors"

	"cleat/internal/probe"
	"cleat/registry"
)

// MaxOutput is how many bytes are kept of what a server or a command says.
const MaxOutput = probe.MaxOutput

// Result is what is known of a target since it listens.
type Result struct {
	ID     string
	Status registry.Status // passing, warning or critical
	// Reason says in one line why, at most registry.MaxReasonLength bytes. It
	// is made so that it is the same as long as the cause is the same, and
	// holds nothing of what a server or a command says, but for the names in a
	// certificate.
	Reason string
	// Output is what the server or the command said when the status or the
	// reason became what it is: at most MaxOutput bytes, in which control
	// characters other than new lines are replaced. For people who may see
	// what the child says; it may hold anything.
	Output string
	// Withdrawn says that the status has been critical for as long as
	// Check.DeregisterAfter: the instance is not to be offered any more, until
	// a later result says otherwise.
	Withdrawn bool
}

// ErrTarget is what [Checker.Report] returns for a target without a TTL check.
var ErrTarget = errors.New("it has no TTL check")
