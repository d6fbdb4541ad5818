// Package cache keeps what a launcher knows over restarts of its container, in
// one file: the key that proves who it is, since when its instances exist, how
// long a server took its last session for alive, and the last good views.
//
//	cleat cache 1
//	{"id":"web-1","namespace":"default","servers":["http://cleatd:9640"],"key":"...","views":{...}}
//
// # What it is not
//
// No truth: whatever a server says replaces it. No shared state: one file
// belongs to one launcher. Nothing is ever waited for: who puts something never
// blocks, and a file system that hangs holds up nobody but [Writer.Run].
//
// # Guarantees
//
//   - The file is whole or as it was: it is written beside its place and moved
//     there. Where that is impossible (a single file that is mounted into the
//     container), it is written in place, and one that was cut off is found
//     damaged when it is read.
//   - It is readable by its owner only, and one that belongs to another user is
//     not read: it holds the key.
//   - A file that is no cache is neither used nor replaced.
//   - What it holds of another launcher, another namespace or other servers is
//     not used. It is at most [MaxSize] long; views that do not fit are left out,
//     the longest first.
package cache

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cleat/registry"
)

// MaxSize is the length in bytes of the largest file: some 20,000 endpoints.
const MaxSize = 4 << 20

const (
	// magic begins every version's file.
	magic = "cleat cache "
	// version is the only one that is read, and the one that is written.
	version = "1"
)

// Owner is whose knowledge a file holds.
type Owner struct {
	ID        string   `json:"id"`
	Namespace string   `json:"namespace"`
	Servers   []string `json:"servers"` // sorted
}

// Content is what is kept. Nothing in it is changed once it was put.
type Content struct {
	Key   string                       `json:"key"`
	Known *registry.Milliseconds       `json:"known,omitempty"` // expire_after of the last session
	Since map[string]registry.Revision `json:"since,omitempty"` // by instance id
	Views map[string]View              `json:"views,omitempty"` // by alias
}

// View is what was in effect for one requirement, before prefer and limit.
type View struct {
	Filter    string              `json:"filter"`   // canonical
	Revision  registry.Revision   `json:"revision"` // of the server's view that it comes from
	At        time.Time           `json:"at"`       // when it was noted
	Chosen    string              `json:"chosen,omitempty"`
	Endpoints []registry.Endpoint `json:"endpoints"`
}

// Equal reports whether the two hold the same; when that was noted does not
// matter.
func (v View) Equal(other View) bool {
	return v.Filter == other.Filter && v.Revision == other.Revision && v.Chosen == other.Chosen &&
		slices.EqualFunc(v.Endpoints, other.Endpoints, registry.Endpoint.Equal)
}

// document is the file behind its first line.
type document struct {
	Owner
	Content
}

// errForeign: what is at the path is no cache, and must not be replaced.
var errForeign = errors.New("it is no cache of cleat; it is left as it is, and nothing is kept")

// encode returns the file, and the aliases of the views that did not fit.
func encode(o Owner, c Content) (data []byte, left []string) {
	for {
		body, err := json.Marshal(document{o, c})
		if err != nil {
			panic("cache: internal error: the content cannot be encoded: " + err.Error())
		}
		if len(body)+len(magic)+len(version)+1 <= MaxSize || len(c.Views) == 0 {
			return slices.Concat([]byte(magic+version+"\n"), body), left
		}
		most := ""
		views := make(map[string]View, len(c.Views))
		for alias, v := range c.Views {
			views[alias] = v
			if n := len(v.Endpoints); most == "" || n > len(c.Views[most].Endpoints) || n == len(c.Views[most].Endpoints) && alias < most {
				most = alias
			}
		}
		delete(views, most)
		c.Views, left = views, append(left, most)
	}
}

// decode returns what is in the file for that owner. errForeign says that the
// file is none; with any other error it may be replaced.
func decode(data []byte, owner Owner) (Content, error) {
	if len(data) == 0 {
		return Content{}, nil // a file that somebody has made for it
	}
	head, body, _ := bytes.Cut(data, []byte("\n"))
	written, ours := strings.CutPrefix(string(head), magic)
	switch {
	case !ours:
		return Content{}, errForeign
	case written != version:
		return Content{}, fmt.Errorf("it is of version %.20q; expected %s", written, version)
	}
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		return Content{}, fmt.Errorf("it is damaged: %w", err)
	}
	switch {
	case d.ID != owner.ID:
		return Content{}, fmt.Errorf("it is of the launcher %.80q; this one is %q", d.ID, owner.ID)
	case d.Namespace != owner.Namespace:
		return Content{}, fmt.Errorf("it is of the namespace %.80q; this one is %q", d.Namespace, owner.Namespace)
	case !slices.Equal(d.Servers, owner.Servers):
		return Content{}, errors.New("it is of other discovery servers")
	}
	return d.Content, d.check()
}

// check looks for what no launcher has written.
func (c *Content) check() error {
	if len(c.Key) < registry.MinKey || len(c.Key) > registry.MaxKey {
		return errors.New("it is damaged: it holds no key")
	}
	if c.Known != nil && *c.Known < 0 {
		return errors.New("it is damaged: known is negative")
	}
	if len(c.Since) > registry.MaxProvides || len(c.Views) > registry.MaxRequires {
		return errors.New("it is damaged: it holds too much")
	}
	for id, since := range c.Since {
		if since > registry.MaxSince || registry.CheckID(id) != nil {
			return fmt.Errorf("it is damaged: the since of %.80q is wrong", id)
		}
	}
	for alias, v := range c.Views {
		for _, e := range v.Endpoints {
			if registry.CheckID(e.ID) != nil || registry.CheckAddress(e.Address) != nil || e.Port == 0 {
				return fmt.Errorf("it is damaged: an endpoint of %.80q is wrong", alias)
			}
		}
	}
	return nil
}
