package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// front is the reloading proxy under cleat, with the file that is its list of backends.
type front struct {
	*process
	url  string
	file string
}

const frontTemplate = "{{each web}}\n{{addr}}\n{{end}}\n"

func (s *site) front(name string, settings ...string) *front {
	s.t.Helper()
	dir := s.t.TempDir()
	source, file := filepath.Join(dir, "backends.tmpl"), filepath.Join(dir, "backends")
	if err := os.WriteFile(source, []byte(frontTemplate), 0o644); err != nil {
		s.t.Fatal(err)
	}
	port := freePort(s.t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	settings = append(settings,
		fmt.Sprintf("SERVICE_%d_NAME=front", port),
		"CLEAT_REQUIRE_WEB=web",
		"CLEAT_TEMPLATE_BACKENDS="+source+":"+file+":HUP",
	)
	p := s.cleat(name, settings, built(s.t).testchild, "proxy", "-listen", address, file)
	return &front{process: p, url: "http://" + address, file: file}
}

// waitKnows waits until the front's file lists exactly these backends.
func (f *front) waitKnows(limit time.Duration, addresses ...string) time.Duration {
	f.t.Helper()
	return WaitFor(f.t, limit, func() error { return f.knows(addresses...) })
}

func (f *front) knows(addresses ...string) error {
	text, err := os.ReadFile(f.file)
	if err != nil {
		return err
	}
	listed := strings.Fields(string(text))
	if len(listed) != len(addresses) {
		return fmt.Errorf("front has %v, expected %v", listed, addresses)
	}
	for _, a := range addresses {
		if !strings.Contains(string(text), a+"\n") {
			return fmt.Errorf("front has %v, expected %v", listed, addresses)
		}
	}
	return nil
}

// TestRelocation moves web backends about under constant load: none of the requests may fail, though a backend that
// is stopped drops what it has, and the front never tries again.
func TestRelocation(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	f := s.front("front")
	one, oneAt := s.web("web-0")
	two, twoAt := s.web("web-1")
	s.waitPassing("front", 1)
	f.waitKnows(5*time.Second, oneAt, twoAt)

	l := startLoad(t, f.url)
	moves := 3
	if *long {
		moves = 30
	}
	for i := range moves {
		name := fmt.Sprintf("web-%d", i+2)
		next, nextAt := s.web(name)
		f.waitKnows(10*time.Second, oneAt, twoAt, nextAt)
		WaitFor(t, 10*time.Second, func() error {
			if l.answers(name) == 0 {
				return fmt.Errorf("%s has answered no request", name)
			}
			return nil
		})
		code, took := one.stop(15 * time.Second)
		if code != 0 {
			t.Errorf("%s exited with %d, expected 0", one.name, code)
		}
		if took > 4*time.Second {
			t.Errorf("%s took %v to stop, though all its consumers were well", one.name, took)
		}
		if log := one.out.String(); !strings.Contains(log, "acknowledged=1") {
			t.Errorf("%s did not log how many acknowledged its drain, and in what time", one.name)
		}
		drained := regexp.MustCompile(`drained.*launcher=` + one.name + ` .*took=\S+ applied=1 by=\[front\] pending=\[\]`)
		if !drained.MatchString(s.server.out.String()) {
			t.Errorf("the server did not log who acknowledged the drain of %s, and in what time", one.name)
		}
		f.waitKnows(time.Second, twoAt, nextAt)
		one, oneAt, two, twoAt = two, twoAt, next, nextAt
	}
	l.wantNoFailure(t, 200)
}

// TestFrozenConsumer freezes a consumer: a drain waits for it for as long as CLEAT_DRAIN says, and no longer.
func TestFrozenConsumer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	f := s.front("front")
	const drain = 2 * time.Second
	leaving, leavingAt := s.web("web-0", "CLEAT_DRAIN="+drain.String())
	_, stayingAt := s.web("web-1")
	s.waitPassing("front", 1)
	f.waitKnows(5*time.Second, leavingAt, stayingAt)
	for _, pid := range f.tree() {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	code, took := leaving.stop(15 * time.Second)
	for _, pid := range f.tree() {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	if code != 0 {
		t.Errorf("exit code %d, expected 0", code)
	}
	if took < drain-200*time.Millisecond || took > drain+time.Second {
		t.Errorf("the stop took %v with a frozen consumer, expected about %v", took, drain)
	}
	if !regexp.MustCompile(`drained.*launcher=web-0 .*applied=0 .*pending=\[front`).MatchString(s.server.out.String()) {
		t.Error("the server's log does not name the consumer that was waited for in vain")
	}
	f.waitKnows(5*time.Second, stayingAt)
}

// TestOnlyInstance stops a service's only instance: nobody could go elsewhere, so nobody is waited for, and consumers
// keep what they have.
func TestOnlyInstance(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	f := s.front("front")
	only, at := s.web("web-0")
	s.waitPassing("front", 1)
	f.waitKnows(5*time.Second, at)
	before := snapshot(t, f.file)
	code, took := only.stop(10 * time.Second)
	if code != 0 {
		t.Errorf("exit code %d, expected 0", code)
	}
	// Nothing else in a stop is shorter than this: a quiet period with what follows, CLEAT_LINGER, the wait for readers
	// who cannot acknowledge.
	if took > 600*time.Millisecond {
		t.Errorf("the stop took %v, expected no more than without cleat", took)
	}
	Always(t, 3*time.Second, before.unchanged)
	next, nextAt := s.web("web-1")
	f.waitKnows(10*time.Second, nextAt)
	next.stop(10 * time.Second)
}

// TestKilledProvider kills a whole provider: consumers learn it from the closed socket.
func TestKilledProvider(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	f := s.front("front")
	killed, killedAt := s.web("web-0")
	_, stayingAt := s.web("web-1")
	s.waitPassing("front", 1)
	f.waitKnows(5*time.Second, killedAt, stayingAt)
	killed.kill()
	took := f.waitKnows(3*time.Second, stayingAt)
	t.Logf("the front knew after %v", took)
	// The quiet period is 100 ms at the least; the rest is for a busy machine.
	if took > time.Second {
		t.Errorf("the front knew after %v, expected at once", took)
	}
}

// TestMutualRequirement has two services that need each other, one of them not at the start. Each end and return of
// one restarts the other once, and that is all.
func TestMutualRequirement(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	child := built(t).testchild
	start := func(name, service, needs string) *process {
		port := freePort(t)
		return s.cleat(name, []string{fmt.Sprintf("SERVICE_%d_NAME=%s", port, service), "CLEAT_REQUIRE_PEER=" + needs},
			child, "listen", fmt.Sprintf("127.0.0.1:%d", port))
	}
	starts := func(p *process) int { return strings.Count(p.out.String(), " ready 1") }
	eager := start("eager", "a", "b?optional=true")
	patient := start("patient", "b", "a")
	s.waitPassing("a", 1)
	s.waitPassing("b", 1)
	time.Sleep(2 * time.Second)
	before := starts(eager) + starts(patient)
	if before > 3 {
		t.Errorf("%d starts of two children to begin with", before)
	}
	if code, _ := patient.stop(10 * time.Second); code != 143 {
		t.Errorf("exit code %d, expected 143", code)
	}
	patient = start("patient-2", "b", "a")
	s.waitPassing("b", 1)
	quiet := 12 * time.Second // longer than the distance of two restarts by change
	if *long {
		quiet = time.Minute
	}
	time.Sleep(quiet)
	s.waitPassing("a", 1)
	s.waitPassing("b", 1)
	if n := starts(eager) + starts(patient) - before; n > 4 {
		t.Errorf("%d starts after one relocation", n)
	}
}
