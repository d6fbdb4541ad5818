package server_test

import (
	"net/http"
	"testing"
	"time"

	"cleat/registry"
	"cleat/registry/server"
)

// TestLettingMove: launchers go one after the other, and nobody who is still
// there sees a change.
func TestLettingMove(t *testing.T) {
	config := cold()
	config.Shutdown = 10 * time.Second
	bubble(t, config, func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		var providers []*peer
		for _, id := range []string{"p:1", "p:2", "p:3", "p:4"} {
			providers = append(providers, w.join(launcher("l-"+id[2:]).provides(id, "web", registry.Passing)))
		}
		consumer.messages()
		w.stop()
		time.Sleep(time.Second)
		got := consumer.messages()
		if len(got) != 1 || got[0].Bye == nil || !got[0].Bye.Keep || got[0].Bye.Within != 10_000 {
			t.Fatalf("got %+v; want bye, keep, within 10 s", got)
		}
		for _, p := range providers[:3] {
			p.conn.Close()
			time.Sleep(2 * time.Second)
		}
		if got := consumer.messages(); len(got) != 0 {
			t.Errorf("the consumer got %+v of those who moved", got)
		}
		if status, _ := w.request("GET", "/api/v1/session", http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}, "Sec-Websocket-Protocol": {registry.Subprotocol},
		}); status != http.StatusServiceUnavailable {
			t.Errorf("a new session: got %d", status)
		}
		time.Sleep(4 * time.Second)
		if got := consumer.messages(); len(got) != 1 || got[0].Bye == nil || got[0].Bye.Keep {
			t.Errorf("at the end: got %+v; want bye", got)
		}
	})
}

// TestNobodyIsWaitedFor: when all have gone, the server ends.
func TestNobodyIsWaitedFor(t *testing.T) {
	config := cold()
	config.Shutdown = time.Minute
	bubble(t, config, func(t *testing.T, w *world) {
		p := w.join(launcher("p"))
		begin := time.Now()
		w.stop()
		time.Sleep(time.Second)
		p.conn.Close()
		for !w.logged("lets its launchers move") || time.Since(begin) < 2*time.Second {
			time.Sleep(100 * time.Millisecond)
		}
		if conn, err := w.listener.Dial(t.Context(), "tcp", ""); err == nil {
			conn.Close()
			t.Error("the server still listens")
		}
	})
}

// TestSpareWarms: a server that has been there all along, and that everybody
// comes to at once, knows no more than one that has just started.
func TestSpareWarms(t *testing.T) {
	bubble(t, server.Config{}, func(t *testing.T, w *world) {
		time.Sleep(time.Hour)
		consumer := w.join(launcher("c").requires(web).known())
		if views := consumer.viewed(); len(views) != 1 || !views[0].Warming {
			t.Fatalf("got %+v; want a view that warms", views)
		}
		w.join(launcher("p").provides("p:1", "web", registry.Passing).known())
		time.Sleep(20 * time.Second)
		views := consumer.viewed()
		if len(views) < 2 || !views[0].Warming || views[len(views)-1].Warming || !views[len(views)-1].Complete {
			t.Errorf("got %+v; want warming to end", views)
		}
		late := w.join(launcher("l").requires(web).known())
		if views := late.viewed(); len(views) != 1 || views[0].Warming {
			t.Errorf("somebody who comes later got %+v", views)
		}
	})
}
