package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cleat/registry"
)

func ended(signal <-chan struct{}) bool {
	select {
	case <-signal:
		return true
	default:
		return false
	}
}

func TestListingChanges(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	none := s.Look("default", "web")
	if none == nil || len(none.Instances) != 0 || none.Revision == 0 {
		t.Fatalf("of nothing: %+v", none)
	}
	came := none.Changed()
	a := d.join(provider("a", registry.Passing))
	if !ended(came) {
		t.Error("who waits for the first instance is not told")
	}
	one := s.Look("default", "web")
	if one.Revision <= none.Revision || len(one.Instances) != 1 {
		t.Errorf("with one: %+v", one)
	}
	changed := one.Changed()
	other := d.join(provider("other", registry.Passing)) // the same service
	if !ended(changed) || !ended(one.Changed()) {
		t.Error("who waits is not told of the second instance, or who comes late")
	}
	d.event(func(c *core) { c.closed(other, true, "") })

	two := s.Look("default", "web")
	changed = two.Changed()
	d.join(consumer("c"))
	d.mustRegister(managed("db1")) // another service
	if ended(changed) || s.Look("default", "web") != two {
		t.Error("the listing ends although the service has not changed")
	}
	p := provider("a", registry.Passing)
	p.Provides[0].Reason = "well"
	d.declare(a, p)
	if !ended(changed) {
		t.Error("a reason does not count")
	}
	last := s.Look("default", "web")
	changed = last.Changed()
	d.event(func(c *core) { c.closed(a, true, "") })
	gone := s.Look("default", "web")
	if !ended(changed) || len(gone.Instances) != 0 || gone.Revision <= last.Revision {
		t.Errorf("gone: %+v after %d", gone, last.Revision)
	}
	changed = gone.Changed()
	d.join(provider("a", registry.Passing))
	if !ended(changed) {
		t.Error("who waits for it to come back is not told")
	}
	if back := s.Look("default", "web"); back.Revision <= gone.Revision {
		t.Errorf("back: revision %d after %d", back.Revision, gone.Revision)
	}
}

// What is held looks as before, and its listing says so.
func TestListingNotes(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	var sessions []*session
	for n := range 3 {
		sessions = append(sessions, d.join(provider(strings.Repeat("p", n+1), registry.Passing)))
	}
	before := s.Look("default", "web")
	if before.Notes != nil {
		t.Errorf("got %v", before.Notes)
	}
	for _, p := range sessions {
		id := p.id.id
		d.declare(p, provider(id, registry.Critical))
	}
	l := s.Look("default", "web")
	if len(l.Notes) != 3 || l.Notes["p:80"] != (Note{Held: true, Actual: registry.Critical}) || l.Instances[0].Status != registry.Passing {
		t.Errorf("held: %+v, %+v", l.Notes, l.Instances)
	}
	if c := s.Catalog("default"); c.Services[0].Held != 3 || c.Services[0].Instances[registry.Critical] != 3 || c.Services[0].Serving != 3 {
		t.Errorf("held: %+v", c.Services[0])
	}
	d.mustRegister(managed("db1"))
	if l := s.Look("default", "db"); l.Notes["db1"] != (Note{Source: "api", Actual: registry.Passing}) {
		t.Errorf("registered: %+v", l.Notes)
	}
}

// A drain waits for readers that route traffic, also for those that look once
// and then wait; and for nobody who only shows what there is.
func TestBlindReaders(t *testing.T) {
	for name, test := range map[string]struct {
		read func(*Server)
		wait bool
	}{
		"nobody":                         {func(s *Server) {}, false},
		"a page":                         {func(s *Server) { s.Look("default", "web").Changed(); s.Catalog("").Changed() }, false},
		"somebody who routes":            {func(s *Server) { lookUp(s, "default", "web") }, false}, // long ago
		"somebody who routes, and waits": {func(s *Server) { s.Lookup([]byte("default"), []byte("web")).Changed() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			s := reader(d)
			p := d.join(provider("p", registry.Passing))
			q := d.join(provider("qq", registry.Passing))
			test.read(s)
			for range 70 {
				d.beat(p, q)
				d.pass(time.Second)
			}
			d.event(func(c *core) { c.drainRequested(p, registry.Drain{IDs: []string{"p:80"}, Wait: 4000}) })
			over := len(d.core.drains.all) == 0
			if over == test.wait {
				t.Errorf("the drain is over at once: %v", over)
			}
		})
	}
}

func TestCatalog(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	none, all := s.Catalog("default"), s.Catalog("")
	if len(none.Services) != 0 || len(all.Services) != 0 || all != s.Catalog("") {
		t.Fatal("there is something")
	}
	first, every := none.Changed(), all.Changed()
	r := managed("db1")
	r.Instance.Tags = []string{"primary", "fast"}
	d.mustRegister(r)
	if !ended(first) || !ended(every) {
		t.Error("who waits for the first service is not told")
	}
	d.join(provider("p", registry.Warning))
	d.join(consumer("c"))
	prod := managed("db1")
	prod.Namespace = "prod"
	d.mustRegister(prod)
	c := s.Catalog("default")
	if len(c.Services) != 2 || c.Services[0].Service != "db" || !slices.Equal(c.Services[0].Tags, []string{"fast", "primary"}) ||
		c.Services[1].Service != "web" || c.Services[1].Instances[registry.Warning] != 1 {
		t.Errorf("default: %+v", c.Services)
	}
	if all := s.Catalog(""); len(all.Services) != 3 || all.Services[2].Namespace != "prod" || all.Services[0] != c.Services[0] {
		t.Errorf("all: %+v; want what has not changed made once", all.Services)
	}
	changed, elsewhere := c.Changed(), s.Catalog("prod").Changed()
	d.renew("db1", registry.Critical)
	if !ended(changed) || ended(elsewhere) {
		t.Error("a status does not count, or counts elsewhere")
	}
	next := s.Catalog("default")
	if next.Revision <= c.Revision || next.Services[0].Instances[registry.Critical] != 1 || next.Services[1] != c.Services[1] {
		t.Errorf("after a change: %+v", next)
	}
	for n := range 100 {
		s.Catalog(fmt.Sprint("nobody", n))
	}
	if len(d.core.catalogs) > 3 {
		t.Errorf("%d catalogs are kept", len(d.core.catalogs))
	}
}

