package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"cleat/internal/memnet"
	"cleat/registry"
	"cleat/registry/server"
)

// masked encodes one frame as a client does.
func masked(op ws.OpCode, fin bool, payload []byte) []byte {
	return ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(op, fin, payload)))
}

// Garbage on the session port costs the session that sends it and no other.
func TestGarbage(t *testing.T) {
	huge := masked(ws.OpText, true, nil)
	huge[1] = 0x80 | 127
	huge = append(huge[:2:2], binary.BigEndian.AppendUint64(nil, 1<<40)...)
	huge = append(huge, 1, 2, 3, 4)
	negative := append([]byte{0x81, 0xff}, bytes.Repeat([]byte{0xff}, 12)...)
	tooLong := bytes.Repeat([]byte{'x'}, registry.MaxClientMessage+1)
	tests := []struct {
		name  string
		send  []byte
		fatal bool // the session ends; otherwise it gets an error and lives
	}{
		{"not JSON", masked(ws.OpText, true, []byte("hello")), true},
		{"empty", masked(ws.OpText, true, nil), true},
		{"another form", masked(ws.OpText, true, []byte(`{"declare":"me"}`)), true},
		{"half a message of JSON", masked(ws.OpText, true, []byte(`{"declare":{"id":"x"`)), true},
		{"a message of a newer launcher", masked(ws.OpText, true, []byte(`{"sing":{}}`)), false},
		{"two messages in one", masked(ws.OpText, true, []byte(`{"drain":{"ids":["x"]},"applied":{}}`)), false},
		{"many values", masked(ws.OpText, true, []byte(`{"declare":{"provides":[`+strings.Repeat("{},", 100000)+`{}]}}`)), false},
		{"binary", masked(ws.OpBinary, true, []byte("{}")), true},
		{"not masked", ws.MustCompileFrame(ws.NewTextFrame([]byte("{}"))), true},
		{"reserved bits", append([]byte{0xf1}, masked(ws.OpText, true, []byte("{}"))[1:]...), true},
		{"reserved opcode", masked(ws.OpCode(3), true, []byte("{}")), true},
		{"continuation of nothing", masked(ws.OpContinuation, true, []byte("{}")), true},
		{"two beginnings", append(masked(ws.OpText, false, []byte("{")), masked(ws.OpText, true, []byte("}"))...), true},
		{"a long control frame", masked(ws.OpPing, true, make([]byte, 126)), true},
		{"a fragmented control frame", masked(ws.OpPing, false, nil), true},
		{"a terabyte", huge, true},
		{"a negative length", negative, true},
		{"too long", masked(ws.OpText, true, tooLong), true},
		{"too long in fragments", append(masked(ws.OpText, false, tooLong[:registry.MaxClientMessage]), masked(ws.OpContinuation, true, []byte("x"))...), true},
		{"too many fragments", append(masked(ws.OpText, false, nil), bytes.Repeat(masked(ws.OpContinuation, false, nil), 2000)...), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, cold(), func(t *testing.T, w *world) {
				bystander := w.join(launcher("bystander").requires(web))
				p := w.dial().declare(launcher("p").provides("p:1", "web", registry.Passing))
				if got := bystander.view(web); got != "p:1" {
					t.Fatalf("before, the bystander sees %q", got)
				}
				bystander.messages()
				p.messages()
				p.conn.SetWriteDeadline(time.Now().Add(time.Second)) // it may be closed while we speak
				p.conn.Write(test.send)
				got := p.errors()
				code, closed := p.isClosed()
				if len(got) != 1 || got[0].Code != registry.CodeBadMessage || got[0].Fatal != test.fatal {
					t.Errorf("got %+v; want one error bad_message, fatal: %v", got, test.fatal)
				}
				if closed != test.fatal || closed && code != registry.ClosePolicy {
					t.Errorf("closed: %v with %d", closed, code)
				}
				time.Sleep(100 * time.Millisecond)
				want := "p:1"
				if test.fatal {
					want = ""
				}
				if got := bystander.view(web); got != want {
					t.Errorf("the bystander sees %q; want %q", got, want)
				}
			})
		})
	}
}

