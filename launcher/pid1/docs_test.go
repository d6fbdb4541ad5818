package pid1

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDocumentedSignals holds docs/signals.md to the signals that are relayed.
func TestDocumentedSignals(t *testing.T) {
	text, err := os.ReadFile("../../docs/signals.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(text), "- Not passed on:")
	if !ok {
		t.Fatal("docs/signals.md does not say what is not passed on")
	}
	list, _, _ = strings.Cut(list, "\n\n")
	var documented, missing []syscall.Signal
	for _, name := range regexp.MustCompile("`([A-Z]+)`").FindAllStringSubmatch(list, -1) {
		documented = append(documented, unix.SignalNum("SIG"+name[1]))
	}
	if strings.Contains(list, "32 to 34") {
		documented = append(documented, 32, 33, 34)
	}
	passed := relayed()
	for s := syscall.Signal(1); s <= lastSignal; s++ {
		if !slices.Contains(passed, os.Signal(s)) {
			missing = append(missing, s)
		}
	}
	if slices.Sort(documented); !slices.Equal(documented, missing) {
		t.Errorf("documented as not passed on: %v, not passed on: %v", documented, missing)
	}
}
