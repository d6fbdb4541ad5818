package eureka

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"cleat/registry"
	"cleat/registry/server"
)

// The bounds of deltas.
const (
	// deltaFor is how long a change is part of deltas; clients read every 30 s.
	deltaFor = 3 * time.Minute
	// maxChanges is how many changes are kept. With more, they are forgotten,
	// and the hash tells clients to read everything.
	maxChanges = 10_000
)

// version is that of deltas; Eureka's servers have no other.
const version = "1"

// The actions of a delta.
const (
	added    = "ADDED"
	modified = "MODIFIED"
	deleted  = "DELETED"
)

// snapshot is a namespace at the time of its last read, and what differed
// lately.
type snapshot struct {
	mu      sync.Mutex
	catalog *server.Catalog   // that the snapshot was made from
	shelves map[string]*shelf // by service
	order   []*shelf          // the same, by name
	changes map[string]change // by service and id
}

// shelf is a service of the snapshot. It never changes: where the service has, a
// new one takes its place.
type shelf struct {
	summary   *server.Summary // that it was made from
	service   string
	instances map[string]*known // by id
	app       *application      // of them all, sorted
	counts    map[status]int    // of them
}

// known is an instance of the snapshot, with what it was made from.
type known struct {
	from  registry.Instance
	extra json.RawMessage
	shown *instance
}

// change is one that clients may not have seen yet.
type change struct {
	at      time.Time
	service string
	shown   *instance // with its action
}

// refresh brings the snapshot up to now. It costs what has changed.
func (s *snapshot) refresh(registered *server.Server, namespace string) {
	now := time.Now()
	maps.DeleteFunc(s.changes, func(_ string, c change) bool { return now.Sub(c.at) > deltaFor })
	catalog := registered.Catalog(namespace)
	if s.catalog == catalog {
		return
	}
	first := s.catalog == nil
	s.catalog = catalog
	before := s.shelves
	s.shelves = make(map[string]*shelf, len(catalog.Services))
	s.order = make([]*shelf, 0, len(catalog.Services))
	for _, summary := range catalog.Services {
		next, old := before[summary.Service], before[summary.Service]
		if old == nil || old.summary != summary {
			next = stock(registered, namespace, summary, old, now)
			if !first {
				s.compare(old, next, now)
			}
		}
		s.shelves[summary.Service] = next
		s.order = append(s.order, next)
	}
	for service, old := range before {
		if s.shelves[service] == nil {
			s.compare(old, nil, now)
		}
	}
	if len(s.changes) > maxChanges {
		clear(s.changes)
	}
}

// stock makes the shelf of a service as it is now. What has not changed is taken
// from the old one, if there is one.
func stock(registered *server.Server, namespace string, summary *server.Summary, old *shelf, now time.Time) *shelf {
	sh := &shelf{summary: summary, service: summary.Service, instances: make(map[string]*known), counts: make(map[status]int)}
	sh.app = &application{Name: strings.ToUpper(sh.service)}
	for _, r := range registered.Look(namespace, sh.service).Instances {
		k := &known{from: r}
		if registration, found := registered.Registration(namespace, r.ID); found && registration.Source == source {
			k.extra = registration.Extra
		}
		if was := old.known(r.ID); was != nil && was.from.Equal(r) && bytes.Equal(was.extra, k.extra) {
			k = was
		} else {
			k.show(now)
		}
		sh.instances[r.ID] = k
	}
	for _, id := range slices.Sorted(maps.Keys(sh.instances)) {
		shown := sh.instances[id].shown
		sh.app.Instances = append(sh.app.Instances, shown)
		sh.counts[shown.Status]++
	}
	return sh
}

// known returns an instance; nil if there is none, or no shelf.
func (sh *shelf) known(id string) *known {
	if sh == nil {
		return nil
	}
	return sh.instances[id]
}

// compare notes what differs between two shelves of a service, of which one may
// be nil.
func (s *snapshot) compare(old, next *shelf, now time.Time) {
	if next != nil {
		for id, k := range next.instances {
			switch was := old.known(id); was {
			case k:
			case nil:
				s.note(next.service, id, k, added, now)
			default:
				s.note(next.service, id, k, modified, now)
			}
		}
	}
	if old != nil {
		for id, k := range old.instances {
			if next.known(id) == nil {
				s.note(old.service, id, k, deleted, now)
			}
		}
	}
}

// show makes the instance as clients see it.
func (k *known) show(now time.Time) {
	var said *instance
	if k.extra != nil {
		said = new(instance)
		if json.Unmarshal(k.extra, said) != nil {
			said = nil
		}
	}
	k.shown = described(k.from, said)
	k.shown.Action = added
	k.shown.Updated = stamp(now.UnixMilli())
}

func (s *snapshot) note(service, id string, k *known, action string, now time.Time) {
	shown := *k.shown
	shown.Action = action
	s.changes[service+" "+id] = change{at: now, service: service, shown: &shown}
}

// all returns the instances of the services that may be seen, by app, and the
// hash of their statuses.
func (s *snapshot) all(visible func(service string) bool) *applications {
	list := &applications{Version: version, Apps: []*application{}}
	for _, sh := range s.order {
		if visible(sh.service) && len(sh.app.Instances) > 0 {
			list.Apps = append(list.Apps, sh.app)
		}
	}
	list.Hash = s.hash(visible)
	return list
}

// app returns one service's instances; nil if it has none.
func (s *snapshot) app(service string) *application {
	if sh := s.shelves[service]; sh != nil && len(sh.app.Instances) > 0 {
		return sh.app
	}
	return nil
}

// delta returns what changed lately, with the hash of everything.
func (s *snapshot) delta(visible func(service string) bool) *applications {
	list := assemble(func(yield func(string, *instance)) {
		for _, key := range slices.Sorted(maps.Keys(s.changes)) {
			if c := s.changes[key]; visible(c.service) {
				yield(c.service, c.shown)
			}
		}
	})
	list.Hash = s.hash(visible)
	return list
}

// hash counts the statuses of all instances: DOWN_1_UP_5_.
func (s *snapshot) hash(visible func(service string) bool) string {
	counts := make(map[status]int)
	for _, sh := range s.order {
		if visible(sh.service) {
			for status, n := range sh.counts {
				counts[status] += n
			}
		}
	}
	return hashOf(counts)
}

func hashOf(counts map[status]int) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "%s_%d_", name, counts[name])
	}
	return b.String()
}

// assemble puts instances into their apps; they come sorted by service.
func assemble(each func(yield func(service string, i *instance))) *applications {
	list := &applications{Version: version, Apps: []*application{}}
	counts := make(map[status]int)
	each(func(service string, i *instance) {
		counts[i.Status]++
		name := strings.ToUpper(service)
		if n := len(list.Apps); n == 0 || list.Apps[n-1].Name != name {
			list.Apps = append(list.Apps, &application{Name: name})
		}
		app := list.Apps[len(list.Apps)-1]
		app.Instances = append(app.Instances, i)
	})
	list.Hash = hashOf(counts)
	return list
}