func TestMessagesInFragmentsAndPieces(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		p := w.dial()
		declare := registry.ClientMessage{Declare: &launcher("p").provides("p:1", "web", registry.Passing).Declare}.Encode()
		var wire []byte
		for n, b := range declare { // one byte each, with pings in between
			op := ws.OpContinuation
			if n == 0 {
				op = ws.OpText
			}
			wire = append(wire, masked(op, n == len(declare)-1, []byte{b})...)
			if n%10 == 0 {
				wire = append(wire, masked(ws.OpPing, true, []byte("ping"))...)
			}
		}
		for len(wire) > 0 { // in pieces that end anywhere
			n := min(7, len(wire))
			p.conn.Write(wire[:n])
			wire = wire[n:]
			synctest.Wait()
		}
		if got := p.welcome(); got.Since["p:1"] == 0 {
			t.Errorf("got %+v", got)
		}
		if p.pongs == 0 {
			t.Error("no ping in between was answered")
		}
		// Large ones, too.
		big := launcher("p")
		for n := range 200 {
			big.provides(fmt.Sprintf("p:%d", n), "web", registry.Passing, func(i *registry.Instance) {
				i.Attributes = map[string]string{"x": strings.Repeat("y", 1000)}
			})
		}
		p.declare(big)
		if got := p.welcome(); len(got.Since) != 199 {
			t.Errorf("%d instances were told their since", len(got.Since))
		}
	})
}

func TestHalfMessagesAreBoundedInTime(t *testing.T) {
	half := masked(ws.OpText, true, []byte(`{"report":{"state":"running"}}`))
	tests := []struct {
		name string
		send []byte
	}{
		{"half a header", half[:1]},
		{"half a frame", half[:20]},
		{"half a message", masked(ws.OpText, false, []byte(`{"report":`))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, cold(), func(t *testing.T, w *world) {
				p := w.dial().declare(launcher("p").provides("p:1", "web", registry.Passing))
				p.messages()
				p.conn.Write(test.send)
				// It beats on, where that is possible.
				if test.name == "half a message" {
					p.beats()
				}
				time.Sleep(9 * time.Second)
				if test.name == "half a message" {
					if _, closed := p.isClosed(); closed {
						t.Error("closed too early")
					}
				}
				time.Sleep(3 * time.Second)
				if _, closed := p.isClosed(); !closed {
					t.Error("the connection is still open")
				}
			})
		})
	}
	// A whole message afterwards lifts the bound.
	bubble(t, cold(), func(t *testing.T, w *world) {
		p := w.dial().declare(launcher("p").provides("p:1", "web", registry.Passing)).beats()
		p.conn.Write(half[:20])
		time.Sleep(2 * time.Second)
		p.conn.Write(half[20:])
		time.Sleep(time.Minute)
		if _, closed := p.isClosed(); closed {
			t.Error("the connection was closed")
		}
	})
}

func TestWhoNeverDeclaresIsClosed(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		p := w.dial().beats()
		p.send(registry.ClientMessage{Report: &registry.Report{State: "running"}}) // passed over
		p.declare(launcher("p").provides("p:1", "No Name", registry.Passing))      // does not count
		time.Sleep(5*time.Second - time.Millisecond)
		if _, closed := p.isClosed(); closed {
			t.Error("closed too early")
		}
		time.Sleep(2 * time.Millisecond)
		if code, closed := p.isClosed(); !closed || code != registry.ClosePolicy {
			t.Errorf("closed: %v with %d", closed, code)
		}
	})
}

// handshake sends a request as it stands and returns the answer's status.
func (w *world) handshake(request string) int {
	w.t.Helper()
	conn, err := w.listener.Dial(w.t.Context(), "tcp", "")
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		w.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		w.t.Fatalf("no answer: %v", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		var problem registry.Problem
		if err := json.NewDecoder(response.Body).Decode(&problem); err != nil || problem.Error == "" {
			w.t.Errorf("the answer %s has no error in it: %v", response.Status, err)
		}
	}
	return response.StatusCode
}

