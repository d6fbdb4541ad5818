// Package enginetest holds engines to what package engine promises.
package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cleat/registry/engine"
)

// within is how long a test waits for what an engine tells later.
const within = 20 * time.Second

// Subject is an empty store under test.
type Subject struct {
	// Open opens it; what it returns is closed by the suite. An engine that is
	// shared may be opened several times at once, one that lasts again after it
	// was closed.
	Open func(t *testing.T) engine.Engine
	// Expire has the server that owns records die, and returns when the engine
	// knows. Only of one that is shared.
	Expire func(owner string)
}

// Run runs the suite, as far as the engine's traits go; each test gets a new
// subject.
func Run(t *testing.T, subject func(t *testing.T) Subject) {
	t.Helper()
	probe := subject(t)
	e := probe.Open(t)
	traits := e.Traits()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, Subject)
		is   bool // the engine promises it
	}{
		{"Empty", testEmpty, true},
		{"WriteAndLoad", testWriteAndLoad, true},
		{"Delete", testDelete, true},
		{"Conditions", testConditions, true},
		{"Order", testOrder, true},
		{"Repeated", testRepeated, true},
		{"Many", testMany, true},
		{"Bytes", testBytes, true},
		{"Cancelled", testCancelled, true},
		{"WatchEnds", testWatchEnds, true},
		{"Lasting", testLasting, traits.Lasting},
		{"Shared", testShared, traits.Shared},
		{"WatchFromBefore", testWatchFromBefore, traits.Shared},
		{"Expired", testExpired, traits.Shared},
		{"ClosedServerKeepsItsRecords", testClosed, traits.Shared},
	} {
		if test.is {
			t.Run(test.name, func(t *testing.T) { test.run(t, subject(t)) })
		}
	}
}

func record(id, owner string, generation uint64, value string) engine.Record {
	return engine.Record{
		Key:     engine.Key{Kind: engine.Instance, Namespace: "dev/alice", ID: id},
		Version: engine.Version{Owner: owner, Generation: generation}, Value: []byte(value),
	}
}

func put(r engine.Record) engine.Change { return engine.Change{Record: r} }

func remove(r engine.Record) engine.Change {
	r.Value = nil
	return engine.Change{Record: r, Delete: true}
}

func open(t *testing.T, s Subject) engine.Engine {
	t.Helper()
	e := s.Open(t)
	t.Cleanup(func() { e.Close() })
	return e
}

