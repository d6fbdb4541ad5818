package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"cleat/internal/memnet"
	"cleat/registry"
	"cleat/registry/client"
)

func TestDeclareComesFirstAndOnEveryConnection(t *testing.T) {
	world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
		c.Report(registry.Report{State: "waiting"})
		s, d := p[0].welcome(func(w *registry.Welcome) {
			w.Since = map[string]registry.Revision{"web-1:80": 41}
			w.Warming = true
		})
		if d.Known != nil || d.Provides[0].Since != 0 || d.Provides[1].Since != 7 {
			t.Errorf("the first declare is %+v", d)
		}
		connected := event[client.Connected](t, c)
		if connected.Server != "http://a:1" || connected.Local == nil || !connected.Welcome.Warming || connected.Welcome.Since["web-1:80"] != 41 {
			t.Errorf("got %+v", connected)
		}
		if r := s.message().Report; r == nil || r.State != "waiting" {
			t.Errorf("the report did not follow the declare: %+v", r)
		}

		// A later declare holds what the server said about an earlier one.
		next := statement()
		next.Provides[0].Status = registry.Passing
		c.Declare(next)
		if d := s.declare(); d.Provides[0].Status != registry.Passing || d.Provides[0].Since != 41 || d.Known == nil || *d.Known != 9000 {
			t.Errorf("the second declare is %+v", d)
		}
		if next.Provides[0].Since != 0 {
			t.Error("the client changed what it was given")
		}

		// So does one on the next connection, which is there within 50 ms.
		before := time.Now()
		s.Close()
		s, d = p[0].welcome()
		if took := time.Since(before); took > 50*time.Millisecond {
			t.Errorf("the first reconnect took %v", took)
		}
		if d.Provides[0].Status != registry.Passing || d.Provides[0].Since != 41 || d.Known == nil || *d.Known != 9000 {
			t.Errorf("the declare of the second connection is %+v", d)
		}
		if r := s.message().Report; r == nil || r.State != "waiting" {
			t.Errorf("the report did not come again: %+v", r)
		}
		event[client.Disconnected](t, c)
		event[client.Connected](t, c)
		quiet(t, c)
	})
}

func TestNothingIsSentBeforeTheFirstDeclare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, config := network(t, 1)
		dialled := false
		dial := config.Dial
		config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled = true
			return dial(ctx, network, address)
		}
		c := client.New(config)
		run(t, c)
		time.Sleep(time.Hour)
		if dialled {
			t.Error("it connected with nothing to say")
		}
		c.Declare(statement())
		p[0].welcome()
		event[client.Connected](t, c)
	})
}

func TestBeats(t *testing.T) {
	world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		for n := range 5 {
			before := time.Now()
			f, err := s.next()
			if err != nil || f.Header.OpCode != ws.OpPing {
				t.Fatalf("beat %d: opcode %d, %v", n, f.Header.OpCode, err)
			}
			if took := time.Since(before); took != 3*time.Second {
				t.Errorf("beat %d came after %v", n, took)
			}
			s.frame(ws.NewPongFrame(nil))
		}
		// Another welcome changes the beat.
		s.send(registry.ServerMessage{Welcome: &registry.Welcome{BeatEvery: 15000, ExpireAfter: 45000}})
		if w := event[client.Welcomed](t, c); w.Welcome.BeatEvery != 15000 {
			t.Errorf("got %+v", w)
		}
		before := time.Now()
		if _, err := s.next(); err != nil || time.Since(before) != 15*time.Second {
			t.Errorf("the next beat came after %v, %v", time.Since(before), err)
		}
	})
}

