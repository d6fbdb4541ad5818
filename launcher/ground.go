package launcher

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"cleat/launcher/network"
	"cleat/launcher/volume"
)

// Ground is how the supervisor sees, and gets ready, the volumes and networks
// that the child stands on; see cleat/launcher/volume and cleat/launcher/network.
// Its functions are called aside from the loop.
type Ground struct {
	// Look tells why a volume is not there, and nil when it is.
	Look func(ctx context.Context, v volume.Volume) error
	// Prepare fills a volume that is there and gives it its owner and mode.
	Prepare func(ctx context.Context, v volume.Volume) (volume.Prepared, error)
	// Up tells by which address a network is up, or why it is not.
	Up func(n network.Network) (netip.Addr, error)
	// Await names the volumes' directories that are missing. It never blocks.
	Await func(paths []string)
	// Changed yields when it is worth to look again.
	Changed <-chan struct{}
}

const (
	// slowLook is after what time a look is said to hang.
	slowLook = time.Second
	// Between attempts to make or to fill a volume.
	leastGroundRetry = time.Second
	mostGroundRetry  = 30 * time.Second
)

// ground is what has become of the volumes and networks. The loop owns it; one
// piece of work at a time is under way aside. Networks come first, because a
// volume may be mounted over one, and then the volumes in the order of their
// names, because one may lie in another.
//
//	networks up ──► first volume: provision ──► there ──► prepare ──► ready ──► the next ... ──► join
//	                     │  ▲                     (waited for by event)
//	               failed│  └─────── later ◄──────────────┐
//	                     └──► release what was provisioned, the last one first
//
// Once all are ready nothing here ever touches the child that runs. What has
// gone is said; and the next start waits until it is there again.
type ground struct {
	volumes  []*volumeState
	networks []*networkState
	began    time.Time // when they began to be waited for
	stale    bool      // something may have changed since the last look began
	work     work
	since    time.Time // when the work under way began
	current  *volumeState
	results  chan groundResult
	attempts int // that failed, in a row
	retry    time.Time
	undo     []*volumeState          // in the order in which they were provisioned
	rolling  bool                    // what was provisioned is being released, to begin anew
	least    time.Duration           // that each release at the end has, even when the time is over
	hurry    context.CancelCauseFunc // ends the release under way
	awaited  []string
}

// work is what is done aside.
type work int

const (
	workNone work = iota
	workLook
	workProvision
	workPrepare
	workRelease
)

type volumeState struct {
	volume.Volume
	looked      bool
	missing     error // why it is not there; nil: it is
	provisioned bool
	ready       bool // was there once, and prepared
	failed      error
}

type networkState struct {
	network.Network
	looked  bool
	missing error
	addr    netip.Addr
}

// groundResult is what work aside gave.
type groundResult struct {
	err      error
	took     time.Duration
	prepared volume.Prepared
	volumes  []error // of a look
	networks []networkState
}

var errNotLooked = errors.New("it has not been looked at yet")

// settleGround begins with the volumes and networks, or goes on at once when
// there are none.
func (s *supervisor) settleGround() {
	g := &s.ground
	g.results = make(chan groundResult, 1)
	for _, v := range s.set.Volumes {
		g.volumes = append(g.volumes, &volumeState{Volume: v, missing: errNotLooked})
	}
	for _, n := range s.set.Networks {
		g.networks = append(g.networks, &networkState{Network: n, missing: errNotLooked})
	}
	if g.none() {
		s.join()
		return
	}
	s.life, g.began, g.stale = lifeProvisioning, time.Now(), true
	s.startProgress(g.began)
	s.groundDeadline()
}

func (g *ground) none() bool { return len(g.volumes)+len(g.networks) == 0 }

// stands reports whether everything was there at the last look, which is not
// outdated.
func (g *ground) stands() bool {
	return g.none() || !g.stale && g.work != workLook && !g.lacking()
}

// lacking reports whether something was missing at the last look.
func (g *ground) lacking() bool {
	return slices.ContainsFunc(g.networks, func(n *networkState) bool { return n.missing != nil }) ||
		slices.ContainsFunc(g.volumes, func(v *volumeState) bool { return v.missing != nil })
}

// unsettled returns the first volume that is not ready.
func (g *ground) unsettled() *volumeState {
	for _, v := range g.volumes {
		if !v.ready {
			return v
		}
	}
	return nil
}

