package server

import (
	"encoding/json"
	"time"

	"cleat/registry"
	"cleat/registry/engine"
)

// savedInstance is an instance as the engine keeps it: what was said of it, and
// not what lies over that. Fields may be added, and never change their meaning.
type savedInstance struct {
	Instance registry.Instance `json:"instance"` // Since included; the namespace is the key's
	Launcher string            `json:"launcher,omitempty"`
	Key      []byte            `json:"key,omitempty"` // the SHA-256 of the launcher's key
	Kept     *savedKept        `json:"kept,omitempty"`
}

// savedKept is what is kept besides of one without a launcher.
type savedKept struct {
	Source  string          `json:"source"`
	TTL     time.Duration   `json:"ttl,omitempty"`
	Remove  time.Duration   `json:"remove,omitempty"`
	Check   *Check          `json:"check,omitempty"`
	Extra   json.RawMessage `json:"extra,omitempty"`
	Expired bool            `json:"expired,omitempty"`
	Checked registry.Status `json:"checked,omitempty"`
	Output  string          `json:"output,omitempty"`
	Drained bool            `json:"drained,omitempty"`
}

// savedMark is a mark.
type savedMark struct {
	Reason string `json:"reason,omitempty"`
}

// unsaved is what the engine does not have yet. There is at most one entry for
// each thing that is there, or that the engine has.
type unsaved struct {
	keys  map[engine.Key]struct{} // nil: nothing is kept
	known map[engine.Key]struct{} // that the engine has, or may have
}

// note notes that something has changed.
func (u *unsaved) note(kind engine.Kind, id identity) {
	if u.keys != nil {
		u.keys[engine.Key{Kind: kind, Namespace: id.namespace, ID: id.id}] = struct{}{}
	}
}

// unsavedInstance notes that something about an instance has changed.
func (c *core) unsavedInstance(i *instance) { c.unsaved.note(engine.Instance, i.identity()) }

// gone notes that something is no longer there.
func (u *unsaved) gone(kind engine.Kind, id identity) {
	if u.keys == nil {
		return
	}
	key := engine.Key{Kind: kind, Namespace: id.namespace, ID: id.id}
	if _, known := u.known[key]; known {
		u.keys[key] = struct{}{}
	} else {
		delete(u.keys, key)
	}
}

// snapshot is a record that is to be written, taken out of the core: it is
// encoded outside of the server's mutex.
type snapshot struct {
	key   engine.Key
	value any  // nil: to be deleted
	isNew bool // the engine did not have it
}

// unsavedBatch takes at most so many of what the engine does not have yet.
func (c *core) unsavedBatch(most int) []snapshot {
	var batch []snapshot
	for key := range c.unsaved.keys {
		if len(batch) == most {
			break
		}
		delete(c.unsaved.keys, key)
		s := snapshot{key: key}
		id := identity{key.Namespace, key.ID}
		switch key.Kind {
		case engine.Instance:
			if i := c.instances[id]; i != nil {
				s.value = i.saved()
			}
		case engine.Mark:
			if m := c.marks[id]; m != nil {
				s.value = savedMark{Reason: m.reason}
			}
		}
		if _, known := c.unsaved.known[key]; !known && s.value != nil {
			s.isNew = true
			c.unsaved.known[key] = struct{}{} // from now on the engine may have it
		}
		batch = append(batch, s)
	}
	return batch
}

// written is called when the engine has, or has not, taken a batch.
func (c *core) written(batch []snapshot, err error) {
	for _, s := range batch {
		switch {
		case err == nil && s.value == nil:
			if _, again := c.unsaved.keys[s.key]; !again {
				delete(c.unsaved.known, s.key)
			}
		case err != nil:
			c.unsaved.keys[s.key] = struct{}{}
			if s.isNew {
				delete(c.unsaved.known, s.key)
				if !c.has(s.key) {
					delete(c.unsaved.keys, s.key)
				}
			}
		}
	}
}

// has reports whether what the key names is there.
func (c *core) has(key engine.Key) bool {
	id := identity{key.Namespace, key.ID}
	if key.Kind == engine.Mark {
		return c.marks[id] != nil
	}
	return c.instances[id] != nil
}

