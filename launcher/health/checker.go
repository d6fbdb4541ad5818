package health

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"cleat/internal/probe"
	"cleat/launcher/process"
	"cleat/registry"
)

// Checker checks targets while they listen. All its methods may be called from
// any goroutine, before Run as well.
type Checker struct {
	kernel process.Kernel
	user   string

	wake    chan struct{} // of Run: something is due earlier than it thinks
	changes chan struct{} // of the owner: Take has something

	mu      sync.Mutex
	targets map[string]*target
	runs    sync.WaitGroup
}

// New makes a checker without targets. Commands and scripts are started by k,
// as user (see process.Spec; empty: cleat's own).
func New(k process.Kernel, user string) *Checker {
	return &Checker{
		kernel: k, user: user, targets: make(map[string]*target),
		wake: make(chan struct{}, 1), changes: make(chan struct{}, 1),
	}
}

// Run checks until ctx ends; then it kills what runs and waits for its end, for
// at most two seconds. The error says that something does not end even so: a
// process that is stuck in the kernel.
func (c *Checker) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if next := c.advance(ctx); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-timer.C:
		}
	}
	ended := make(chan struct{})
	go func() {
		c.runs.Wait()
		close(ended)
	}()
	timer.Reset(overtime)
	select {
	case <-ended:
		return nil
	case <-timer.C:
		return fmt.Errorf("checks do not end, though they were killed: %s", strings.Join(c.running(), ", "))
	}
}

// Set says what is to be checked and whether it listens. To say the same again
// costs nothing, so call it whenever the listeners have been looked at. When the
// address is new, or the check is, everything begins anew; without one, what
// runs is killed and what was known is forgotten. It never blocks.
func (c *Checker) Set(t Target) {
	t.Check = t.Check.withDefaults()
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.targets[t.ID]
	if known == nil {
		known = &target{Target: Target{ID: t.ID, Check: t.Check}}
		c.targets[t.ID] = known
	}
	known.Env = t.Env
	if known.Addr == t.Addr && known.Check == t.Check {
		return
	}
	now, early, reported := time.Now(), known.early, known.reported
	known.forget()
	known.Addr, known.Check = t.Addr, t.Check
	if known.listens() {
		known.begin(now)
		if early != nil && now.Sub(reported) < t.Check.TTL {
			known.report(*early, now)
			known.reported = reported
		}
	}
	c.told(known)
	signal(c.wake)
}

// Report takes what a child says of itself, for a target with a TTL check: a
// status (passing, warning or critical), and perhaps a text. It holds for
// Check.TTL. One that comes before the port is seen to listen counts from then
// on. The error says that there is no such target, or not such a check, or not
// such a status. It never blocks.
func (c *Checker) Report(id string, s registry.Status, text string) error {
	if !s.Serving() && s != registry.Critical {
		return fmt.Errorf("report %q: expected passing, warning or critical", probe.Clean(string(s), registry.MaxNameLength))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.targets[id]
	if t == nil || t.Check.Kind != TTL {
		return fmt.Errorf("report for %q: %w", probe.Clean(id, registry.MaxIDLength), ErrTarget)
	}
	t.report(probe.Outcome{Status: s, Reason: "reported by the child", Output: probe.Clean(text, MaxOutput)}, time.Now())
	c.told(t)
	signal(c.wake)
	return nil
}

// Changed gives a sign when Take has something. Several changes may be one sign.
func (c *Checker) Changed() <-chan struct{} { return c.changes }

// Take returns the results that have changed since they were taken last, sorted
// by id. There is none for a target that does not listen, and none before the
// first verdict.
func (c *Checker) Take() []Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	var results []Result
	for _, t := range c.targets {
		if t.changed {
			t.changed = false
			results = append(results, t.result)
		}
	}
	// A sign that nobody has taken yet is about what is taken here.
	select {
	case <-c.changes:
	default:
	}
	sort.Slice(results, func(i, j int) bool { return results[i].ID < results[j].ID })
	return results
}

// advance brings everything up to now: what is over is judged, what is due is
// started. It returns when it has to be called again; the zero time: not before
// something happens.
func (c *Checker) advance(ctx context.Context) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var first time.Time
	for _, t := range c.targets {
		t.pass(now)
		c.told(t)
		if t.due(now) {
			c.start(ctx, t, now)
		}
		if at := t.deadline(); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// start runs a check in a goroutine of its own.
func (c *Checker) start(ctx context.Context, t *target, now time.Time) {
	ctx, cancel := context.WithDeadline(ctx, now.Add(t.Check.Timeout))
	r := &run{began: now, cancel: cancel}
	t.run = r
	what := t.Target
	c.runs.Go(func() {
		o := c.check(ctx, what)
		ended := context.Cause(ctx)
		cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		// Ended from outside: the outcome says nothing about the target.
		r.stale = r.stale || errors.Is(ended, context.Canceled)
		t.ended(r, o, time.Now(), rand.Float64())
		c.told(t)
		signal(c.wake)
	})
}

func (c *Checker) check(ctx context.Context, t Target) probe.Outcome {
	at := probe.Reachable(t.Addr)
	if t.Check.Kind == Command || t.Check.Kind == Script {
		return checkCommand(ctx, c.kernel, c.user, t.Check, at, t.Env)
	}
	return t.Check.probe().Run(ctx, at)
}

// told gives the sign when there is something to take.
func (c *Checker) told(t *target) {
	if t.changed {
		signal(c.changes)
	}
}

// running lists the targets whose checks have not ended.
func (c *Checker) running() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(c.targets)) {
		if c.targets[id].run != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// signal leaves a sign in a channel that holds one.
func signal(sign chan<- struct{}) {
	select {
	case sign <- struct{}{}:
	default:
	}
}
