package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
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

// bubble runs a server in a bubble, and ends it.
func bubble(t *testing.T, config server.Config, test func(t *testing.T, w *world)) {
	t.Helper()
	bubbleWith(t, config, func(*server.Server) {}, test)
}

// bubbleWith does the same with something mounted on the server.
func bubbleWith(t *testing.T, config server.Config, mount func(*server.Server), test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, listener: memnet.Listen()}
		config.Log = slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		srv, err := server.New(config)
		if err != nil {
			t.Fatal(err)
		}
		mount(srv)
		w.server = srv
		ctx, stop := context.WithCancel(t.Context())
		w.stop = stop
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ctx, w.listener) }()
		synctest.Wait()
		defer func() { // also when the test has given up
			stop()
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
			for _, p := range w.peers {
				p.conn.Close()
				p.thawed()
			}
			time.Sleep(4 * time.Second) // those who beat see it
			synctest.Wait()
			if t.Failed() {
				t.Logf("the server's log:\n%s", w.log.String())
			}
		}()
		test(t, w)
	})
}

// cold is a server without warming.
func cold() server.Config {
	none := time.Duration(0)
	return server.Config{Warming: &none}
}

// world is a server and those who talk to it.
type world struct {
	t        *testing.T
	server   *server.Server
	listener *memnet.Listener
	log      buffer
	peers    []*peer
	stop     func()
}

type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// peer is a launcher that says exactly what a test wants. A goroutine reads
// what the server says, and answers pings unless it is told to be mute.
type peer struct {
	t    *testing.T
	conn *memnet.Conn

	mu     sync.Mutex
	got    []registry.ServerMessage
	views  map[string]registry.View
	mute   bool
	frozen chan struct{} // reading waits while it is there
	pongs  int
	pings  int
	closed *ws.StatusCode
	ended  error
}

func (w *world) dial() *peer {
	w.t.Helper()
	return w.dialAs("")
}

// dialAs dials with a token, unless it is empty.
func (w *world) dialAs(token string) *peer {
	w.t.Helper()
	header := make(http.Header)
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	p := &peer{t: w.t, views: make(map[string]registry.View)}
	dialer := ws.Dialer{
		Protocols: []string{registry.Subprotocol},
		Header:    ws.HandshakeHeaderHTTP(header),
		NetDial:   w.listener.Dial,
	}
	conn, early, hs, err := dialer.Dial(w.t.Context(), "ws://127.0.0.1:9640"+registry.SessionPath)
	if err != nil {
		w.t.Fatalf("dialling: %v", err)
	}
	if hs.Protocol != registry.Subprotocol {
		w.t.Fatalf("the server chose the subprotocol %q", hs.Protocol)
	}
	p.conn = conn.(*memnet.Conn)
	var r io.Reader = conn
	if early != nil {
		r = early
	}
	w.peers = append(w.peers, p)
	go p.read(r)
	return p
}

func (p *peer) read(r io.Reader) {
	for {
		p.mu.Lock()
		frozen := p.frozen
		p.mu.Unlock()
		if frozen != nil {
			<-frozen
		}
		h, err := ws.ReadHeader(r)
		var payload []byte
		if err == nil {
			payload = make([]byte, h.Length)
			_, err = io.ReadFull(r, payload)
		}
		p.mu.Lock()
		switch {
		case err != nil:
			p.ended = err
			p.mu.Unlock()
			return
		case h.OpCode == ws.OpPing:
			p.pings++
			if !p.mute {
				p.mu.Unlock()
				p.frame(ws.OpPong, payload)
				p.mu.Lock()
			}
		case h.OpCode == ws.OpPong:
			p.pongs++
		case h.OpCode == ws.OpClose:
			code, _ := ws.ParseCloseFrameData(payload)
			p.closed = &code
		case h.OpCode == ws.OpText:
			m, err := registry.DecodeServer(payload)
			if err != nil {
				p.t.Errorf("the server sent %q: %v", payload, err)
			}
			if encoded := string(m.Encode()); encoded != string(payload) {
				p.t.Errorf("the server sent\n%s\nbut the model encodes it as\n%s", payload, encoded)
			}
			p.got = append(p.got, m)
			if m.View != nil {
				p.views[m.View.Filter] = p.views[m.View.Filter].Apply(*m.View)
			}
		}
		p.mu.Unlock()
	}
}

// frame sends one frame. An error does not matter here: tests look at what
// comes of it.
func (p *peer) frame(op ws.OpCode, payload []byte) {
	f := ws.MaskFrame(ws.NewFrame(op, true, payload))
	_ = ws.WriteFrame(p.conn, f)
}

func (p *peer) send(m registry.ClientMessage) { p.frame(ws.OpText, m.Encode()) }
func (p *peer) beat()                         { p.frame(ws.OpPing, nil) }

// beats pings every 3 s until the connection ends.
func (p *peer) beats() *peer {
	go func() {
		for {
			time.Sleep(3 * time.Second)
			p.mu.Lock()
			ended, frozen := p.ended != nil, p.frozen
			p.mu.Unlock()
			if frozen != nil {
				<-frozen
			}
			f := ws.MaskFrame(ws.NewPingFrame(nil))
			if ended || ws.WriteFrame(p.conn, f) != nil {
				return
			}
		}
	}()
	return p
}

// bye closes with code 1000.
func (p *peer) bye() { p.frame(ws.OpClose, ws.NewCloseFrameBody(registry.CloseLeft, "")) }

