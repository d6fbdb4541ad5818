package server_test

import (
	"slices"
	"testing"
	"time"

	"cleat/registry"
	"cleat/registry/server"
)

// drainWorld is a provider of p:1 and another of q:1, and so many consumers
// that have applied what they have.
func drainWorld(t *testing.T, w *world, consumers int) (provider *peer, all []*peer) {
	t.Helper()
	provider = w.join(launcher("p").provides("p:1", "web", registry.Passing))
	w.join(launcher("q").provides("q:1", "web", registry.Passing))
	for n := range consumers {
		c := w.join(launcher("c" + string(rune('a'+n))).requires(web))
		c.apply(web)
		c.messages()
		all = append(all, c)
	}
	provider.messages()
	return provider, all
}

// answered fails unless exactly one answer to a drain has come.
func (p *peer) answered() registry.Drained {
	p.t.Helper()
	all := p.drained()
	if len(all) != 1 {
		p.t.Fatalf("%d answers to the drain came: %+v; want one", len(all), all)
	}
	return all[0]
}

func (p *peer) unanswered() {
	p.t.Helper()
	if all := p.drained(); len(all) != 0 {
		p.t.Fatalf("the drain was answered too early: %+v", all)
	}
}

func TestDrainIsAcknowledged(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		provider, consumers := drainWorld(t, w, 2)
		other := w.join(launcher("other").requires("db?ns=default"))
		other.messages()
		provider.drain(10*time.Second, "p:1")
		for _, c := range consumers {
			views := c.viewed()
			if len(views) != 1 || whys(views[0]) != "p:1:draining" {
				t.Fatalf("got %+v; want an explicit drop at once", views)
			}
		}
		if got := other.messages(); len(got) != 0 {
			t.Errorf("somebody who does not use the service got %+v", got)
		}
		time.Sleep(300 * time.Millisecond)
		provider.unanswered()
		consumers[0].apply(web)
		provider.unanswered()
		consumers[1].apply(web)
		got := provider.answered()
		if got.Applied != 2 || len(got.Pending) != 0 || got.Blind || got.Alone || !slices.Equal(got.IDs, []string{"p:1"}) {
			t.Errorf("got %+v", got)
		}
		if !w.logged("applied=2 by=\"[ca cb]\"") || !w.logged("took=300ms") {
			t.Error("the log does not say who acknowledged and how long it took")
		}
		// It stays hidden, also for those who come now.
		if got := w.join(launcher("late").requires(web)).view(web); got != "q:1" {
			t.Errorf("after the drain a newcomer sees %q", got)
		}
	})
}

func TestDrainOfAnOldRevisionDoesNotCount(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		provider, consumers := drainWorld(t, w, 1)
		before := consumers[0].revision(web)
		provider.drain(10*time.Second, "p:1")
		consumers[0].send(registry.ClientMessage{Applied: &registry.Applied{Filter: web, Revision: before}})
		provider.unanswered()
		consumers[0].apply(web)
		provider.answered()
	})
}

func TestFrozenConsumerDelaysNoLongerThanWait(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		provider, consumers := drainWorld(t, w, 2)
		thaw := consumers[1].freeze()
		begin := time.Now()
		provider.drain(4*time.Second, "p:1")
		consumers[0].apply(web)
		time.Sleep(4*time.Second - time.Millisecond)
		provider.unanswered()
		time.Sleep(time.Millisecond)
		got := provider.answered()
		if got.Applied != 1 || !slices.Equal(got.Pending, []string{"cb"}) {
			t.Errorf("got %+v after %v; want one applied, cb pending", got, time.Since(begin))
		}
		thaw()
	})
}

