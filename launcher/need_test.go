package launcher

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cleat/launcher/settings"
	"cleat/registry"
	"cleat/templates"
)

// story is what happens to one need, told in a test step by step.
type story struct {
	t        *testing.T
	need     *need
	consumer consumer
	now      time.Time
	revision registry.Revision
	drained  bool      // by the last view
	standing standing  // after the last step
	again    time.Time // after the last step
}

// dawn is when every story begins.
var dawn = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func tell(t *testing.T, r settings.Requirement) *story {
	if r.Min == 0 {
		r.Min = 1
	}
	if r.OnLoss == "" {
		r.OnLoss = settings.Hold
	}
	s := &story{t: t, need: &need{Requirement: r}, now: dawn, revision: 1}
	s.consumer = consumer{id: "web-9", zone: "near", own: map[string]bool{}, began: s.now}
	s.judge()
	return s
}

func (s *story) judge() {
	s.standing, s.again = s.need.judge(s.consumer, s.now)
}

func (s *story) after(d time.Duration) *story {
	s.now = s.now.Add(d)
	s.judge()
	return s
}

// lists: the server's list is this one; what is missing from the last one was
// dropped because of why.
func (s *story) lists(why registry.Why, endpoints ...registry.Endpoint) *story {
	return s.message(why, false, endpoints)
}

func (s *story) warming(why registry.Why, endpoints ...registry.Endpoint) *story {
	return s.message(why, true, endpoints)
}

func (s *story) message(why registry.Why, warming bool, endpoints []registry.Endpoint) *story {
	s.t.Helper()
	s.revision++
	m := registry.ViewMessage{Revision: s.revision, Warming: warming, Complete: !s.need.view.Known()}
	for _, e := range s.need.view.Endpoints {
		if !slices.ContainsFunc(endpoints, e.Equal) {
			m.Drop = append(m.Drop, registry.Drop{ID: e.ID, Why: why})
		}
	}
	for _, e := range endpoints {
		if !slices.ContainsFunc(s.need.view.Endpoints, e.Equal) {
			m.Add = append(m.Add, e)
			m.Drop = slices.DeleteFunc(m.Drop, func(d registry.Drop) bool { return d.ID == e.ID })
		}
	}
	s.consumer.answered = true
	s.drained = s.need.viewed(s.need.view.Apply(m), m, s.now)
	s.judge()
	return s
}

// is checks how the need stands and what files and the child see.
func (s *story) is(want standing, files, child string) *story {
	s.t.Helper()
	if s.standing != want {
		s.t.Errorf("at %v: standing %d, expected %d", s.now.Sub(dawn), s.standing, want)
	}
	if got := seen(s.need.templateView(s.need.files, s.consumer), s.need.files.held); got != files {
		s.t.Errorf("at %v: files see %s, expected %s", s.now.Sub(dawn), got, files)
	}
	if got := seen(s.need.templateView(s.need.child, s.consumer), s.need.child.held); got != child {
		s.t.Errorf("at %v: the child sees %s, expected %s", s.now.Sub(dawn), got, child)
	}
	return s
}

// both is is when files and the child see the same.
func (s *story) both(want standing, view string) *story {
	s.t.Helper()
	return s.is(want, view, view)
}

// seen writes a view as "e1 [e2] e3 held": e2 is the chosen one.
func seen(v templates.View, held bool) string {
	var words []string
	for i := range v.Endpoints {
		id := v.Endpoints[i].ID
		if v.Chosen == &v.Endpoints[i] {
			id = "[" + id + "]"
		}
		words = append(words, id)
	}
	if v.Chosen != nil && !slices.ContainsFunc(words, func(w string) bool { return w == "["+v.Chosen.ID+"]" }) {
		words = append(words, "chosen outside: "+v.Chosen.ID)
	}
	if len(words) == 0 {
		words = append(words, "nothing")
	}
	if held {
		words = append(words, "held")
	}
	return strings.Join(words, " ")
}

