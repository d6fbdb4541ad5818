package server

import (
	"cmp"
	"container/heap"
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"cleat/internal/probe"
	"cleat/registry"
)

// maxChecks is how many checks are under way at the same time. Others wait for
// their turn: late is better than all at once.
const maxChecks = 64

// checker asks instances that have no launcher how they are. It is no part of
// the core: what it finds out is an event like any other.
//
//	           set                     its turn, and fewer than 64 are under way
//	nothing ---------> waiting for its turn <----------------> under way
//	   ^                  |                  an interval after    |
//	   +---dropped--------+                  the last one began   |
//	   +---dropped: the outcome means nothing any more -----------+
//
// Checks of one instance never overlap, and never pile up.
type checker struct {
	ask    func(ctx context.Context, t checkTarget) probe.Outcome
	tell   func(t checkTarget, status registry.Status, reason string) // of a verdict that is another
	random func() float64

	wake chan struct{}

	mu      sync.Mutex
	all     map[identity]*checked
	queue   checkQueue
	running int
	runs    sync.WaitGroup
}

// checkTarget is what is checked, and how. It is comparable.
type checkTarget struct {
	id      identity
	check   Check
	address string // host:port
}

// checked is a target and what is known of it.
type checked struct {
	checkTarget
	judgement probe.Judgement
	reason    string // of the judgement
	next      time.Time
	spread    bool // its checks do not begin with those of all others any more
	at        int  // in the queue; -1: it is under way
	gone      bool // dropped while it was under way
}

// checkQueue has those that wait, the first to come at its head.
type checkQueue []*checked

func (q checkQueue) Len() int           { return len(q) }
func (q checkQueue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q checkQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].at, q[j].at = i, j }

// Push implements [heap.Interface].
func (q *checkQueue) Push(x any) {
	c := x.(*checked)
	c.at = len(*q)
	*q = append(*q, c)
}

// Pop implements [heap.Interface].
func (q *checkQueue) Pop() any {
	last := len(*q) - 1
	c := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	c.at = -1
	return c
}

func newChecker(tell func(checkTarget, registry.Status, string)) *checker {
	return &checker{
		ask: askTarget, tell: tell, random: rand.Float64,
		wake: make(chan struct{}, 1), all: make(map[identity]*checked),
	}
}

// set begins to check a target, or goes on with it when it is the same. known is
// what was known of it before.
func (k *checker) set(t checkTarget, known registry.Status, reason string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.all[t.id]; c != nil {
		if c.checkTarget == t {
			return
		}
		k.forget(c)
	}
	c := &checked{checkTarget: t, judgement: probe.Judgement{Status: known}, reason: reason, next: time.Now()}
	k.all[t.id] = c
	heap.Push(&k.queue, c)
	k.hurry()
}

// drop ends the checks of an instance.
func (k *checker) drop(id identity) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.all[id]; c != nil {
		k.forget(c)
	}
}

func (k *checker) forget(c *checked) {
	delete(k.all, c.id)
	c.gone = true
	if c.at >= 0 {
		heap.Remove(&k.queue, c.at)
	}
}

// hurry makes run look again.
func (k *checker) hurry() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run checks until ctx ends, and returns when no check is under way any more.
func (k *checker) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			k.runs.Wait()
			return
		case <-timer.C:
		case <-k.wake:
		}
		if next := k.begin(ctx); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
	}
}

// begin begins what is due, as far as there is room. It returns when the next one
// is; zero: when something happens.
func (k *checker) begin(ctx context.Context) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for len(k.queue) > 0 && k.running < maxChecks {
		if c := k.queue[0]; now.Before(c.next) {
			return c.next
		}
		c := heap.Pop(&k.queue).(*checked)
		k.running++
		k.runs.Go(func() { k.one(ctx, c, now) })
	}
	return time.Time{}
}

// one makes one check.
func (k *checker) one(ctx context.Context, c *checked, began time.Time) {
	within, cancel := context.WithTimeout(ctx, c.check.Timeout)
	outcome := k.ask(within, c.checkTarget)
	cancel()
	if verdict, told := k.ended(c, outcome, began, ctx.Err() != nil); told {
		k.tell(c.checkTarget, verdict, outcome.Reason)
	}
}

// ended takes an outcome, and says whether the verdict is another.
func (k *checker) ended(c *checked, o probe.Outcome, began time.Time, cut bool) (verdict registry.Status, told bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running--
	k.hurry()
	if c.gone || cut {
		return "", false
	}
	// The first gap is a random part of the interval, so that what was registered
	// together is not asked together for ever.
	gap := c.check.Interval
	if !c.spread {
		c.spread = true
		gap -= time.Duration(k.random() * float64(gap-min(gap, MinInterval)))
	}
	c.next = began.Add(gap)
	heap.Push(&k.queue, c)

	before := c.judgement.Status
	c.judgement = c.judgement.Next(o.Status, c.check.Rise, c.check.Fall)
	now := c.judgement.Status
	if now == "" || now == before && (now != o.Status || o.Reason == c.reason) {
		return "", false
	}
	c.reason = o.Reason
	return now, true
}

// askTarget looks up the name of a target, where it has one, and asks it.
func askTarget(ctx context.Context, t checkTarget) probe.Outcome {
	p := probe.Probe{
		Kind: probe.Kind(t.check.Kind), Path: t.check.Path, Method: t.check.Method,
		SkipVerify: t.check.SkipVerify, ServerName: t.check.ServerName, Timeout: t.check.Timeout,
	}
	host, port, _ := net.SplitHostPort(t.address) // was checked
	number, _ := strconv.ParseUint(port, 10, 16)  // was checked
	addr, err := netip.ParseAddr(host)
	if err != nil {
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil || len(found) == 0 {
			return probe.Failure(t.check.Timeout, "looking up "+host, cmp.Or(err, error(&net.DNSError{Err: "no address"})))
		}
		addr = found[0].Unmap()
		p.ServerName = cmp.Or(p.ServerName, host)
	}
	return p.Run(ctx, netip.AddrPortFrom(addr, uint16(number)))
}

// target returns what is checked of an instance, if anything is.
func (i *instance) target() (checkTarget, bool) {
	if i == nil || i.kept == nil || i.kept.Check == nil {
		return checkTarget{}, false
	}
	own := net.JoinHostPort(i.shown.Address, strconv.Itoa(int(i.shown.Port)))
	return checkTarget{i.identity(), *i.kept.Check, cmp.Or(i.kept.Check.Address, own)}, true
}

// recheck notes that what is checked of an instance may have changed.
func (c *core) recheck(i *instance) {
	if c.rechecks == nil {
		c.rechecks = make(map[identity]struct{})
	}
	c.rechecks[i.identity()] = struct{}{}
}

// checkAgain tells the checker what the event under way has changed.
func (c *core) checkAgain(k *checker) {
	for id := range c.rechecks {
		i := c.instances[id]
		if t, is := i.target(); is {
			k.set(t, i.kept.checked, i.kept.output)
		} else {
			k.drop(id)
		}
	}
	c.rechecks = nil
}

// outcome takes a verdict of the checker.
func (c *core) outcome(t checkTarget, status registry.Status, reason string) {
	i := c.instances[t.id]
	if now, is := i.target(); !is || now != t {
		return // it is another one by now
	}
	i.kept.checked, i.kept.output = status, registry.Cut(reason)
	c.unsavedInstance(i)
	c.rejudge(i)
}
