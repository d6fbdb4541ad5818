// Package memory is an engine in the memory of one process: several servers in
// it share what they know. It lasts no longer than the process, and expires
// nothing by itself: [Store.Expire] does, when a test has a server die.
//
// A server that is alone, and is to keep nothing, needs no engine at all.
package memory

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"cleat/registry/engine"
)

// maxHistory is the number of changes that a store remembers for those who
// watch. Whoever is further behind loads again.
const maxHistory = 4096

// Store is what the servers share. Its methods may be called by any goroutine.
type Store struct {
	mu      sync.Mutex
	records map[engine.Key]engine.Record
	history []engine.Change // the latest, the last one at position
	at      engine.Position
	more    chan struct{} // closed at the next change
}

// New returns an empty store.
func New() *Store {
	return &Store{records: make(map[engine.Key]engine.Record), more: make(chan struct{})}
}

// Open returns the engine of one server.
func (s *Store) Open() engine.Engine { return &opened{s} }

// Expire deletes what the server owns, as if it had not been heard of.
func (s *Store) Expire(owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, r := range s.records {
		if r.Owner == owner && owner != "" {
			s.apply(engine.Change{Record: engine.Record{Key: key, Version: r.Version}, Delete: true, Expired: true})
		}
	}
}

func (s *Store) apply(c engine.Change) {
	if c.Delete {
		if _, found := s.records[c.Key]; !found {
			return
		}
		delete(s.records, c.Key)
	} else {
		s.records[c.Key] = c.Record
	}
	c.If = nil
	s.at++
	if len(s.history) == maxHistory {
		s.history = slices.Clone(s.history[maxHistory/2:])
	}
	s.history = append(s.history, c)
	close(s.more)
	s.more = make(chan struct{})
}

type opened struct{ store *Store }

func (o *opened) Traits() engine.Traits { return engine.Traits{Shared: true} }

func (o *opened) Load(ctx context.Context) ([]engine.Record, engine.Position, error) {
	s := o.store
	s.mu.Lock()
	defer s.mu.Unlock()
	records := slices.SortedFunc(maps.Values(s.records), func(a, b engine.Record) int {
		return strings.Compare(a.Key.String(), b.Key.String())
	})
	return records, s.at, ctx.Err()
}

func (o *opened) Write(ctx context.Context, changes []engine.Change) (refused []engine.Refused, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := o.store
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		var found *engine.Record
		if r, there := s.records[c.Key]; there {
			found = &r
		}
		if !c.Holds(found) {
			refused = append(refused, engine.Refused{Change: c, Found: found})
			continue
		}
		s.apply(c)
	}
	return refused, nil
}

func (o *opened) Watch(ctx context.Context, after engine.Position, tell func([]engine.Change)) error {
	s := o.store
	for {
		s.mu.Lock()
		behind, more := int(s.at-after), s.more
		if behind < 0 || behind > len(s.history) {
			s.mu.Unlock()
			return engine.ErrTooOld
		}
		changes := slices.Clone(s.history[len(s.history)-behind:])
		after = s.at
		s.mu.Unlock()
		if len(changes) > 0 {
			tell(changes)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-more:
		}
	}
}

func (o *opened) Close() error { return nil }