func write(t *testing.T, e engine.Engine, changes ...engine.Change) []engine.Refused {
	t.Helper()
	refused, err := e.Write(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	return refused
}

// wantLoaded compares what is there, in no order.
func wantLoaded(t *testing.T, e engine.Engine, want ...engine.Record) engine.Position {
	t.Helper()
	got, at, err := e.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	texts := func(records []engine.Record) []string {
		var list []string
		for _, r := range records {
			list = append(list, fmt.Sprintf("%q %s/%d %q", r.Key.String(), r.Owner, r.Generation, r.Value))
		}
		slices.Sort(list)
		return list
	}
	if g, w := texts(got), texts(want); !slices.Equal(g, w) {
		t.Errorf("loaded\n%s\nwant\n%s", strings.Join(g, "\n"), strings.Join(w, "\n"))
	}
	return at
}

func testEmpty(t *testing.T, s Subject) { wantLoaded(t, open(t, s)) }

func testWriteAndLoad(t *testing.T, s Subject) {
	e := open(t, s)
	a, b := record("a", "", 0, `{"x":1}`), record("b", "one", 7, "")
	mark := a
	mark.Kind, mark.Value = engine.Mark, []byte("marked") // the same id, another kind
	other := a
	other.Namespace = "default"
	write(t, e, put(a), put(b), put(mark), put(other))
	wantLoaded(t, e, a, b, mark, other)
	a.Value, a.Owner, a.Generation = []byte("later"), "two", 8
	write(t, e, put(a))
	wantLoaded(t, e, a, b, mark, other)
}

func testDelete(t *testing.T, s Subject) {
	e := open(t, s)
	a, b := record("a", "", 0, "a"), record("b", "", 0, "b")
	write(t, e, put(a), put(b))
	write(t, e, remove(a), remove(record("nobody", "", 0, "")))
	wantLoaded(t, e, b)
}

// testConditions: a delete that comes late does not hit what came after.
func testConditions(t *testing.T, s Subject) {
	e := open(t, s)
	first := record("a", "one", 1, "first")
	free := put(first)
	free.If = &engine.Version{}
	if refused := write(t, e, free); len(refused) != 0 {
		t.Fatalf("taking what is free: %+v", refused)
	}
	second := record("a", "two", 2, "second")
	again := put(second)
	again.If = &engine.Version{}
	late := put(second)
	late.If = &engine.Version{Owner: "one", Generation: 9}
	for _, c := range []engine.Change{again, late} {
		refused := write(t, e, c)
		if len(refused) != 1 || refused[0].Found == nil || refused[0].Found.Version != first.Version || string(refused[0].Found.Value) != "first" {
			t.Errorf("if %+v: refused %+v", *c.If, refused)
		}
	}
	wantLoaded(t, e, first)
	takeOver := put(second)
	takeOver.If = &first.Version
	if refused := write(t, e, takeOver); len(refused) != 0 {
		t.Fatalf("taking over: %+v", refused)
	}
	for _, version := range []engine.Version{first.Version, {Owner: "two", Generation: 1}, {Owner: "one", Generation: 2}, {}} {
		c := remove(second)
		c.If = &version
		if refused := write(t, e, c); len(refused) != 1 || refused[0].Found == nil || refused[0].Found.Version != second.Version {
			t.Errorf("deleting if %+v: refused %+v", version, refused)
		}
	}
	wantLoaded(t, e, second)
	own := remove(second)
	own.If = &second.Version
	if refused := write(t, e, own); len(refused) != 0 {
		t.Errorf("deleting its own: %+v", refused)
	}
	if refused := write(t, e, own); len(refused) != 1 || refused[0].Found != nil {
		t.Errorf("deleting what is gone: %+v", refused)
	}
	// One that is refused keeps no other from being applied.
	b := record("b", "one", 1, "b")
	if refused := write(t, e, late, put(b)); len(refused) != 1 || refused[0].Change.ID != "a" {
		t.Errorf("got %+v", refused)
	}
	wantLoaded(t, e, b)
}

func testOrder(t *testing.T, s Subject) {
	e := open(t, s)
	a := record("a", "one", 1, "1")
	b := record("a", "one", 2, "2")
	conditional := put(b)
	conditional.If = &a.Version
	if refused := write(t, e, put(a), conditional, remove(b), put(a)); len(refused) != 0 {
		t.Errorf("refused %+v", refused)
	}
	wantLoaded(t, e, a)
	write(t, e, put(b), remove(b))
	wantLoaded(t, e)
}

func testRepeated(t *testing.T, s Subject) {
	e := open(t, s)
	a := record("a", "one", 1, "a")
	for range 3 {
		write(t, e, put(a))
	}
	wantLoaded(t, e, a)
	for range 3 {
		write(t, e, remove(a))
	}
	wantLoaded(t, e)
}

func testMany(t *testing.T, s Subject) {
	e := open(t, s)
	var records []engine.Record
	var changes []engine.Change
	for n := range 2000 {
		r := record(fmt.Sprintf("id-%04d", n), "one", uint64(n), strings.Repeat("x", n%300))
		records = append(records, r)
		changes = append(changes, put(r))
	}
	write(t, e, changes...)
	wantLoaded(t, e, records...)
	changes = nil
	for _, r := range records[:1500] {
		changes = append(changes, remove(r))
	}
	write(t, e, changes...)
	wantLoaded(t, e, records[1500:]...)
	write(t, e)
}

// testBytes: keys and values are what they are, byte for byte.
func testBytes(t *testing.T, s Subject) {
	e := open(t, s)
	every := make([]byte, 256)
	for n := range every {
		every[n] = byte(n)
	}
	a := record("ü /%\x01 \"'", "the server's own name/1", 1<<63, string(every))
	large := record("large", "", 0, string(bytes.Repeat([]byte{0, 1, 2, 3}, engine.MaxValue/4)))
	write(t, e, put(a))
	write(t, e, put(large))
	wantLoaded(t, e, a, large)
}

func testCancelled(t *testing.T, s Subject) {
	e := open(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Write(ctx, []engine.Change{put(record("a", "", 0, "a"))}); err == nil {
		t.Error("Write did not mind that its time is over")
	}
	if _, _, err := e.Load(ctx); err == nil {
		t.Error("Load did not mind that its time is over")
	}
	b := record("b", "", 0, "b")
	write(t, e, remove(record("a", "", 0, "")), put(b))
	wantLoaded(t, e, b)
}

func testWatchEnds(t *testing.T, s Subject) {
	e := open(t, s)
	at := wantLoaded(t, e)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Watch(ctx, at, func([]engine.Change) {}) }()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("got %v", err)
		}
	case <-time.After(within):
		t.Fatal("it does not end")
	}
}

