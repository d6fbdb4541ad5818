package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cleat/internal/memnet"
	"cleat/registry"
	"cleat/registry/client"
	"cleat/registry/server"
)

// The tests in this file are about the client and the real server together.

// house is a real server that can be killed and started again, empty.
type house struct {
	t        *testing.T
	server   *server.Server
	listener atomic.Pointer[memnet.Listener]
	kill     func()
}

func newHouse(t *testing.T) *house {
	h := &house{t: t}
	h.start()
	t.Cleanup(func() { h.kill() })
	return h
}

// start starts a server in place of the last one, which is gone without a word.
func (h *house) start() {
	if h.kill != nil {
		h.kill()
	}
	listener := memnet.Listen()
	h.listener.Store(listener)
	s, err := server.New(server.Config{Open: true})
	if err != nil {
		h.t.Fatal(err)
	}
	h.server = s
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		s.Serve(ctx, listener)
		close(over)
	}()
	h.kill = func() {
		listener.Close()
		listener.ResetAll()
		cancel()
		<-over
	}
	synctest.Wait()
}

func (h *house) config(name string) client.Config {
	return client.Config{Servers: []string{"http://" + name}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		return h.listener.Load().Dial(ctx, network, address)
	}}
}

// provider is a statement of a launcher that offers a mysql.
func provider(id string) registry.Declare {
	return registry.Declare{
		ID: id, Key: "the-key-of-" + id + "-----", Namespace: "prod",
		Provides: []registry.Instance{{ID: id + ":3306", Service: "mysql", Address: "host-" + id, Port: 3306, Status: registry.Passing}},
	}
}

func consumer(id string) registry.Declare {
	return registry.Declare{
		ID: id, Key: "the-key-of-" + id + "-----", Namespace: "prod",
		Requires: []registry.Require{{Alias: "db", Filter: dbFilter, Min: 1}},
	}
}

// start runs a client with the statement, and returns it once it is connected.
func start(t *testing.T, h *house, d registry.Declare) *client.Client {
	t.Helper()
	c := client.New(h.config(d.ID + ":1"))
	run(t, c)
	c.Declare(d)
	event[client.Connected](t, c)
	return c
}

// see acknowledges views until one has the ids, and returns how long that took.
// A view that has none of them is an error.
func see(t *testing.T, c *client.Client, want ...string) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		select {
		case e := <-c.Events():
			viewed, ok := e.(client.Viewed)
			if !ok {
				continue
			}
			c.Applied(registry.Applied{Filter: viewed.Message.Filter, Revision: viewed.Message.Revision})
			if fmt.Sprint(ids(viewed.View)) == fmt.Sprint(want) {
				return time.Since(began)
			}
			if len(viewed.View.Endpoints) == 0 && viewed.View.Warming == false && len(want) > 0 {
				t.Fatalf("the view became empty")
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("no view with %q came", want)
		}
	}
}

// TestOperator: what an operator asks of the server reaches the launcher, and what
// the launcher then declares is what consumers see.
func TestOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		reader := start(t, h, consumer("shop"))
		first := start(t, h, provider("db-1"))
		start(t, h, provider("db-2"))
		see(t, reader, "db-1:3306", "db-2:3306")

		const id = "db-1:3306"
		commanded := func(do string, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			if e := event[client.Commanded](t, first); e.Do != do || len(e.IDs) != 1 || e.IDs[0] != id {
				t.Errorf("got %+v, want %s", e, do)
			}
		}
		declare := func(status registry.Status) {
			d := provider("db-1")
			d.Provides[0].Status = status
			first.Declare(d)
		}
		commanded("maintenance", h.server.Maintain("prod", id, true, "a new disk"))
		see(t, reader, "db-2:3306") // at once, whatever the launcher does
		declare(registry.Maintenance)
		synctest.Wait()
		if story, _ := h.server.Instance("prod", id); story.Instance.Reason != "a new disk" {
			t.Errorf("got %+v", story.Instance)
		}
		commanded("service", h.server.Maintain("prod", id, false, ""))
		declare(registry.Passing)
		see(t, reader, "db-1:3306", "db-2:3306")
		commanded("drain", h.server.Drain("prod", id))
		declare(registry.Draining)
		see(t, reader, "db-2:3306")
		commanded("undrain", h.server.Undrain("prod", id))
		declare(registry.Passing)
		see(t, reader, "db-1:3306", "db-2:3306")
	})
}

func TestConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		reader := start(t, h, consumer("shop"))
		first := client.New(h.config("a:1"))
		finish := run(t, first)
		first.Declare(provider("db-1"))
		connected := event[client.Connected](t, first)
		if connected.Welcome.Since["db-1:3306"] == 0 {
			t.Errorf("the welcome has no since: %+v", connected.Welcome)
		}
		see(t, reader, "db-1:3306")
		start(t, h, provider("db-2"))
		see(t, reader, "db-1:3306", "db-2:3306")

		first.Drain(registry.Drain{IDs: []string{"db-1:3306"}, Wait: 4000})
		if took := see(t, reader, "db-2:3306"); took != 0 {
			t.Errorf("the drain was seen after %v", took)
		}
		if e := event[client.Drained](t, first); e.Applied != 1 || len(e.Pending) != 0 {
			t.Errorf("got %+v", e)
		}
		first.Leave(time.Second)
		finish()
		// Nothing happens for an hour: beats keep everybody where he is.
		time.Sleep(time.Hour)
		for {
			select {
			case e := <-reader.Events():
				viewed, ok := e.(client.Viewed)
				if !ok {
					t.Fatalf("got %T %+v", e, e)
				}
				sameIDs(t, viewed.View, "db-2:3306") // the goodbye, and the end of warming
				continue
			default:
			}
			break
		}
	})
}

func TestTheServerRestartsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		start(t, h, provider("db-1"))
		leaver := client.New(h.config("b:1"))
		die := run(t, leaver)
		leaver.Declare(provider("db-2"))
		event[client.Connected](t, leaver)
		reader := start(t, h, consumer("shop"))
		see(t, reader, "db-1:3306", "db-2:3306")
		time.Sleep(time.Minute)

		h.listener.Load().Close() // nobody gets in
		h.listener.Load().ResetAll()
		die() // while the server is away
		time.Sleep(time.Minute)
		h.start()
		// One is back within the reconnect cap; of the other nothing is
		// concluded until warming is over.
		if took := see(t, reader, "db-1:3306"); took < 14*time.Second || took > 30*time.Second {
			t.Errorf("the dead one was given up after %v", took)
		}
	})
}

func TestAllConnectionsAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var providers []*client.Client
		for i := range 5 {
			providers = append(providers, start(t, h, provider(fmt.Sprint("db-", i))))
		}
		reader := start(t, h, consumer("shop"))
		see(t, reader, "db-0:3306", "db-1:3306", "db-2:3306", "db-3:3306", "db-4:3306")
		time.Sleep(time.Minute)
		for range 3 {
			h.listener.Load().ResetAll()
			before := time.Now()
			for _, c := range providers {
				event[client.Disconnected](t, c)
				event[client.Connected](t, c)
			}
			if took := time.Since(before); took > 200*time.Millisecond {
				t.Errorf("all are back after %v", took)
			}
			time.Sleep(30 * time.Second)
		}
		for {
			select {
			case e := <-reader.Events():
				if viewed, ok := e.(client.Viewed); ok && len(viewed.View.Endpoints) != 5 {
					t.Errorf("a view became %q", ids(viewed.View))
				}
				continue
			default:
			}
			break
		}
	})
}

// Whoever has an id of somebody who lives gets it when that one has gone.
func TestAConflictIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		holder := start(t, h, provider("db-1"))
		reader := start(t, h, consumer("shop"))
		see(t, reader, "db-1:3306")
		newcomer := provider("db-1")
		newcomer.Key = "quite-another-key"
		newcomer.Provides[0].Address = "elsewhere"
		c := client.New(h.config("c:1"))
		run(t, c)
		c.Declare(newcomer)
		event[client.Connected](t, c)
		if e := event[client.Refused](t, c); e.Code != registry.CodeConflict {
			t.Errorf("got %+v", e)
		}
		holder.Leave(time.Second)
		before := time.Now()
		for {
			e := event[client.Viewed](t, reader)
			if len(e.View.Endpoints) == 1 && e.View.Endpoints[0].Address == "elsewhere" {
				break
			}
		}
		if took := time.Since(before); took > registry.ReconnectCap {
			t.Errorf("the newcomer has it after %v", took)
		}
	})
}

// Two that share an id and a key take turns, no faster than the cap.
func TestTwins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		a := start(t, h, provider("db-1"))
		b := start(t, h, provider("db-1"))
		for _, c := range []*client.Client{a, b, a} {
			before := time.Now()
			e := event[client.Disconnected](t, c)
			if refusal, ok := errors.AsType[*registry.Error](e.Err); !ok || refusal.Code != registry.CodeFenced {
				t.Errorf("got %v", e.Err)
			}
			event[client.Connected](t, c)
			if took := time.Since(before); took < registry.ReconnectCap {
				t.Errorf("it came back after %v", took)
			}
		}
	})
}

// A server that stops sends its sessions to the next one.
func TestTheServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, other := newHouse(t), newHouse(t)
		config := h.config("a:1")
		config.Servers = append(config.Servers, "http://b:1")
		config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "a:1" {
				return h.listener.Load().Dial(ctx, network, address)
			}
			return other.listener.Load().Dial(ctx, network, address)
		}
		c := client.New(config)
		run(t, c)
		c.Declare(provider("db-1"))
		event[client.Connected](t, c)
		before := time.Now()
		go h.kill()
		for {
			select {
			case e := <-c.Events():
				if connected, ok := e.(client.Connected); ok {
					if connected.Server != "http://b:1" || time.Since(before) > 200*time.Millisecond {
						t.Errorf("it went to %s after %v", connected.Server, time.Since(before))
					}
					return
				}
			case <-time.After(time.Minute):
				t.Fatal("it did not go anywhere")
			}
		}
	})
}