func TestEvents(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	events, complete, more := s.Events(0)
	if len(events) != 1 || events[0].Kind != KindServer || !complete || ended(more) {
		t.Fatalf("at first: %+v, %v", events, complete)
	}
	last := events[0].Revision
	p := d.join(provider("p", registry.Starting))
	if !ended(more) {
		t.Error("who waits is not told")
	}
	d.declare(p, provider("p", registry.Passing))
	d.event(func(c *core) { c.closed(p, false, "connection reset") })
	d.pass(gatherFor)
	events, complete, _ = s.Events(last)
	var got []string
	for _, e := range events {
		if e.Revision <= last {
			t.Errorf("revision %d after %d", e.Revision, last)
		}
		last = e.Revision
		got = append(got, fmt.Sprintf("%s %s %s %s %s", e.Kind, e.ID, e.Status, e.Cause, e.Why))
	}
	want := []string{
		"session p  began ", "appeared p:80 starting  ", "status p:80 passing  ",
		"ended p  lost connection reset", "gone p:80 passing lost connection reset",
	}
	if !slices.Equal(got, want) || !complete {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if events, complete, _ := s.Events(last); len(events) != 0 || !complete {
		t.Errorf("after the last: %+v, %v", events, complete)
	}
	if _, complete, _ := s.Events(1); complete {
		t.Error("the events since another server's are said to be complete")
	}
	if _, complete, _ := s.Events(last + 1000); complete {
		t.Error("the events since a later server's are said to be complete")
	}
}

// The journal is a ring: it takes the same memory for ever, and says when
// something is missing.
func TestJournalIsBounded(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	d.mustRegister(managed("quiet"))
	first, _, _ := s.Events(0)
	d.mustRegister(managed("gone"))
	d.event(func(c *core) {
		c.remove(c.instances[identity{"default", "gone"}], registry.WhyLeft, CauseRemoved, "")
	})
	if story, found := s.Instance("default", "gone"); !found || story.Present || len(story.Events) != 2 {
		t.Errorf("the story of what is gone: %+v", story)
	}
	d.mustRegister(managed("db1"))
	for n := range maxEvents {
		d.renew("db1", []registry.Status{registry.Warning, registry.Passing}[n%2])
	}
	if len(d.core.journal.ring) != maxEvents || len(d.core.journal.gone) != 0 {
		t.Errorf("%d events, %d gone", len(d.core.journal.ring), len(d.core.journal.gone))
	}
	if _, found := s.Instance("default", "gone"); found {
		t.Error("what is gone is remembered for ever")
	}
	story, found := s.Instance("default", "quiet")
	if !found || !story.Present || len(story.Events) != 0 {
		t.Errorf("the story of the quiet one: %+v", story)
	}
	if story, _ := s.Instance("default", "db1"); len(story.Events) != maxStory || story.Events[maxStory-1].Kind != KindStatus {
		t.Errorf("%d events of the other", len(story.Events))
	}
	events, complete, more := s.Events(first[0].Revision)
	if complete || len(events) != maxEventsAtOnce || !ended(more) {
		t.Errorf("from the beginning: %d events, complete: %v", len(events), complete)
	}
	n := 0
	for after := registry.Revision(0); ; {
		events, _, more := s.Events(after)
		if n += len(events); !ended(more) {
			break
		}
		after = events[len(events)-1].Revision
	}
	if n != maxEvents {
		t.Errorf("read %d events piece by piece; want %d", n, maxEvents)
	}
}

func TestStory(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	p := d.join(provider("p", registry.Passing))
	c := d.join(consumer("c"))
	d.join(dbConsumer("other"))
	story, found := s.Instance("default", "p:80")
	if !found || !story.Present || story.Launcher != "p" || story.Session != p.name() || story.Declared != registry.Passing || len(story.Events) != 1 {
		t.Errorf("got %+v", story)
	}
	if len(story.Users) != 1 || story.Users[0].ID != "c" || story.Users[0].Alias != "web" || story.Users[0].Applied {
		t.Errorf("its users: %+v", story.Users)
	}
	d.event(func(core *core) {
		core.applied(c, registry.Applied{Filter: "web?ns=default", Revision: c.subs[0].sent})
	})
	if story, _ := s.Instance("default", "p:80"); !story.Users[0].Applied {
		t.Errorf("its users: %+v", story.Users)
	}
	if _, found := s.Instance("default", "nobody"); found {
		t.Error("what never was is found")
	}
}

func TestStats(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	p := d.join(provider("p", registry.Passing))
	d.join(consumer("c"))
	d.mustRegister(managed("db1"))
	d.event(func(c *core) { c.closed(p, false, "reset") })
	d.pass(gatherFor)
	got := s.Stats()
	if got.Sessions != 1 || got.SessionsBegun != 2 || got.SessionsLost != 1 || got.Registrations != 1 ||
		got.Instances[registry.Passing] != 1 || len(got.Instances) != 1 || got.Services != 2 || got.Views != 1 {
		t.Errorf("got %+v", got)
	}
}
