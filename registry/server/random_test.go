package server

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"cleat/registry"
)

// puppet is a launcher in a random play: it provides, requires and
// acknowledges at random, and keeps its views as launchers do.
type puppet struct {
	*session
	id    string
	key   byte
	views map[string]registry.View
	since map[string]registry.Revision
	ports map[string]uint16
	slow  bool // does not read for now
}

// FuzzPlay is a random play of launchers that come, go, change, drain, restart
// and fall silent. After every step the counts must be right, the views must be
// what the instances say, and every consumer that has read everything must see
// just that.
func FuzzPlay(f *testing.F) {
	for seed := range uint64(16) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { play(t, rand.New(rand.NewPCG(seed, 1)), 250) })
}

func play(t *testing.T, r *rand.Rand, steps int) {
	d := newDesk(t)
	if r.IntN(2) == 0 {
		d.core = newCore("test", slog.New(slog.DiscardHandler), d.now, nil)
	}
	var all []*puppet
	var port uint16
	services := []string{"web", "db"}
	filters := []string{"web?ns=default", "db?ns=default", "web?ns=default&tag=x", "db?ns=default&self=true", "web?ns=default&zone=z"}
	statuses := []registry.Status{registry.Passing, registry.Passing, registry.Passing, registry.Warning, registry.Critical, registry.Starting, registry.Draining, registry.Maintenance}

	statement := func(p *puppet) registry.Declare {
		s := registry.Declare{ID: p.id, Namespace: "default", Key: "0123456789abcdef"}
		if r.IntN(2) == 0 {
			known := registry.Milliseconds(9000)
			s.Known = &known
		}
		for n := range r.IntN(4) {
			i := registry.Instance{
				ID: fmt.Sprintf("%s:%d", p.id, n), Service: services[r.IntN(2)], Address: "192.0.2.1",
				Status: statuses[r.IntN(len(statuses))],
			}
			if r.IntN(10) == 0 {
				i.ID = fmt.Sprintf("shared:%d", r.IntN(2)) // somebody else may have it
			}
			if slices.ContainsFunc(s.Provides, func(other registry.Instance) bool { return other.ID == i.ID }) {
				continue
			}
			if p.ports[i.ID] == 0 || r.IntN(10) == 0 {
				port++
				p.ports[i.ID] = port // no two processes have the same
			}
			i.Port = p.ports[i.ID]
			if r.IntN(2) == 0 {
				i.Tags = []string{"x"}
			}
			if r.IntN(3) == 0 {
				i.Zone = "z"
			}
			if r.IntN(3) > 0 {
				i.Since = p.since[i.ID]
			}
			s.Provides = append(s.Provides, i)
		}
		for n, f := range r.Perm(len(filters))[:r.IntN(3)] {
			s.Requires = append(s.Requires, registry.Require{Alias: fmt.Sprint("a", n), Filter: filters[f]})
		}
		return s
	}
	var story []string // of the play, for whoever must find out
	tell := func(format string, args ...any) {
		story = append(story, fmt.Sprintf("%v ", d.now.Sub(d.core.start))+fmt.Sprintf(format, args...))
	}
	declare := func(p *puppet) {
		declare := statement(p)
		tell("%s (%s) declares %s", p.id, p.name(), encodeJSON(declare))
		normal, filters, err := declare.Normalize()
		if err != nil {
			t.Fatal(err)
		}
		d.event(func(c *core) { c.declare(p.session, normal, filters, keyHash{p.key}) })
	}
	read := func(p *puppet) {
		for {
			queue, more, _ := p.out.take()
			if more {
				d.event(func(c *core) { c.serve(p.session) })
				continue
			}
			if len(queue) == 0 {
				return
			}
			for _, q := range queue {
				m := decode(t, q.frame)
				tell("%s (%s) reads %s", p.id, p.name(), encodeJSON(m))
				switch {
				case m.View != nil:
					p.views[m.View.Filter] = p.views[m.View.Filter].Apply(*m.View)
				case m.Welcome != nil:
					maps.Copy(p.since, m.Welcome.Since)
				}
			}
		}
	}
	for range steps {
		var p *puppet
		if len(all) > 0 {
			p = all[r.IntN(len(all))]
		}
		switch n := r.IntN(20); {
		case p == nil || n == 0 && len(all) < 12:
			p = &puppet{id: fmt.Sprint("l", r.IntN(8)), key: byte(r.IntN(2)), views: make(map[string]registry.View), since: make(map[string]registry.Revision), ports: make(map[string]uint16)}
			p.session = &session{}
			for _, other := range all { // comes back with what it remembers
				if other.id == p.id && other.key == p.key {
					p.views, p.since = maps.Clone(other.views), maps.Clone(other.since)
				}
			}
			d.event(func(c *core) { c.greet(p.session, "192.0.2.1") })
			declare(p)
			all = append(all, p)
		case n < 6:
			declare(p)
		case n == 6:
			left := r.IntN(2) == 0
			tell("%s (%s) closes, left: %v", p.id, p.name(), left)
			d.event(func(c *core) { c.closed(p.session, left, "closed") })
		case n == 7:
			for _, p := range all[:r.IntN(len(all)+1)] {
				tell("%s (%s) is cut off", p.id, p.name())
				d.event(func(c *core) { c.closed(p.session, false, "cut") })
			}
		case n < 11:
			var drain registry.Drain
			for _, i := range p.provides {
				if r.IntN(2) == 0 {
					drain.IDs = append(drain.IDs, i.shown.ID)
				}
			}
			drain.Wait = registry.Milliseconds(r.IntN(6000))
			drain.InPlace = r.IntN(2) == 0
			if len(drain.IDs) > 0 {
				tell("%s (%s) drains %v, in place: %v", p.id, p.name(), drain.IDs, drain.InPlace)
				d.event(func(c *core) { c.drainRequested(p.session, drain) })
			}
		case n < 14:
			for filter, v := range p.views {
				if p.subscription(filter) != nil {
					d.event(func(c *core) {
						c.applied(p.session, registry.Applied{Filter: filter, Revision: v.Revision, Held: r.IntN(2) == 0})
					})
				}
			}
		case n == 14:
			p.slow = !p.slow
		case n == 15:
			d.now = d.now.Add(time.Duration(r.IntN(40)) * time.Second) // away
			d.event((*core).tick)
		case n == 16:
			if p.asked.Load() {
				tell("%s (%s) answers", p.id, p.name())
				d.event(func(c *core) { c.answered(p.session) })
			}
		default:
			d.pass(time.Duration(r.IntN(2000)) * time.Millisecond)
		}
		for _, p := range all {
			if r.IntN(8) > 0 {
				d.beat(p.session)
			}
			if !p.slow && !p.ended {
				read(p)
			}
		}
		all = slices.DeleteFunc(all, func(p *puppet) bool { return p.ended && r.IntN(2) == 0 })
		check(t, d.core)
		for _, p := range all {
			if !p.ended && !p.slow {
				checkViews(t, d.core, p)
			}
		}
		if t.Failed() {
			t.Logf("the story so far:\n%s", strings.Join(story[max(0, len(story)-40):], "\n"))
			return
		}
	}
	// Whatever drains is answered in time.
	for range 62 {
		for _, p := range all {
			d.beat(p.session)
		}
		d.pass(5 * time.Second)
	}
	if n := len(d.core.drains.all); n != 0 {
		t.Errorf("%d drains are still not over", n)
	}
	// Everybody goes; nothing is left.
	for _, p := range all {
		d.event(func(c *core) { c.closed(p.session, false, "over") })
	}
	d.pass(10 * time.Minute)
	if c := d.core; len(c.sessions)+len(c.instances)+len(c.views)+len(c.namespaces)+len(c.drains.all)+len(c.held.all)+len(c.held.sockets)+len(c.claims)+len(c.losses.departed)+len(c.launchers) != 0 {
		t.Errorf("something is left: %d sessions, %d instances, %d views, %d namespaces, %d drains, %d held, %d sockets, %d claims, %d departed, %d launchers",
			len(c.sessions), len(c.instances), len(c.views), len(c.namespaces), len(c.drains.all), len(c.held.all), len(c.held.sockets), len(c.claims), len(c.losses.departed), len(c.launchers))
	}
}