func TestDrainWaitsForAConsumerWhoseSocketCloses(t *testing.T) {
	t.Run("and stays away", func(t *testing.T) {
		bubble(t, cold(), func(t *testing.T, w *world) {
			provider, consumers := drainWorld(t, w, 1)
			provider.drain(10*time.Second, "p:1")
			time.Sleep(100 * time.Millisecond)
			consumers[0].conn.Reset()
			time.Sleep(999 * time.Millisecond)
			provider.unanswered()
			time.Sleep(time.Millisecond)
			if got := provider.answered(); got.Applied != 0 || len(got.Pending) != 0 {
				t.Errorf("got %+v", got)
			}
		})
	})
	t.Run("and comes back", func(t *testing.T) {
		bubble(t, cold(), func(t *testing.T, w *world) {
			provider, consumers := drainWorld(t, w, 1)
			provider.drain(10*time.Second, "p:1")
			consumers[0].conn.Reset()
			time.Sleep(500 * time.Millisecond)
			again := w.join(launcher("ca").requires(web).known())
			time.Sleep(3 * time.Second)
			provider.unanswered()
			again.apply(web)
			if got := provider.answered(); got.Applied != 1 {
				t.Errorf("got %+v", got)
			}
		})
	})
	t.Run("in the second before", func(t *testing.T) {
		bubble(t, cold(), func(t *testing.T, w *world) {
			provider, consumers := drainWorld(t, w, 1)
			consumers[0].conn.Reset()
			time.Sleep(900 * time.Millisecond)
			provider.drain(10*time.Second, "p:1")
			time.Sleep(99 * time.Millisecond)
			provider.unanswered()
			time.Sleep(time.Millisecond)
			provider.answered()
		})
	})
	t.Run("longer ago", func(t *testing.T) {
		bubble(t, cold(), func(t *testing.T, w *world) {
			provider, consumers := drainWorld(t, w, 1)
			consumers[0].conn.Reset()
			time.Sleep(time.Second)
			provider.drain(10*time.Second, "p:1")
			provider.answered()
		})
	})
	t.Run("but not once it is back", func(t *testing.T) {
		bubble(t, cold(), func(t *testing.T, w *world) {
			provider, consumers := drainWorld(t, w, 1)
			consumers[0].conn.Reset()
			again := w.join(launcher("ca").requires(web).known())
			provider.drain(10*time.Second, "p:1")
			provider.unanswered()
			again.apply(web)
			provider.answered()
		})
	})
	t.Run("nor for one that left", func(t *testing.T) {
		bubble(t, cold(), func(t *testing.T, w *world) {
			provider, consumers := drainWorld(t, w, 1)
			provider.drain(10*time.Second, "p:1")
			consumers[0].bye()
			if got := provider.answered(); got.Applied != 0 || len(got.Pending) != 0 {
				t.Errorf("got %+v", got)
			}
		})
	})
	t.Run("nor for one that needs it no more", func(t *testing.T) {
		bubble(t, cold(), func(t *testing.T, w *world) {
			provider, consumers := drainWorld(t, w, 1)
			provider.drain(10*time.Second, "p:1")
			consumers[0].declare(launcher("ca"))
			provider.answered()
		})
	})
	t.Run("whose successor fences it", func(t *testing.T) {
		bubble(t, cold(), func(t *testing.T, w *world) {
			provider, _ := drainWorld(t, w, 1)
			provider.drain(10*time.Second, "p:1")
			again := w.join(launcher("ca").requires(web).known())
			time.Sleep(2 * time.Second)
			provider.unanswered()
			again.apply(web)
			if got := provider.answered(); got.Applied != 1 {
				t.Errorf("got %+v", got)
			}
		})
	})
}

func TestDrainIsOverAtOnceWhenNobodyUsesIt(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		provider, _ := drainWorld(t, w, 0)
		provider.drain(10*time.Second, "p:1")
		provider.answered()
	})
}

// Who has applied already that an instance is hidden has nothing more to do.
func TestDrainOfWhatIsHidden(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		provider, consumers := drainWorld(t, w, 2)
		provider.declare(launcher("p").provides("p:1", "web", registry.Critical))
		consumers[0].apply(web)
		provider.drain(10*time.Second, "p:1")
		provider.unanswered() // one has not
		consumers[1].apply(web)
		if got := provider.answered(); got.Applied != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

// Its own session, and one that came after the instance was hidden, have
// nothing to apply.
func TestDrainDoesNotWaitForThoseWhoNeverSawIt(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.join(launcher("q").provides("q:1", "web", registry.Passing))
		provider := w.join(launcher("p").provides("p:1", "web", registry.Passing).requires("web?ns=default&self=true"))
		provider.declare(launcher("p").provides("p:1", "web", registry.Draining).requires("web?ns=default&self=true"))
		w.join(launcher("late").requires(web))
		provider.messages()
		provider.drain(10*time.Second, "p:1")
		provider.answered()
	})
}

func TestDrainWhileWarmingWaitsWhole(t *testing.T) {
	bubble(t, server.Config{}, func(t *testing.T, w *world) {
		provider := w.join(launcher("p").provides("p:1", "web", registry.Passing).known())
		provider.messages()
		provider.drain(4*time.Second, "p:1")
		time.Sleep(4*time.Second - time.Millisecond)
		provider.unanswered() // a consumer may not be back yet
		time.Sleep(time.Millisecond)
		provider.answered()
	})
	bubble(t, server.Config{}, func(t *testing.T, w *world) {
		provider := w.join(launcher("p").provides("p:1", "web", registry.Passing))
		provider.messages()
		provider.drain(4*time.Second, "p:1")
		provider.answered() // nobody had a server before: nobody can be missing
	})
}

