package server

import (
	"cmp"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"cleat/registry"
)

// desk is a core with a clock that the test moves, and no connections.
type desk struct {
	t    testing.TB
	core *core
	now  time.Time
}

var noWarming time.Duration

func newDesk(t testing.TB) *desk {
	now := time.Now()
	return &desk{t: t, core: newCore("test", slog.New(slog.DiscardHandler), now, &noWarming), now: now}
}

func (d *desk) event(happen func(*core)) {
	d.core.begin(d.now)
	happen(d.core)
	d.core.end()
}

// pass lets time pass with every tick in its place.
func (d *desk) pass(t time.Duration) {
	for end := d.now.Add(t); ; {
		if d.core.next.After(end) {
			d.now = end
			return
		}
		d.now = d.core.next
		d.event((*core).tick)
	}
}

// join makes a session that declares.
func (d *desk) join(declare registry.Declare) *session {
	s := &session{}
	d.event(func(c *core) { c.greet(s, "192.0.2.1") })
	d.declare(s, declare)
	return s
}

func (d *desk) declare(s *session, declare registry.Declare) {
	d.t.Helper()
	if declare.Namespace == "" {
		declare.Namespace = "default"
	}
	declare.Key = strings.Repeat("k", registry.MinKey)
	normal, filters, err := declare.Normalize()
	if err != nil {
		d.t.Fatal(err)
	}
	d.event(func(c *core) { c.declare(s, normal, filters, keyHash{byte(len(declare.ID))}) })
}

func (d *desk) beat(sessions ...*session) {
	for _, s := range sessions {
		s.heard.Store(int64(d.now.Sub(d.core.start)))
	}
}

// views takes the view messages out of the session's outbox.
func (d *desk) views(s *session) []registry.ViewMessage {
	d.t.Helper()
	queue, _, _ := s.out.take()
	var views []registry.ViewMessage
	for _, q := range queue {
		m := decode(d.t, q.frame)
		if m.View != nil {
			views = append(views, *m.View)
		}
	}
	return views
}

func decode(t testing.TB, f frame) registry.ServerMessage {
	t.Helper()
	r := strings.NewReader(string(f))
	h, err := ws.ReadHeader(r)
	if err != nil {
		t.Fatal(err)
	}
	if h.OpCode != ws.OpText {
		return registry.ServerMessage{}
	}
	payload := make([]byte, h.Length)
	if n, _ := r.Read(payload); int64(n) != h.Length || r.Len() > 0 {
		t.Fatalf("the frame's length is %d; it has %d bytes and %d more", h.Length, n, r.Len())
	}
	m, err := registry.DecodeServer(payload)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(m.Encode()); got != string(payload) {
		t.Errorf("the frame holds\n%s\nbut the model encodes it as\n%s", payload, got)
	}
	return m
}

func provider(id string, status registry.Status) registry.Declare {
	return registry.Declare{ID: id, Provides: []registry.Instance{
		{ID: id + ":80", Service: "web", Address: "192.0.2.1", Port: 80, Status: status},
	}}
}

func consumer(id string) registry.Declare {
	return registry.Declare{ID: id, Requires: []registry.Require{{Alias: "web", Filter: "web?ns=default"}}}
}

