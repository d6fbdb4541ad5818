package e2e

import (
	"fmt"
	"testing"
	"time"
)

// crowd is how many backends there are beside those of a scenery.
const crowd = 5

// newCrowd is a scenery with more of everything.
func newCrowd(t *testing.T, s *site) *scenery {
	t.Helper()
	for i := range crowd {
		s.web(fmt.Sprintf("more-%d", i))
	}
	v := &scenery{site: s, front: s.front("front")}
	for i := range 3 {
		p, at := s.web(fmt.Sprintf("web-%d", i))
		v.webs, v.at = append(v.webs, p), append(v.at, at)
	}
	s.waitPassing("front", 1)
	s.waitPassing("web", 3+crowd)
	time.Sleep(2 * time.Second) // for the last reload to be over
	v.load = startLoad(t, v.front.url)
	v.remember()
	return v
}

// stopServer stops the server as an operator does.
func (s *site) stopServer(limit time.Duration) time.Duration {
	s.t.Helper()
	code, took := s.server.stop(limit)
	if code != 0 {
		s.t.Errorf("cleatd ended with %d", code)
	}
	return took
}

// TestServerIsRestarted restarts the server on its address, twice, while there is traffic: no file is written, no
// child reloaded, no request lost.
func TestServerIsRestarted(t *testing.T) {
	t.Parallel()
	v := newCrowd(t, newSite(t))
	for range 2 {
		if took := v.stopServer(5 * time.Second); took > 3*time.Second {
			t.Errorf("the server took %v to end", took)
		}
		v.startServer()
		back := v.waitPassing("web", 3+crowd)
		t.Logf("all instances were back after %v", back)
		Always(t, warmingLimit, v.untouched)
		v.waitPassing("web", 3+crowd)
	}
	v.wantUntouched()
}

// TestSpareTakesOver gives the launchers a list of two servers, which know nothing of each other, and stops the first
// one for good: all move to the second, which has been there all along, and nobody sees a change. With the first one
// back, the same the other way round, this time at once.
func TestSpareTakesOver(t *testing.T) {
	t.Parallel()
	first := newSite(t, "-shutdown", "3s", "-dns", "off")
	spare := newSite(t, "-dns", "off")
	first.via = first.address + ",http://" + spare.address
	v := newCrowd(t, first)
	if took := first.stopServer(8 * time.Second); took > 5*time.Second {
		t.Errorf("the server took %v to end, with 3 s to move", took)
	}
	spare.waitPassing("web", 3+crowd)
	Always(t, warmingLimit, v.untouched)
	spare.waitPassing("web", 3+crowd)

	first.startServer()
	spare.stopServer(5 * time.Second)
	first.waitPassing("web", 3+crowd)
	Always(t, warmingLimit, v.untouched)
	first.waitPassing("web", 3+crowd)
	v.wantUntouched()
}