func TestSilenceEndsTheSession(t *testing.T) {
	world(t, 2, func(t *testing.T, c *client.Client, p []*peer) {
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		// Any message is a sign of life, at any distance below expire_after.
		for range 3 {
			time.Sleep(8900 * time.Millisecond)
			s.send(registry.ServerMessage{Command: &registry.Command{Do: "drain"}})
			event[client.Commanded](t, c)
		}
		before := time.Now()
		lost := event[client.Disconnected](t, c)
		if took := time.Since(before); took != 9*time.Second || !strings.Contains(lost.Err.Error(), "silent for 9s") {
			t.Errorf("after %v: %v", took, lost.Err)
		}
		s.gone()
		p[1].welcome() // the next one's turn
		if e := event[client.Connected](t, c); e.Server != "http://b:1" {
			t.Errorf("it went to %s", e.Server)
		}
	})
}

func TestAClosedConnectionIsTriedOnceMore(t *testing.T) {
	world(t, 2, func(t *testing.T, c *client.Client, p []*peer) {
		p[0].welcome()
		event[client.Connected](t, c)
		p[0].ResetAll()
		p[0].welcome()
		event[client.Disconnected](t, c)
		event[client.Connected](t, c)
		p[0].Close()
		p[0].ResetAll()
		p[1].welcome()
		event[client.Disconnected](t, c)
		if e := event[client.Connected](t, c); e.Server != "http://b:1" {
			t.Errorf("it went to %s", e.Server)
		}
	})
}

// The waits between attempts, as seen by a network that refuses all of them.
func TestReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []time.Time
		c := client.New(client.Config{
			Servers: []string{"http://a:1", "http://b:1", "http://c:1"},
			Dial: func(_ context.Context, _, address string) (net.Conn, error) {
				if want := []string{"a:1", "b:1", "c:1"}[len(attempts)%3]; address != want {
					t.Errorf("attempt %d goes to %s, want %s", len(attempts), address, want)
				}
				attempts = append(attempts, time.Now())
				return nil, syscall.ECONNREFUSED
			},
		})
		finish := run(t, c)
		began := time.Now()
		c.Declare(statement())
		event[client.Disconnected](t, c)
		time.Sleep(10 * time.Minute)
		quiet(t, c) // the state has not changed
		finish()
		if attempts[0] != began {
			t.Errorf("the first attempt was made after %v", attempts[0].Sub(began))
		}
		longest := time.Duration(0)
		for i, at := range attempts[1:] {
			pause := at.Sub(attempts[i])
			longest = max(longest, pause)
			if i == 0 && pause > 50*time.Millisecond || pause > registry.ReconnectCap {
				t.Errorf("pause %d is %v", i, pause)
			}
		}
		// Full jitter under 5 s: 2.5 s on average.
		if n := len(attempts); n < 200 || n > 320 || longest < 4*time.Second {
			t.Errorf("%d attempts in 10 minutes, the longest pause is %v", n, longest)
		}
	})
}

func TestAnAttemptLastsAtMostTheCap(t *testing.T) {
	for name, silent := range map[string]func(*peer){
		"after the connect": func(p *peer) {
			if _, err := p.Accept(); err != nil {
				p.t.Fatal(err)
			}
		},
		"after the handshake": func(p *peer) { p.accept() },
		"after the declare": func(p *peer) {
			s := p.accept()
			s.declare()
			for range 10 { // signs of life are no welcome
				time.Sleep(time.Second / 2)
				if ws.WriteFrame(s, ws.NewPingFrame(nil)) != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
				before := time.Now()
				silent(p[0])
				lost := event[client.Disconnected](t, c)
				if took := time.Since(before); took != registry.ReconnectCap || !strings.Contains(lost.Err.Error(), "no welcome within 5s") {
					t.Errorf("after %v: %v", took, lost.Err)
				}
				p[0].welcome()
				event[client.Connected](t, c)
			})
		})
	}
}

func TestADialThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client.New(client.Config{Servers: []string{"http://a:1"}, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		run(t, c)
		before := time.Now()
		c.Declare(statement())
		event[client.Disconnected](t, c)
		if took := time.Since(before); took != registry.ReconnectCap {
			t.Errorf("it took %v", took)
		}
	})
}

