package client

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"cleat/registry"
)

// Random histories of a view, merged into one event: the view is the last one,
// nothing that came is missing, and nothing that went is told without its last
// cause.
func TestMergedViews(t *testing.T) {
	causes := []registry.Why{registry.WhyDraining, registry.WhyLost, registry.WhyRestarting, registry.WhyLeft}
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 1))
		first := registry.View{}.Apply(registry.ViewMessage{Revision: 1, Complete: true, Add: some(random)})
		last, merged := first, Viewed{}
		why := make(map[string]registry.Why)
		came := make(map[string]bool)
		for n := range 6 {
			m := registry.ViewMessage{Filter: "f", Revision: registry.Revision(2 + n), Complete: random.IntN(4) == 0, Add: some(random)}
			for id := range 5 {
				if random.IntN(4) == 0 && !slices.ContainsFunc(m.Add, func(e registry.Endpoint) bool { return e.ID == fmt.Sprint(id) }) {
					m.Drop = append(m.Drop, registry.Drop{ID: fmt.Sprint(id), Why: causes[random.IntN(len(causes))]})
				}
			}
			for _, d := range m.Drop {
				why[d.ID] = d.Why
			}
			for _, e := range m.Add {
				came[e.ID] = true
				delete(why, e.ID) // it is back
			}
			last = last.Apply(m)
			event := Viewed{View: last, Message: m}
			if n == 0 {
				merged = event
			} else {
				merged = mergeViews(merged, event)
			}
		}
		if !merged.View.Equal(last) || merged.Message.Revision != last.Revision || merged.Message.Filter != "f" {
			t.Fatalf("seed %d: the view is %+v, want %+v", seed, merged.View, last)
		}
		if again := first.Apply(merged.Message); !again.Equal(last) {
			t.Fatalf("seed %d: the message %+v makes %+v of %+v, want %+v", seed, merged.Message, again, first, last)
		}
		for _, d := range merged.Message.Drop {
			if why[d.ID] != d.Why {
				t.Fatalf("seed %d: the cause of %s is %s, want %s", seed, d.ID, d.Why, why[d.ID])
			}
			delete(why, d.ID)
		}
		for _, e := range last.Endpoints {
			if came[e.ID] && !slices.ContainsFunc(merged.Message.Add, e.Equal) {
				t.Fatalf("seed %d: %s came, and the event does not say so", seed, e.ID)
			}
		}
		if len(why) > 0 {
			t.Fatalf("seed %d: nobody says that %v went", seed, why)
		}
	}
}

func some(random *rand.Rand) (list []registry.Endpoint) {
	for id := range 5 {
		if random.IntN(3) == 0 {
			list = append(list, registry.Endpoint{ID: fmt.Sprint(id), Address: fmt.Sprint("host", id), Port: uint16(1 + random.IntN(3))})
		}
	}
	return list
}

// Views are not merged over the end of a connection, nor with those of other
// filters.
func TestMergeKeepsTheOrder(t *testing.T) {
	viewed := func(filter string, revision registry.Revision) Viewed {
		return Viewed{View: registry.View{Revision: revision}, Message: registry.ViewMessage{Filter: filter, Revision: revision}}
	}
	waiting := []Event{viewed("a", 1), Disconnected{}, Connected{}, viewed("b", 2), Drained{}}
	if merge(waiting, viewed("a", 3)) {
		t.Error("a view of a new connection is told before the connection")
	}
	if merge(waiting, Commanded{}) {
		t.Error("an event that is no view was merged")
	}
	if !merge(waiting, viewed("b", 4)) || waiting[3].(Viewed).View.Revision != 4 || len(waiting) != 5 {
		t.Errorf("got %+v", waiting)
	}
}
