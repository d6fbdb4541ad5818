package launcher

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"cleat/launcher/cache"
	"cleat/registry"
)

// keepTime is how long the cache may still be written at the end.
const keepTime = 250 * time.Millisecond

// keeper is what is kept over restarts of the container (CLEAT_CACHE). A nil
// keeper keeps nothing.
type keeper struct {
	writer *cache.Writer
	known  *registry.Milliseconds
	since  map[string]registry.Revision
	loaded map[string]cache.View // by alias; what an earlier launcher has left
	kept   cache.Content         // as it was put last
	stale  bool                  // something has happened since
}

// newKeeper reads the cache. What cannot be used is one warning.
func (s *supervisor) newKeeper() *keeper {
	if s.set.Cache == "" || s.Client == nil {
		return nil
	}
	owner := cache.Owner{ID: s.set.ID, Namespace: s.set.Namespace, Servers: slices.Sorted(slices.Values(s.set.Servers))}
	content, usable, err := cache.Load(s.set.Cache, owner)
	if err != nil {
		s.log.Warn("the cache cannot be used", "file", s.set.Cache, "cause", err)
	}
	if !usable {
		return nil
	}
	if content.Key != "" {
		s.key = content.Key
	}
	k := &keeper{known: content.Known, since: maps.Clone(content.Since), loaded: content.Views, stale: true}
	if k.since == nil {
		k.since = make(map[string]registry.Revision)
	}
	s.Client.Resume(content.Known, content.Since)
	told := "" // by the goroutine of the writer alone
	k.writer = cache.NewWriter(s.set.Cache, owner, func(err error) {
		switch {
		case err == nil:
			told = ""
		case told != err.Error():
			told = err.Error()
			s.log.Warn("the cache cannot be written", "file", s.set.Cache, "cause", err)
		}
	})
	return k
}

// touch says that something may have changed that is kept.
func (k *keeper) touch() {
	if k != nil {
		k.stale = true
	}
}

// welcomed notes what a server has told about the session.
func (k *keeper) welcomed(w registry.Welcome) {
	if k != nil {
		k.known = &w.ExpireAfter
		maps.Copy(k.since, w.Since)
	}
}

// cached returns what the cache holds for a need, as far as it may start the
// child: without own instances, which cannot serve yet, and at least min.
func (k *keeper) cached(n *need, own map[string]bool) (registry.View, bool) {
	if k == nil {
		return registry.View{}, false
	}
	kept, found := k.loaded[n.Alias]
	if !found || kept.Filter != n.key {
		return registry.View{}, false
	}
	// What is there counts; from what is missing nothing is concluded: as from a
	// server that has just restarted.
	v := registry.View{Revision: max(kept.Revision, 1), Warming: true}
	var all []registry.Endpoint
	for _, alias := range slices.Sorted(maps.Keys(k.loaded)) {
		if k.loaded[alias].Filter == n.key { // one view serves all who share the filter
			all = union(all, k.loaded[alias].Endpoints)
		}
	}
	for _, e := range all {
		switch {
		case !own[e.ID]:
			v.Endpoints = append(v.Endpoints, e)
		case n.Self:
			e.Status = registry.Starting
			v.Endpoints = append(v.Endpoints, e)
		}
	}
	if n.Self {
		return v, len(v.Endpoints) > 0
	}
	return v, len(v.Endpoints) >= n.Min || n.Optional && len(v.Endpoints) > 0
}

// restore puts what the cache holds into effect where no server has answered
// for as long as a first start waits for one. It returns when it wants to be
// asked again; the zero time for never.
func (s *supervisor) restore(now time.Time) time.Time {
	var again time.Time
	if s.keeper == nil || s.begun || s.consumer.answered {
		return again
	}
	var aliases []string
	var oldest time.Time
	for _, n := range s.needs {
		if n.view.Known() {
			continue
		}
		v, usable := s.keeper.cached(n, s.consumer.own)
		if !usable {
			continue
		}
		if at := s.consumer.began.Add(n.patience()); now.Before(at) {
			again = earlier(again, at)
			continue
		}
		if !s.Client.Restore(n.key, v) {
			continue // a server has just answered: its view is under way
		}
		kept := s.keeper.loaded[n.Alias]
		n.view, n.cached = v, kept.At
		n.files.chosen, n.child.chosen = kept.Chosen, kept.Chosen
		aliases = append(aliases, n.Alias)
		oldest = earlier(oldest, kept.At)
	}
	if len(aliases) > 0 {
		s.log.Warn("no discovery server has answered; using the last good views from the cache",
			"aliases", aliases, "age", now.Sub(oldest).Round(time.Second))
	}
	return again
}

// keep has what is known written, when it has changed.
func (s *supervisor) keep() {
	k := s.keeper
	if k == nil || !k.stale {
		return
	}
	k.stale = false
	c := cache.Content{Key: s.key, Known: k.known, Since: k.newest(s.offers.ids()), Views: make(map[string]cache.View)}
	for _, n := range s.needs {
		if v, good := s.goodView(n); good {
			c.Views[n.Alias] = v
		}
	}
	same := c.Key == k.kept.Key && equalKnown(c.Known, k.kept.Known) && maps.Equal(c.Since, k.kept.Since) &&
		maps.EqualFunc(c.Views, k.kept.Views, cache.View.Equal)
	if same {
		return
	}
	k.kept = c
	k.writer.Put(c)
}

// goodView returns what is to be kept for a need: what is in effect, if a server
// has said so and there is enough. A server that is warming up says nothing of
// what is missing, so that what was there before stays.
func (s *supervisor) goodView(n *need) (cache.View, bool) {
	last, found := s.keeper.kept.Views[n.Alias]
	if !found {
		last, found = s.keeper.loaded[n.Alias]
		found = found && last.Filter == n.key
	}
	if found && (!n.view.Known() || n.view.Warming) {
		return last, true
	}
	endpoints := n.view.Endpoints
	switch {
	case !n.view.Known(), n.files.fallback:
		return cache.View{}, false
	case n.files.held:
		endpoints = union(endpoints, n.files.good)
	case !n.Self && len(endpoints) < n.Min && !n.Optional:
		return cache.View{}, false
	}
	v := cache.View{Filter: n.key, Revision: n.view.Revision, At: time.Now(), Chosen: n.files.chosen, Endpoints: slices.Clip(endpoints)}
	if v.Endpoints == nil {
		v.Endpoints = []registry.Endpoint{}
	}
	if found && v.Equal(last) {
		return last, true
	}
	return v, true
}

// newest returns the since of the instances that are offered now, and of those
// that were, as far as there is room.
func (k *keeper) newest(ids []string) map[string]registry.Revision {
	kept := make(map[string]registry.Revision, len(k.since))
	for _, id := range slices.Concat(ids, slices.Sorted(maps.Keys(k.since))) {
		if since, known := k.since[id]; known && len(kept) < registry.MaxProvides {
			kept[id] = since
		}
	}
	return kept
}

func equalKnown(a, b *registry.Milliseconds) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}

// tellCached is how people are told that a need is met from the cache.
func (n *need) tellCached(now time.Time) string {
	return "the last good view of " + cmp.Or(round(now.Sub(n.cached)).Truncate(time.Second), time.Second).String() + " ago is in use, from the cache"
}

// startKeeping begins to write. The function that it returns writes what is
// left, for a little time: a disk that hangs must not delay the end.
func (s *supervisor) startKeeping() (end func()) {
	if s.keeper == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.keeper.writer.Run(ctx)
	}()
	return func() {
		cancel()
		timer := time.NewTimer(keepTime)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
		}
	}
}
