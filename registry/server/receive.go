package server

import (
	"crypto/sha256"
	"encoding/json"
	"errors"

	"cleat/registry"
)

// receive does what a message asks. All checking and hashing happens outside
// the server's mutex.
func (l *link) receive(message []byte) error {
	m, err := registry.DecodeClient(message)
	if err != nil {
		if notJSON(err) {
			return &violation{registry.CodeBadMessage, err}
		}
		l.refuse(registry.CodeBadMessage, "", err.Error())
		return nil
	}
	s := &l.session
	switch {
	case m.Declare != nil:
		d, filters, err := m.Declare.Normalize()
		if err != nil {
			l.refuse(registry.CodeBadDeclare, "", err.Error())
			return nil
		}
		key := keyHash(sha256.Sum256([]byte(d.Key)))
		d.Key = ""
		if err := l.declare(d, filters, key); err != nil {
			if !l.spoke {
				return &violation{registry.CodeUnauthorized, err}
			}
			l.refuse(registry.CodeUnauthorized, "", err.Error())
			return nil
		}
		if !l.spoke {
			l.spoke = true
			l.limited = true
			l.limit(false)
		}
	case m.Report != nil:
		l.server.event(func(c *core) { c.reported(s, *m.Report) })
	case m.Applied != nil:
		l.server.event(func(c *core) { c.applied(s, *m.Applied) })
	case m.Drain != nil:
		l.server.event(func(c *core) { c.drainRequested(s, *m.Drain) })
	}
	return nil
}

// declare declares what the session's grant allows; the error says what it does
// not. The grant may be renewed in between: then it is asked again.
func (l *link) declare(d registry.Declare, filters []registry.Filter, key keyHash) error {
	for {
		grant := l.allowed.Load()
		if err := mayDeclare(*grant, d, filters); err != nil {
			return err
		}
		done := false
		l.server.event(func(c *core) {
			if done = l.allowed.Load() == grant; done {
				l.session.grant, l.guarded = *grant, true
				c.declare(&l.session, d, filters, key)
			}
		})
		if done || l.server.isEnding() {
			return nil
		}
	}
}

// notJSON reports whether the message is none of this protocol at all, rather
// than one of a newer launcher.
func notJSON(err error) bool {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, form := errors.AsType[*json.UnmarshalTypeError](err)
	return syntax || form
}