// A server that was away for 30 s blames nobody for it.
func TestServerAway(t *testing.T) {
	d := newDesk(t)
	c := d.join(consumer("consumer"))
	p := d.join(provider("p", registry.Passing))
	pp := d.join(provider("pp", registry.Passing))
	q := d.join(provider("qqq", registry.Passing))
	gone := d.join(provider("rrrr", registry.Passing))
	d.pass(time.Second)
	d.beat(c, p, pp, q, gone)
	d.views(c)

	d.now = d.now.Add(30 * time.Second) // frozen: no tick
	d.event((*core).tick)
	if got := d.views(c); len(got) != 0 {
		t.Fatalf("on waking: %+v", got)
	}
	// One launcher has given up in the meantime: that shows only now. It is
	// held until it must be back.
	d.event(func(c *core) { c.closed(gone, false, "closed") })
	for range 5 {
		d.beat(c, p, pp, q)
		d.pass(time.Second)
	}
	if got := d.views(c); len(got) != 0 {
		t.Fatalf("within the reconnect cap after waking: %+v", got)
	}
	for range 2 {
		d.beat(c, p, pp, q)
		d.pass(time.Second)
	}
	views := d.views(c)
	if len(views) != 1 || len(views[0].Drop) != 1 || views[0].Drop[0] != (registry.Drop{ID: "rrrr:80", Why: registry.WhyLost}) {
		t.Fatalf("after it: %+v; want the drop of what did not come back", views)
	}
	// Silence counts from waking on.
	d.pass(9*time.Second + sweepEvery)
	if got := d.views(c); len(got) != 0 || len(d.core.sessions) != 0 {
		t.Errorf("all silent: %+v, %d sessions", got, len(d.core.sessions))
	}
}

// An event that comes before the first tick after waking finds out as well.
func TestServerAwayEventFirst(t *testing.T) {
	d := newDesk(t)
	c := d.join(consumer("consumer"))
	p := d.join(provider("p", registry.Passing))
	d.views(c)
	d.now = d.now.Add(30 * time.Second)
	d.event(func(c *core) { c.closed(p, false, "closed") })
	d.beat(c)
	d.pass(100 * time.Millisecond)
	if got := d.views(c); len(got) != 0 {
		t.Errorf("found closed on waking: %+v; want it held", got)
	}
}

// A server that is merely late keeps its deadlines.
func TestServerLate(t *testing.T) {
	d := newDesk(t)
	c := d.join(consumer("consumer"))
	p := d.join(provider("p", registry.Passing))
	d.views(c)
	for range 3 {
		d.now = d.now.Add(minBeat)
		d.beat(c)
		d.event((*core).tick)
	}
	d.pass(gatherFor)
	if !p.ended {
		t.Error("a silent session was not lost")
	}
	if views := d.views(c); len(views) != 1 || len(views[0].Drop) != 1 {
		t.Errorf("got %+v", views)
	}
}

func TestServerAwayInTheMiddleOfThings(t *testing.T) {
	d := newDesk(t)
	warm := 10 * time.Second
	d.core = newCore("test", slog.New(slog.DiscardHandler), d.now, &warm)
	c := d.join(consumer("consumer"))
	p := d.join(provider("p", registry.Passing))
	q := d.join(provider("qq", registry.Passing))
	d.event(func(c *core) {
		c.drainRequested(p, registry.Drain{IDs: []string{"p:80"}, Wait: registry.InMilliseconds(5 * time.Second)})
	})
	d.pass(time.Second)
	d.beat(c, p, q)
	d.now = d.now.Add(30 * time.Second)
	d.event((*core).tick)
	if len(d.core.drains.all) != 1 || !d.core.warming.on {
		t.Errorf("on waking: %d drains, warming %v; want both to go on", len(d.core.drains.all), d.core.warming.on)
	}
	for range 6 {
		d.beat(c, p, q)
		d.pass(time.Second)
	}
	if len(d.core.drains.all) != 0 || d.core.warming.on {
		t.Errorf("later: %d drains, warming %v; want both over", len(d.core.drains.all), d.core.warming.on)
	}
}

func TestBeatEvery(t *testing.T) {
	tests := []struct {
		sessions  int
		now, want time.Duration
	}{
		{0, minBeat, 3 * time.Second},
		{2000, minBeat, 3 * time.Second},
		{2001, minBeat, 6 * time.Second},
		{4000, minBeat, 6 * time.Second},
		{4001, 6 * time.Second, 9 * time.Second},
		{8001, minBeat, 15 * time.Second},
		{1000000, minBeat, 15 * time.Second},
		{1999, 6 * time.Second, 6 * time.Second}, // not before it is a fifth less
		{1601, 6 * time.Second, 6 * time.Second},
		{1600, 6 * time.Second, 3 * time.Second},
		{0, maxBeat, 3 * time.Second},
	}
	for _, test := range tests {
		if got := beatEvery(test.sessions, test.now); got != test.want {
			t.Errorf("beatEvery(%d, %v) = %v; want %v", test.sessions, test.now, got, test.want)
		}
	}
}

