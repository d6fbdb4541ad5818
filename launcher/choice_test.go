package launcher

import (
	"fmt"
	"slices"
	"testing"

	"cleat/registry"
)

// instancesOf returns n endpoints: e0 is the oldest, at 10.1.0.0:80.
func instancesOf(n int) []registry.Endpoint {
	all := make([]registry.Endpoint, 0, n)
	for i := range n {
		all = append(all, at(fmt.Sprintf("e%d", i), fmt.Sprintf("10.1.%d.%d", i/256, i%256), registry.Revision(i+1)))
	}
	return all
}

// at returns a passing endpoint on port 80.
func at(id, address string, since registry.Revision) registry.Endpoint {
	return registry.Endpoint{ID: id, Address: address, Port: 80, Protocol: registry.TCP, Status: registry.Passing, Since: since}
}

func idsOf(endpoints []registry.Endpoint) []string {
	ids := []string{}
	for _, e := range endpoints {
		ids = append(ids, e.ID)
	}
	return ids
}

const manyConsumers = 10_000

func TestConsumersSpread(t *testing.T) {
	const n = 10
	endpoints := instancesOf(n)
	chosen := make(map[string]int)
	for c := range manyConsumers {
		e, found := preferred(fmt.Sprintf("consumer-%d", c), endpoints)
		if !found {
			t.Fatal("nothing was chosen")
		}
		chosen[e.ID]++
	}
	// The share of one endpoint is binomial: 1,000 with a deviation of 30.
	const fair, tolerance = manyConsumers / n, 150
	for _, e := range endpoints {
		if got := chosen[e.ID]; got < fair-tolerance || got > fair+tolerance {
			t.Errorf("%s was chosen by %d of %d consumers, expected about %d", e.ID, got, manyConsumers, fair)
		}
	}
}

func TestOneMoreEndpointMovesOnlyItsShare(t *testing.T) {
	const n = 9
	before, after := instancesOf(n), instancesOf(n+1)
	added := after[n].ID
	moved := 0
	for c := range manyConsumers {
		consumer := fmt.Sprintf("consumer-%d", c)
		was, _ := preferred(consumer, before)
		is, _ := preferred(consumer, after)
		if was.ID == is.ID {
			continue
		}
		moved++
		if is.ID != added {
			t.Fatalf("%s moved from %s to %s, although only %s is new", consumer, was.ID, is.ID, added)
		}
	}
	const share, tolerance = manyConsumers / (n + 1), 150
	if moved < share-tolerance || moved > share+tolerance {
		t.Errorf("%d of %d consumers moved, expected about %d", moved, manyConsumers, share)
	}
}

func TestPreferredDoesNotDependOnOrder(t *testing.T) {
	endpoints := instancesOf(20)
	want, _ := preferred("web-1", endpoints)
	slices.Reverse(endpoints)
	if got, _ := preferred("web-1", endpoints); got.ID != want.ID {
		t.Errorf("chose %s, and %s of the same endpoints in another order", want.ID, got.ID)
	}
	if _, found := preferred("web-1", nil); found {
		t.Error("chose one of none")
	}
}

func TestLimited(t *testing.T) {
	endpoints := instancesOf(20)
	best, _ := preferred("web-1", endpoints)
	for _, n := range []int{0, 20, 21} {
		if got := limited("web-1", endpoints, n, ""); !slices.Equal(idsOf(got), idsOf(endpoints)) {
			t.Errorf("limit %d of 20 gives %v", n, idsOf(got))
		}
	}
	one := limited("web-1", endpoints, 1, "")
	if !slices.Equal(idsOf(one), []string{best.ID}) {
		t.Errorf("limit 1 gives %v, expected what is chosen, %s", idsOf(one), best.ID)
	}
	five := limited("web-1", endpoints, 5, "")
	if len(five) != 5 || !slices.IsSortedFunc(five, registry.Endpoint.Compare) || !slices.Contains(idsOf(five), best.ID) {
		t.Errorf("limit 5 gives %v, expected 5 in order with %s", idsOf(five), best.ID)
	}
	worst := slices.IndexFunc(endpoints, func(e registry.Endpoint) bool {
		return !slices.Contains(idsOf(limited("web-1", endpoints, 19, "")), e.ID)
	})
	kept := limited("web-1", endpoints, 5, endpoints[worst].ID)
	if len(kept) != 5 || !slices.Contains(idsOf(kept), endpoints[worst].ID) {
		t.Errorf("limit 5 gives %v without %s, which was to be kept", idsOf(kept), endpoints[worst].ID)
	}
	if !slices.Equal(idsOf(endpoints), idsOf(instancesOf(20))) {
		t.Error("the list itself has changed")
	}
}

func TestLimitSpreadsAndMovesLittle(t *testing.T) {
	const n, limit, consumers = 10, 3, 3000
	before, after := instancesOf(n), instancesOf(n+1)
	added := after[n].ID
	used := make(map[string]int)
	for c := range consumers {
		consumer := fmt.Sprintf("consumer-%d", c)
		was, is := idsOf(limited(consumer, before, limit, "")), idsOf(limited(consumer, after, limit, ""))
		for _, id := range was {
			used[id]++
		}
		left := slices.DeleteFunc(slices.Clone(was), func(id string) bool { return slices.Contains(is, id) })
		switch came := slices.Contains(is, added); {
		case came && len(left) != 1, !came && len(left) != 0:
			t.Fatalf("%s had %v and has %v", consumer, was, is)
		}
	}
	const fair, tolerance = consumers * limit / n, 125
	for _, e := range before {
		if got := used[e.ID]; got < fair-tolerance || got > fair+tolerance {
			t.Errorf("%s is used by %d consumers, expected about %d", e.ID, got, fair)
		}
	}
}

func TestLimitKeepsTheOrderThatWasGiven(t *testing.T) {
	// A fallback has no ages: its order is the user's.
	fallback := []registry.Endpoint{at("z:80", "z", 0), at("a:80", "a", 0), at("m:80", "m", 0)}
	got := idsOf(limited("web-1", fallback, 2, ""))
	all := idsOf(fallback)
	if len(got) != 2 || slices.Index(all, got[0]) > slices.Index(all, got[1]) {
		t.Errorf("limit 2 of %v gives %v, in another order", all, got)
	}
}
