package server

import (
	"cleat/registry"
	"cleat/registry/access"
)

// RenewGrants looks at the tokens again, which have changed: sessions and logins
// get what their tokens allow now. A session whose token is not known any more,
// or does not allow what it has declared, ends at once with a fatal error, and
// what it provides is gone: unlike a loss, this was meant.
func (s *Server) RenewGrants() {
	tokens := s.config.Tokens
	if tokens == nil {
		return
	}
	s.logins.renew(tokens)
	s.mu.Lock()
	begun := s.core != nil
	s.mu.Unlock()
	if !begun {
		return // nobody has come yet
	}
	s.event(func(c *core) {
		for l := range s.open {
			was := *l.grant.Load()
			now, known := tokens.Renew(was)
			if !known {
				now = access.Grant{}
			}
			l.grant.Store(&now)
			why := "the token has been revoked"
			if known {
				err := mayKeep(now, &l.session)
				if err == nil {
					continue
				}
				why = err.Error()
			}
			c.revoke(&l.session, was.Name(), why)
		}
	})
}

// revoke ends a session that may not be there any more.
func (c *core) revoke(s *session, token, why string) {
	if s.ended {
		return
	}
	c.log.Warn("a session ends: its token does not allow it any more", "launcher", s.id.id, "namespace", s.id.namespace, "session", s.name(), "token", token, "cause", why)
	const left = true
	c.closed(s, left, why)
	s.expel(registry.CodeUnauthorized, why)
}

// mayKeep returns what a session has declared that the grant does not allow.
func mayKeep(g access.Grant, s *session) error {
	if !s.declared {
		return nil // it will be asked when it declares
	}
	d := registry.Declare{Namespace: s.id.namespace}
	for _, i := range s.provides {
		d.Provides = append(d.Provides, i.shown)
	}
	filters := make([]registry.Filter, 0, len(s.subs))
	for _, sub := range s.subs {
		filters = append(filters, sub.view.filter)
	}
	return mayDeclare(g, d, filters)
}
