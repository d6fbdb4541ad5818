package launcher

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// output is one file that cleat writes.
type output struct {
	destination string
	mode        fs.FileMode // permission bits
	modeAsked   bool        // by the settings; else it is the template's own
	uid, gid    int         // -1: unchanged
	data        []byte
}

// placing is a set of outputs that are put into place together: all or none.
type placing struct {
	stages []*staged // with new bytes
	same   []output  // whose bytes are there: at most mode and owner differ
	was    []output  // what those were
}

// add prepares one output. Nothing that is there already changes.
func (p *placing) add(o output) error {
	if sameBytes(o) {
		p.same = append(p.same, o)
		return nil
	}
	s, err := stage(o)
	if err == nil {
		p.stages = append(p.stages, s)
	}
	return err
}

// place puts everything into its place. When it fails, undo brings back what
// was there.
func (p *placing) place() error {
	for _, o := range p.same {
		was, err := adjust(o)
		if was.destination != "" {
			p.was = append(p.was, was)
		}
		if err != nil {
			return fmt.Errorf("cannot change mode or owner of %s: %w", o.destination, err)
		}
	}
	for _, s := range p.stages {
		if err := s.place(); err != nil {
			return err
		}
	}
	return nil
}

// undo brings back what place has changed.
func (p *placing) undo() error {
	var errs []error
	for _, s := range p.stages {
		if err := s.undo(); err != nil {
			errs = append(errs, err)
		}
	}
	for _, o := range p.was {
		if _, err := adjust(o); err != nil {
			errs = append(errs, fmt.Errorf("cannot bring back mode and owner of %s: %w", o.destination, err))
		}
	}
	return errors.Join(errs...)
}

// discard removes all temporary files.
func (p *placing) discard() {
	for _, s := range p.stages {
		s.discard()
	}
}

// adjust gives the destination, whose bytes are right, the output's mode and
// owner, and returns what they were. A mode that nobody asked for is left as it
// is where it may not be changed.
func adjust(o output) (was output, err error) {
	info, err := os.Stat(o.destination)
	if err != nil {
		return output{}, err
	}
	was = output{destination: o.destination, mode: info.Mode().Perm(), modeAsked: true}
	was.uid, was.gid = ownerOf(info)
	if o.uid >= 0 && o.uid != was.uid || o.gid >= 0 && o.gid != was.gid {
		if err := os.Chown(o.destination, o.uid, o.gid); err != nil {
			return was, err
		}
	}
	if o.mode != was.mode {
		if err := os.Chmod(o.destination, o.mode); err != nil && o.modeAsked {
			return was, err
		}
	}
	return was, nil
}

// sameBytes reports whether the destination is a file that holds the output
// already.
func sameBytes(o output) bool {
	f, err := os.OpenFile(o.destination, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not block
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(o.data)) {
		return false
	}
	data, err := io.ReadAll(io.LimitReader(f, info.Size()+1))
	return err == nil && bytes.Equal(data, o.data)
}

// ownerOf returns the ids of a file's owner; -1 where they cannot be told.
func ownerOf(info fs.FileInfo) (uid, gid int) {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid), int(stat.Gid)
	}
	return -1, -1
}

// lookUpOwner returns the ids of user[:group], by name or number; -1 for what
// is not named.
func lookUpOwner(owner string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(owner, ":")
	uid, gid = -1, -1
	if name != "" {
		if uid, err = strconv.Atoi(name); err != nil {
			u, err := user.Lookup(name)
			if err != nil {
				return 0, 0, err
			}
			uid, _ = strconv.Atoi(u.Uid) // a number on every Unix
		}
	}
	if group != "" {
		if gid, err = strconv.Atoi(group); err != nil {
			g, err := user.LookupGroup(group)
			if err != nil {
				return 0, 0, err
			}
			gid, _ = strconv.Atoi(g.Gid)
		}
	}
	return uid, gid, nil
}
