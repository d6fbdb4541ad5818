package server_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"cleat/registry"
	"cleat/registry/server"
)

func isWarming(w *world) bool {
	var list registry.ServiceList
	w.get("/api/v1/services", &list)
	return list.Warming
}

func TestWarmingIsShortWhenNobodyHadAServer(t *testing.T) {
	bubble(t, server.Config{}, func(t *testing.T, w *world) {
		p := w.join(launcher("p").requires(web))
		if m := p.messages(); !m[0].Welcome.Warming || !m[1].View.Warming || !m[1].View.Complete {
			t.Errorf("welcome and view do not say that the server is warming: %+v", m)
		}
		time.Sleep(6*time.Second - time.Millisecond)
		if !isWarming(w) {
			t.Error("warming ended before the reconnect cap and a second")
		}
		p.messages()
		time.Sleep(time.Millisecond)
		views := p.viewed()
		if len(views) != 1 || !views[0].Complete || views[0].Warming {
			t.Errorf("at the end of warming: %+v; want one complete view with warming false", views)
		}
		if isWarming(w) {
			t.Error("still warming")
		}
		if !w.logged("warming begins") || !w.logged("warming ends") {
			t.Error("the log does not tell of warming")
		}
	})
}

func TestWarmingWithKnown(t *testing.T) {
	known := func(id string, expire registry.Milliseconds) *statement {
		s := launcher(id)
		s.Known = &expire
		return s
	}
	end := func(t *testing.T, w *world) time.Duration {
		begin := time.Now()
		for isWarming(w) {
			time.Sleep(400 * time.Millisecond)
		}
		return time.Since(begin)
	}
	tests := []struct {
		name string
		come func(w *world)
		want time.Duration // from the start
	}{
		{"one at once", func(w *world) { w.join(known("a", 9000)) }, 14 * time.Second},
		{"one after 5 s", func(w *world) { time.Sleep(5 * time.Second); w.join(known("a", 9000)) }, 14 * time.Second},
		{"one that expired slowly", func(w *world) { w.join(known("a", 45000)) }, 50 * time.Second},
		{"one that lies", func(w *world) { w.join(known("a", 1<<60)) }, 50 * time.Second},
		{"one that expired fast", func(w *world) { w.join(known("a", 0)) }, 14 * time.Second},
		{"they keep coming", func(w *world) {
			for n := range 4 {
				w.join(known(string(rune('a'+n)), 9000))
				time.Sleep(4 * time.Second)
			}
		}, 17 * time.Second}, // the last came at 12 s
		{"they come for ever", func(w *world) {
			for n := range 15 {
				w.join(known(string(rune('a'+n)), 9000))
				time.Sleep(4 * time.Second)
			}
		}, time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, server.Config{}, func(t *testing.T, w *world) {
				begin := time.Now()
				test.come(w)
				end(t, w)
				if got := time.Since(begin).Round(time.Second); got != test.want {
					t.Errorf("warming lasted %v; want %v", got, test.want)
				}
			})
		})
	}
}

func TestWarmingCanBeTurnedOffAndMadeLonger(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		if isWarming(w) {
			t.Error("warming although it is turned off")
		}
	})
	long := 30 * time.Second
	bubble(t, server.Config{Warming: &long}, func(t *testing.T, w *world) {
		w.join(launcher("a").known())
		time.Sleep(29 * time.Second)
		if !isWarming(w) {
			t.Error("warming ended before its least time")
		}
		time.Sleep(2 * time.Second)
		if isWarming(w) {
			t.Error("still warming after 31 s")
		}
	})
	negative := -time.Second
	if _, err := server.New(server.Config{Warming: &negative}); err == nil {
		t.Error("a negative time to warm was accepted")
	}
}

// A consumer that reconnects before its providers keeps its endpoints; one
// whose provider died while the server was away loses it once warming is over.
func TestServerRestarts(t *testing.T) {
	bubble(t, server.Config{}, func(t *testing.T, w *world) {
		// What the consumer remembers from the server before.
		old := registry.View{Revision: 1, Endpoints: []registry.Endpoint{
			{ID: "back:1", Address: "10.0.0.1", Port: portOf("back:1"), Protocol: registry.TCP, Status: registry.Passing, Since: 100},
			{ID: "dead:1", Address: "10.0.0.1", Port: portOf("dead:1"), Protocol: registry.TCP, Status: registry.Passing, Since: 101},
			{ID: "left:1", Address: "10.0.0.1", Port: portOf("left:1"), Protocol: registry.TCP, Status: registry.Passing, Since: 102},
		}}
		since := func(since registry.Revision) func(*registry.Instance) {
			return func(i *registry.Instance) { i.Since = since }
		}
		// One provider is back before the consumer and leaves at once.
		left := w.join(launcher("left").provides("left:1", "web", registry.Passing, since(102)).known())
		left.bye()
		consumer := w.dial()
		consumer.views[web] = old
		consumer.declare(launcher("c").requires(web).known()).beats()
		if got := consumer.view(web); got != "back:1 dead:1" {
			t.Errorf("after its first view the consumer has %q; want what it had, without what has left", got)
		}
		w.join(launcher("back").provides("back:1", "web", registry.Passing, since(100)).known())
		if got := consumer.view(web); got != "back:1 dead:1" {
			t.Errorf("the consumer has %q", got)
		}
		time.Sleep(13 * time.Second)
		if got := consumer.view(web); got != "back:1 dead:1" {
			t.Errorf("before warming ends the consumer has %q", got)
		}
		time.Sleep(2 * time.Second)
		if got := consumer.view(web); got != "back:1" {
			t.Errorf("after warming the consumer has %q", got)
		}
	})
}

func TestReadyWhileWarming(t *testing.T) {
	bubble(t, server.Config{Version: "v1"}, func(t *testing.T, w *world) {
		for _, path := range []string{"/healthz", "/readyz"} {
			status, data := w.request("GET", path, nil)
			var body struct {
				Status  string `json:"status"`
				Warming bool   `json:"warming"`
			}
			if err := json.Unmarshal(data, &body); err != nil || status != http.StatusOK || body.Status != "ok" || !body.Warming {
				t.Errorf("%s: %d %s", path, status, data)
			}
		}
		var detail registry.ServiceDetail
		if status := w.get("/api/v1/services/web", &detail); status != http.StatusOK || !detail.Warming {
			t.Errorf("the API answers %d, warming %v", status, detail.Warming)
		}
	})
}
