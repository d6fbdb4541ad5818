package server

import "sync"

// signal tells whoever waits that something is over: a listing, a catalog. Its
// channel is made by the first who waits, so that what nobody waits for costs
// nothing. It is safe for concurrent use; its lock is an innermost one.
type signal struct {
	mu      sync.Mutex
	channel chan struct{} // nil: nobody waits
	over    bool
}

// wait returns a channel that is closed when it is over.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channel == nil {
		s.channel = make(chan struct{})
		if s.over {
			close(s.channel)
		}
	}
	return s.channel
}

// waited reports whether anybody has waited.
func (s *signal) waited() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.channel != nil
}

// end makes it over. It may be called more than once.
func (s *signal) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over && s.channel != nil {
		close(s.channel)
	}
	s.over = true
}
