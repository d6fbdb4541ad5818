package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// beat is the server's for few sessions, see design of the session protocol in docs/protocol.md.
const beat = 3 * time.Second

// warmingLimit is more than warming lasts after a restart with few launchers.
const warmingLimit = 25 * time.Second

// scenery is a site with a front, three backends and load on the front.
type scenery struct {
	*site
	front *front
	webs  []*process
	at    []string
	load  *load
	// what must not change
	file    file
	pids    map[*process]int
	reloads string
}

func newScenery(t *testing.T, s *site) *scenery {
	t.Helper()
	v := &scenery{site: s, front: s.front("front")}
	for i := range 3 {
		p, at := s.web(fmt.Sprintf("web-%d", i))
		v.webs, v.at = append(v.webs, p), append(v.at, at)
	}
	s.waitPassing("front", 1)
	s.waitPassing("web", 3)
	v.front.waitKnows(10*time.Second, v.at...)
	time.Sleep(time.Second) // for the last reload to be over
	v.load = startLoad(t, v.front.url)
	v.remember()
	return v
}

func (v *scenery) remember() {
	v.t.Helper()
	v.file = snapshot(v.t, v.front.file)
	v.pids = map[*process]int{}
	for _, p := range append(v.webs, v.front.process) {
		pid, err := p.childPid()
		if err != nil {
			v.t.Fatal(err)
		}
		v.pids[p] = pid
	}
	v.reloads = v.askReloads()
}

func (v *scenery) askReloads() string {
	v.t.Helper()
	answer, err := fresh.Get(v.front.url + "/reloads")
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return string(text)
}

// untouched returns an error when a file was written, or a child is another one.
func (v *scenery) untouched() error {
	if err := v.file.unchanged(); err != nil {
		return err
	}
	for p, was := range v.pids {
		now, err := p.childPid()
		if err != nil {
			return fmt.Errorf("child of %s: %w", p.name, err)
		}
		if now != was {
			return fmt.Errorf("child of %s was restarted", p.name)
		}
	}
	return nil
}

// wantUntouched is the end of the story: no file, no child, no signal, no request.
func (v *scenery) wantUntouched() {
	v.t.Helper()
	if err := v.untouched(); err != nil {
		v.t.Error(err)
	}
	if now := v.askReloads(); now != v.reloads {
		v.t.Errorf("front was told to reload: %s times before, %s times now", v.reloads, now)
	}
	v.load.wantNoFailure(v.t, 100)
}

// TestServerRestartsEmpty kills the server, which keeps nothing, and starts it again.
func TestServerRestartsEmpty(t *testing.T) {
	t.Parallel()
	v := newScenery(t, newSite(t))
	v.server.kill()
	Always(t, 5*time.Second, v.untouched)
	v.startServer()
	back := v.waitPassing("web", 3)
	t.Logf("all instances were back after %v", back)
	if back > 2*beat {
		t.Errorf("all instances were back after %v, expected at most %v", back, 2*beat)
	}
	Always(t, warmingLimit, v.untouched)
	v.waitPassing("web", 3)
	v.waitPassing("front", 1)
	for _, p := range append(v.webs, v.front.process) {
		if n := strings.Count(p.out.String(), "no discovery server"); n != 1 {
			t.Errorf("%s logged %d times that there is no server, expected once", p.name, n)
		}
	}
	v.wantUntouched()
}

// TestProviderDiesMeanwhile kills a provider while the server is away: it stays until the server has warmed up, and
// not longer.
func TestProviderDiesMeanwhile(t *testing.T) {
	t.Parallel()
	v := newScenery(t, newSite(t))
	v.server.kill()
	v.load.end() // the front asks the dead one too, until it knows
	WaitFor(t, 5*time.Second, func() error {
		if !strings.Contains(v.front.out.String(), "no discovery server") {
			return fmt.Errorf("the front has not seen that the server is gone")
		}
		return nil
	})
	v.webs[2].kill()
	v.startServer()
	v.waitPassing("web", 2)
	if err := v.file.unchanged(); err != nil {
		t.Errorf("while warming: %v", err)
	}
	took := v.front.waitKnows(warmingLimit, v.at[:2]...)
	t.Logf("the dead one was gone %v after the others were back", took)
	if took < beat {
		t.Errorf("gone after %v, expected that nothing is concluded while warming", took)
	}
}