// A launcher that loses its session during a drain declares draining again, and
// drains again in the time left.
func TestDrainAgainOnAnotherConnection(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		provider, consumers := drainWorld(t, w, 1)
		since := func(i *registry.Instance) { i.Since = 77 }
		provider.drain(10*time.Second, "p:1")
		consumers[0].messages()
		provider.conn.Reset()
		time.Sleep(time.Second) // dropped; drains are never held
		again := w.join(launcher("p").provides("p:1", "web", registry.Draining, since).known())
		again.messages()
		again.drain(5*time.Second, "p:1")
		again.unanswered()
		consumers[0].apply(web)
		if got := again.answered(); got.Applied != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestDrainEndsWithAnotherStatus(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		provider, consumers := drainWorld(t, w, 1)
		provider.drain(10*time.Second, "p:1")
		consumers[0].messages()
		provider.declare(launcher("p").provides("p:1", "web", registry.Draining))
		if got := consumers[0].view(web); got != "q:1" {
			t.Errorf("declared as draining, the view is %q", got)
		}
		provider.declare(launcher("p").provides("p:1", "web", registry.Passing))
		if got := consumers[0].view(web); got != "p:1 q:1" {
			t.Errorf("declared as passing, the view is %q", got)
		}
		provider.answered() // nothing is left to wait for
	})
}

func TestBlindReaders(t *testing.T) {
	read := func(w *world) {
		var detail registry.ServiceDetail
		w.get("/api/v1/services/web", &detail)
	}
	bubble(t, cold(), func(t *testing.T, w *world) {
		provider, _ := drainWorld(t, w, 0)
		read(w)
		time.Sleep(59 * time.Second)
		provider.drain(10*time.Second, "p:1")
		time.Sleep(2*time.Second - time.Millisecond)
		provider.unanswered()
		time.Sleep(time.Millisecond)
		if got := provider.answered(); !got.Blind {
			t.Errorf("got %+v; want blind", got)
		}
	})
	bubble(t, cold(), func(t *testing.T, w *world) {
		provider, _ := drainWorld(t, w, 0)
		read(w)
		time.Sleep(61 * time.Second)
		provider.drain(10*time.Second, "p:1")
		if got := provider.answered(); got.Blind {
			t.Errorf("got %+v; a reader of a minute ago is not blind", got)
		}
	})
	// The wait is the launcher's.
	bubble(t, cold(), func(t *testing.T, w *world) {
		provider, _ := drainWorld(t, w, 0)
		read(w)
		provider.drain(time.Second, "p:1")
		time.Sleep(time.Second)
		provider.answered()
	})
}

// Stopping the only instance of a service takes no longer than without cleat.
func TestDrainOfTheOnlyInstance(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		provider := w.join(launcher("p").provides("p:1", "web", registry.Passing))
		consumer := w.join(launcher("c").requires(web))
		consumer.apply(web)
		var detail registry.ServiceDetail
		w.get("/api/v1/services/web", &detail)
		provider.messages()
		provider.drain(10*time.Second, "p:1")
		provider.unanswered()
		consumer.hold(web)
		if got := provider.answered(); got.Applied != 1 || !got.Alone || got.Blind {
			t.Errorf("got %+v; want applied by one, alone, not blind", got)
		}
	})
}

func TestDrainOfWhatIsNotThere(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		provider, _ := drainWorld(t, w, 0)
		provider.drain(10*time.Second, "q:1", "p:1")
		var errors, drained int
		for _, m := range provider.messages() {
			switch {
			case m.Error != nil && m.Error.Code == registry.CodeUnknown && m.Error.ID == "q:1" && !m.Error.Fatal:
				errors++
			case m.Drained != nil:
				drained++
			}
		}
		if errors != 1 || drained != 1 {
			t.Errorf("got %d errors about q:1 and %d answers; want one of each", errors, drained)
		}
		if got := w.join(launcher("c").requires(web)).view(web); got != "q:1" {
			t.Errorf("the view is %q; somebody else's instance must stay", got)
		}
	})
}

func TestDrainOfSeveralServices(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.join(launcher("q").provides("q:1", "web", registry.Passing))
		provider := w.join(launcher("p").provides("p:1", "web", registry.Passing).provides("p:2", "admin", registry.Passing))
		both := w.join(launcher("c").requires(web, "admin?ns=default"))
		both.apply(web)
		both.apply("admin?ns=default")
		provider.messages()
		provider.drain(10*time.Second, "p:1", "p:2")
		both.apply(web)
		provider.unanswered()
		both.apply("admin?ns=default")
		if got := provider.answered(); got.Applied != 1 || got.Alone {
			t.Errorf("got %+v; want one session applied, not alone", got)
		}
	})
}