func testLasting(t *testing.T, s Subject) {
	e := s.Open(t)
	a, b := record("a", "one", 3, "a"), record("b", "", 0, "b")
	write(t, e, put(a), put(b))
	write(t, e, remove(b))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	wantLoaded(t, open(t, s), a)
}

// watched is what an engine tells, as a state of the world.
type watched struct {
	mu      sync.Mutex
	records map[engine.Key]engine.Record
	expired map[engine.Key]bool
}

func watch(t *testing.T, e engine.Engine, at engine.Position) *watched {
	w := &watched{records: make(map[engine.Key]engine.Record), expired: make(map[engine.Key]bool)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- e.Watch(ctx, at, func(changes []engine.Change) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, c := range changes {
				if c.Delete {
					delete(w.records, c.Key)
					w.expired[c.Key] = c.Expired
				} else {
					w.records[c.Key] = c.Record
				}
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch: %v", err)
		}
	})
	return w
}

// await waits until exactly these records have been told of.
func (w *watched) await(t *testing.T, what string, want ...engine.Record) {
	t.Helper()
	world := make(map[engine.Key]engine.Record)
	for _, r := range want {
		world[r.Key] = r
	}
	for began := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		w.mu.Lock()
		same := reflect.DeepEqual(w.records, world)
		text := fmt.Sprintf("%+v", w.records)
		w.mu.Unlock()
		if same {
			return
		}
		if time.Since(began) > within {
			t.Fatalf("%s: told of %s, want %+v", what, text, world)
		}
	}
}

func shared(t *testing.T, s Subject) (one, two engine.Engine) {
	t.Helper()
	return open(t, s), open(t, s)
}

func testShared(t *testing.T, s Subject) {
	one, two := shared(t, s)
	at := wantLoaded(t, two)
	w := watch(t, two, at)
	a, b := record("a", "one", 1, "a"), record("b", "one", 1, "b")
	write(t, one, put(a), put(b))
	w.await(t, "two records", a, b)
	wantLoaded(t, two, a, b)
	a.Owner, a.Generation = "two", 2
	takeOver := put(a)
	takeOver.If = &engine.Version{Owner: "one", Generation: 1}
	write(t, two, takeOver)
	late := remove(a)
	late.If = &engine.Version{Owner: "one", Generation: 1}
	if refused := write(t, one, late); len(refused) != 1 {
		t.Errorf("the first server deletes what the second has taken over: %+v", refused)
	}
	write(t, one, remove(b))
	w.await(t, "one taken over, one deleted", a)
	if w.expired[b.Key] {
		t.Error("what was deleted is said to have expired")
	}
}

// testWatchFromBefore: nothing between Load and Watch gets lost.
func testWatchFromBefore(t *testing.T, s Subject) {
	one, two := shared(t, s)
	at := wantLoaded(t, two)
	a, b := record("a", "one", 1, "a"), record("b", "one", 1, "b")
	write(t, one, put(a), put(b))
	write(t, one, remove(a))
	watch(t, two, at).await(t, "what happened before", b)
}

func testExpired(t *testing.T, s Subject) {
	one, two := shared(t, s)
	w := watch(t, two, wantLoaded(t, two))
	a, b, c := record("a", "one", 1, "a"), record("b", "two", 1, "b"), record("c", "", 0, "c")
	write(t, one, put(a), put(c))
	write(t, two, put(b))
	w.await(t, "before", a, b, c)
	s.Expire("one")
	w.await(t, "after", b, c)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.expired[a.Key] {
		t.Error("it does not say that a lease was over")
	}
}

func testClosed(t *testing.T, s Subject) {
	one, two := shared(t, s)
	a := record("a", "one", 1, "a")
	write(t, one, put(a))
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	wantLoaded(t, two, a)
}