var (
	// web-9 likes c best, then a, then b; a test below keeps that true.
	epA = at("a", "10.0.0.1", 1)
	epB = at("b", "10.0.0.2", 2)
	epC = at("c", "10.0.0.3", 3)
)

func TestTheStoriesKnowTheOrderOfPreference(t *testing.T) {
	for want, of := range map[string][]registry.Endpoint{"c": {epA, epB, epC}, "a": {epA, epB}} {
		if e, _ := preferred("web-9", of); e.ID != want {
			t.Errorf("web-9 prefers %s of %v; the tests of this file expect %s", e.ID, idsOf(of), want)
		}
	}
}

func TestUnmetUntilMin(t *testing.T) {
	s := tell(t, settings.Requirement{Min: 2})
	s.both(unmet, "nothing")
	s.after(time.Hour).both(unmet, "nothing")
	s.lists("").both(unmet, "nothing")
	s.lists("", epA).both(unmet, "nothing")
	s.lists("", epA, epB).both(met, "[a] b")
}

func TestChosenIsKept(t *testing.T) {
	s := tell(t, settings.Requirement{})
	s.lists("", epB).both(met, "[b]")
	s.lists("", epA, epB, epC).both(met, "a [b] c")
	s.lists(registry.WhyLeft, epB, epC).both(met, "[b] c")
	s.lists(registry.WhyLeft, epA, epC).both(met, "a [c]")
	s.lists("", epA, epB, epC).both(met, "a b [c]")
}

func TestHold(t *testing.T) {
	s := tell(t, settings.Requirement{Min: 2})
	s.lists("", epA, epB).both(met, "[a] b")
	s.lists(registry.WhyLost, epB).both(kept, "a [b] held") // the chosen one is one that is listed
	s.lists(registry.WhyLost).both(kept, "a [b] held")
	s.lists("", epC).both(kept, "a b [c] held") // joined by what is listed
	s.lists(registry.WhyLost).both(kept, "[a] b held")
	s.after(time.Hour).both(kept, "[a] b held")
	s.lists("", epB, epC).both(met, "b [c]") // the server's word again
}

func TestHeldOnesAreReplacedByTheirSuccessors(t *testing.T) {
	s := tell(t, settings.Requirement{Min: 2})
	s.lists("", epA, epB)
	sameAddress := at("d", "10.0.0.1", 9)
	s.lists(registry.WhyLost, sameAddress).both(kept, "b [d] held")
	sameID := at("b", "10.0.0.9", 2)
	s.lists(registry.WhyLost, sameID)
	if got := s.need.files.endpoints; len(got) != 2 || !slices.ContainsFunc(got, sameID.Equal) {
		t.Errorf("holds %v, expected b at its new address beside a", got)
	}
}

func TestHeldIsNoReasonForAFirstStart(t *testing.T) {
	// The standing kept lets a child that runs go on; a first start needs met.
	s := tell(t, settings.Requirement{})
	s.lists("", epA).both(met, "[a]")
	s.lists(registry.WhyLost).both(kept, "[a] held")
	s = tell(t, settings.Requirement{OnLoss: settings.Empty})
	s.lists("", epA)
	s.lists(registry.WhyLost).both(kept, "nothing")
}

func TestEmptyIsPassedOn(t *testing.T) {
	s := tell(t, settings.Requirement{Min: 2, OnLoss: settings.Empty})
	s.lists("", epA).both(unmet, "nothing") // not before it has been met
	s.lists("", epA, epB).both(met, "[a] b")
	s.lists(registry.WhyLost, epB).both(kept, "[b]")
	s.lists(registry.WhyLost).both(kept, "nothing")
	s.lists("", epC).both(kept, "[c]")
}

