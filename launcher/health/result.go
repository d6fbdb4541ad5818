package health

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"cleat/registry"
)

// MaxOutput is how many bytes are kept of what a server or a command says.
const MaxOutput = 4 << 10

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

// outcome is how one check ended.
type outcome struct {
	status registry.Status // passing, warning or critical
	reason string
	output string
}

func critical(format string, args ...any) outcome {
	return outcome{status: registry.Critical, reason: fmt.Sprintf(format, args...)}
}

// ErrTarget is what [Checker.Report] returns for a target without a TTL check.
var ErrTarget = errors.New("it has no TTL check")

// rank orders the statuses of outcomes from the worst to the best.
func rank(s registry.Status) int {
	switch s {
	case registry.Passing:
		return 2
	case registry.Warning:
		return 1
	default:
		return 0
	}
}

// clean makes text from outside fit for a screen.
func clean(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, "?")))
}

// line is clean for a single line.
func line(text string) string {
	return registry.Cut(strings.Join(strings.Fields(clean(text, MaxOutput)), " "))
}