// cutter is a proxy between launchers and server whose connections can all be cut.
type cutter struct {
	t       *testing.T
	address string
	to      string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	wg       sync.WaitGroup
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	c := &cutter{t: t, to: to, address: fmt.Sprintf("127.0.0.1:%d", freePort(t)), conns: map[net.Conn]bool{}}
	c.open()
	t.Cleanup(func() {
		c.cut()
		c.wg.Wait()
	})
	return c
}

func (c *cutter) open() {
	c.t.Helper()
	l, err := net.Listen("tcp4", c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.listener = l
	c.mu.Unlock()
	c.wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			c.wg.Go(func() { c.pass(near) })
		}
	})
}

func (c *cutter) pass(near net.Conn) {
	far, err := net.Dial("tcp4", c.to)
	if err != nil {
		_ = near.Close()
		return
	}
	c.mu.Lock()
	c.conns[near], c.conns[far] = true, true
	c.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_, _ = near.Close(), far.Close()
		})
	}
	both.Wait()
	c.mu.Lock()
	delete(c.conns, near)
	delete(c.conns, far)
	c.mu.Unlock()
}

// cut ends all connections and refuses new ones.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.listener.Close()
	for conn := range c.conns {
		_ = conn.Close()
	}
}

// TestConnectionsCut restarts what is between the launchers and the server.
func TestConnectionsCut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := newCutter(t, s.address)
	s.via = c.address
	v := newScenery(t, s)
	for _, away := range []time.Duration{0, 300 * time.Millisecond, 4 * time.Second} {
		c.cut()
		time.Sleep(away)
		c.open()
		Always(t, 4*time.Second, v.untouched)
		v.waitPassing("web", 3)
	}
	v.wantUntouched()
}

// TestServerFrozen stops the server's process for longer than a session may be silent, and lets it go on: it must see
// that it was the one away.
func TestServerFrozen(t *testing.T) {
	t.Parallel()
	v := newScenery(t, newSite(t))
	frozen := 12 * time.Second
	if *long {
		frozen = 30 * time.Second
	}
	v.server.signal(syscall.SIGSTOP)
	Always(t, frozen, v.untouched)
	v.server.signal(syscall.SIGCONT)
	Always(t, 15*time.Second, v.untouched)
	v.waitPassing("web", 3)
	v.waitPassing("front", 1)
	v.wantUntouched()
}

// TestNoServerEver starts a child that needs nothing where no server ever was.
func TestNoServerEver(t *testing.T) {
	t.Parallel()
	s := &site{t: t, via: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	child := built(t).testchild
	began := time.Now()
	p := s.cleat("lonely", nil, child, "signals")
	p.waitLog(5*time.Second, " ready")
	took := time.Since(began)
	t.Logf("the child was ready after %v", took)
	if took > time.Second {
		t.Errorf("the child was ready after %v, expected at once", took)
	}
	time.Sleep(8 * time.Second) // for several attempts
	if n := strings.Count(p.out.String(), "no discovery server"); n != 1 {
		t.Errorf("logged %d times that there is no server, expected once", n)
	}
	if code, took := p.stop(5 * time.Second); code != 0 || took > time.Second {
		t.Errorf("exit code %d after %v, expected 0 at once", code, took)
	}
	if left := descendants(p.cmd.Process.Pid); len(left) > 0 {
		t.Errorf("processes left behind: %v of %d", left, os.Getpid())
	}
}
