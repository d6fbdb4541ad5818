package server_test

import (
	"testing"
	"time"

	"cleat/registry"
)

func TestAnIDOfALivingLauncherIsAConflict(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web, "db?ns=default"))
		old := w.join(launcher("p").provides("p:1", "web", registry.Passing))
		consumer.messages()
		begin := time.Now()
		newcomer := w.join(launcher("p").key("another").
			provides("p:1", "web", registry.Passing).provides("p:2", "db", registry.Passing).requires(web))
		var conflicts, welcomes int
		for _, m := range newcomer.messages() {
			switch {
			case m.Error != nil && m.Error.Code == registry.CodeConflict && !m.Error.Fatal && (m.Error.ID == "p" || m.Error.ID == "p:1"):
				conflicts++
			case m.Welcome != nil:
				welcomes++
			}
		}
		if conflicts != 2 || welcomes != 1 || time.Since(begin) > 0 {
			t.Errorf("%d conflicts and %d welcomes after %v; want one for the launcher's id and one for the instance's, and a welcome, at once", conflicts, welcomes, time.Since(begin))
		}
		// Its other instances and its views are served.
		if got := newcomer.view(web); got != "p:1" {
			t.Errorf("the newcomer sees %q", got)
		}
		if got := consumer.view("db?ns=default"); got != "p:2" {
			t.Errorf("the newcomer's other instance is not there: %q", got)
		}
		old.mu.Lock()
		if old.pings != 2 {
			t.Errorf("the holder got %d pings; want one for each id", old.pings)
		}
		old.mu.Unlock()
		if code, closed := old.isClosed(); closed {
			t.Errorf("the holder was closed with %d", code)
		}
		// It may try again, and has the ids once the holder has left.
		old.bye()
		time.Sleep(time.Second)
		newcomer.declare(launcher("p").key("another").provides("p:1", "web", registry.Passing).provides("p:2", "db", registry.Passing).requires(web))
		if got := newcomer.errors(); len(got) != 0 {
			t.Errorf("after the holder left: %+v", got)
		}
		if got := consumer.view(web); got != "p:1" {
			t.Errorf("the consumer sees %q", got)
		}
	})
}

func TestAnIDOfASilentLauncherChangesHands(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		old := w.dial().declare(launcher("p").provides("p:1", "web", registry.Passing))
		old.mu.Lock()
		old.mute = true
		old.mu.Unlock()
		consumer.messages()
		elsewhere := func(i *registry.Instance) { i.Address = "10.0.0.2" }
		newcomer := w.join(launcher("p").key("another").provides("p:1", "web", registry.Passing, elsewhere))
		newcomer.messages()
		time.Sleep(time.Second - time.Millisecond)
		if got := consumer.viewed(); len(got) != 0 {
			t.Errorf("the holder was not given its second: %+v", got)
		}
		time.Sleep(time.Millisecond)
		views := consumer.viewed()
		if len(views) != 1 || len(views[0].Add) != 1 || views[0].Add[0].Address != "10.0.0.2" {
			t.Errorf("got %+v; want the newcomer's endpoint in place of the old", views)
		}
		if since := newcomer.welcome().Since["p:1"]; since == 0 || since != views[0].Add[0].Since {
			t.Errorf("the newcomer is told the since %d of its new instance", since)
		}
		if got := old.errors(); len(got) != 2 || got[0].Code != registry.CodeConflict {
			t.Errorf("the holder is told %+v; want two conflicts", got)
		}
		// When the old session expires, the instance is not its own any more.
		time.Sleep(20 * time.Second)
		if got := consumer.view(web); got != "p:1" {
			t.Errorf("after the old session expired, the consumer sees %q", got)
		}
	})
}

// Who changes his mind within that second gets nothing.
func TestAClaimEndsWithTheNextDeclare(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		old := w.join(launcher("p").provides("p:1", "web", registry.Passing))
		old.mu.Lock()
		old.mute = true
		old.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
		elsewhere := func(i *registry.Instance) { i.Address = "10.0.0.2" }
		newcomer := w.join(launcher("q").provides("p:1", "web", registry.Passing, elsewhere))
		newcomer.declare(launcher("q"))
		consumer.messages()
		time.Sleep(2 * time.Second)
		if got := consumer.messages(); len(got) != 0 {
			t.Errorf("the consumer got %+v", got)
		}
	})
}

