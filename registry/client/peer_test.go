package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"cleat/internal/memnet"
	"cleat/registry"
	"cleat/registry/client"
)

// peer is a server that does exactly what a test says.
type peer struct {
	t *testing.T
	*memnet.Listener
	wrap   func(net.Conn) net.Conn // what is spoken below HTTP; nil: nothing
	header http.Header             // of the last handshake
}

func newPeer(t *testing.T) *peer {
	p := &peer{t: t, Listener: memnet.Listen()}
	t.Cleanup(func() { p.Close() })
	return p
}

// session is a connection that a peer has accepted.
type session struct {
	t *testing.T
	net.Conn
}

// accept takes a connection and answers the WebSocket handshake.
func (p *peer) accept() *session {
	p.t.Helper()
	conn, err := p.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	if p.wrap != nil {
		conn = p.wrap(conn)
	}
	p.header = make(http.Header)
	_, err = ws.Upgrader{
		Protocol: func(offered []byte) bool { return string(offered) == registry.Subprotocol },
		OnHeader: func(key, value []byte) error {
			p.header.Add(string(key), string(value))
			return nil
		},
		OnRequest: func(uri []byte) error {
			if string(uri) != registry.SessionPath {
				p.t.Errorf("the client asks for %s", uri)
			}
			return nil
		},
	}.Upgrade(conn)
	if err != nil {
		p.t.Fatal(err)
	}
	s := &session{t: p.t, Conn: conn}
	p.t.Cleanup(func() { conn.Close() })
	return s
}

// welcome accepts a session and returns what it declared.
func (p *peer) welcome(change ...func(*registry.Welcome)) (*session, registry.Declare) {
	p.t.Helper()
	s := p.accept()
	d := s.declare()
	w := registry.Welcome{Session: "s1", Server: "peer", BeatEvery: 3000, ExpireAfter: 9000, Peer: "192.0.2.9"}
	for _, f := range change {
		f(&w)
	}
	s.send(registry.ServerMessage{Welcome: &w})
	return s, d
}

func (s *session) send(m registry.ServerMessage) {
	s.frame(ws.NewTextFrame(m.Encode()))
}

func (s *session) frame(f ws.Frame) {
	s.t.Helper()
	if err := ws.WriteFrame(s, f); err != nil {
		s.t.Fatal(err)
	}
}