// check counts everything anew.
func check(t *testing.T, c *core) {
	t.Helper()
	owned := 0
	for n, s := range c.sessions {
		if s.index != n || s.ended || !s.declared {
			t.Errorf("session %s is at %d, says %d, ended %v", s.name(), n, s.index, s.ended)
		}
		for _, i := range s.provides {
			owned++
			if i.owner != s || c.instances[i.identity()] != i {
				t.Errorf("session %s provides %s, which is not its own", s.name(), i.shown.ID)
			}
		}
		for _, sub := range s.subs {
			if sub.view.subscribers[sub.index] != sub || c.views[sub.view.text] != sub.view {
				t.Errorf("session %s is subscribed to %s, which does not know", s.name(), sub.view.text)
			}
		}
	}
	for id, s := range c.launchers {
		if s.ended || s.id != id {
			t.Errorf("the launcher %v has the session %s, ended %v", id, s.name(), s.ended)
		}
	}
	total, held := 0, 0
	for _, services := range c.namespaces {
		for _, s := range services {
			var serving, staying, granted, heldNow, idle int
			for _, i := range s.instances {
				total++
				if i.owner != nil {
					owned--
				}
				if i.service != s || c.instances[i.identity()] != i {
					t.Errorf("%s is in a service that is not its own", i.shown.ID)
				}
				if i.shown.Status.Serving() {
					serving++
				} else if idle++; s.idle[i.shown.ID] != i {
					t.Errorf("%s serves no one and is not noted as idle", i.shown.ID)
				}
				if i.stays() {
					staying++
				}
				if i.grant != nil {
					granted++
				}
				if i.held != notHeld {
					held++
					heldNow++
				}
				if i.shown.Status != i.status() {
					t.Errorf("%s is shown as %s; want %s", i.shown.ID, i.shown.Status, i.status())
				}
			}
			if serving != s.serving || staying != s.staying || granted != s.granted || heldNow != s.heldNow || idle != len(s.idle) {
				t.Errorf("%s counts %d serving, %d staying, %d granted, %d held, %d idle; there are %d, %d, %d, %d, %d",
					s.name, s.serving, s.staying, s.granted, s.heldNow, len(s.idle), serving, staying, granted, heldNow, idle)
			}
			for _, d := range append(slices.Clone(s.drains), s.queue...) {
				if _, active := c.drains.all[d]; !active {
					t.Errorf("%s keeps a drain of %v that is over", s.name, d.ids)
				}
				for sub := range d.waiting {
					if sub.session.ended || sub.view.subscribers[sub.index] != sub {
						t.Errorf("a drain of %v waits for a subscription that has ended", d.ids)
					}
				}
			}
			for _, v := range s.views {
				var want []*instance
				for _, i := range s.instances {
					if v.filter.Match(i.shown) {
						want = append(want, i)
					}
				}
				slices.SortFunc(want, compareInstances)
				if !slices.Equal(want, v.members) {
					t.Errorf("the view %s has other members than the instances say", v.text)
				}
			}
		}
	}
	if total != len(c.instances) || owned != 0 || held != len(c.held.all) {
		t.Errorf("%d instances in services, %d in all; %d more are owned than there are; %d held, %d noted", total, len(c.instances), owned, held, len(c.held.all))
	}
}

