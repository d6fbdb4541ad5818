// Package bolt is an engine on a disk: one file, for one server. It keeps what
// must outlive the server.
//
//	DIR/cleatd.db     bbolt, a tree with one bucket per kind of record
//
// Every Write is one transaction, which is on the disk when it returns: a server
// or machine that dies loses what has not been written yet, and never half of a
// Write. The file is locked while it is open, by the kernel, so that the lock is
// gone with the process.
//
// A disk that is full, or becomes read-only, makes Write return an error, and
// everything that is there stays. A file on a file system that is read-only is
// opened for reading: then there is something to load. A file that is damaged is
// not opened ([DamagedError]); one that turns out to be while it is in use makes
// Load and Write return an error, and never takes the process down.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	bbolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"cleat/registry/engine"
)

const (
	// file is the name of the file in its directory.
	file = "cleatd.db"
	// lockWithin is how long another server may take to let go of the file: one
	// that is being replaced is about to end.
	lockWithin = 3 * time.Second
)

// DamagedError says that the file is not what it should be.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the file %s is damaged: %v; move it away and start again: launchers state again what they offer, and what was registered without one has to be registered again", e.Path, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// Engine is an open file.
type Engine struct {
	db     *bbolt.DB
	path   string
	broken error // bbolt has panicked, with who knows which of its locks held: it is not called again
}

// Open opens the file in a directory, both of which are made when they are not
// there. The error says what is wrong: another server has it, it is damaged, it
// cannot be made.
func Open(dir string) (*Engine, error) {
	path := filepath.Join(dir, file)
	err := os.MkdirAll(dir, 0o700)
	if err != nil {
		return nil, fmt.Errorf("cannot make the directory for what is to be kept: %w", err)
	}
	db, err := open(path)
	var damaged *DamagedError
	switch {
	case err == nil:
		return &Engine{db: db, path: path}, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("another cleatd has the file %s open; end it, or give this one a directory of its own", path)
	case errors.As(err, &damaged):
		return nil, err
	}
	return nil, fmt.Errorf("cannot open the file %s: %w", path, err)
}

// open opens the file. bbolt trusts what it reads, and looks for what is free in
// goroutines of its own, in which nobody catches a panic: so the file is read
// once, as a whole, before it is opened for writing.
func open(path string) (db *bbolt.DB, err error) {
	there := false
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		there = true
	}
	if there {
		if db, err = openAs(path, true); err != nil {
			return nil, err
		}
		e := Engine{db: db, path: path}
		_, _, err = e.Load(context.Background())
		if closing := e.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return nil, err
		}
	}
	db, err = openAs(path, false)
	if there && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)) {
		return openAs(path, true)
	}
	return db, err
}

func openAs(path string, readOnly bool) (db *bbolt.DB, err error) {
	err = guard(path, func() error {
		var err error
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWithin, ReadOnly: readOnly, FreelistType: bbolt.FreelistMapType})
		if errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) || errors.Is(err, bolterrors.ErrVersionMismatch) {
			return &DamagedError{path, err}
		}
		return err
	})
	return db, err
}

// guard turns what a damaged file does to bbolt into an error: it panics, or
// reads behind the end of the file.
func guard(path string, do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &DamagedError{path, &panicError{p}}
		}
	}()
	return do()
}

// panicError is what bbolt said in its panic.
type panicError struct{ value any }

func (p *panicError) Error() string { return fmt.Sprint(p.value) }

// Traits implements [engine.Engine].
func (e *Engine) Traits() engine.Traits { return engine.Traits{Lasting: true} }

// Path returns the file's.
func (e *Engine) Path() string { return e.path }

// Load implements [engine.Engine].
func (e *Engine) Load(ctx context.Context) (records []engine.Record, at engine.Position, err error) {
	err = e.call(func() error {
		return e.db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
				return b.ForEach(func(k, v []byte) error {
					if err := ctx.Err(); err != nil {
						return err
					}
					r, ok := decode(k, v)
					if !ok {
						return &DamagedError{e.path, fmt.Errorf("a record cannot be read: %.100q", k)}
					}
					records = append(records, r)
					return nil
				})
			})
		})
	})
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read what was kept: %w", err)
	}
	return records, 0, ctx.Err()
}

// Write implements [engine.Engine].
func (e *Engine) Write(ctx context.Context, changes []engine.Change) (refused []engine.Refused, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = e.call(func() error {
		return e.db.Update(func(tx *bbolt.Tx) error {
			refused = nil
			for _, c := range changes {
				found, err := apply(tx, c)
				if err != nil {
					return err
				}
				if !c.Holds(found) {
					refused = append(refused, engine.Refused{Change: c, Found: found})
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("cannot write to %s: %w", e.path, err)
	}
	return refused, nil
}

// apply makes a change if its condition holds, and returns what was there.
func apply(tx *bbolt.Tx, c engine.Change) (*engine.Record, error) {
	b, err := tx.CreateBucketIfNotExists([]byte(c.Kind))
	if err != nil {
		return nil, err
	}
	key := []byte(c.Key.String())
	var found *engine.Record
	if c.If != nil {
		if r, ok := decode(key, b.Get(key)); ok {
			found = &r
		}
		if !c.Holds(found) {
			return found, nil
		}
	}
	if c.Delete {
		return found, b.Delete(key)
	}
	return found, b.Put(key, encode(c.Record))
}

// Watch implements [engine.Engine]: nobody else changes anything.
func (e *Engine) Watch(ctx context.Context, _ engine.Position, _ func([]engine.Change)) error {
	<-ctx.Done()
	return nil
}

// Close implements [engine.Engine].
func (e *Engine) Close() error {
	if e.broken != nil {
		return nil // the process's end closes it
	}
	return e.call(e.db.Close)
}

// call lets bbolt do something, unless it has panicked before.
func (e *Engine) call(do func() error) error {
	if e.broken != nil {
		return e.broken
	}
	err := guard(e.path, do)
	if p, panicked := errors.AsType[*panicError](err); panicked {
		e.broken = &DamagedError{e.path, p}
		return e.broken
	}
	return err
}

// encode returns a record as it stands behind its key: the generation in 8 bytes,
// the length of the owner in 2, the owner, the value.
func encode(r engine.Record) []byte {
	b := make([]byte, 0, 10+len(r.Owner)+len(r.Value))
	b = binary.BigEndian.AppendUint64(b, r.Generation)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Owner)))
	b = append(b, r.Owner...)
	return append(b, r.Value...)
}

// decode returns a copy: bbolt's bytes are only lent.
func decode(key, b []byte) (engine.Record, bool) {
	k, ok := engine.ParseKey(string(key))
	if !ok || len(b) < 10 {
		return engine.Record{}, false
	}
	r := engine.Record{Key: k}
	r.Generation = binary.BigEndian.Uint64(b)
	owner := int(binary.BigEndian.Uint16(b[8:]))
	if b = b[10:]; len(b) < owner {
		return engine.Record{}, false
	}
	r.Owner = string(b[:owner])
	r.Value = append([]byte{}, b[owner:]...)
	return r, true
}