// stepGround begins the next piece of work, if there is one and none is under
// way.
func (s *supervisor) stepGround() {
	g := &s.ground
	if g.none() || g.work != workNone || s.life == lifeOver {
		return
	}
	switch {
	case s.life == lifeReleasing || g.rolling:
		s.releaseNext()
	case s.life.stopping():
	case g.stale:
		s.look()
	case s.life == lifeProvisioning && !slices.ContainsFunc(g.networks, func(n *networkState) bool { return n.missing != nil }):
		s.settleNext()
	}
}

// settleNext goes on with the first volume that is not ready.
func (s *supervisor) settleNext() {
	g := &s.ground
	v := g.unsettled()
	switch {
	case v == nil:
		s.log.Info("all volumes and networks are there", "after", round(time.Since(g.began)))
		s.alarm.off(alarmProgress)
		s.alarm.off(alarmGround)
		s.join()
	case time.Now().Before(g.retry):
	case v.Provision != "" && !v.provisioned:
		s.provision(v)
	case v.missing == nil:
		s.prepareVolume(v)
	}
}

// begin does work aside.
func (g *ground) begin(s *supervisor, w work, v *volumeState, do func() groundResult) {
	g.work, g.current, g.since = w, v, time.Now()
	s.aside.Go(func() {
		began := time.Now()
		r := do()
		r.took = time.Since(began)
		g.results <- r // there is room: only one is under way
	})
}

// look looks at everything again.
func (s *supervisor) look() {
	g := &s.ground
	g.stale = false
	volumes, networks, ctx := s.set.Volumes, s.set.Networks, s.work
	g.begin(s, workLook, nil, func() (r groundResult) {
		for _, n := range networks {
			addr, err := s.Ground.Up(n)
			r.networks = append(r.networks, networkState{addr: addr, missing: err})
		}
		for _, v := range volumes {
			r.volumes = append(r.volumes, s.Ground.Look(ctx, v))
		}
		return r
	})
}

func (s *supervisor) prepareVolume(v *volumeState) {
	ctx := s.work
	s.ground.begin(s, workPrepare, v, func() (r groundResult) {
		r.prepared, r.err = s.Ground.Prepare(ctx, v.Volume)
		return r
	})
}

// groundDone takes the result of work.
func (s *supervisor) groundDone(r groundResult) {
	g := &s.ground
	w, v := g.work, g.current
	g.work, g.current = workNone, nil
	switch w {
	case workLook:
		s.groundLooked(r)
	case workProvision:
		s.provisionEnded(v, r)
	case workPrepare:
		s.volumePrepared(v, r)
	case workRelease:
		s.releaseEnded(v, r)
	}
}

// groundLooked takes how everything is.
func (s *supervisor) groundLooked(r groundResult) {
	if s.life.stopping() {
		return
	}
	g := &s.ground
	settled := s.life != lifeProvisioning
	for i, n := range g.networks {
		was := n.missing
		n.looked, n.addr, n.missing = true, r.networks[i].addr, r.networks[i].missing
		switch {
		case !settled || (was == nil) == (n.missing == nil):
		case n.missing != nil:
			s.log.Warn("a network is gone; the child is left alone", "network", n.Name, "spec", n.Spec.String(), "why", n.missing)
		default:
			s.log.Info("a network is up again", "network", n.Name, "address", n.addr)
		}
	}
	for i, v := range g.volumes {
		was := v.missing
		v.looked, v.missing = true, r.volumes[i]
		switch {
		case !settled || (was == nil) == (v.missing == nil):
		case v.missing != nil:
			s.log.Warn("a volume is gone; the child is left alone", "volume", v.Name, "path", v.Path, "why", v.missing)
		default:
			s.log.Info("a volume is there again", "volume", v.Name, "path", v.Path)
		}
	}
	s.await()
	if settled && s.restart != nil && !g.lacking() {
		s.alarm.by(alarmRestart, s.restart.at) // it may have waited for this
	}
}

// await names the directories to be watched for.
func (s *supervisor) await() {
	g := &s.ground
	var paths []string
	for _, v := range g.volumes {
		if v.missing != nil {
			paths = append(paths, v.Path)
		}
	}
	if !slices.Equal(paths, g.awaited) {
		g.awaited = paths
		s.Ground.Await(paths)
	}
}

// volumePrepared takes the end of a seeding.
func (s *supervisor) volumePrepared(v *volumeState, r groundResult) {
	if s.life.stopping() {
		return
	}
	if r.err != nil {
		s.groundFailed()
		v.failed = r.err
		s.log.Error("cannot prepare a volume; it will be tried again", "volume", v.Name, "path", v.Path,
			"in", round(time.Until(s.ground.retry)), "cause", r.err)
		return
	}
	s.ground.attempts = 0
	v.ready, v.failed = true, nil
	switch p := r.prepared; {
	case p.Seeded:
		s.log.Info("seeded a volume", "volume", v.Name, "path", v.Path, "from", v.Seed, "entries", p.Entries, "bytes", p.Bytes, "took", round(r.took))
	case p.Changed:
		s.log.Info("gave a volume its owner and mode", "volume", v.Name, "path", v.Path)
	}
}