// When the beat changes, each session is told; when it becomes faster, nobody
// is lost for having beaten as he was told.
func TestBeatChanges(t *testing.T) {
	d := newDesk(t)
	var all []*session
	for n := range sessionsPerBeat + 1 {
		s := &session{}
		d.event(func(c *core) { c.greet(s, "192.0.2.1") })
		id := strings.Repeat("x", n%200+1) + strings.Repeat("y", n/200)
		normal, filters, _ := registry.Declare{ID: id, Namespace: "default", Key: "0123456789abcdef"}.Normalize()
		d.event(func(c *core) { c.declare(s, normal, filters, keyHash{}) })
		all = append(all, s)
	}
	last := func(s *session) *registry.Welcome {
		queue, _, _ := s.out.take()
		if len(queue) == 0 {
			return nil
		}
		return decode(t, queue[len(queue)-1].frame).Welcome
	}
	if w := last(all[0]); w.BeatEvery != 3000 {
		t.Fatalf("at first %+v", w)
	}
	d.pass(sweepEvery)
	if w := last(all[0]); w == nil || w.BeatEvery != 6000 || w.ExpireAfter != 18000 {
		t.Fatalf("with %d sessions: %+v; want a welcome with a beat of 6 s", len(all), w)
	}
	for _, s := range all[1000:] {
		d.event(func(c *core) { c.closed(s, true, "") })
	}
	all = all[:1000]
	d.beat(all...)
	d.pass(sweepEvery)
	if w := last(all[0]); w == nil || w.BeatEvery != 3000 {
		t.Fatalf("with %d sessions: %+v; want a beat of 3 s", len(all), w)
	}
	d.pass(12 * time.Second) // longer than 3 beats of 3 s, shorter than 3 of 6 s
	if len(d.core.sessions) != 1000 {
		t.Errorf("%d of 1000 sessions are left, although they were told to beat every 6 s", len(d.core.sessions))
	}
	d.beat(all...)
	d.pass(12 * time.Second)
	if len(d.core.sessions) != 0 {
		t.Errorf("%d sessions are left that were silent for 12 s", len(d.core.sessions))
	}
}

func TestCommon(t *testing.T) {
	for _, test := range []struct {
		lost, of int
		want     bool
	}{{0, 0, false}, {1, 1, false}, {2, 2, false}, {3, 3, true}, {3, 5, true}, {3, 6, false}, {4, 7, true}, {50, 100, false}, {51, 100, true}} {
		if got := common(test.lost, test.of); got != test.want {
			t.Errorf("common(%d, %d) = %v", test.lost, test.of, got)
		}
	}
}

// One encoded message serves every session that shares the filter.
func TestOneFrameForAll(t *testing.T) {
	d := newDesk(t)
	a, b := d.join(consumer("a")), d.join(consumer("bb"))
	first := func(s *session) frame {
		queue, _, _ := s.out.take()
		return queue[len(queue)-1].frame
	}
	if x, y := first(a), first(b); &x[0] != &y[0] {
		t.Error("two complete views were encoded")
	}
	d.join(provider("ppp", registry.Passing))
	if x, y := first(a), first(b); &x[0] != &y[0] {
		t.Error("two differences were encoded")
	}
}

