package consul

import (
	"strings"
	"sync"

	"cleat/registry/server"
)

// checkIndex finds the registration of the agent's checks. Ids of checks are usually made
// from those of instances; the index has the others. What it says may be out of
// date: the registration is asked in any case.
type checkIndex struct {
	server *server.Server

	mu      sync.Mutex
	known   map[checkName]string // the instance's id
	scanned map[string]bool      // namespaces whose registrations from before the start are in it
	most    int                  // entries at which those that are out of date are dropped
}

type checkName struct{ namespace, checkID string }

// leastIndexed is the number of entries from which on dropping old ones pays.
const leastIndexed = 1024

// find returns the registration that has the check, what is remembered of it,
// and the check's place in that, which is -1 if there is none.
func (x *checkIndex) find(namespace, checkID string) (server.Registration, remembered, int) {
	if rest, usual := strings.CutPrefix(checkID, "service:"); usual {
		if reg, m, at := x.look(namespace, rest, checkID); at >= 0 {
			return reg, m, at
		}
		if colon := strings.LastIndexByte(rest, ':'); colon > 0 {
			if reg, m, at := x.look(namespace, rest[:colon], checkID); at >= 0 {
				return reg, m, at
			}
		}
	}
	x.scan(namespace)
	x.mu.Lock()
	id, found := x.known[checkName{namespace, checkID}]
	x.mu.Unlock()
	if !found {
		return server.Registration{}, remembered{}, -1
	}
	return x.look(namespace, id, checkID)
}

// look asks the registration of an instance for a check.
func (x *checkIndex) look(namespace, id, checkID string) (server.Registration, remembered, int) {
	reg, found := x.server.Registration(namespace, id)
	if !found {
		return reg, remembered{}, -1
	}
	m, _ := recall(reg)
	return reg, m, m.find(checkID)
}

// scan enters what was registered before this server's start, once.
func (x *checkIndex) scan(namespace string) {
	x.mu.Lock()
	done := x.scanned[namespace]
	x.mu.Unlock()
	catalog := x.server.Catalog(namespace)
	if done || len(catalog.Services) == 0 {
		return
	}
	for _, s := range catalog.Services {
		for id, note := range x.server.Look(namespace, s.Service).Notes {
			if note.Source != source {
				continue
			}
			if reg, found := x.server.Registration(namespace, id); found {
				if m, ours := recall(reg); ours {
					x.put(namespace, id, m)
				}
			}
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.scanned == nil {
		x.scanned = make(map[string]bool)
	}
	x.scanned[namespace] = true
}

// put enters the checks of a registration, if it is the agent's.
func (x *checkIndex) put(namespace, id string, m remembered) {
	if m.Node != "" {
		return // ids of checks are other nodes' own affair
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range m.Checks {
		if usualCheckID(c.CheckID, id) {
			continue
		}
		if x.known == nil {
			x.known = make(map[checkName]string)
		}
		x.known[checkName{namespace, c.CheckID}] = id
	}
	if len(x.known) > max(x.most, leastIndexed) {
		x.prune()
		x.most = 2 * len(x.known)
	}
}

// prune drops the checks that are there no longer. The lock is held.
func (x *checkIndex) prune() {
	for name, id := range x.known {
		if _, _, at := x.look(name.namespace, id, name.checkID); at < 0 {
			delete(x.known, name)
		}
	}
}

// usualCheckID reports whether the check's id is made from the instance's.
func usualCheckID(checkID, id string) bool {
	rest, ok := strings.CutPrefix(checkID, "service:"+id)
	return ok && (rest == "" || rest[0] == ':' && !strings.Contains(rest[1:], ":"))
}
