package probe

import (
	"fmt"
	"strings"
	"unicode"

	"cleat/registry"
)

// MaxOutput is how many bytes are kept of what a server says.
const MaxOutput = 4 << 10

// Outcome is how one probe ended.
type Outcome struct {
	Status registry.Status // passing, warning or critical
	// Reason says in one line why. It is the same as long as the cause is, and
	// holds nothing of what a server says, but for the names in a certificate.
	Reason string
	Output string // what the server said: at most MaxOutput bytes, and anything
}

// Critical is an outcome with a reason.
func Critical(format string, args ...any) Outcome {
	return Outcome{Status: registry.Critical, Reason: fmt.Sprintf(format, args...)}
}

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

// Clean makes text from outside fit for a screen.
func Clean(text string, most int) string {
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

// Line is Clean for a single line.
func Line(text string) string {
	return registry.Cut(strings.Join(strings.Fields(Clean(text, MaxOutput)), " "))
}