func TestViewsOutliveConnections(t *testing.T) {
	world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		s.send(view(100, true, false, "a", "b"))
		e := event[client.Viewed](t, c)
		sameIDs(t, e.View, "a", "b")
		if e.Message.Filter != dbFilter || !e.Message.Complete {
			t.Errorf("got %+v", e.Message)
		}
		s.send(view(101, false, false, "c"))
		sameIDs(t, event[client.Viewed](t, c).View, "a", "b", "c")
		s.send(registry.ServerMessage{View: &registry.ViewMessage{Filter: dbFilter, Revision: 102, Drop: []registry.Drop{{ID: "a", Why: registry.WhyLost}}}})
		e = event[client.Viewed](t, c)
		sameIDs(t, e.View, "b", "c")
		if len(e.Message.Drop) != 1 || e.Message.Drop[0].Why != registry.WhyLost {
			t.Errorf("the cause is lost: %+v", e.Message)
		}

		// The server restarts with nothing in its hands.
		s.Close()
		s, _ = p[0].welcome(func(w *registry.Welcome) { w.Warming = true })
		event[client.Disconnected](t, c)
		event[client.Connected](t, c)
		s.send(view(200, true, true))
		e = event[client.Viewed](t, c)
		sameIDs(t, e.View, "b", "c")
		if !e.View.Warming || e.View.Revision != 200 {
			t.Errorf("got %+v", e.View)
		}
		s.send(view(201, false, true, "d"))
		sameIDs(t, event[client.Viewed](t, c).View, "b", "c", "d")
		s.send(view(202, true, false, "b", "d"))
		e = event[client.Viewed](t, c)
		sameIDs(t, e.View, "b", "d")
		if e.View.Warming {
			t.Error("it is warming for ever")
		}
	})
}

// A view that is not required any more is forgotten, and one that is required
// again begins anew.
func TestViewsOfEarlierRequirements(t *testing.T) {
	world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		s.send(view(100, true, false, "a"))
		event[client.Viewed](t, c)
		less := statement()
		less.Requires = less.Requires[1:]
		c.Declare(less)
		s.declare()
		s.send(view(101, false, false, "b"))
		quiet(t, c)
		c.Declare(statement())
		s.declare()
		s.send(view(102, false, false, "c")) // was under way
		quiet(t, c)
		s.send(view(103, true, true, "d"))
		sameIDs(t, event[client.Viewed](t, c).View, "d")
	})
}

func TestDifferencesWithoutACompleteViewEndTheConnection(t *testing.T) {
	world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		s.send(view(100, false, false, "a"))
		if e := event[client.Disconnected](t, c); !strings.Contains(e.Err.Error(), "never a complete one") {
			t.Errorf("got %v", e.Err)
		}
	})
}

// Whatever comes before the welcome comes after Connected.
func TestConnectedIsTheFirstEvent(t *testing.T) {
	world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
		s := p[0].accept()
		s.declare()
		s.send(registry.ServerMessage{Error: &registry.Error{Code: registry.CodeConflict, Message: "taken", ID: "web-1:80"}})
		s.send(view(100, true, false, "a"))
		s.send(registry.ServerMessage{Welcome: &registry.Welcome{BeatEvery: 3000, ExpireAfter: 9000}})
		event[client.Connected](t, c)
		if e := event[client.Refused](t, c); e.Code != registry.CodeConflict || e.ID != "web-1:80" {
			t.Errorf("got %+v", e)
		}
		sameIDs(t, event[client.Viewed](t, c).View, "a")
	})
}