// next returns the next frame, or an error when the connection has ended.
func (s *session) next() (ws.Frame, error) {
	s.SetReadDeadline(time.Now().Add(time.Minute))
	h, err := ws.ReadHeader(s)
	if err != nil {
		return ws.Frame{}, err
	}
	if !h.Masked {
		s.t.Error("a frame of the client is not masked")
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(s, payload); err != nil {
		return ws.Frame{}, err
	}
	ws.Cipher(payload, h.Mask, 0)
	return ws.Frame{Header: h, Payload: payload}, nil
}

// message returns the next message; beats are passed over.
func (s *session) message() registry.ClientMessage {
	s.t.Helper()
	for {
		f, err := s.next()
		if err != nil {
			s.t.Fatal(err)
		}
		switch f.Header.OpCode {
		case ws.OpPing:
		case ws.OpText:
			m, err := registry.DecodeClient(f.Payload)
			if err != nil {
				s.t.Fatal(err)
			}
			return m
		default:
			s.t.Fatalf("a frame of opcode %d: %q", f.Header.OpCode, f.Payload)
		}
	}
}

func (s *session) declare() registry.Declare {
	s.t.Helper()
	m := s.message()
	if m.Declare == nil {
		s.t.Fatalf("expected a declare, got %s", m.Encode())
	}
	return *m.Declare
}

// gone waits until the client has ended the connection without a goodbye.
func (s *session) gone() {
	s.t.Helper()
	for {
		f, err := s.next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil || f.Header.OpCode != ws.OpPing {
			s.t.Fatalf("expected the end, got opcode %d %q, %v", f.Header.OpCode, f.Payload, err)
		}
	}
}

// left waits for a goodbye, and answers it.
func (s *session) left() {
	s.t.Helper()
	for {
		f, err := s.next()
		if err != nil {
			s.t.Fatal(err)
		}
		if f.Header.OpCode == ws.OpPing {
			continue
		}
		if code, _ := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || code != registry.CloseLeft {
			s.t.Fatalf("expected a goodbye, got opcode %d %q", f.Header.OpCode, f.Payload)
		}
		s.frame(ws.NewCloseFrame(f.Payload))
		s.Close()
		return
	}
}

const (
	dbFilter  = "mysql?ns=prod"
	webFilter = "web?ns=prod"
)

func statement() registry.Declare {
	return registry.Declare{
		ID: "web-1", Key: "0123456789abcdef", Namespace: "prod",
		Provides: []registry.Instance{
			{ID: "web-1:80", Service: "web", Address: "192.0.2.9", Port: 80, Status: registry.Starting},
			{ID: "web-1:81", Service: "admin", Address: "192.0.2.9", Port: 81, Status: registry.Starting, Since: 7},
		},
		Requires: []registry.Require{{Alias: "db", Filter: dbFilter, Min: 1}, {Alias: "web", Filter: webFilter, Min: 1}},
	}
}

func endpoint(id string) registry.Endpoint {
	return registry.Endpoint{ID: id, Address: "host-" + id, Port: 3306, Protocol: registry.TCP, Status: registry.Passing, Since: 1}
}

func view(revision registry.Revision, complete, warming bool, ids ...string) registry.ServerMessage {
	m := registry.ViewMessage{Filter: dbFilter, Revision: revision, Complete: complete, Warming: warming}
	for _, id := range ids {
		m.Add = append(m.Add, endpoint(id))
	}
	return registry.ServerMessage{View: &m}
}

func ids(v registry.View) (list []string) {
	for _, e := range v.Endpoints {
		list = append(list, e.ID)
	}
	return list
}

// world runs a test in a bubble with a client of the peers, named a:1, b:1, ...
func world(t *testing.T, peers int, test func(t *testing.T, c *client.Client, p []*peer)) {
	synctest.Test(t, func(t *testing.T) {
		ps, config := network(t, peers)
		c := client.New(config)
		finished := run(t, c)
		c.Declare(statement())
		test(t, c, ps)
		finished()
	})
}

func network(t *testing.T, n int) ([]*peer, client.Config) {
	var ps []*peer
	var config client.Config
	byName := make(map[string]*peer)
	for i := range n {
		name := string(rune('a'+i)) + ":1"
		p := newPeer(t)
		ps = append(ps, p)
		byName[name] = p
		config.Servers = append(config.Servers, "http://"+name)
	}
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return byName[address].Dial(ctx, network, address)
	}
	return ps, config
}

// run runs the client, until the returned function is called or the test ends;
// it then waits until Run has returned.
func run(t *testing.T, c *client.Client) (finish func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	finish = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	t.Cleanup(finish)
	return finish
}

// event returns the next event, which must be of type E.
func event[E client.Event](t *testing.T, c *client.Client) E {
	t.Helper()
	select {
	case e := <-c.Events():
		got, ok := e.(E)
		if !ok {
			t.Fatalf("expected a %T, got %T %+v", got, e, e)
		}
		return got
	case <-time.After(time.Minute):
		var want E
		t.Fatalf("no %T came for a minute", want)
		panic("unreachable")
	}
}

// quiet waits until nothing moves any more, and checks that no event came.
func quiet(t *testing.T, c *client.Client) {
	t.Helper()
	synctest.Wait()
	select {
	case e := <-c.Events():
		t.Fatalf("expected nothing, got %T %+v", e, e)
	default:
	}
}

func sameIDs(t *testing.T, v registry.View, want ...string) {
	t.Helper()
	if got := ids(v); !slices.Equal(got, want) {
		t.Errorf("the view holds %q, want %q", got, want)
	}
}