func TestStop(t *testing.T) {
	s := tell(t, settings.Requirement{OnLoss: settings.Stop})
	s.both(unmet, "nothing")
	s.lists("", epA).both(met, "[a]")
	s.lists(registry.WhyDraining)
	if s.standing != lost {
		t.Errorf("standing %d, expected lost", s.standing)
	}
	s.need.reached = false // the child was stopped: the launcher waits as at first start
	s.judge()
	if s.standing != unmet {
		t.Errorf("standing %d, expected unmet", s.standing)
	}
	s.lists("", epB).both(met, "[b]")
}

func TestOptional(t *testing.T) {
	t.Run("waits a second for the first answer", func(t *testing.T) {
		s := tell(t, settings.Requirement{Optional: true})
		if s.both(unmet, "nothing"); s.again != dawn.Add(optionalWait) {
			t.Errorf("wants to be asked again at %v, expected %v", s.again, dawn.Add(optionalWait))
		}
		s.after(optionalWait-1).both(unmet, "nothing")
		s.after(1).both(met, "nothing")
	})
	t.Run("starts with what is known", func(t *testing.T) {
		s := tell(t, settings.Requirement{Optional: true, Min: 2})
		s.lists("", epA).both(met, "[a]")
	})
	t.Run("never reached is passed on as it is", func(t *testing.T) {
		s := tell(t, settings.Requirement{Optional: true, Min: 2, OnLoss: settings.Stop})
		s.lists("", epA).both(met, "[a]")
		s.lists(registry.WhyLost).both(met, "nothing")
		s.lists("", epB).both(met, "[b]")
	})
	t.Run("on-loss decides once it has been reached", func(t *testing.T) {
		s := tell(t, settings.Requirement{Optional: true, Min: 2})
		s.lists("", epA, epB)
		s.lists(registry.WhyLost, epB).both(met, "a [b] held")
	})
}

func TestFallback(t *testing.T) {
	fallback := []registry.Endpoint{at("10.9.9.9:80", "10.9.9.9", 0)}
	t.Run("without an answer for 5 seconds", func(t *testing.T) {
		s := tell(t, settings.Requirement{Fallback: fallback})
		s.after(fallbackWait-1).both(unmet, "nothing")
		if want := dawn.Add(fallbackWait); s.again != want {
			t.Errorf("wants to be asked again at %v, expected %v", s.again, want)
		}
		s.after(1).both(met, "[10.9.9.9:80]")
		s.lists("", epA).both(met, "[a]")
	})
	t.Run("an optional one waits a second", func(t *testing.T) {
		s := tell(t, settings.Requirement{Fallback: fallback, Optional: true})
		s.after(optionalWait-1).both(unmet, "nothing")
		s.after(1).both(met, "[10.9.9.9:80]")
	})
	t.Run("under min, in place of hold", func(t *testing.T) {
		s := tell(t, settings.Requirement{Fallback: fallback, Min: 2})
		s.lists("", epA).both(met, "[10.9.9.9:80]")
		s.lists("", epA, epB).both(met, "[a] b")
		s.lists(registry.WhyLost, epB).both(met, "[10.9.9.9:80]")
	})
	t.Run("not while the server answers and warms up", func(t *testing.T) {
		s := tell(t, settings.Requirement{Fallback: fallback})
		s.warming("").both(unmet, "nothing")
		s.after(time.Hour).both(unmet, "nothing")
		s.lists("").both(met, "[10.9.9.9:80]")
	})
	t.Run("stays while the server warms up", func(t *testing.T) {
		for _, optional := range []bool{false, true} {
			s := tell(t, settings.Requirement{Fallback: fallback, Min: 2, Optional: optional})
			s.after(fallbackWait)
			want := kept
			if optional {
				want = met
			}
			s.warming("").both(want, "[10.9.9.9:80]")
			s.warming("", epA).both(want, "[10.9.9.9:80]")
			s.warming("", epA, epB).both(met, "[a] b") // what is there counts
		}
	})
	t.Run("is not used instead of what was there before warming", func(t *testing.T) {
		s := tell(t, settings.Requirement{Fallback: fallback})
		s.lists("", epA)
		s.warming(registry.WhyLost).both(kept, "[a] held")
	})
}

