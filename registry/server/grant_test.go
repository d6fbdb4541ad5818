package server_test

import (
	"strings"
	"testing"
	"time"

	"cleat/registry"
)

// tier makes n launchers a, b, c... that provide a:1, b:1, c:1... of one
// service, and a consumer.
func tier(w *world, n int) (consumer *peer, launchers []*peer) {
	consumer = w.join(launcher("consumer").requires(web))
	for i := range n {
		id := string(rune('a' + i))
		launchers = append(launchers, w.join(launcher(id).provides(id+":1", "web", registry.Passing)))
	}
	for _, p := range launchers {
		p.messages()
	}
	return consumer, launchers
}

// seen acknowledges and returns what the consumer sees, without the :1.
func (p *peer) seen() string {
	p.apply(web)
	return strings.ReplaceAll(p.view(web), ":1", "")
}

func TestATierRestartsLikeAWave(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 5)
		for i, p := range tier {
			p.restart(4*time.Second, string(rune('a'+i))+":1")
		}
		// Half of 5 is 2.5: three must stay.
		if got := consumer.seen(); got != "c d e" {
			t.Fatalf("the consumer sees %q; want c d e", got)
		}
		tier[0].answered()
		tier[1].answered()
		tier[2].unanswered()

		// a restarts; its place is free when it passes again.
		tier[0].declare(launcher("a").provides("a:1", "web", registry.Starting))
		if got := consumer.seen(); got != "c d e" {
			t.Errorf("while a starts: %q", got)
		}
		tier[0].declare(launcher("a").provides("a:1", "web", registry.Passing))
		if got := consumer.seen(); got != "a d e" {
			t.Errorf("after a is back: %q; want c granted", got)
		}
		tier[2].answered()
		// b is dropped: four are left, of which two must stay, and the place is
		// free as well.
		tier[1].bye()
		if got := consumer.seen(); got != "a e" {
			t.Errorf("after b has left: %q; want d granted, too", got)
		}
		tier[3].answered()
		tier[4].unanswered()
	})
}

func TestDropsOfARestartSayRestarting(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 3)
		consumer.messages()
		tier[0].restart(4*time.Second, "a:1")
		views := consumer.viewed()
		if len(views) != 1 || whys(views[0]) != "a:1:restarting" {
			t.Errorf("got %+v", views)
		}
		// Starting is no news then, passing is.
		consumer.apply(web)
		tier[0].declare(launcher("a").provides("a:1", "web", registry.Starting))
		if views := consumer.viewed(); len(views) != 0 {
			t.Errorf("starting after the drain: %+v", views)
		}
		tier[0].declare(launcher("a").provides("a:1", "web", registry.Passing))
		if views := consumer.viewed(); len(views) != 1 || len(views[0].Add) != 1 {
			t.Errorf("passing again: %+v", views)
		}
	})
}

func TestOneAtATimeIsAlwaysGranted(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 1)
		tier[0].restart(4*time.Second, "a:1")
		if got := consumer.seen(); got != "" {
			t.Errorf("the consumer sees %q", got)
		}
		if got := tier[0].answered(); !got.Alone {
			t.Errorf("got %+v; want alone", got)
		}
	})
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 3)
		// Two are away already; the third may restart all the same.
		tier[0].declare(launcher("a").provides("a:1", "web", registry.Critical))
		tier[1].declare(launcher("b").provides("b:1", "web", registry.Critical))
		tier[2].restart(4*time.Second, "c:1")
		consumer.seen()
		tier[2].answered()
	})
}

func TestOneThatDoesNotPassIsGrantedAtOnce(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 2)
		tier[0].restart(4*time.Second, "a:1")
		consumer.seen()
		tier[0].answered()
		tier[1].restart(4*time.Second, "b:1")
		consumer.seen()
		tier[1].unanswered()
		// b fails while it waits: it costs nobody anything.
		tier[1].declare(launcher("b").provides("b:1", "web", registry.Critical))
		consumer.seen()
		tier[1].answered()
	})
}

func TestAllIDsOfARequestAreGrantedTogether(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 4)
		tier[0].restart(4*time.Second, "a:1")
		pair := w.join(launcher("x").provides("x:1", "web", registry.Passing).provides("x:2", "web", registry.Passing))
		pair.messages()
		pair.restart(4*time.Second, "x:1", "x:2") // of six, 3 must stay: 5 - 2
		if got := consumer.seen(); got != "b c d" {
			t.Errorf("the consumer sees %q", got)
		}
		pair.answered()
		more := w.join(launcher("y").provides("y:1", "web", registry.Passing).provides("y:2", "web", registry.Passing))
		more.messages()
		more.restart(4*time.Second, "y:1", "y:2") // of eight, 4 must stay: 5 - 2
		if got := consumer.seen(); got != "b c d y y:2" {
			t.Errorf("the consumer sees %q; want both of y or none", got)
		}
		more.unanswered()
	})
}

