package engine

import (
	"context"
	"errors"
	"strings"
)

// Engine is an open store, for one server. Write is called by one goroutine at a
// time, Watch by another; Close after both.
type Engine interface {
	// Traits says what the engine can do. It never changes.
	Traits() Traits
	// Load returns all records, and the position behind them. It may take as
	// long as ctx.
	Load(ctx context.Context) ([]Record, Position, error)
	// Write applies the changes, each if its condition holds. refused are those
	// of which it does not, with what is there instead.
	Write(ctx context.Context, changes []Change) (refused []Refused, err error)
	// Watch calls tell with what changes after the position, until ctx ends,
	// when it returns nil, or it cannot go on. tell must be quick. An engine
	// that is not shared has nothing to tell.
	Watch(ctx context.Context, after Position, tell func([]Change)) error
	// Close gives up what the process holds, such as a file, and nothing else.
	Close() error
}

// Traits are what an engine can do.
type Traits struct {
	Lasting bool // what is written is there when it is opened again
	Shared  bool // other servers read and write the same records
}

// Position is a point in the engine's history; 0 is its beginning.
type Position uint64

// Kind is what a record is about: the namespace of its key.
type Kind string

// The kinds.
const (
	Instance Kind = "instance" // an instance, by namespace and id
	Mark     Kind = "mark"     // that an id is in maintenance
)

// Key names a record.
type Key struct {
	Kind      Kind
	Namespace string
	ID        string
}

// separator is what no part of a key has.
const separator = "\x00"

// String returns the key as one text, in which keys sort by kind, namespace and
// id.
func (k Key) String() string {
	return string(k.Kind) + separator + k.Namespace + separator + k.ID
}

// ParseKey is the reverse of [Key.String].
func ParseKey(text string) (Key, bool) {
	parts := strings.Split(text, separator)
	if len(parts) != 3 {
		return Key{}, false
	}
	return Key{Kind(parts[0]), parts[1], parts[2]}, true
}

// Version tells one state of a record from another.
type Version struct {
	Owner      string // the server that keeps it; empty: none, it stays until it is deleted
	Generation uint64 // larger whenever the record changes hands
}

// Record is one thing that is kept.
type Record struct {
	Key
	Version
	Value []byte // at most MaxValue bytes; nobody changes them
}

// MaxValue is the size of the largest value in bytes: an instance with all that
// may belong to it.
const MaxValue = 1 << 20

// Change is a record that is put, or deleted.
type Change struct {
	Record
	Delete bool // Value means nothing
	// If is what must be there, for the change to be applied. nil: whatever is.
	// A zero Version: nothing may be there.
	If *Version
	// Expired says, of a deletion that Watch tells, that the engine did it, as the
	// owner has not been heard of for its lease.
	Expired bool
}

// Refused is a change whose condition does not hold.
type Refused struct {
	Change Change
	Found  *Record // nil: nothing
}

// Holds reports whether the condition of the change holds when found is there.
func (c Change) Holds(found *Record) bool {
	switch {
	case c.If == nil:
		return true
	case found == nil:
		return *c.If == Version{}
	}
	return *c.If == found.Version
}

// ErrTooOld is what Watch returns when the engine no longer knows what happened
// after the position.
var ErrTooOld = errors.New("the engine no longer knows what has changed since then")