func TestWarmingConcludesNothing(t *testing.T) {
	for _, onLoss := range []settings.OnLoss{settings.Hold, settings.Empty, settings.Stop} {
		t.Run(string(onLoss), func(t *testing.T) {
			s := tell(t, settings.Requirement{Min: 2, OnLoss: onLoss})
			s.lists("", epA, epB).both(met, "[a] b")
			// An empty complete view: nothing is missing yet.
			s.need.viewed(s.need.view.Apply(registry.ViewMessage{Revision: 50, Complete: true, Warming: true}),
				registry.ViewMessage{Revision: 50, Complete: true, Warming: true}, s.now)
			s.after(0).both(met, "[a] b")
			// An explicit drop brings it under min, and on-loss is not asked.
			s.revision = 50
			s.warming(registry.WhyDraining, epB).both(kept, "a [b] held")
			s.after(time.Minute).both(kept, "a [b] held")
		})
	}
	t.Run("what is there counts", func(t *testing.T) {
		s := tell(t, settings.Requirement{})
		s.warming("", epA).both(met, "[a]")
	})
	t.Run("too few are no reason to start", func(t *testing.T) {
		s := tell(t, settings.Requirement{Min: 2})
		s.warming("", epA).both(unmet, "nothing")
	})
}

func TestGhosts(t *testing.T) {
	t.Run("count as there for a minute in what only a restart could change", func(t *testing.T) {
		s := tell(t, settings.Requirement{})
		s.lists("", epA, epB).both(met, "[a] b")
		s.lists(registry.WhyRestarting, epB).is(met, "[b]", "[a] b")
		if !s.need.child.has(epA.Addr()) {
			t.Error("the endpoint has left, although it only restarts")
		}
		if want := dawn.Add(ghostTime); s.again != want {
			t.Errorf("wants to be asked again at %v, expected %v", s.again, want)
		}
		s.after(ghostTime-1).is(met, "[b]", "[a] b")
		s.after(1).both(met, "[b]")
		if s.need.child.has(epA.Addr()) {
			t.Error("the endpoint is still there after its minute")
		}
		if !s.again.IsZero() {
			t.Errorf("wants to be asked again at %v, expected never", s.again)
		}
	})
	t.Run("are over when their address is back", func(t *testing.T) {
		s := tell(t, settings.Requirement{})
		s.lists("", epA, epB)
		s.lists(registry.WhyRestarting, epB)
		s.after(time.Second).lists("", epA, epB).is(met, "a [b]", "[a] b")
		s.lists(registry.WhyLost, epB).both(met, "[b]")
	})
	t.Run("are over when their id is back elsewhere", func(t *testing.T) {
		s := tell(t, settings.Requirement{})
		s.lists("", epA, epB)
		s.lists(registry.WhyRestarting, epB)
		moved := at("a", "10.0.0.77", 1)
		s.lists("", moved, epB)
		if s.need.child.has(epA.Addr()) || !s.need.child.has(moved.Addr()) {
			t.Errorf("the child sees %v, expected a at its new address", s.need.child.endpoints)
		}
	})
	for _, why := range []registry.Why{registry.WhyDraining, registry.WhyLost, registry.WhyLeft, registry.WhyCritical, registry.WhyMaintenance} {
		t.Run("not for "+string(why), func(t *testing.T) {
			s := tell(t, settings.Requirement{})
			s.lists("", epA, epB)
			s.lists(why, epB).both(met, "[b]")
		})
	}
	t.Run("with hold", func(t *testing.T) {
		s := tell(t, settings.Requirement{})
		s.lists("", epA)
		s.lists(registry.WhyRestarting).is(kept, "[a] held", "[a] held")
		s.after(ghostTime).is(kept, "[a] held", "[a] held")
		s.lists("", epA).both(met, "[a]")
	})
	t.Run("with empty", func(t *testing.T) {
		s := tell(t, settings.Requirement{OnLoss: settings.Empty})
		s.lists("", epA)
		s.lists(registry.WhyRestarting).is(kept, "nothing", "[a]")
		s.after(ghostTime).both(kept, "nothing")
	})
}

