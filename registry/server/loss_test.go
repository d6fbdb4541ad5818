package server_test

import (
	"fmt"
	"testing"
	"time"

	"cleat/registry"
	"cleat/registry/server"
)

// holdThree makes a, b and c, which provide web, lose their sessions at once,
// so that self-preservation holds what they provide.
func holdThree(t *testing.T, w *world) (consumer *peer, launchers []*peer) {
	t.Helper()
	consumer, launchers = tier(w, 3)
	consumer.messages()
	for _, p := range launchers {
		p.conn.Reset()
	}
	time.Sleep(time.Second)
	if got := consumer.messages(); len(got) != 0 {
		t.Fatalf("three of four sessions lost at once, and the consumer got %+v", got)
	}
	return consumer, launchers
}

func TestSilence(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		silent := w.dial().declare(launcher("p").provides("p:1", "web", registry.Passing))
		w.join(launcher("q").provides("q:1", "web", registry.Passing))
		consumer.messages()
		time.Sleep(5 * time.Second)
		silent.beat()
		time.Sleep(5 * time.Second)
		silent.send(registry.ClientMessage{Report: &registry.Report{State: "running"}}) // any message is a beat
		time.Sleep(9*time.Second - time.Millisecond)
		if got := consumer.messages(); len(got) != 0 {
			t.Fatalf("too early: %+v", got)
		}
		time.Sleep(2 * time.Second) // the next look at all sessions, and the gathering
		views := consumer.viewed()
		if len(views) != 1 || whys(views[0]) != "p:1:lost" {
			t.Errorf("got %+v; want p:1 dropped as lost", views)
		}
		if _, closed := silent.isClosed(); !closed {
			t.Error("the silent session's connection is still open")
		}
		if !w.logged("silent for 9s") {
			t.Error("the log does not say why")
		}
		silent.mu.Lock()
		defer silent.mu.Unlock()
		if silent.pongs != 1 {
			t.Errorf("a ping was answered %d times", silent.pongs)
		}
	})
}

func TestSelfPreservation(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, _ := holdThree(t, w)
		var detail registry.ServiceDetail
		w.get("/api/v1/services/web", &detail)
		for _, i := range detail.Instances {
			if !i.Held || i.Status != registry.Passing {
				t.Errorf("%s is shown as %+v; want it held and passing", i.ID, i)
			}
		}
		var list registry.ServiceList
		w.get("/api/v1/services", &list)
		if len(list.Services) != 1 || list.Services[0].Held != 3 || list.Services[0].Instances[registry.Passing] != 3 {
			t.Errorf("the list shows %+v; want 3 held", list.Services)
		}
		if !w.logged("self-preservation begins") {
			t.Error("the log does not say that self-preservation begins")
		}
		// One comes back elsewhere under its id, one is replaced by somebody at
		// its address and port, one stays away.
		w.join(launcher("a").provides("a:1", "web", registry.Passing).known())
		if got := consumer.messages(); len(got) != 0 {
			t.Errorf("one that comes back unchanged: %+v", got)
		}
		// Who has no session says nothing about another service.
		other := registry.Instance{ID: "x", Service: "other", Address: "10.0.0.1", Port: portOf("b:1"), Status: registry.Passing}
		if _, err := w.server.Register(server.Registration{Namespace: "default", Source: "api", Instance: other}); err != nil {
			t.Fatal(err)
		}
		if got := consumer.messages(); len(got) != 0 {
			t.Errorf("another service at the address of one that is held: %+v", got)
		}
		w.join(launcher("n").provides("n:1", "web", registry.Passing, func(i *registry.Instance) { i.Port = portOf("b:1") }))
		views := consumer.viewed()
		if len(views) != 1 || len(views[0].Add) != 1 || whys(views[0]) != "b:1:lost" {
			t.Errorf("one replaced at its address and port: %+v", views)
		}
		time.Sleep(58 * time.Second)
		if got := consumer.view(web); got != "a:1 c:1 n:1" {
			t.Errorf("after 59 s the consumer sees %q", got)
		}
		time.Sleep(3 * time.Second)
		views = consumer.viewed()
		if len(views) != 1 || whys(views[0]) != "c:1:lost" {
			t.Errorf("after a minute: %+v; want the last dropped as lost", views)
		}
		if !w.logged("self-preservation ends") {
			t.Error("the log does not say that self-preservation ends")
		}
	})
}

