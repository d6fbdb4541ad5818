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

// The actions of a delta.
const (
	added    = "ADDED"
	modified = "MODIFIED"
	deleted  = "DELETED"
)

// snapshot is a namespace at the time of its last read, and what differed
// lately.
type snapshot struct {
	mu        sync.Mutex
	catalog   *server.Catalog   // that the snapshot was made from
	instances map[string]*known // by service and id
	changes   map[string]change // by service and id
}

// known is an instance of the snapshot, with what it was made from.
type known struct {
	from    registry.Instance
	extra   json.RawMessage
	service string
	shown   *instance
}

// change is one that clients may not have seen yet.
type change struct {
	at      time.Time
	service string
	shown   *instance // with its action
}

// refresh brings the snapshot up to now.
func (s *snapshot) refresh(registered *server.Server, namespace string) {
	now := time.Now()
	maps.DeleteFunc(s.changes, func(_ string, c change) bool { return now.Sub(c.at) > deltaFor })
	catalog := registered.Catalog(namespace)
	first := s.catalog == nil
	if s.catalog == catalog {
		return
	}
	s.catalog = catalog
	next := make(map[string]*known, len(s.instances))
	for _, service := range catalog.Services {
		for _, r := range registered.Look(namespace, service.Service).Instances {
			key := service.Service + " " + r.ID
			k := &known{from: r, service: service.Service}
			if registration, found := registered.Registration(namespace, r.ID); found && registration.Source == source {
				k.extra = registration.Extra
			}
			old := s.instances[key]
			if old != nil && old.from.Equal(r) && bytes.Equal(old.extra, k.extra) {
				next[key] = old
				continue
			}
			k.show(now)
			next[key] = k
			if first {
				continue
			}
			action := added
			if old != nil {
				action = modified
			}
			s.note(key, k, action, now)
		}
	}
	for key, k := range s.instances {
		if next[key] == nil {
			s.note(key, k, deleted, now)
		}
	}
	s.instances = next
	if len(s.changes) > maxChanges {
		clear(s.changes)
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

func (s *snapshot) note(key string, k *known, action string, now time.Time) {
	shown := *k.shown
	shown.Action = action
	s.changes[key] = change{at: now, service: k.service, shown: &shown}
}

// all returns the instances of the services that may be seen, by app, and the
// hash of their statuses.
func (s *snapshot) all(visible func(service string) bool) *applications {
	return assemble(func(yield func(string, *instance)) {
		for _, key := range slices.Sorted(maps.Keys(s.instances)) {
			if k := s.instances[key]; visible(k.service) {
				yield(k.service, k.shown)
			}
		}
	})
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
	for _, k := range s.instances {
		if visible(k.service) {
			counts[k.shown.Status]++
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
	list := &applications{Version: "1", Apps: []*application{}}
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