func TestDrainsHurry(t *testing.T) {
	for why, want := range map[registry.Why]bool{
		registry.WhyDraining: true, registry.WhyRestarting: true,
		registry.WhyLost: false, registry.WhyLeft: false, registry.WhyCritical: false, registry.WhyMaintenance: false,
	} {
		s := tell(t, settings.Requirement{})
		s.lists("", epA, epB)
		if s.lists(why, epB); s.drained != want {
			t.Errorf("a drop as %s: somebody waits for it: %v, expected %v", why, s.drained, want)
		}
	}
}

// in returns the endpoint in a zone.
func in(zone string, e registry.Endpoint) registry.Endpoint {
	e.Zone = zone
	return e
}

func TestPreferZone(t *testing.T) {
	nearA, farB, farC := in("near", epA), in("far", epB), in("far", epC)
	s := tell(t, settings.Requirement{PreferZone: true})
	s.lists("", farB, farC).both(met, "b [c]")
	s.lists("", nearA, farB, farC).both(met, "[a]")
	s.lists(registry.WhyLost, farB, farC).both(met, "b [c]")

	t.Run("min counts the server's view", func(t *testing.T) {
		s := tell(t, settings.Requirement{PreferZone: true, Min: 3})
		s.lists("", nearA, farB, farC).both(met, "[a]")
	})
	t.Run("a held view has a chosen endpoint", func(t *testing.T) {
		s := tell(t, settings.Requirement{PreferZone: true, Min: 2})
		s.lists("", nearA, farB).both(met, "[a]")
		s.lists(registry.WhyLost, farB).both(kept, "a [b] held")
		s.lists(registry.WhyLost).both(kept, "[a] held")
	})
	t.Run("without a zone of one's own", func(t *testing.T) {
		s := tell(t, settings.Requirement{PreferZone: true})
		s.consumer.zone = ""
		s.lists("", nearA, farB).both(met, "[a] b")
	})
}

func TestLimitKeepsTheChosenOne(t *testing.T) {
	s := tell(t, settings.Requirement{Limit: 1})
	s.lists("", epB).both(met, "[b]")
	s.lists("", epA, epB, epC).both(met, "[b]")
	s.lists(registry.WhyLost, epA, epC).both(met, "[c]")
	if !s.need.child.has(epA.Addr()) {
		t.Error("an endpoint beyond the limit counts as having left the view")
	}
	t.Run("min counts the server's view", func(t *testing.T) {
		s := tell(t, settings.Requirement{Limit: 1, Min: 2})
		s.lists("", epA, epB).both(met, "[a]")
		s.lists(registry.WhyLost, epB).both(kept, "[b] held")
	})
}

// node returns an instance of the own service.
func node(id string, since registry.Revision, status registry.Status) registry.Endpoint {
	e := at(id, "10.0.1."+id[1:], since)
	e.Status = status
	return e
}