func TestAppliedCountsOnlyOnTheConnectionOfTheView(t *testing.T) {
	world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
		c.Applied(registry.Applied{Filter: dbFilter, Revision: 99}) // nobody is there to hear it
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		s.send(view(100, true, false, "a"))
		event[client.Viewed](t, c)
		s.send(view(101, false, false, "b"))
		event[client.Viewed](t, c)
		c.Applied(registry.Applied{Filter: dbFilter, Revision: 99})
		c.Applied(registry.Applied{Filter: webFilter, Revision: 100})
		c.Applied(registry.Applied{Filter: dbFilter, Revision: 100, Held: true})
		if a := s.message().Applied; a == nil || *a != (registry.Applied{Filter: dbFilter, Revision: 100, Held: true}) {
			t.Errorf("got %+v", a)
		}
		s.Close()
		s, _ = p[0].welcome()
		event[client.Disconnected](t, c)
		event[client.Connected](t, c)
		c.Applied(registry.Applied{Filter: dbFilter, Revision: 101})
		s.send(view(102, true, false, "b"))
		event[client.Viewed](t, c)
		c.Applied(registry.Applied{Filter: dbFilter, Revision: 102})
		if a := s.message().Applied; a == nil || a.Revision != 102 {
			t.Errorf("got %+v", a)
		}
	})
}

func TestDrain(t *testing.T) {
	world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		draining := statement()
		draining.Provides[0].Status = registry.Draining
		synctest.Wait()
		// Written in one go, and still in the order in which they were said.
		c.Declare(draining)
		c.Drain(registry.Drain{IDs: []string{"web-1:80"}, Wait: 4000})
		c.Declare(statement())
		if s.declare().Provides[0].Status != registry.Draining {
			t.Error("the first declare is not the first")
		}
		if d := s.message().Drain; d == nil || d.Wait != 4000 || d.IDs[0] != "web-1:80" {
			t.Errorf("got %+v", d)
		}
		if s.declare().Provides[0].Status != registry.Starting {
			t.Error("the second declare is not the second")
		}
		s.send(registry.ServerMessage{Drained: &registry.Drained{IDs: []string{"web-1:80"}, Applied: 2, Pending: []string{"x"}}})
		if e := event[client.Drained](t, c); e.Applied != 2 || e.Pending[0] != "x" {
			t.Errorf("got %+v", e)
		}
	})
}

func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, config := network(t, 1)
		c := client.New(config)
		done := make(chan struct{})
		go func() {
			c.Run(context.Background())
			close(done)
		}()
		c.Declare(statement())
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		synctest.Wait()
		before := time.Now()
		c.Report(registry.Report{State: "stopping"})
		c.Leave(10 * time.Second)
		if r := s.message().Report; r == nil || r.State != "stopping" {
			t.Errorf("what was queued is not written: %+v", r)
		}
		s.left()
		<-done
		if took := time.Since(before); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// Leave is bounded: by a server that does not say goodbye, one that does not
// read, and while there is none.
func TestLeaveIsBounded(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T, c *client.Client, p *peer)
		want    time.Duration
	}{
		"no goodbye": {func(t *testing.T, c *client.Client, p *peer) {
			p.welcome()
			event[client.Connected](t, c)
		}, 2 * time.Second},
		"no reading": {func(t *testing.T, c *client.Client, p *peer) {
			p.welcome()
			event[client.Connected](t, c)
			d := statement()
			d.Provides[0].Reason = strings.Repeat("x", memnet.BufferSize)
			c.Declare(d)
			synctest.Wait()
		}, 2 * time.Second},
		"waiting for a welcome": {func(t *testing.T, c *client.Client, p *peer) { p.accept() }, 0},
		"waiting to reconnect": {func(t *testing.T, c *client.Client, p *peer) {
			p.Close()
			time.Sleep(time.Minute)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, config := network(t, 1)
				c := client.New(config)
				done := make(chan struct{})
				go func() {
					c.Run(context.Background())
					close(done)
				}()
				c.Declare(statement())
				test.prepare(t, c, p[0])
				before := time.Now()
				c.Leave(2 * time.Second)
				<-done
				if took := time.Since(before); took != test.want {
					t.Errorf("it took %v, want %v", took, test.want)
				}
			})
		})
	}
}

func TestTheEndOfTheContextIsNoGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, config := network(t, 1)
		c := client.New(config)
		finish := run(t, c)
		c.Declare(statement())
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		finish()
		s.gone()
	})
}

