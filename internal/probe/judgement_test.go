package probe

import (
	"strings"
	"testing"

	"cleat/registry"
)

// statuses reads "p w c" as passing, warning, critical, and "-" as none.
func statuses(text string) []registry.Status {
	names := map[string]registry.Status{"p": registry.Passing, "w": registry.Warning, "c": registry.Critical, "-": ""}
	var all []registry.Status
	for word := range strings.FieldsSeq(text) {
		all = append(all, names[word])
	}
	return all
}

func TestJudgement(t *testing.T) {
	for _, test := range []struct {
		name       string
		first      string
		rise, fall int
		outcomes   string
		want       string
	}{
		{"each outcome counts", "-", 1, 1, "p c w p c c p", "p c w p c c p"},
		{"a rise by two", "-", 2, 1, "p p c p c p p", "- p c c c c p"},
		{"a fall by three", "p", 1, 3, "c c p c c c c p", "p p p p p c c p"},
		{"none before the first verdict", "-", 2, 2, "c p c p p", "- - - - p"},
		{"as far down as all agree", "p", 1, 3, "c w c c c c", "p p w w w c"},
		{"as far up as all agree", "c", 3, 1, "p w p p p p", "c c w w w p"},
		{"at first as far up as all agree", "-", 2, 1, "w p p p", "- w w p"},
		{"the direction begins anew", "w", 2, 2, "p c p c c", "w w w w c"},
		{"the same again ends a run", "w", 2, 2, "p w p c w c w", "w w w w w w w"},
		{"from an initial status", "c", 2, 1, "c p p", "c c p"},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := Judgement{Status: statuses(test.first)[0]}
			want := statuses(test.want)
			for i, o := range statuses(test.outcomes) {
				j = j.Next(o, test.rise, test.fall)
				if j.Status != want[i] {
					t.Fatalf("after outcome %d (%s): %q, want %q", i, o, j.Status, want[i])
				}
			}
		})
	}
}

// FuzzJudgement holds every sequence to what thresholds mean.
func FuzzJudgement(f *testing.F) {
	f.Add([]byte{0, 1, 2, 0, 0, 0, 2, 2}, uint8(2), uint8(3))
	f.Fuzz(func(t *testing.T, outcomes []byte, rise, fall uint8) {
		r, d := int(rise%5)+1, int(fall%5)+1
		all := []registry.Status{registry.Critical, registry.Warning, registry.Passing}
		var j Judgement
		var seen []registry.Status
		for _, b := range outcomes {
			o := all[b%3]
			seen = append(seen, o)
			before := j.Status
			j = j.Next(o, r, d)
			if j.Status == before {
				continue
			}
			// The last outcomes, as many as the threshold, went at least so far.
			need, down := d, rank(j.Status) < rank(before) || before == "" && !o.Serving()
			if !down {
				need = r
			}
			if len(seen) < need {
				t.Fatalf("%q after %d outcomes, threshold %d", j.Status, len(seen), need)
			}
			for _, o := range seen[len(seen)-need:] {
				if down && rank(o) > rank(j.Status) || !down && rank(o) < rank(j.Status) {
					t.Fatalf("from %q to %q by %q", before, j.Status, seen)
				}
			}
		}
	})
}