func TestSelfPreservationNeedsMoreThanHalfAndThree(t *testing.T) {
	tests := []struct {
		sessions, lost int
		held           bool
	}{
		{2, 2, false}, {3, 2, false}, {3, 3, true}, {6, 3, false}, {5, 3, true}, {7, 4, true}, {8, 4, false},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d of %d", test.lost, test.sessions), func(t *testing.T) {
			// Each its own service, so that the server's sessions decide.
			bubble(t, cold(), func(t *testing.T, w *world) {
				var all []*peer
				for i := range test.sessions {
					id := string(rune('a' + i))
					all = append(all, w.join(launcher(id).provides(id+":1", id, registry.Passing)))
				}
				for _, p := range all[:test.lost] {
					p.conn.Reset()
				}
				time.Sleep(100 * time.Millisecond)
				checkHeld(t, w, "a", test.held)
			})
			// One service among many sessions, so that the service decides.
			bubble(t, cold(), func(t *testing.T, w *world) {
				for i := range 20 {
					w.join(launcher(fmt.Sprint("other", i)))
				}
				var all []*peer
				for i := range test.sessions {
					id := string(rune('a' + i))
					all = append(all, w.join(launcher(id).provides(id+":1", "web", registry.Passing)))
				}
				for _, p := range all[:test.lost] {
					p.conn.Reset()
				}
				time.Sleep(100 * time.Millisecond)
				checkHeld(t, w, "web", test.held)
			})
		})
	}
}

func checkHeld(t *testing.T, w *world, service string, want bool) {
	t.Helper()
	var detail registry.ServiceDetail
	w.get("/api/v1/services/"+service, &detail)
	held := false
	for _, i := range detail.Instances {
		held = held || i.Held
	}
	if held != want {
		t.Errorf("held: %v; want %v (%+v)", held, want, detail.Instances)
	}
}

func TestLossesFurtherApartAreNoCommonCause(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 4)
		for _, p := range tier {
			p.conn.Reset()
			time.Sleep(1600 * time.Millisecond) // two within one beat of 3 s
		}
		if got := consumer.view(web); got != "" {
			t.Errorf("the consumer sees %q", got)
		}
	})
}

// Flapping of one instance is not the loss of many.
func TestOneThatFlapsIsOne(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, _ := tier(w, 3)
		for range 4 {
			p := w.join(launcher("x").provides("x:1", "web", registry.Passing))
			p.conn.Reset()
			time.Sleep(100 * time.Millisecond)
		}
		if got := consumer.view(web); got != "a:1 b:1 c:1" {
			t.Errorf("the consumer sees %q", got)
		}
	})
}

// The first of many to expire already sees the others.
func TestSilentSessionsCount(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("consumer").requires(web))
		for n := range 20 { // so that the service decides, and not all sessions
			w.join(launcher(fmt.Sprint("other", n)))
		}
		for i := range 5 {
			id := string(rune('a' + i))
			w.dial().declare(launcher(id).provides(id+":1", "web", registry.Passing))
			time.Sleep(500 * time.Millisecond) // they expire one after the other
		}
		consumer.messages()
		time.Sleep(15 * time.Second)
		if got := consumer.messages(); len(got) != 0 {
			t.Errorf("the network is cut, and the consumer got %+v", got)
		}
	})
}

func TestSilentSessionsOfManyServicesCount(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("consumer").requires("a?ns=default"))
		for i := range 5 {
			id := string(rune('a' + i))
			w.dial().declare(launcher(id).provides(id+":1", id, registry.Passing))
			time.Sleep(500 * time.Millisecond)
		}
		consumer.messages()
		time.Sleep(15 * time.Second)
		if got := consumer.messages(); len(got) != 0 {
			t.Errorf("the network is cut, and the consumer got %+v", got)
		}
	})
}