// A server that does not read delays nobody, and is given up after
// expire_after.
func TestTheMethodsNeverBlock(t *testing.T) {
	world(t, 2, func(t *testing.T, c *client.Client, p []*peer) {
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		s.send(view(100, true, false, "a"))
		event[client.Viewed](t, c)
		before := time.Now()
		d := statement()
		d.Provides[0].Reason = strings.Repeat("x", memnet.BufferSize)
		for range 100 {
			c.Declare(d)
			c.Report(registry.Report{LastError: d.Provides[0].Reason})
			c.Applied(registry.Applied{Filter: dbFilter, Revision: 100, Error: d.Provides[0].Reason})
		}
		if time.Since(before) != 0 {
			t.Error("a method has blocked")
		}
		event[client.Disconnected](t, c)
		if took := time.Since(before); took != 9*time.Second {
			t.Errorf("the session ended after %v", took)
		}
		p[1].welcome()
		event[client.Connected](t, c)
	})
}

func TestMoveWhenTheServerAsks(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("keep=", keep), func(t *testing.T) {
			world(t, 3, func(t *testing.T, c *client.Client, p []*peer) {
				s, _ := p[0].welcome()
				event[client.Connected](t, c)
				s.send(view(100, true, false, "a"))
				event[client.Viewed](t, c)
				p[1].Close() // b cannot have it
				before := time.Now()
				s.send(registry.ServerMessage{Bye: &registry.Bye{Within: 4000, Keep: keep}})
				next := p[2].accept()
				if took := time.Since(before); took > 4*time.Second+50*time.Millisecond {
					t.Errorf("it moves after %v", took)
				}
				next.declare()
				// Until the other has accepted it, it lives on here.
				s.send(view(101, false, false, "b"))
				sameIDs(t, event[client.Viewed](t, c).View, "a", "b")
				d := statement()
				d.Provides[0].Status = registry.Passing
				c.Declare(d)
				if s.declare().Provides[0].Status != registry.Passing {
					t.Error("the old server did not hear the news")
				}
				next.send(registry.ServerMessage{Welcome: &registry.Welcome{BeatEvery: 3000, ExpireAfter: 9000}})
				if e := event[client.Connected](t, c); e.Server != "http://c:1" {
					t.Errorf("it went to %s", e.Server)
				}
				s.gone()
				if next.declare().Provides[0].Status != registry.Passing {
					t.Error("the new server did not hear what was said meanwhile")
				}
				next.send(view(200, true, false, "c"))
				sameIDs(t, event[client.Viewed](t, c).View, "c")
			})
		})
	}
}

func TestWithNowhereToGoItStays(t *testing.T) {
	world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		s.send(registry.ServerMessage{Bye: &registry.Bye{}})
		for range 10 {
			if f, err := s.next(); err != nil || f.Header.OpCode != ws.OpPing {
				t.Fatalf("opcode %d, %v", f.Header.OpCode, err)
			}
			s.frame(ws.NewPongFrame(nil))
		}
		quiet(t, c)
		s.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(registry.CloseGoingAway, "bye")))
		if e := event[client.Disconnected](t, c); !strings.Contains(e.Err.Error(), "1001 bye") {
			t.Errorf("got %v", e.Err)
		}
		p[0].welcome()
		event[client.Connected](t, c)
	})
}

// The old connection may end while the next one is being made: as it does when
// a server says goodbye and stops. The attempt under way is not given up.
func TestTheOldConnectionEndsWhileMoving(t *testing.T) {
	for _, accepted := range []bool{true, false} {
		t.Run(fmt.Sprint("accepted=", accepted), func(t *testing.T) {
			world(t, 2, func(t *testing.T, c *client.Client, p []*peer) {
				s, _ := p[0].welcome()
				event[client.Connected](t, c)
				s.send(registry.ServerMessage{Bye: &registry.Bye{}})
				next := p[1].accept()
				next.declare()
				p[0].Close()
				s.Close()
				quiet(t, c)
				if accepted {
					next.send(registry.ServerMessage{Welcome: &registry.Welcome{BeatEvery: 3000, ExpireAfter: 9000}})
				} else {
					next.Close()
					event[client.Disconnected](t, c)
					p[1].welcome()
				}
				if e := event[client.Connected](t, c); e.Server != "http://b:1" {
					t.Errorf("it went to %s", e.Server)
				}
			})
		})
	}
}