// groundFailed puts the next attempt off.
func (s *supervisor) groundFailed() {
	g := &s.ground
	g.retry = time.Now().Add(backoff(g.attempts, leastGroundRetry, mostGroundRetry))
	g.attempts++
	s.alarm.by(alarmGround, g.retry)
}

// groundAlarm looks whether a wait is over; otherwise something is due, which
// the loop then finds.
func (s *supervisor) groundAlarm() {
	g := &s.ground
	if s.life == lifeReleasing && g.work == workRelease {
		g.hurry(errStopping)
	}
	if s.life != lifeProvisioning {
		return
	}
	over := func(wait time.Duration) bool { return wait > 0 && !time.Now().Before(g.began.Add(wait)) }
	failed := false
	for _, n := range g.networks {
		if n.missing != nil && over(n.Wait) {
			failed = true
			s.log.Error("a network was not up in time", "network", n.Name, "spec", n.Spec.String(), "wait", n.Wait, "why", n.missing)
		}
	}
	for _, v := range g.volumes {
		if !v.ready && over(v.Wait) {
			failed = true
			s.log.Error("a volume was not there in time", "volume", v.Name, "path", v.Path, "wait", v.Wait, "why", s.whyVolume(v))
		}
	}
	if failed {
		s.end(exitOwn)
		return
	}
	s.groundDeadline()
}

// groundDeadline sets the alarm to what comes next: an attempt, or the end of a
// wait.
func (s *supervisor) groundDeadline() {
	g := &s.ground
	now := time.Now()
	var next time.Time
	if g.retry.After(now) {
		next = g.retry
	}
	wait := func(d time.Duration) {
		if at := g.began.Add(d); d > 0 && at.After(now) {
			next = earlier(next, at)
		}
	}
	for _, n := range g.networks {
		wait(n.Wait)
	}
	for _, v := range g.volumes {
		wait(v.Wait)
	}
	if !next.IsZero() {
		s.alarm.by(alarmGround, next)
	}
}

// groundChanged takes the word that it is worth to look again.
func (s *supervisor) groundChanged() { s.ground.stale = true }

// whyVolume tells why a volume is not ready.
func (s *supervisor) whyVolume(v *volumeState) string {
	g := &s.ground
	switch {
	case g.current == v && g.work == workProvision:
		return "its provision command runs"
	case g.current == v && g.work == workPrepare && v.Seed != "":
		return "it is being filled from " + v.Seed
	case g.current == v && g.work == workRelease:
		return "its release command runs"
	case v.failed != nil:
		return v.failed.Error()
	case g.work == workLook && time.Since(g.since) >= slowLook:
		return "a file system does not answer"
	case v.Provision != "" && !v.provisioned && s.life == lifeProvisioning:
		return "it is to be provisioned"
	case v.missing != nil:
		return v.missing.Error()
	}
	return "it is to be prepared"
}

// groundProgress tells which volumes and networks are waited for, and whether
// there are any.
func (s *supervisor) groundProgress(waited time.Duration) (any bool) {
	g := &s.ground
	if s.life != lifeProvisioning && (s.life != lifeWaiting || g.stands()) {
		return false
	}
	for _, n := range g.networks {
		if n.missing != nil {
			s.log.Info("waiting for a network", "network", n.Name, "spec", n.Spec.String(), "why", n.missing, "for", round(waited))
		}
	}
	for _, v := range g.volumes {
		if v.missing != nil || !v.ready {
			s.log.Info("waiting for a volume", "volume", v.Name, "path", v.Path, "why", s.whyVolume(v), "for", round(waited))
		}
	}
	g.stale = true // for what no event tells
	return true
}

// whyGround tells what of the volumes and networks a start waits for; empty:
// nothing.
func (s *supervisor) whyGround() string {
	g := &s.ground
	if s.life != lifeProvisioning && g.stands() {
		return ""
	}
	for _, n := range g.networks {
		if n.missing != nil {
			return "the child waits for the network " + n.Name + " (" + n.Spec.String() + "): " + n.missing.Error()
		}
	}
	for _, v := range g.volumes {
		if v.missing != nil || !v.ready {
			return "the child waits for the volume " + v.Name + " (" + v.Path + "): " + s.whyVolume(v)
		}
	}
	return ""
}
