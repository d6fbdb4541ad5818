package launcher

import (
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/address"
)

var (
	ownAddr = netip.MustParseAddr("172.17.0.2")
	port80  = address.Port{Number: 80}
)

// engine is what a container engine and the interfaces of a container would say.
type engine struct {
	published atomic.Pointer[map[address.Port]netip.AddrPort] // nil: the engine cannot be asked
	slow      time.Duration
	asked     atomic.Int32
	unseen    atomic.Int32 // times asked before a server had told what it sees
}

func (e *engine) find(peer netip.Addr) address.Answer {
	e.asked.Add(1)
	if !peer.IsValid() {
		e.unseen.Add(1)
	}
	time.Sleep(e.slow)
	answer := address.Answer{Wide: ownAddr, Local: ownAddr}
	published := e.published.Load()
	if published == nil {
		answer.Engine = errors.New("/var/run/docker.sock: no such file")
		return answer
	}
	answer.Published = make(map[address.Port]netip.AddrPort)
	for port, on := range *published {
		if !on.Addr().IsValid() && peer.IsValid() {
			on = netip.AddrPortFrom(netip.MustParseAddr("198.51.100.4"), on.Port())
		}
		answer.Published[port] = on
	}
	return answer
}

// An engine that hangs holds up what is offered, and nothing of what is needed.
func TestEngineThatHangsDelaysNoRequirement(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		time.Sleep(time.Second)
		e := &engine{slow: 3 * time.Second}
		b := w.newBox("shop")
		b.find = e.find
		b.listen(80)
		b.run(env{"SERVICE_80_NAME": "shop", "CLEAT_REQUIRE_WEB": "web", "CLEAT_QUIET": "0s:0s"})
		w.eventually(patientBegin+50*time.Millisecond, "the child is started", func() bool { return b.starts() == 1 })
		if s := b.status(); len(s.Provides) != 1 || s.Provides[0].Declared {
			t.Errorf("without an address, it provides %+v", s.Provides)
		}
		w.eventually(e.slow, "what is offered is registered", func() bool { return b.status().Provides[0].Declared })
		b.signals <- syscall.SIGTERM
		b.wait()
		time.Sleep(2 * e.slow) // nobody waits for the engine at the end
	})
}

// TestPublishedPort is offered with the host's address, which only the server
// can tell; a port that is not published with its own.
func TestPublishedPort(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		e := new(engine)
		e.published.Store(&map[address.Port]netip.AddrPort{port80: netip.AddrPortFrom(netip.Addr{}, 32768)})
		b := w.newBox("web-1")
		b.find = e.find
		b.listen(80, 81)
		b.run(env{"SERVICE_80_NAME": "web", "SERVICE_81_NAME": "web"}, "front")
		front := front(w, "front", nil)
		w.eventually(5*time.Second, "both ports are offered", func() bool {
			return front.endpoints() == "172.17.0.2:81 198.51.100.4:32768"
		})
		if e.unseen.Load() == 0 {
			t.Error("nothing was asked before there was a session")
		}
		if strings.Contains(w.log.String(), "invalid") {
			t.Error("something was said of an address that is not known yet")
		}
	})
}

// TestEngineIsAskedAgain begins with an engine that cannot be asked: the next
// spec counts. What the engine says later is taken, and stays while it is away.
func TestEngineIsAskedAgain(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		e := &engine{slow: 3 * time.Second} // as one that hangs
		b := w.newBox("web-1")
		b.find = e.find
		b.listen(80)
		b.run(env{"SERVICE_80_NAME": "web"}, "front")
		began := time.Now()
		b.child()
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("the child was held up for %v", took)
		}
		front := front(w, "front", nil)
		w.eventually(10*time.Second, "the next spec counts", func() bool { return front.endpoints() == "172.17.0.2:80" })
		if !b.logged("warning: cannot ask the container engine which ports are published cause=\"/var/run/docker.sock: no such file\"") {
			t.Error("nothing was said about the engine")
		}
		asked := e.asked.Load()
		time.Sleep(10 * time.Minute)
		if n := e.asked.Load() - asked; n < 15 || n > 25 {
			t.Errorf("the engine was asked %d times in ten minutes, expected about 20", n)
		}
		e.published.Store(&map[address.Port]netip.AddrPort{port80: netip.MustParseAddrPort("192.0.2.7:8080")})
		w.eventually(time.Minute, "the engine's word counts", func() bool { return front.endpoints() == "192.0.2.7:8080" })
		asked = e.asked.Load()
		time.Sleep(10 * time.Minute)
		if n := e.asked.Load() - asked; n > 0 {
			t.Errorf("an engine that has answered was asked %d times more", n)
		}

		e.published.Store(nil)
		w.cutAll()
		w.eventually(time.Minute, "the engine is asked in the new session", func() bool { return e.asked.Load() > asked })
		w.never(time.Minute, "what it had said is forgotten", func() bool { return front.endpoints() != "192.0.2.7:8080" })
	})
}

// TestStopWhileTheEngineHangs ends at once.
func TestStopWhileTheEngineHangs(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		e := &engine{slow: time.Minute}
		b := w.newBox("web-1")
		b.find = e.find
		b.run(env{"SERVICE_80_NAME": "web"}, "front")
		b.child()
		began := time.Now()
		b.signals <- syscall.SIGTERM
		b.wait()
		took := time.Since(began)
		time.Sleep(e.slow) // what was asked ends later than the container would
		if took > 100*time.Millisecond {
			t.Errorf("the stop took %v", took)
		}
	})
}