// saved returns the instance as it is to be kept.
func (i *instance) saved() savedInstance {
	s := savedInstance{Instance: i.shown, Launcher: i.launcher.id}
	s.Instance.Status, s.Instance.Reason = i.declared, i.said
	if k := i.kept; k != nil {
		s.Instance.Status, s.Instance.Reason = k.Instance.Status, k.Instance.Reason
		s.Kept = &savedKept{
			Source: k.Source, TTL: k.TTL, Remove: k.Remove, Check: k.Check, Extra: k.Extra,
			Expired: k.expired, Checked: k.checked, Output: k.output, Drained: i.drained,
		}
		return s
	}
	s.Key = i.key[:]
	return s
}

// restore brings back what was kept, before anything else happens. What has a
// launcher is held until that has come back, at the latest until warming ends.
// It returns how much of each there was, and how much could not be read.
func (c *core) restore(records []engine.Record) (registered, held, marks, unreadable int) {
	for _, r := range records {
		c.unsaved.known[r.Key] = struct{}{}
		if r.Kind != engine.Mark {
			continue
		}
		var m savedMark
		if json.Unmarshal(r.Value, &m) != nil {
			unreadable++
			continue
		}
		// The day for which it outlives its instance begins again.
		c.marks[identity{r.Namespace, r.ID}] = &mark{reason: registry.Cut(m.Reason), absent: c.now}
		marks++
	}
	for _, r := range records {
		if r.Kind != engine.Instance {
			continue
		}
		switch i := c.restoreInstance(r); {
		case i == nil:
			unreadable++
		case i.kept != nil:
			registered++
		case !c.warming.on:
			c.unsaved.keys[r.Key] = struct{}{} // nobody is waited for: it is to be deleted
		default:
			held++
		}
	}
	return registered, held, marks, unreadable
}

// restoreInstance brings back one instance. It is nil when it cannot be read.
func (c *core) restoreInstance(r engine.Record) *instance {
	var s savedInstance
	if json.Unmarshal(r.Value, &s) != nil || s.Instance.ID != r.ID || len(s.Key) > len(keyHash{}) {
		return nil
	}
	s.Instance.Namespace = r.Namespace
	w, err := s.Instance.Normalize(r.Namespace, "")
	if err != nil || !c.fits(w, nil) {
		return nil
	}
	c.revision = max(c.revision, w.Since)
	i := &instance{shown: w, declared: w.Status, said: w.Reason}
	if s.Kept == nil {
		copy(i.key[:], s.Key)
		i.launcher = identity{r.Namespace, s.Launcher}
		if !c.warming.on {
			return i
		}
	} else {
		registration := Registration{
			Namespace: r.Namespace, Instance: w, Source: s.Kept.Source, TTL: s.Kept.TTL, Remove: s.Kept.Remove,
			Check: s.Kept.Check, Extra: s.Kept.Extra,
		}
		if registration, err = registration.normalize(); err != nil {
			return nil
		}
		k := &kept{
			Registration: registration, renewed: c.now, timed: -1,
			expired: s.Kept.Expired, checked: s.Kept.Checked, output: s.Kept.Output,
		}
		i.drained = s.Kept.Drained
		i.declared, i.said = k.verdict()
		c.keep(i, k)
		c.markCritical(i)
	}
	if m := c.marks[i.identity()]; m != nil {
		i.mark, m.absent = m, time.Time{}
	}
	i.shown.Status, i.shown.Reason = i.status(), i.reason()
	c.insert(i)
	if !i.shown.Status.Serving() {
		c.hide(i)
	}
	if i.kept == nil {
		c.hold(i, heldRestored, c.now.Add(maxRestored))
	}
	return i
}

// releaseRestored drops what was held since the server's start and has not been
// confirmed.
func (c *core) releaseRestored() (dropped int) {
	for i := range c.held.all {
		if i.held == heldRestored {
			c.remove(i, registry.WhyLost, CauseUnconfirmed, "its launcher has not come back since the server's start")
			dropped++
		}
	}
	return dropped
}