// A service cannot grow so large that nobody could be told about it.
func TestAServiceFitsIntoAMessage(t *testing.T) {
	d := newDesk(t)
	fat := func(id string, value string) registry.Declare {
		p := provider(id, registry.Passing)
		p.Provides[0].Attributes = make(map[string]string)
		for n := range registry.MaxAttributes {
			p.Provides[0].Attributes[fmt.Sprint("a", n)] = value
		}
		return p
	}
	full := strings.Repeat("\x01", registry.MaxAttributeValue) // six times as long when encoded
	var last *session
	var refused *registry.Error
	n := 0
	for ; refused == nil && n < 200; n++ {
		last = d.join(fat(strings.Repeat("x", n+1), full))
		queue, _, _ := last.out.take()
		for _, q := range queue {
			refused = cmp.Or(refused, decode(t, q.frame).Error)
		}
	}
	if refused == nil || refused.Code != registry.CodeTooMany || refused.Fatal || refused.ID != strings.Repeat("x", n)+":80" {
		t.Fatalf("after %d fat instances: %+v; want too_many", n, refused)
	}
	newcomer := d.join(consumer("newcomer"))
	queue, _, _ := newcomer.out.take()
	f := queue[len(queue)-1].frame
	if got := decode(t, f).View; len(got.Add) != n-1 || len(f) > registry.MaxServerMessage || len(f) < registry.MaxServerMessage/2 {
		t.Errorf("the complete view has %d endpoints in %d bytes", len(got.Add), len(f))
	}
	// One that is there may change as long as it does not grow.
	first := d.core.sessions[0]
	d.declare(first, fat("x", full))
	thin := provider("x", registry.Passing)
	d.declare(first, thin)
	d.declare(last, fat(strings.Repeat("x", n), full))
	if len(last.provides) != 1 {
		t.Error("there is room, and the instance is still refused")
	}
	d.declare(first, fat("x", full))
	if len(first.provides) != 1 || len(first.provides[0].shown.Attributes) != 0 {
		t.Error("an instance that has no room to grow did not stay as it was")
	}
}

func TestSizeOf(t *testing.T) {
	for _, text := range []string{"", "plain", "\x00\x01\n\t\x7f", `"\`, "<&>", "äöü", "\u2028\u2029", "日本語", "😀"} {
		if got, want := encodedSize(text), len(encodeJSON(text))-2; got < want {
			t.Errorf("encodedSize(%q) = %d, less than %d", text, got, want)
		}
		i := registry.Instance{
			ID: "x", Address: text, Zone: text, Port: 65535, Protocol: registry.TCP, Status: registry.Maintenance, Since: 1 << 53,
			Tags: []string{text, text}, Attributes: map[string]string{text: text, "b": text},
		}
		if got, want := sizeOf(i), len(encodeJSON(i.Endpoint())); got < want {
			t.Errorf("sizeOf an instance with %q is %d, less than %d", text, got, want)
		}
	}
}

// Everything that is in the registry goes when the last session does.
func TestNothingIsLeft(t *testing.T) {
	d := newDesk(t)
	var all []*session
	for _, id := range []string{"a", "bb", "ccc", "dddd"} {
		p := provider(id, registry.Passing)
		p.Requires = append(p.Requires, consumer(id).Requires...)
		p.Requires = append(p.Requires, registry.Require{Alias: "db", Filter: "db?ns=default"})
		all = append(all, d.join(p))
	}
	d.event(func(c *core) {
		c.drainRequested(all[0], registry.Drain{IDs: []string{"a:80"}, Wait: 1000, InPlace: true})
		c.drainRequested(all[1], registry.Drain{IDs: []string{"bb:80"}, Wait: 1000, InPlace: true})
		c.drainRequested(all[2], registry.Drain{IDs: []string{"ccc:80"}, Wait: 1000})
	})
	d.event(func(c *core) { c.closed(all[3], true, "left") })
	for _, s := range all[:3] {
		d.event(func(c *core) { c.closed(s, false, "lost") })
	}
	d.pass(5 * time.Minute)
	c := d.core
	left := len(c.sessions) + len(c.launchers) + len(c.instances) + len(c.namespaces) + len(c.views) + len(c.dirty) + len(c.encoded) +
		len(c.losses.departed) + len(c.losses.recent) + len(c.losses.services) + len(c.losses.gathering) +
		len(c.held.all) + len(c.held.sockets) + len(c.claims) + len(c.drains.all) + len(c.drains.check) + len(c.drains.recheck)
	if left != 0 {
		t.Errorf("something is left: %+v", c)
	}
}
