package server

import (
	"time"

	"cleat/registry"
)

// letMove asks every launcher to go to another server, at a time of its own
// within the span, and to stay until that has accepted it. It returns when all
// have gone, or the time is over: who knows no other server stays.
//
// What goes is not lost: it is elsewhere. So nothing that ends meanwhile changes
// anybody's view here.
func (s *Server) letMove(within time.Duration) {
	if within <= 0 {
		return
	}
	s.leaving.Store(true)
	bye := messageFrame(registry.ServerMessage{Bye: &registry.Bye{Within: registry.InMilliseconds(within), Keep: true}})
	var count int
	s.event(func(c *core) {
		c.moving = true
		count = len(c.sessions)
		for _, session := range c.sessions {
			session.out.put(bye)
		}
	})
	s.log.Info("cleatd lets its launchers move to other servers", "sessions", count, "within", within)
	const look = 50 * time.Millisecond // how often it is seen whether all have gone
	over := time.After(within)
	often := time.NewTicker(look)
	defer often.Stop()
	for s.sessions.Load() > 0 {
		select {
		case <-over:
			return
		case <-often.C:
		}
	}
}
