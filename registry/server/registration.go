package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"cleat/registry"
)

// The bounds of registrations.
const (
	// DefaultMaxRegistrations is the number of instances without a launcher that
	// a server takes when it is not told another.
	DefaultMaxRegistrations = 100_000
	// MaxExtra is the size in bytes of what a source may keep with one.
	MaxExtra = 16 << 10
	// MaxSourceLength is the length in bytes of a source's name.
	MaxSourceLength = 32
	// MinTTL is the shortest TTL: the server looks at them once a second.
	MinTTL = time.Second
	// MaxTTL is the longest, and also the longest that a critical one may be
	// kept. What should live longer has none.
	MaxTTL = 365 * 24 * time.Hour
)

// The errors of operations, for [errors.Is].
var (
	// ErrNotFound: there is no such instance.
	ErrNotFound = errors.New("there is no such instance")
	// ErrLaunched: a launcher that is connected keeps the instance, and nobody
	// else may say what it is.
	ErrLaunched = errors.New("a launcher keeps this instance")
	// ErrAway: the launcher that keeps the instance is not connected just now.
	ErrAway = errors.New("the launcher of this instance is not connected just now")
	// ErrTooMany: a limit of the server is reached.
	ErrTooMany = errors.New("the server has no room for it")
	// ErrNotServing: the server has not begun yet, or ends.
	ErrNotServing = errors.New("the server does not serve")
)

// BadInput is an error about what was asked for. Its text names the culprit and
// what was expected.
type BadInput struct {
	Err  error
	Hint string // what to do; may be empty
}

func (e *BadInput) Error() string { return e.Err.Error() }

func (e *BadInput) Unwrap() error { return e.Err }

// Registration is an instance that no launcher keeps: it was registered over
// HTTP, by Consul's interface or by Eureka's.
//
//	registered --TTL not renewed--> critical --Remove--> gone
//	    ^  |                           |
//	    |  +--deregistered--> gone     |
//	    +----renewed, registered again-+
//
// A launcher that declares the same id takes the instance over, and from then on
// it lives and dies with the launcher's session.
type Registration struct {
	Namespace string // empty: default
	// Instance is what others see. Its status is what whoever registered it
	// says; maintenance, a drain, a TTL that is over and a check of the server
	// lie over that. Since may be 0: then it stays what it was, or is given.
	Instance registry.Instance
	// Source is by whose interface it came: "api", "consul", "eureka". It is
	// shown.
	Source string
	// TTL is how long it stays as it is without [Server.Renew]; then it is
	// critical. 0: for ever; else from 1 s to a year. Time in which the server
	// was away does not count.
	TTL time.Duration
	// Remove is how long it may be critical before it is removed. 0: for ever.
	// The server looks once a second. Self-preservation holds it longer.
	Remove time.Duration
	// Check is how the server finds out how it is; nil: it does not.
	Check *Check
	// Extra is what the source wants to remember with it, at most 16 KiB.
	Extra json.RawMessage
}

// normalize checks everything and brings it into one form. The result shares no
// memory with r but Extra.
func (r Registration) normalize() (Registration, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.Namespace == "" {
		r.Namespace = registry.DefaultNamespace
	}
	normal, err := r.Instance.Normalize(r.Namespace, "")
	if err != nil {
		errs = append(errs, err)
	} else {
		if normal.Namespace != strings.ToLower(r.Namespace) {
			bad("the instance is in the namespace %.100q and to be registered in %.100q", r.Instance.Namespace, r.Namespace)
		}
		r.Instance, r.Namespace = normal, normal.Namespace
	}
	if r.Source == "" || len(r.Source) > MaxSourceLength {
		bad("the source is %.100q; expected a name of at most %d bytes", r.Source, MaxSourceLength)
	}
	if r.TTL != 0 && (r.TTL < MinTTL || r.TTL > MaxTTL) {
		bad("the TTL is %v; expected %v to %v, or none", r.TTL, MinTTL, MaxTTL)
	}
	if r.Remove < 0 || r.Remove > MaxTTL {
		bad("it is to be removed when it has been critical for %v; expected at most %v, or 0 for never", r.Remove, MaxTTL)
	}
	if len(r.Extra) > MaxExtra {
		bad("what is to be remembered with it is %d bytes long; at most %d are allowed", len(r.Extra), MaxExtra)
	} else if len(r.Extra) > 0 && !json.Valid(r.Extra) {
		bad("what is to be remembered with it is not JSON")
	}
	if r.Check != nil {
		check, err := r.Check.normalize(r.Instance)
		if err != nil {
			errs = append(errs, err)
		}
		r.Check = &check
	}
	if len(errs) > 0 {
		return Registration{}, &BadInput{Err: errors.Join(errs...)}
	}
	return r, nil
}

// Register makes an instance known that no launcher keeps, or replaces what was
// known of it; the time of its TTL begins. kept reports whether the server knows
// it again after a restart: because it keeps it on disk, or because the TTL makes
// sure that somebody says it again.
//
// The error is a [*BadInput], [ErrLaunched], [ErrTooMany] or [ErrNotServing]. It
// may be called by any goroutine, as all operations may.
func (s *Server) Register(r Registration) (kept bool, err error) {
	if r, err = r.normalize(); err != nil {
		return false, err
	}
	err = s.operate(func(c *core) error { return c.register(r) })
	if err != nil {
		return false, err
	}
	return r.TTL > 0 || s.lasting() && s.saved() == nil, nil
}

// Deregister removes an instance that no launcher keeps, at once. The error is
// [ErrNotFound], [ErrLaunched] or [ErrNotServing].
func (s *Server) Deregister(namespace, id string) error {
	err := s.operate(func(c *core) error {
		i, err := c.own(identity{namespace, id})
		if err != nil {
			return err
		}
		why := ""
		if i.kept != nil {
			why = "by " + i.kept.Source
		}
		c.remove(i, registry.WhyLeft, CauseRemoved, why)
		return nil
	})
	if err == nil {
		_ = s.saved() // else it is there again after a restart: the log says why
	}
	return err
}

// Renew says that an instance that no launcher keeps is still there, and how it
// is; "" is as it was said last. The time of its TTL begins again. The error is
// [ErrNotFound], [ErrLaunched], a [*BadInput] or [ErrNotServing].
func (s *Server) Renew(namespace, id string, status registry.Status, reason string) error {
	if status != "" {
		if _, err := registry.ParseStatus(string(status)); err != nil {
			return &BadInput{Err: err}
		}
	}
	reason = registry.Cut(reason)
	return s.operate(func(c *core) error {
		i, err := c.own(identity{namespace, id})
		if err != nil {
			return err
		}
		if i.kept == nil {
			return ErrNotFound // a launcher's, held: nobody has registered it
		}
		c.renew(i, status, reason)
		return nil
	})
}

// Registration returns what was registered, with the status that was said last.
func (s *Server) Registration(namespace, id string) (r Registration, found bool) {
	s.inspect(func(c *core) {
		if i := c.instances[identity{namespace, id}]; i != nil && i.kept != nil {
			r, found = i.kept.Registration, true
		}
	})
	return r, found
}

// own returns an instance about which others than a launcher may decide.
func (c *core) own(id identity) (*instance, error) {
	i := c.instances[id]
	switch {
	case i == nil:
		return nil, ErrNotFound
	case i.owner != nil:
		return nil, ErrLaunched
	}
	return i, nil
}
