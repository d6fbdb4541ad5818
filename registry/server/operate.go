package server

import (
	"fmt"
	"time"

	"cleat/registry"
	"cleat/registry/engine"
)

// The bounds of maintenance.
const (
	// maxMarks is the number of marks that the server keeps.
	maxMarks = 10_000
	// markFor is how long a mark outlives its instance: a container that is
	// replaced under its id is still in maintenance.
	markFor = 24 * time.Hour
)

// mark says that an operator has taken an instance out of service. It belongs to
// the id rather than to the instance.
//
//	none --Maintain--> marked, the instance is there <--+
//	 ^  ^                 |  |                          |
//	 |  +-----Maintain----+  +--the instance goes--> marked, without --comes again
//	 +--------------------------- a day ----------------+
type mark struct {
	reason string
	absent time.Time // since when there is no instance; zero: there is one
}

// Maintain takes an instance out of service, or back into it; a launcher's, too.
// The reason is shown. It holds until it is taken back: over restarts of the
// container, for a day, if that comes back under the same id, and over those of
// the server with -data. The launcher is told, and takes it to the next server.
//
// The error is [ErrNotFound], [ErrTooMany] or [ErrNotServing].
func (s *Server) Maintain(namespace, id string, on bool, reason string) error {
	reason = registry.Cut(reason)
	err := s.operate(func(c *core) error { return c.maintain(identity{namespace, id}, on, reason) })
	if err == nil {
		_ = s.saved() // or, as long as it cannot be kept, until the server's end: the log says so
	}
	return err
}

// Drain takes an instance out of everybody's views, and leaves it as it is. A
// launcher's is drained by its launcher, which is told to; it lasts as long as
// that lives. The error is [ErrNotFound], [ErrAway] or [ErrNotServing].
func (s *Server) Drain(namespace, id string) error {
	return s.operate(func(c *core) error { return c.operatorDrain(identity{namespace, id}, true) })
}

// Undrain ends what Drain began.
func (s *Server) Undrain(namespace, id string) error {
	return s.operate(func(c *core) error { return c.operatorDrain(identity{namespace, id}, false) })
}

// operate lets an operation happen to the core.
func (s *Server) operate(do func(*core) error) error {
	err := ErrNotServing
	s.event(func(c *core) { err = do(c) })
	return err
}

// inspect looks at the core. It reports false when there is none yet.
func (s *Server) inspect(look func(*core)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core == nil {
		return false
	}
	look(s.core)
	return true
}

func (c *core) maintain(id identity, on bool, reason string) error {
	i, m := c.instances[id], c.marks[id]
	switch {
	case i == nil && m == nil:
		return ErrNotFound
	case on && m == nil && len(c.marks) >= maxMarks:
		return fmt.Errorf("there are %d instances in maintenance: %w", len(c.marks), ErrTooMany)
	case on && m != nil && m.reason == reason:
		return nil
	}
	c.doing = CauseOperator
	if on {
		c.marks[id] = &mark{reason: reason}
		c.unsaved.note(engine.Mark, id)
		if i == nil {
			c.marks[id].absent = m.absent
		}
	} else {
		delete(c.marks, id)
		c.unsaved.gone(engine.Mark, id)
	}
	if i == nil {
		return nil
	}
	i.mark = c.marks[id]
	c.overlay(i)
	do := "service"
	if on {
		do = "maintenance"
	}
	c.command(i, do)
	return nil
}

func (c *core) operatorDrain(id identity, on bool) error {
	i := c.instances[id]
	switch {
	case i == nil:
		return ErrNotFound
	case i.owner == nil && i.kept == nil:
		return ErrAway
	}
	c.doing = CauseOperator
	switch {
	case i.owner == nil:
		i.drained = on
		c.overlay(i)
	case on:
		c.command(i, "drain")
	default:
		c.command(i, "undrain")
	}
	return nil
}

// command tells the launcher of an instance, if it is connected, what an
// operator wants.
func (c *core) command(i *instance, do string) {
	if i.owner != nil {
		i.owner.send(registry.ServerMessage{Command: &registry.Command{Do: do, IDs: []string{i.shown.ID}}})
	}
}

// remind tells a launcher which of its instances are in maintenance, when it
// comes without knowing that.
func (c *core) remind(s *session) {
	for _, i := range s.provides {
		if i.mark != nil && i.declared != registry.Maintenance {
			c.command(i, "maintenance")
		}
	}
}

// sweepMarks forgets the marks of what has been gone for a day.
func (c *core) sweepMarks() {
	for id, m := range c.marks {
		if !m.absent.IsZero() && c.now.Sub(m.absent) >= markFor {
			delete(c.marks, id)
			c.unsaved.gone(engine.Mark, id)
		}
	}
}