// A holder whose socket closes while it is asked has answered as well.
func TestAnIDIsFreeWhenItsHolderGoes(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		old := w.dial().declare(launcher("p").provides("p:1", "web", registry.Passing))
		old.mu.Lock()
		old.mute = true
		old.mu.Unlock()
		elsewhere := func(i *registry.Instance) { i.Address = "10.0.0.2" }
		w.join(launcher("p").key("another").provides("p:1", "web", registry.Passing, elsewhere))
		consumer.messages()
		old.conn.Reset()
		views := consumer.viewed()
		if len(views) != 1 || len(views[0].Add) != 1 || views[0].Add[0].Address != "10.0.0.2" {
			t.Errorf("got %+v; want the newcomer's endpoint at once", views)
		}
		time.Sleep(time.Second)
		if got := consumer.viewed(); len(got) != 0 {
			t.Errorf("later: %+v", got)
		}
	})
}

func TestTheSameKeyFences(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		old := w.join(launcher("p").provides("p:1", "web", registry.Passing).provides("p:2", "web", registry.Passing))
		since := old.welcome().Since
		consumer.messages()
		successor := w.join(launcher("p").provides("p:1", "web", registry.Passing).known())
		views := consumer.viewed()
		if len(views) != 1 || len(views[0].Add) != 0 || whys(views[0]) != "p:2:left" {
			t.Errorf("got %+v; want nothing but the drop of what is provided no more", views)
		}
		if got := successor.welcome().Since; len(got) != 1 || got["p:1"] != since["p:1"] {
			t.Errorf("the successor is told since %v; want the old one of p:1, %d", got, since["p:1"])
		}
		if got := old.errors(); len(got) != 1 || got[0].Code != registry.CodeFenced || !got[0].Fatal {
			t.Errorf("the predecessor is told %+v; want fenced", got)
		}
		if code, closed := old.isClosed(); !closed || code != registry.ClosePolicy {
			t.Errorf("the predecessor was closed %v with %d", closed, code)
		}
		// Its later messages are dropped, a goodbye among them.
		old.send(registry.ClientMessage{Declare: &launcher("p").provides("p:9", "web", registry.Passing).Declare})
		old.bye()
		time.Sleep(2 * time.Second)
		if got := consumer.view(web); got != "p:1" {
			t.Errorf("the consumer sees %q", got)
		}
	})
}

// A launcher that only lost its connection is back before anybody notices.
func TestReconnectWithin25msIsNoEvent(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		old := w.join(launcher("p").provides("p:1", "web", registry.Passing))
		consumer.messages()
		old.conn.Reset()
		time.Sleep(20 * time.Millisecond)
		w.join(launcher("p").provides("p:1", "web", registry.Passing).known())
		time.Sleep(time.Second)
		if got := consumer.messages(); len(got) != 0 {
			t.Errorf("the consumer got %+v", got)
		}
	})
	// Without its since, too: the launcher may never have been told.
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		w.join(launcher("p").provides("p:1", "web", registry.Passing)).conn.Reset()
		consumer.messages()
		w.join(launcher("p").provides("p:1", "web", registry.Passing))
		if got := consumer.messages(); len(got) != 0 {
			t.Errorf("the consumer got %+v", got)
		}
	})
}

// An id without a session goes to whoever declares it.
func TestAHeldIDGoesToWhoeverDeclaresIt(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, held := holdThree(t, w)
		_ = held
		newcomer := w.join(launcher("a").key("another").provides("a:1", "web", registry.Passing))
		if got := newcomer.errors(); len(got) != 0 {
			t.Errorf("got %+v", got)
		}
		views := consumer.viewed()
		if len(views) != 1 || len(views[0].Add) != 1 || views[0].Add[0].ID != "a:1" || len(views[0].Drop) != 0 {
			t.Errorf("got %+v; want a:1 anew, with a since of its own", views)
		}
	})
}

func TestIDsAreUniqueInANamespaceOnly(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.join(launcher("p").provides("p:1", "web", registry.Passing))
		other := launcher("p").key("another").provides("p:1", "web", registry.Passing)
		other.Namespace = "prod"
		if got := w.join(other).errors(); len(got) != 0 {
			t.Errorf("got %+v", got)
		}
	})
}