// messages returns what came since the last call.
func (p *peer) messages() []registry.ServerMessage {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

// welcome returns the last welcome among what came since the last call.
func (p *peer) welcome() registry.Welcome {
	p.t.Helper()
	for _, m := range slices.Backward(p.messages()) {
		if m.Welcome != nil {
			return *m.Welcome
		}
	}
	p.t.Fatal("no welcome came")
	return registry.Welcome{}
}

// viewed returns the view messages that came since the last call.
func (p *peer) viewed() []registry.ViewMessage {
	var views []registry.ViewMessage
	for _, m := range p.messages() {
		if m.View != nil {
			views = append(views, *m.View)
		}
	}
	return views
}

// drained returns the answers to drains that came since the last call.
func (p *peer) drained() []registry.Drained {
	var all []registry.Drained
	for _, m := range p.messages() {
		if m.Drained != nil {
			all = append(all, *m.Drained)
		}
	}
	return all
}

func (p *peer) errors() []registry.Error {
	var all []registry.Error
	for _, m := range p.messages() {
		if m.Error != nil {
			all = append(all, *m.Error)
		}
	}
	return all
}

// view returns the ids of the endpoints in a view, as View.Apply has it.
func (p *peer) view(filter string) string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for _, e := range p.views[filter].Endpoints {
		ids = append(ids, e.ID)
	}
	return strings.Join(ids, " ")
}

func (p *peer) revision(filter string) registry.Revision {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.views[filter].Revision
}

// apply acknowledges the view as it is.
func (p *peer) apply(filter string) {
	p.send(registry.ClientMessage{Applied: &registry.Applied{Filter: filter, Revision: p.revision(filter)}})
	synctest.Wait()
}

func (p *peer) hold(filter string) {
	p.send(registry.ClientMessage{Applied: &registry.Applied{Filter: filter, Revision: p.revision(filter), Held: true}})
	synctest.Wait()
}

func (p *peer) drain(wait time.Duration, ids ...string) {
	p.send(registry.ClientMessage{Drain: &registry.Drain{IDs: ids, Wait: registry.Milliseconds(wait.Milliseconds())}})
	synctest.Wait()
}

func (p *peer) restart(wait time.Duration, ids ...string) {
	p.send(registry.ClientMessage{Drain: &registry.Drain{IDs: ids, Wait: registry.Milliseconds(wait.Milliseconds()), InPlace: true}})
	synctest.Wait()
}

func (p *peer) isClosed() (ws.StatusCode, bool) {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed == nil {
		return 0, p.ended != nil
	}
	return *p.closed, true
}

// freeze stops reading and beating until the returned function is called.
func (p *peer) freeze() (thaw func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = make(chan struct{})
	return p.thawed
}

func (p *peer) thawed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

// statement builds a declare.
type statement struct{ registry.Declare }

func launcher(id string) *statement {
	return &statement{registry.Declare{
		ID: id, Key: "the key of launcher " + id, Namespace: "default",
		Provides: []registry.Instance{}, Requires: []registry.Require{},
	}}
}

var ports = map[string]uint16{}

// provides adds an instance: its id, service and status. Its port belongs to
// the id.
func (s *statement) provides(id, service string, status registry.Status, change ...func(*registry.Instance)) *statement {
	i := registry.Instance{ID: id, Service: service, Address: "10.0.0.1", Port: portOf(id), Status: status}
	for _, c := range change {
		c(&i)
	}
	s.Provides = append(s.Provides, i)
	return s
}

var portsMu sync.Mutex

func portOf(id string) uint16 {
	portsMu.Lock()
	defer portsMu.Unlock()
	if ports[id] == 0 {
		ports[id] = uint16(1000 + len(ports))
	}
	return ports[id]
}

func (s *statement) requires(filters ...string) *statement {
	for n, f := range filters {
		s.Requires = append(s.Requires, registry.Require{Alias: fmt.Sprintf("alias%d", n), Filter: f, Min: 1})
	}
	return s
}

func (s *statement) known() *statement {
	d := registry.Milliseconds(9000)
	s.Known = &d
	return s
}

func (s *statement) key(key string) *statement {
	s.Key = "the key of launcher " + key
	return s
}

func (p *peer) declare(s *statement) *peer {
	p.send(registry.ClientMessage{Declare: &s.Declare})
	synctest.Wait()
	return p
}

// join dials, declares and beats.
func (w *world) join(s *statement) *peer {
	w.t.Helper()
	return w.dial().declare(s).beats()
}

// get asks the API, from this machine.
func (w *world) get(path string, body any) int {
	w.t.Helper()
	status, data := w.request("GET", path, nil)
	if err := json.Unmarshal(data, body); err != nil {
		w.t.Fatalf("GET %s answered %d %q: %v", path, status, data, err)
	}
	return status
}

func (w *world) request(method, path string, header http.Header) (int, []byte) {
	w.t.Helper()
	status, data, _ := w.ask(method, path, "", header)
	return status, data
}

// ask sends a request with a body, and returns the header of the answer as well.
func (w *world) ask(method, path, body string, header http.Header) (int, []byte, http.Header) {
	w.t.Helper()
	synctest.Wait() // until what was sent before has been done
	transport := &http.Transport{DialContext: w.listener.Dial, DisableCompression: true}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://127.0.0.1:9640"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for name, values := range header {
		if name == "Host" {
			r.Host = values[0]
			continue
		}
		r.Header[name] = values
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response.StatusCode, data, response.Header
}

// whys are the drops of a message, as text.
func whys(m registry.ViewMessage) string {
	var all []string
	for _, d := range m.Drop {
		all = append(all, d.ID+":"+string(d.Why))
	}
	return strings.Join(all, " ")
}

func (w *world) logged(text string) bool {
	synctest.Wait()
	return strings.Contains(w.log.String(), text)
}