func TestDrainsAreNeverHeld(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		_, tier := tier(w, 4)
		tier[0].drain(time.Second, "a:1")
		for _, p := range tier {
			p.conn.Reset()
		}
		time.Sleep(100 * time.Millisecond)
		var detail registry.ServiceDetail
		w.get("/api/v1/services/web", &detail)
		if len(detail.Instances) != 3 || detail.Instances[0].ID != "b:1" {
			t.Errorf("got %+v; want a:1 gone and the others held", detail.Instances)
		}
	})
}

func TestAServiceThatAllTurnsCriticalIsHeld(t *testing.T) {
	critical := func(p *peer, id string) {
		p.declare(launcher(id).provides(id+":1", "web", registry.Critical))
	}
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 3)
		critical(tier[0], "a")
		time.Sleep(time.Second)
		critical(tier[1], "b")
		if got := consumer.view(web); got != "c:1" {
			t.Errorf("two of three critical: the consumer sees %q", got)
		}
		time.Sleep(time.Second)
		critical(tier[2], "c")
		if got := consumer.view(web); got != "a:1 b:1 c:1" {
			t.Errorf("all critical: the consumer sees %q; want the service held", got)
		}
		var detail registry.ServiceDetail
		w.get("/api/v1/services/web", &detail)
		for _, i := range detail.Instances {
			if !i.Held || i.Status != registry.Critical {
				t.Errorf("%+v; want held, and critical for those who look", i)
			}
		}
		// One recovers, one drains, one stays critical.
		tier[0].declare(launcher("a").provides("a:1", "web", registry.Passing))
		tier[1].drain(time.Second, "b:1")
		if got := consumer.view(web); got != "a:1 c:1" {
			t.Errorf("one passes, one drains: the consumer sees %q", got)
		}
		consumer.messages()
		time.Sleep(61 * time.Second)
		views := consumer.viewed()
		if len(views) != 1 || whys(views[0]) != "c:1:critical" {
			t.Errorf("after a minute: %+v; want c:1 dropped as critical", views)
		}
		if !w.logged("self-preservation ends") {
			t.Error("the log does not say that self-preservation ends")
		}
	})
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 4)
		critical(tier[0], "a")
		critical(tier[1], "b")
		critical(tier[2], "c")
		if got := consumer.view(web); got != "d:1" {
			t.Errorf("three of four critical: the consumer sees %q; want the fourth alone", got)
		}
	})
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 2)
		critical(tier[0], "a")
		critical(tier[1], "b")
		if got := consumer.view(web); got != "" {
			t.Errorf("two of two critical: the consumer sees %q; want neither", got)
		}
	})
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer, tier := tier(w, 3)
		critical(tier[0], "a")
		time.Sleep(4 * time.Second)
		critical(tier[1], "b")
		critical(tier[2], "c")
		if got := consumer.view(web); got != "" {
			t.Errorf("one long before the others: the consumer sees %q; want none", got)
		}
	})
}

// All connections of the server are cut at the same time, and all launchers
// come back, some of them late: nobody is told anything.
func TestAllConnectionsCutAtOnce(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		for i := range 6 {
			id := string(rune('a' + i))
			w.join(launcher(id).provides(id+":1", "web", registry.Passing))
		}
		consumer := w.join(launcher("consumer").requires(web))
		before := consumer.view(web)
		w.listener.ResetAll()
		time.Sleep(50 * time.Millisecond)
		consumer = w.join(launcher("consumer").requires(web).known())
		if got := consumer.view(web); got != before {
			t.Errorf("back before its providers, the consumer sees %q; want %q", got, before)
		}
		consumer.messages()
		for i := range 6 {
			time.Sleep(800 * time.Millisecond)
			id := string(rune('a' + i))
			w.join(launcher(id).provides(id+":1", "web", registry.Passing).known())
		}
		time.Sleep(time.Minute)
		if got := consumer.messages(); len(got) != 0 {
			t.Errorf("the consumer got %+v", got)
		}
	})
}
