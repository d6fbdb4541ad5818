package server

import (
	"context"
	"net/http"
	"sync"

	"cleat/registry"
	"cleat/registry/access"
)

// RenewGrants looks at the tokens again, which have changed: sessions and logins
// get what their tokens allow now; requests that last, such as streams, end when
// that is something else, and are asked again. A session whose token is not known any more,
// or does not allow what it has declared, ends at once with a fatal error, and
// what it provides is gone: unlike a loss, this was meant.
func (s *Server) RenewGrants() {
	tokens := s.config.Tokens
	if tokens == nil {
		return
	}
	s.logins.renew(tokens)
	s.asked.renew(tokens)
	s.event(func(c *core) {
		for l := range s.open {
			was := *l.allowed.Load()
			now, known := tokens.Renew(was)
			if !known {
				now = access.Grant{}
			}
			l.allowed.Store(&now)
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

// requests are those under way that came with a grant of a token's.
type requests struct {
	mu  sync.Mutex
	all map[*request]struct{}
}

type request struct {
	grant access.Grant
	end   context.CancelFunc
}

// begin returns the request with its grant in its context, which ends when the
// grant does; end must be called when it has been answered.
func (q *requests) begin(r *http.Request, grant access.Grant, tokens *access.Tokens) (granted *http.Request, end func()) {
	ctx, cancel := context.WithCancel(access.With(r.Context(), grant))
	begun := &request{grant, cancel}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.all == nil {
		q.all = make(map[*request]struct{})
	}
	q.all[begun] = struct{}{}
	if now, ok := tokens.Renew(grant); !ok || !now.Equal(grant) {
		cancel() // since it was found
	}
	return r.WithContext(ctx), func() {
		cancel()
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.all, begun)
	}
}

// renew ends the requests whose grant is another one now.
func (q *requests) renew(tokens *access.Tokens) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for r := range q.all {
		if now, ok := tokens.Renew(r.grant); !ok || !now.Equal(r.grant) {
			r.end()
		}
	}
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