func TestSelf(t *testing.T) {
	self := settings.Requirement{Self: true, Alias: "ring"}
	mine := func(t *testing.T, id string) *story {
		s := tell(t, self)
		s.consumer.own[id] = true
		return s
	}
	starting := []registry.Endpoint{
		node("n1", 1, registry.Starting), node("n2", 2, registry.Starting), node("n3", 3, registry.Starting),
	}

	t.Run("three nodes agree on one", func(t *testing.T) {
		founders := 0
		for _, id := range []string{"n1", "n2", "n3"} {
			s := mine(t, id)
			s.lists("", starting...)
			if s.standing == met {
				founders++
				if id != "n1" {
					t.Errorf("%s founds, expected the oldest, n1", id)
				}
			}
			if first := s.need.templateView(s.need.files, s.consumer).First; first == nil || first.ID != "n1" {
				t.Errorf("for %s the first is %v, expected n1", id, first)
			}
		}
		if founders != 1 {
			t.Errorf("%d nodes found, expected 1", founders)
		}
	})
	t.Run("the others join once the first serves", func(t *testing.T) {
		s := mine(t, "n2")
		s.lists("", starting...).both(unmet, "n1 [n3]")
		s.lists("", node("n1", 1, registry.Passing), starting[1], starting[2]).both(met, "n1 [n3]")
	})
	t.Run("a warning serves too", func(t *testing.T) {
		s := mine(t, "n3")
		s.lists("", starting[0], node("n2", 2, registry.Warning), starting[2])
		if first := s.need.templateView(s.need.files, s.consumer).First; s.standing != met || first.ID != "n2" {
			t.Errorf("standing %d with %v as the first, expected met with n2", s.standing, first)
		}
	})
	t.Run("nobody is first for lack of others while the server warms up", func(t *testing.T) {
		s := mine(t, "n1")
		s.warming("", starting[0]).both(unmet, "nothing")
		s.after(time.Hour).both(unmet, "nothing")
		s.lists("", starting[0]).both(met, "nothing")
	})
	t.Run("a founder that comes back joins", func(t *testing.T) {
		s := mine(t, "n1")
		s.lists("", node("n1", 1, registry.Starting), node("n2", 2, registry.Passing))
		if first := s.need.templateView(s.need.files, s.consumer).First; s.standing != met || first.ID != "n2" {
			t.Errorf("standing %d with %v as the first, expected met with n2", s.standing, first)
		}
	})
	t.Run("critical ones are there, and found only when nobody else is", func(t *testing.T) {
		s := mine(t, "n2")
		s.lists("", node("n1", 1, registry.Critical), node("n2", 2, registry.Starting)).both(unmet, "[n1]")
	})
	t.Run("this one is left out of the list, not of first", func(t *testing.T) {
		s := mine(t, "n1")
		s.lists("", node("n1", 1, registry.Passing)).both(met, "nothing")
		v := s.need.templateView(s.need.files, s.consumer)
		if v.First == nil || v.First.ID != "n1" || v.Chosen != nil {
			t.Errorf("first %v, chosen %v; expected n1 and none", v.First, v.Chosen)
		}
	})
	t.Run("without an answer", func(t *testing.T) {
		s := mine(t, "n1")
		s.after(time.Hour).both(unmet, "nothing")
	})
}

func TestFirstIsTheOldest(t *testing.T) {
	s := tell(t, settings.Requirement{})
	s.lists("", epB, epC)
	if v := s.need.templateView(s.need.files, s.consumer); v.First == nil || v.First.ID != "b" || v.Chosen.ID != "c" {
		t.Errorf("first %v, chosen %v; expected b and c", v.First, v.Chosen)
	}
}

func TestTemplatesSeeEveryField(t *testing.T) {
	e := registry.Endpoint{ID: "a", Address: "fd00::1", Port: 3306, Zone: "near", Tags: []string{"primary"}, Attributes: map[string]string{"role": "rw"}, Since: 1, Status: registry.Passing}
	s := tell(t, settings.Requirement{})
	s.lists("", e)
	got := fmt.Sprintf("%+v", s.need.templateView(s.need.files, s.consumer).Endpoints)
	if want := "[{ID:a Host:fd00::1 Port:3306 Zone:near Tags:[primary] Attr:map[role:rw]}]"; got != want {
		t.Errorf("templates see %s, expected %s", got, want)
	}
}

func TestUnionOfLargeListsIsCheap(t *testing.T) {
	listed, good := instancesOf(20_000), instancesOf(20_001)
	if got := len(union(listed, good)); got != 20_001 {
		t.Errorf("the union has %d endpoints, expected 20001", got)
	}
}