func TestHandshake(t *testing.T) {
	const good = "GET /api/v1/session HTTP/1.1\r\nHost: localhost:9640\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: other, cleat.v1\r\n\r\n"
	tests := []struct {
		name, old, new string
		want           int
	}{
		{"good", "", "", http.StatusSwitchingProtocols},
		{"no upgrade", "Upgrade: websocket\r\nConnection: Upgrade\r\n", "", http.StatusUpgradeRequired},
		{"another upgrade", "Upgrade: websocket", "Upgrade: h2c", http.StatusUpgradeRequired},
		{"no subprotocol", "Sec-WebSocket-Protocol: other, cleat.v1\r\n", "", http.StatusBadRequest},
		{"another subprotocol", "cleat.v1", "cleat.v2", http.StatusBadRequest},
		{"another version", "Version: 13", "Version: 12", http.StatusUpgradeRequired},
		{"another method", "GET", "POST", http.StatusMethodNotAllowed},
		{"an old HTTP", "HTTP/1.1", "HTTP/1.0", http.StatusUpgradeRequired},
		{"a bad key", "dGhlIHNhbXBsZSBub25jZQ==", "short", http.StatusBadRequest},
		{"another host", "localhost:9640", "example.com", http.StatusForbidden},
		{"a page of another site", "\r\n\r\n", "\r\nOrigin: http://example.com\r\n\r\n", http.StatusForbidden},
		{"a page of its own", "\r\n\r\n", "\r\nOrigin: http://localhost:9640\r\n\r\n", http.StatusSwitchingProtocols},
	}
	bubble(t, cold(), func(t *testing.T, w *world) {
		for _, test := range tests {
			if got := w.handshake(strings.Replace(good, test.old, test.new, 1)); got != test.want {
				t.Errorf("%s: %d; want %d", test.name, got, test.want)
			}
		}
	})
}

// What a client sends together with its handshake is not lost.
func TestDeclareWithTheHandshake(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		conn, err := w.listener.Dial(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		declare := registry.ClientMessage{Declare: &launcher("p").Declare}.Encode()
		io.WriteString(conn, "GET /api/v1/session HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: cleat.v1\r\n\r\n"+string(masked(ws.OpText, true, declare)))
		synctest.Wait()
		var list registry.SessionList
		w.get("/api/v1/sessions", &list)
		if len(list.Sessions) != 1 || list.Sessions[0].ID != "p" {
			t.Errorf("got %+v", list)
		}
	})
}

func TestMaxSessions(t *testing.T) {
	config := cold()
	config.MaxSessions = 2
	bubble(t, config, func(t *testing.T, w *world) {
		a := w.join(launcher("a"))
		w.join(launcher("b"))
		dialer := ws.Dialer{Protocols: []string{registry.Subprotocol}, NetDial: w.listener.Dial}
		_, _, _, err := dialer.Dial(t.Context(), "ws://localhost"+registry.SessionPath)
		if err != ws.StatusError(http.StatusServiceUnavailable) {
			t.Errorf("a third session: %v; want status 503", err)
		}
		a.bye()
		time.Sleep(time.Second)
		w.join(launcher("c"))
	})
}

func TestGracefulEnd(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		provider := w.join(launcher("p").provides("p:1", "web", registry.Passing))
		frozen := w.join(launcher("f"))
		thaw := frozen.freeze()
		consumer.messages()
		w.stop()
		for _, p := range []*peer{consumer, provider} {
			byes := 0
			for _, m := range p.messages() {
				switch {
				case m.Bye != nil && !m.Bye.Keep:
					byes++
				case m.View != nil:
					t.Errorf("a server that stops sent %+v", m.View)
				}
			}
			if code, closed := p.isClosed(); byes != 1 || !closed || code != registry.CloseGoingAway {
				t.Errorf("%d byes, closed %v with %d; want one bye and 1001", byes, closed, code)
			}
		}
		time.Sleep(3 * time.Second)
		thaw()
	})
}

func TestServeOnce(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		srv, err := server.New(server.Config{})
		if err != nil {
			t.Fatal(err)
		}
		closed := brokenListener{}
		if err := srv.Serve(t.Context(), closed); err == nil || !strings.Contains(err.Error(), "broken") {
			t.Errorf("a listener that fails: %v", err)
		}
		if err := srv.Serve(t.Context(), closed); err == nil {
			t.Error("Serve could be called twice")
		}
	})
}

