package registry_test

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"cleat/registry"
)

// The largest report of the conversation in docs/protocol.md has every part, and
// says the same after it was decoded and encoded.
func TestTheDocumentedReport(t *testing.T) {
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	full := ""
	for _, found := range regexp.MustCompile(`(?m)^\S+ > (\{"report":.*)$`).FindAllStringSubmatch(string(page), -1) {
		if len(found[1]) > len(full) {
			full = found[1]
		}
	}
	m, err := registry.DecodeClient([]byte(full))
	if err != nil || m.Report == nil {
		t.Fatalf("%s: %v", full, err)
	}
	if got := string(m.Encode()); got != full {
		t.Errorf("got %s, expected %s", got, full)
	}
	for field, value := range reflect.ValueOf(*m.Report).Fields() {
		kind := field.Type.Kind()
		if kind == reflect.Slice {
			kind = field.Type.Elem().Kind()
		}
		if (kind == reflect.Pointer || kind == reflect.Struct) && value.IsZero() {
			t.Errorf("the documented report has no %s", field.Name)
		}
	}
}

// What a launcher reports is bounded, whatever it says.
func TestReportIsBounded(t *testing.T) {
	long := strings.Repeat("x", 5000)
	r := registry.Report{
		State: long, LastError: long, Version: long, Restarts: -1, Renders: -1,
		Child:  &registry.ReportedChild{Command: long, LastExit: long, PID: -1, Starts: -1},
		Render: &registry.ReportedRender{Error: long, Files: -1},
		Use:    &registry.Use{CPU: -1, Memory: -1, Processes: -1},
	}
	for range 1000 {
		r.Unmet, r.Held, r.Cached = append(r.Unmet, long), append(r.Held, long), append(r.Cached, long)
		r.Checks = append(r.Checks, registry.ReportedCheck{ID: long, Status: registry.Status(long), Reason: long})
		r.Actions = append(r.Actions, registry.ReportedAction{What: long, Why: long, Error: long})
		r.Parts = append(r.Parts, registry.ReportedPart{Kind: registry.PartKind(long), Name: long, State: long, Restarts: -1, Error: long})
	}
	r.Actions[999].What = "the last one"
	r.Limit()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	const most = (3*registry.MaxRequires + 3*registry.MaxReportedChecks + 3*registry.MaxReportedActions + 4*registry.MaxReportedParts + 10) * (registry.MaxReasonLength + 64)
	if len(data) > most {
		t.Errorf("the report has %d bytes, expected %d at most", len(data), most)
	}
	if strings.Contains(string(data), "-1") || len(r.Checks) != registry.MaxReportedChecks || len(r.Actions) != registry.MaxReportedActions ||
		len(r.Parts) != registry.MaxReportedParts {
		t.Errorf("%d checks, %d actions, %d parts: %.300s", len(r.Checks), len(r.Actions), len(r.Parts), data)
	}
	if last := r.Actions[len(r.Actions)-1].What; last != "the last one" {
		t.Errorf("the last action is %.20q", last)
	}
}
