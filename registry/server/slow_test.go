package server_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cleat/registry"
)

// A consumer that does not read costs neither the others time nor the server
// memory; when it reads again it has what is true.
func TestSlowConsumer(t *testing.T) {
	// Either is far more than the outbox and the socket hold.
	t.Run("large changes", func(t *testing.T) { slowConsumer(t, 400, 1000) })
	t.Run("many changes", func(t *testing.T) { slowConsumer(t, 900, 1) })
}

// slowConsumer makes so many changes, with four attributes of that size each,
// while a consumer does not read.
func slowConsumer(t *testing.T, changes, size int) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		slow := w.join(launcher("slow").requires(web))
		fast := w.join(launcher("fast").requires(web))
		provider := w.join(launcher("p").provides("p:1", "web", registry.Passing))
		thaw := slow.freeze()
		fast.messages()
		big := strings.Repeat("x", size)
		change := func(n int) {
			provider.declare(launcher("p").provides("p:1", "web", registry.Passing, func(i *registry.Instance) {
				i.Attributes = map[string]string{"n": fmt.Sprint(n), "a": big, "b": big, "c": big, "d": big}
			}))
		}
		for n := range changes {
			change(n)
			slow.beatFrozen()
		}
		views := fast.viewed()
		if len(views) != changes {
			t.Errorf("the fast consumer got %d of %d changes", len(views), changes)
		}
		follows := make(map[registry.Revision]registry.Revision) // of each change, the one before
		for n := range views[1:] {
			follows[views[n+1].Revision] = views[n].Revision
		}
		provider.declare(launcher("p").provides("p:2", "web", registry.Passing))
		slow.messages()
		first := slow.revision(web)
		thaw()
		time.Sleep(time.Millisecond)
		messages := slow.messages()
		complete := 0
		before := first
		for _, m := range messages {
			switch {
			case m.View == nil:
				continue
			case m.View.Complete:
				complete++
			case follows[m.View.Revision] != 0 && follows[m.View.Revision] != before:
				t.Errorf("the difference %d follows %d; want a complete view where something is missing", m.View.Revision, before)
			}
			before = m.View.Revision
		}
		if len(messages) > changes-50 || complete == 0 {
			t.Errorf("the slow consumer got %d messages, %d complete views among them; want it to skip and to get a complete one", len(messages), complete)
		}
		if got := slow.view(web); got != "p:2" {
			t.Errorf("the slow consumer ends with %q", got)
		}
		// And it is current again.
		slow.messages()
		provider.declare(launcher("p").provides("p:2", "web", registry.Warning))
		if views := slow.viewed(); len(views) != 1 || views[0].Complete {
			t.Errorf("the next change came as %+v; want a difference", views)
		}
	})
}

// beatFrozen beats for a peer that does not read.
func (p *peer) beatFrozen() {
	p.beat()
	synctest.Wait()
}

// A drain still reaches a consumer whose outbox was emptied: its complete view
// says why the instance is gone, and its acknowledgement counts.
func TestSlowConsumerAndDrain(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.join(launcher("q").provides("q:1", "web", registry.Passing))
		provider := w.join(launcher("p").provides("p:1", "web", registry.Passing))
		noisy := w.join(launcher("n").provides("n:1", "web", registry.Passing))
		slow := w.join(launcher("slow").requires(web))
		slow.apply(web)
		thaw := slow.freeze()
		big := strings.Repeat("x", 1000)
		for n := range 400 {
			noisy.declare(launcher("n").provides("n:1", "web", registry.Passing, func(i *registry.Instance) {
				i.Attributes = map[string]string{"n": fmt.Sprint(n), "a": big, "b": big, "c": big, "d": big}
			}))
			if n == 200 {
				provider.messages()
				provider.drain(8*time.Second, "p:1")
			}
		}
		provider.unanswered()
		thaw()
		time.Sleep(time.Millisecond)
		said := false
		for _, v := range slow.viewed() {
			said = said || strings.Contains(whys(v), "p:1:draining")
		}
		if !said {
			t.Error("the slow consumer was never told that p:1 drains")
		}
		slow.apply(web)
		if got := provider.answered(); got.Applied != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

// Who asks and asks without reading answers is cut off.
func TestWhoDoesNotReadAnswersIsCutOff(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		p := w.join(launcher("p"))
		thaw := p.freeze()
		m := registry.ClientMessage{Applied: &registry.Applied{Filter: strings.Repeat("x", 500)}}
		for range 1000 {
			p.send(m)
		}
		synctest.Wait()
		var list registry.SessionList
		w.get("/api/v1/sessions", &list)
		if len(list.Sessions) != 0 {
			t.Error("the session is still there")
		}
		thaw()
	})
}