type brokenListener struct{}

func (brokenListener) Accept() (net.Conn, error) { return nil, fmt.Errorf("broken") }
func (brokenListener) Close() error              { return nil }
func (brokenListener) Addr() net.Addr            { return &net.TCPAddr{} }

// Many launchers at once, each in a goroutine of its own and in real time: what
// the race detector should see.
func TestManyAtOnce(t *testing.T) {
	srv, err := server.New(cold())
	if err != nil {
		t.Fatal(err)
	}
	listener := memnet.Listen()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			id := fmt.Sprint("l", n%15) // some share an id
			for round := range 9 {
				dialer := ws.Dialer{Protocols: []string{registry.Subprotocol}, NetDial: listener.Dial}
				conn, _, _, err := dialer.Dial(ctx, "ws://localhost"+registry.SessionPath)
				if err != nil {
					t.Error(err)
					return
				}
				all.Go(func() { io.Copy(io.Discard, conn) })
				say := func(m registry.ClientMessage) { conn.Write(masked(ws.OpText, true, m.Encode())) }
				for step := range 6 {
					status := []registry.Status{registry.Starting, registry.Passing, registry.Critical}[(round+step)%3]
					say(registry.ClientMessage{Declare: &launcher(id).provides(id+":1", "web", status).requires(web, "web?ns=default&self=true").Declare})
					conn.Write(masked(ws.OpPing, true, nil))
					if step == 3 {
						say(registry.ClientMessage{Drain: &registry.Drain{IDs: []string{id + ":1"}, Wait: 5, InPlace: round%2 == 0}})
					}
				}
				time.Sleep(time.Duration(n) * time.Millisecond)
				switch round % 3 {
				case 0:
					conn.Write(masked(ws.OpClose, true, ws.NewCloseFrameBody(registry.CloseLeft, "")))
					time.Sleep(time.Millisecond)
				case 1:
					conn.(*memnet.Conn).Reset()
				}
				conn.Close()
			}
		})
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		transport := &http.Transport{DialContext: listener.Dial}
		defer transport.CloseIdleConnections()
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, path := range []string{"services", "services/web", "sessions"} {
				r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/api/v1/"+path, nil)
				response, err := transport.RoundTrip(r)
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
		}
	})
	all.Wait()
	close(stop)
	readers.Wait()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// FuzzSessionPort sends anything after the handshake, and looks at a bystander.
//
// Give it -fuzzminimizetime 5x: the runtime makes coverage differ from run to
// run, and go test spends a minute on making every discovery smaller.
func FuzzSessionPort(f *testing.F) {
	declare := registry.ClientMessage{Declare: &launcher("p").provides("p:1", "web", registry.Passing).requires(web).Declare}.Encode()
	f.Add(masked(ws.OpText, true, declare))
	f.Add(masked(ws.OpText, true, declare)[:40])
	f.Add(append(masked(ws.OpText, true, declare), masked(ws.OpText, true, registry.ClientMessage{Drain: &registry.Drain{IDs: []string{"p:1"}, Wait: 1000}}.Encode())...))
	f.Add(append(masked(ws.OpText, true, declare), masked(ws.OpClose, true, ws.NewCloseFrameBody(1000, ""))...))
	f.Add(append(masked(ws.OpText, false, declare[:50]), masked(ws.OpContinuation, true, declare[50:])...))
	f.Add(masked(ws.OpPing, true, []byte("x")))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{0x81, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, wire []byte) {
		bubble(t, cold(), func(t *testing.T, w *world) {
			bystander := w.join(launcher("bystander").provides("b:1", "kept", registry.Passing).requires("kept?ns=default"))
			p := w.dial()
			p.conn.SetWriteDeadline(time.Now().Add(time.Minute))
			p.conn.Write(wire)
			time.Sleep(2 * time.Minute) // whatever has a bound in time is over
			if _, closed := p.isClosed(); !closed {
				t.Errorf("a connection that is silent is still open")
			}
			if _, closed := bystander.isClosed(); closed {
				t.Fatal("the bystander was closed")
			}
			if got := bystander.view("kept?ns=default"); got != "b:1" {
				t.Errorf("the bystander sees %q", got)
			}
		})
	})
}