// While it waits for the time to move, the end of the connection is the time.
func TestTheOldConnectionEndsBeforeTheMove(t *testing.T) {
	world(t, 2, func(t *testing.T, c *client.Client, p []*peer) {
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		s.send(registry.ServerMessage{Bye: &registry.Bye{Within: 1 << 40}})
		synctest.Wait()
		before := time.Now()
		s.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(registry.CloseGoingAway, "")))
		event[client.Disconnected](t, c)
		p[1].welcome()
		event[client.Connected](t, c)
		if took := time.Since(before); took > 50*time.Millisecond {
			t.Errorf("it moved after %v", took)
		}
	})
}

func TestFenced(t *testing.T) {
	world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		before := time.Now()
		s.send(registry.ServerMessage{Error: &registry.Error{Code: registry.CodeFenced, Message: "taken over", Fatal: true}})
		s.Close()
		e := event[client.Disconnected](t, c)
		if refusal, ok := errors.AsType[*registry.Error](e.Err); !ok || refusal.Code != registry.CodeFenced {
			t.Errorf("got %v", e.Err)
		}
		p[0].welcome()
		if took := time.Since(before); took < registry.ReconnectCap || took > registry.ReconnectCap+50*time.Millisecond {
			t.Errorf("it came back after %v", took)
		}
		event[client.Connected](t, c)
	})
}

// A launcher whose id somebody else has, declares it again every 5 s.
func TestConflict(t *testing.T) {
	world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		for range 3 {
			s.send(registry.ServerMessage{Error: &registry.Error{Code: registry.CodeConflict, Message: "taken", ID: "web-1:80"}})
			event[client.Refused](t, c)
			before := time.Now()
			if d := s.declare(); d.ID != "web-1" || time.Since(before) != registry.ReconnectCap {
				t.Errorf("after %v it declares %+v", time.Since(before), d)
			}
			s.frame(ws.NewPongFrame(nil))
		}
	})
}

func TestRefusals(t *testing.T) {
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		p, config := network(t, 1)
		asked := 0
		config.Token = func() string {
			asked++
			return fmt.Sprint("secret-", asked)
		}
		config.Log = slog.New(slog.NewTextHandler(&log, nil))
		c := client.New(config)
		finish := run(t, c)
		c.Declare(statement())
		const problem = `{"error":"the token is not known","hint":"ask for one"}`
		for n := range 3 {
			conn, err := p[0].Accept()
			if err != nil {
				t.Fatal(err)
			}
			request := make([]byte, 4096)
			size, _ := conn.Read(request)
			if want := fmt.Sprint("Authorization: Bearer secret-", n+1, "\r\n"); !strings.Contains(string(request[:size]), want) {
				t.Errorf("attempt %d: %q is not in %q", n, want, request[:size])
			}
			fmt.Fprintf(conn, "HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%s", len(problem), problem)
			conn.Close()
		}
		e := event[client.Disconnected](t, c)
		refusal, ok := errors.AsType[*registry.Error](e.Err)
		if !ok || refusal.Code != registry.CodeUnauthorized || !strings.Contains(e.Err.Error(), "the token is not known; ask for one") {
			t.Errorf("got %v", e.Err)
		}
		quiet(t, c)

		s := p[0].accept()
		s.declare()
		s.send(registry.ServerMessage{Error: &registry.Error{Code: registry.CodeBadDeclare, Message: "no", Fatal: true}})
		s.gone()
		p[0].welcome()
		event[client.Connected](t, c)
		if got := p[0].header.Get("Authorization"); got != fmt.Sprint("Bearer secret-", asked) || asked != 5 {
			t.Errorf("after %d questions the header is %q", asked, got)
		}
		finish()
	})
	if text := log.String(); strings.Count(text, "level=WARN") != 2 || strings.Contains(text, "secret-") {
		t.Errorf("the log should say two refusals, once each, and no token:\n%s", text)
	}
}