func TestNobodyOvertakesInTheQueue(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 4)
		pair := w.join(launcher("x").provides("x:1", "web", registry.Passing).provides("x:2", "web", registry.Passing))
		pair.messages()
		// Of six, three must stay.
		tier[0].restart(4*time.Second, "a:1")
		tier[1].restart(4*time.Second, "b:1")
		pair.restart(4*time.Second, "x:1", "x:2") // there is room for one more only
		tier[2].restart(4*time.Second, "c:1")     // which is not for who comes later
		if got := consumer.seen(); got != "c d x x:2" {
			t.Errorf("the consumer sees %q", got)
		}
		tier[0].declare(launcher("a").provides("a:1", "web", registry.Passing))
		if got := consumer.seen(); got != "a c d" {
			t.Errorf("the consumer sees %q; want the pair granted, and no more", got)
		}
		pair.answered()
		tier[2].unanswered()
	})
}

func TestNobodyQueuesLongerThanFiveMinutes(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 2)
		tier[0].restart(4*time.Second, "a:1")
		consumer.seen()
		tier[1].restart(4*time.Second, "b:1")
		time.Sleep(5*time.Minute - time.Millisecond)
		if got := consumer.seen(); got != "b" {
			t.Errorf("before 5 min the consumer sees %q", got)
		}
		tier[1].unanswered()
		time.Sleep(time.Millisecond)
		if got := consumer.view(web); got != "" {
			t.Errorf("after 5 min the consumer sees %q", got)
		}
		// wait runs from the grant.
		time.Sleep(4*time.Second - time.Millisecond)
		tier[1].unanswered()
		time.Sleep(time.Millisecond)
		tier[1].answered()
	})
}

// A launcher does not know of its grant until its drain is answered, and may
// declare in between, for other reasons, that its instance passes.
func TestADeclareWhileGrantedKeepsTheInstanceHidden(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 3)
		consumer.apply(web)
		tier[0].restart(4*time.Second, "a:1")
		tag := func(i *registry.Instance) { i.Tags = []string{"new"} }
		tier[0].declare(launcher("a").provides("a:1", "web", registry.Passing, tag))
		if got := consumer.view(web); got != "b:1 c:1" {
			t.Errorf("the consumer sees %q", got)
		}
		tier[0].unanswered()
		consumer.apply(web)
		tier[0].answered()
		tier[0].declare(launcher("a").provides("a:1", "web", registry.Passing, tag))
		if got := consumer.view(web); got != "a:1 b:1 c:1" {
			t.Errorf("after the drain a launcher that changed its mind is seen as %q", got)
		}
	})
}

// A stop during a restart replaces the request.
func TestADrainReplacesAQueuedOne(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 2)
		tier[0].restart(4*time.Second, "a:1")
		consumer.seen()
		tier[1].restart(4*time.Second, "b:1")
		tier[1].unanswered()
		consumer.messages()
		tier[1].drain(4*time.Second, "b:1")
		if views := consumer.viewed(); len(views) != 1 || whys(views[0]) != "b:1:draining" {
			t.Errorf("got %+v", views)
		}
		consumer.apply(web)
		tier[1].answered()
	})
}

func TestLosingTheSessionLeavesTheQueue(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 4)
		tier[0].restart(4*time.Second, "a:1")
		tier[1].restart(4*time.Second, "b:1")
		tier[2].restart(4*time.Second, "c:1")
		tier[3].restart(4*time.Second, "d:1")
		if got := consumer.seen(); got != "c d" {
			t.Fatalf("the consumer sees %q", got)
		}
		tier[2].conn.Reset() // in the queue, before d
		time.Sleep(time.Second)
		if got := consumer.seen(); got != "d" {
			t.Errorf("the consumer sees %q", got)
		}
		tier[0].declare(launcher("a").provides("a:1", "web", registry.Passing))
		tier[1].declare(launcher("b").provides("b:1", "web", registry.Passing))
		if got := consumer.seen(); got != "a b" {
			t.Errorf("the consumer sees %q; want d granted", got)
		}
		tier[3].answered()
	})
}
