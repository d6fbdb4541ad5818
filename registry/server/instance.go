package server

import (
	"cmp"
	"net"
	"strconv"
	"strings"
	"time"

	"cleat/registry"
)

// identity names an instance or a launcher: ids are unique in a namespace.
type identity struct{ namespace, id string }

// keyHash is the SHA-256 of a launcher's key. The key itself is not kept.
type keyHash [32]byte

// instance is what the server keeps of one instance.
//
//	        +---- declared again, by anybody ----+
//	        v                                    |
//	(declare) owned --session lost--> orphan ----+
//	        |                           |  25 ms
//	        |                           +--> held (self-preservation, waking)
//	        |                           |        | at most 60 s
//	        v                           v        v
//	      dropped: left              dropped: lost
//
// An orphan and a held instance have no owner. What consumers are shown is in
// shown; it differs from what was declared while a drain hides the instance, or
// while the status of a whole service is held.
type instance struct {
	shown    registry.Instance
	declared registry.Status // as the launcher last said

	service  *service
	key      keyHash    // of the launcher that declared it
	launcher identity   // likewise
	owner    *session   // nil: orphan or held
	loss     *departure // that made an orphan of it

	held     holding
	heldTill time.Time

	said    string // the reason that was declared
	kept    *kept  // by the server; nil: a launcher's
	mark    *mark  // in maintenance; nil: not
	drained bool   // an operator drains it; only of one that the server keeps
	event   uint64 // the number of its last event

	before registry.Status   // the status it had before it turned critical
	masked bool              // it is shown as before, although it is critical
	hidden registry.Revision // of the last explicit drop; 0: shown since
	queued *drain            // the in-place drain that waits for a grant
	drain  *drain            // hides it; it may be over
	grant  *drain            // the in-place drain by which it restarts

	json []byte // the endpoint, encoded; nil until somebody needs it
}

// holding is the reason for which an instance is shown although it should not
// be.
type holding int8

const (
	notHeld      holding = iota
	heldLost             // its session is lost, with too many others
	heldWaking           // its session was found closed when the server woke
	heldCritical         // it is critical, with all others of its service
	heldRestored         // known from before the server's start
)

// causeOfHold says what a hold is against.
var causeOfHold = map[holding]Cause{
	heldLost: CauseLost, heldWaking: CauseAway, heldCritical: CauseCritical, heldRestored: CauseUnconfirmed,
}

func (i *instance) identity() identity {
	return identity{i.shown.Namespace, i.shown.ID}
}

// encoded returns the endpoint as it goes over the wire.
func (i *instance) encoded() []byte {
	if i.json == nil {
		i.json = encodeJSON(i.shown.Endpoint())
	}
	return i.json
}

// socket returns what no two processes have at the same time. Addresses mean
// the same only inside a namespace.
func (i *instance) socket() string { return socketOf(i.shown) }

func socketOf(i registry.Instance) string {
	return i.Namespace + " " + string(i.Protocol) + " " + net.JoinHostPort(i.Address, strconv.Itoa(int(i.Port)))
}

// compareInstances orders instances as every view does: by since, then by id.
func compareInstances(a, b *instance) int {
	if order := cmp.Compare(a.shown.Since, b.shown.Since); order != 0 {
		return order
	}
	return strings.Compare(a.shown.ID, b.shown.ID)
}