func TestHandshakesThatFail(t *testing.T) {
	for want, answer := range map[string]string{
		"answered 404 instead of opening a session": "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\noops",
		"answered 503":         "HTTP/1.1 503 Service Unavailable\r\n\r\n" + strings.Repeat("x", 1<<20),
		"handshake failed":     "SSH-2.0-OpenSSH_9.2\r\n",
		"WebSocket handshake":  "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"connection was close": "",
	} {
		t.Run(want, func(t *testing.T) {
			world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
				conn, err := p[0].Accept()
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					io.ReadFull(conn, make([]byte, 100))
					io.WriteString(conn, answer)
					conn.Close()
				}()
				if e := event[client.Disconnected](t, c); !strings.Contains(e.Err.Error(), want) && answer != "" {
					t.Errorf("got %v", e.Err)
				}
				p[0].welcome()
				event[client.Connected](t, c)
			})
		})
	}
}

func TestTheSubprotocolIsChecked(t *testing.T) {
	world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
		conn, err := p[0].Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ws.Upgrade(conn); err != nil { // any WebSocket server
			t.Fatal(err)
		}
		if e := event[client.Disconnected](t, c); !strings.Contains(e.Err.Error(), "did not agree to cleat.v1; is it a cleatd?") {
			t.Errorf("got %v", e.Err)
		}
	})
}

func TestFramesThatAreNotAllowed(t *testing.T) {
	header := func(h ws.Header) func(*session) {
		return func(s *session) { ws.WriteHeader(s, h) }
	}
	for name, send := range map[string]func(*session){
		"binary":                  func(s *session) { s.frame(ws.NewBinaryFrame([]byte("{}"))) },
		"masked":                  func(s *session) { s.frame(ws.MaskFrame(ws.NewTextFrame([]byte("{}")))) },
		"compressed":              header(ws.Header{Fin: true, Rsv: 4, OpCode: ws.OpText}),
		"reserved opcode":         header(ws.Header{Fin: true, OpCode: 3}),
		"continuation of nothing": header(ws.Header{Fin: true, OpCode: ws.OpContinuation}),
		"text inside of text":     func(s *session) { header(ws.Header{OpCode: ws.OpText})(s); header(ws.Header{OpCode: ws.OpText})(s) },
		"a long ping":             header(ws.Header{Fin: true, OpCode: ws.OpPing, Length: 126}),
		"a fragmented ping":       header(ws.Header{OpCode: ws.OpPing}),
		"more than a message":     header(ws.Header{Fin: true, OpCode: ws.OpText, Length: registry.MaxServerMessage + 1}),
		"more than a message, halves": func(s *session) {
			header(ws.Header{OpCode: ws.OpText, Length: 1})(s)
			s.Write([]byte("{"))
			header(ws.Header{Fin: true, OpCode: ws.OpContinuation, Length: registry.MaxServerMessage})(s)
		},
		"no JSON": func(s *session) { s.frame(ws.NewTextFrame([]byte("{"))) },
		"no beat": func(s *session) { s.send(registry.ServerMessage{Welcome: &registry.Welcome{}}) },
	} {
		t.Run(name, func(t *testing.T) {
			world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
				s, _ := p[0].welcome()
				event[client.Connected](t, c)
				send(s)
				if e := event[client.Disconnected](t, c); !strings.Contains(e.Err.Error(), "does not keep to the session protocol") {
					t.Errorf("got %v", e.Err)
				}
				p[0].welcome()
				event[client.Connected](t, c)
			})
		})
	}
}