// checkViews compares what a consumer has with what it should.
func checkViews(t *testing.T, c *core, p *puppet) {
	t.Helper()
	for _, sub := range p.subs {
		v := p.views[sub.view.text]
		if sub.due || v.Revision != sub.view.revision {
			t.Errorf("%s has the revision %d of %s, which is at %d (due: %v)", p.id, v.Revision, sub.view.text, sub.view.revision, sub.due)
			continue
		}
		var want registry.View
		for _, i := range sub.view.members {
			want.Endpoints = append(want.Endpoints, i.shown.Endpoint())
		}
		if !c.warming.on {
			if !v.Equal(want) {
				t.Errorf("%s sees %v; want %v", p.id, v.Endpoints, want.Endpoints)
			}
			continue
		}
		// While warming, it may remember more, but nothing that is known to be
		// hidden.
		for _, e := range want.Endpoints {
			if !slices.ContainsFunc(v.Endpoints, e.Equal) {
				t.Errorf("%s does not see %v", p.id, e)
			}
		}
		for _, e := range v.Endpoints {
			if i := c.instances[identity{"default", e.ID}]; i != nil && i.service == sub.view.service && !slices.Contains(sub.view.members, i) {
				t.Errorf("%s sees %s, which is %s", p.id, e.ID, i.shown.Status)
			}
		}
	}
}