func TestFramesThatAreAllowed(t *testing.T) {
	world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
		s, _ := p[0].welcome()
		event[client.Connected](t, c)
		// A message in three frames, with a ping in between.
		text := view(100, true, false, "a", "b").View
		whole := registry.ServerMessage{View: text}.Encode()
		s.frame(ws.Frame{Header: ws.Header{OpCode: ws.OpText, Length: 10}, Payload: whole[:10]})
		s.frame(ws.NewPingFrame([]byte("are you there?")))
		s.frame(ws.Frame{Header: ws.Header{OpCode: ws.OpContinuation}})
		s.frame(ws.Frame{Header: ws.Header{Fin: true, OpCode: ws.OpContinuation, Length: int64(len(whole) - 10)}, Payload: whole[10:]})
		sameIDs(t, event[client.Viewed](t, c).View, "a", "b")
		if f, err := s.next(); err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "are you there?" {
			t.Errorf("got opcode %d %q, %v", f.Header.OpCode, f.Payload, err)
		}
		// A message of a later version of the protocol.
		s.frame(ws.NewTextFrame([]byte(`{"novelty":{"x":1}}`)))
		quiet(t, c)
		// A large view.
		large := registry.ViewMessage{Filter: dbFilter, Revision: 101, Complete: true}
		for i := range 20000 {
			large.Add = append(large.Add, endpoint(fmt.Sprint("i", i)))
		}
		go s.send(registry.ServerMessage{View: &large})
		if e := event[client.Viewed](t, c); len(e.View.Endpoints) != 20000 {
			t.Errorf("%d endpoints came", len(e.View.Endpoints))
		}
	})
}

// Nobody receives the events for a while: nothing is lost, nothing waits, and
// the memory is bounded by the views.
func TestASlowReceiver(t *testing.T) {
	world(t, 1, func(t *testing.T, c *client.Client, p []*peer) {
		s, _ := p[0].welcome()
		s.send(view(100, true, false, "first"))
		const changes = 1000
		for i := range changes {
			s.send(view(registry.Revision(101+2*i), false, false, fmt.Sprint("i", i)))
			s.send(registry.ServerMessage{View: &registry.ViewMessage{
				Filter: dbFilter, Revision: registry.Revision(102 + 2*i),
				Drop: []registry.Drop{{ID: fmt.Sprint("i", i), Why: registry.WhyDraining}},
			}})
		}
		s.send(registry.ServerMessage{Command: &registry.Command{Do: "drain"}})
		synctest.Wait()
		event[client.Connected](t, c)
		dropped := make(map[string]bool)
		received := 0
		for {
			var e client.Event
			select {
			case e = <-c.Events():
			case <-time.After(time.Minute):
				t.Fatal("the last event did not come")
			}
			viewed, ok := e.(client.Viewed)
			if !ok {
				if _, ok := e.(client.Commanded); !ok {
					t.Fatalf("got %T", e)
				}
				break
			}
			received++
			for _, d := range viewed.Message.Drop {
				if d.Why != registry.WhyDraining {
					t.Errorf("the cause of %s became %s", d.ID, d.Why)
				}
				dropped[d.ID] = true
			}
			if viewed.View.Revision == 100+2*changes {
				sameIDs(t, viewed.View, "first")
			}
		}
		if len(dropped) != changes {
			t.Errorf("%d of %d drops were told", len(dropped), changes)
		}
		if received > 400 {
			t.Errorf("%d events were kept", received)
		}
	})
}

func TestConfigurationsThatCannotWork(t *testing.T) {
	for _, server := range []string{"", "a:1", "ftp://a:1", "http://", "http://user:secret@a:1", "http://a:1?x=y", "http://a:x"} {
		synctest.Test(t, func(t *testing.T) {
			c := client.New(client.Config{Servers: []string{server}, Dial: func(context.Context, string, string) (net.Conn, error) {
				t.Errorf("%q was dialled", server)
				return nil, io.EOF
			}})
			run(t, c)
			c.Declare(statement())
			if e := event[client.Disconnected](t, c); strings.Contains(e.Err.Error(), "secret") {
				t.Errorf("the error shows a password: %v", e.Err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c := client.New(client.Config{})
		finish := run(t, c)
		c.Declare(statement())
		quiet(t, c)
		finish()
	})
}
