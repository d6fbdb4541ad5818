package server

import (
	"bytes"
	"fmt"
	"time"

	"cleat/registry"
)

// kept is what the server keeps, in a launcher's stead, of an instance that has
// none.
type kept struct {
	Registration // with the status and the reason that were said last

	renewed  time.Time       // when the TTL began
	expired  bool            // it is over
	critical time.Time       // since when the instance is critical; zero: it is not
	checked  registry.Status // what the server's check says; empty: nothing yet
	output   string          // of the check
	timed    int             // its place in the list of those with deadlines; -1: it has none
}

// hasDeadline reports whether the sweep must look at it.
func (k *kept) hasDeadline() bool { return k.TTL > 0 || k.Remove > 0 }

// verdict returns the status that everything known about it amounts to, but for
// what an operator did.
func (k *kept) verdict() (registry.Status, string) {
	status, reason := k.Instance.Status, k.Instance.Reason
	checked, output := k.checked, k.output
	if checked == "" && k.Check != nil && k.Check.Initial != "" {
		checked, output = k.Check.Initial, "not checked yet"
	}
	switch {
	case k.expired:
		return registry.Critical, fmt.Sprintf("not renewed for %v", k.TTL)
	case status != registry.Passing && status != registry.Warning:
		return status, reason
	case checked == registry.Critical, checked == registry.Warning && status == registry.Passing:
		return checked, output
	}
	return status, reason
}

// register makes an instance known, or replaces what was known of it.
func (c *core) register(r Registration) error {
	w := r.Instance
	id := identity{w.Namespace, w.ID}
	i := c.instances[id]
	switch {
	case i != nil && i.owner != nil:
		return fmt.Errorf("the instance %s cannot be registered: %w", w.ID, ErrLaunched)
	case (i == nil || i.kept == nil) && c.keptCount >= c.maxKept:
		return fmt.Errorf("the instance %s cannot be registered: there are %d without a launcher: %w", w.ID, c.keptCount, ErrTooMany)
	case !c.fits(w, i):
		return fmt.Errorf("the instance %s cannot be registered: the service %s is as large as one message can hold: %w", w.ID, w.Service, ErrTooMany)
	}
	c.revision = max(c.revision, w.Since)
	if w.Since == 0 && i != nil {
		w.Since = i.shown.Since
	}
	if w.Since == 0 {
		c.revision++
		w.Since = c.revision
	}
	r.Instance = w
	c.evict(nil, w, i)
	if i != nil && i.shown.Service != w.Service {
		c.remove(i, registry.WhyLeft, CauseReplaced, "registered as another service by "+r.Source)
		i = nil
	}
	k := &kept{Registration: r, renewed: c.now, timed: -1}
	if i == nil {
		i = &instance{said: w.Reason}
		w.Status, w.Reason = k.verdict()
		i.declared, i.said = w.Status, w.Reason
		i.shown = w
		c.keep(i, k)
		c.enter(i, CauseBegan, "registered by "+r.Source)
		if !i.shown.Status.Serving() && c.warming.on {
			c.hide(i)
		}
		c.reconsider(i.service)
		return nil
	}
	if i.kept == nil {
		c.unhold(i)
		i.loss, i.key, i.launcher = nil, keyHash{}, identity{}
		c.tell(i, KindMoved, CauseReplaced, "registered by "+r.Source)
	} else if i.kept.Check != nil && r.Check != nil && *i.kept.Check == *r.Check {
		k.checked, k.output = i.kept.checked, i.kept.output
	}
	if i.kept == nil || !bytes.Equal(i.kept.Extra, r.Extra) {
		c.touched(i.service) // the source's readers see what is in there
	}
	c.keep(i, k)
	w.Status, w.Reason = k.verdict()
	c.redeclare(i, w, false)
	c.markCritical(i)
	return nil
}

// keep makes the instance one that the server keeps, or with nil, one of a
// launcher again.
func (c *core) keep(i *instance, k *kept) {
	if old := i.kept; old != nil {
		c.keptCount--
		if at := old.timed; at >= 0 {
			last := len(c.timed) - 1
			c.timed[at] = c.timed[last]
			c.timed[at].kept.timed = at
			c.timed[last] = nil
			c.timed = c.timed[:last]
		}
	}
	if k != nil || i.kept != nil {
		c.unsavedInstance(i)
	}
	if k != nil && k.Check != nil || i.kept != nil && i.kept.Check != nil {
		c.recheck(i)
	}
	i.kept = k
	if k == nil {
		i.drained = false
		return
	}
	c.keptCount++
	if k.hasDeadline() {
		k.timed = len(c.timed)
		c.timed = append(c.timed, i)
	}
}

// renew begins the TTL again.
func (c *core) renew(i *instance, status registry.Status, reason string) {
	k := i.kept
	k.renewed = c.now
	if status == "" {
		status, reason = k.Instance.Status, k.Instance.Reason
	}
	if !k.expired && status == k.Instance.Status && reason == k.Instance.Reason {
		return
	}
	k.expired = false
	k.Instance.Status, k.Instance.Reason = status, reason
	c.unsavedInstance(i)
	c.rejudge(i)
}

// rejudge shows an instance that the server keeps as what it is now.
func (c *core) rejudge(i *instance) {
	w := i.shown
	w.Status, w.Reason = i.kept.verdict()
	c.redeclare(i, w, false)
	c.markCritical(i)
}

// markCritical notes since when it is critical.
func (c *core) markCritical(i *instance) {
	switch k := i.kept; {
	case i.declared != registry.Critical:
		k.critical = time.Time{}
	case k.critical.IsZero():
		k.critical = c.now
	}
}

// sweepKept looks at the deadlines of the instances that the server keeps.
//
// A TTL that is over is no knowledge but the lack of it. So the sweep takes many
// at once for a common cause, as it does with sessions: whatever renewed them may
// be gone, and they not.
func (c *core) sweepKept() {
	var expired []*instance
	for _, i := range c.timed {
		if k := i.kept; k.TTL > 0 && !k.expired && c.now.Sub(k.renewed) >= k.TTL {
			expired = append(expired, i)
			if !i.drains() && i.declared.Serving() {
				c.mark(&i.service.lost, i)
			}
		}
	}
	common := make(map[*service]bool)
	for _, i := range expired {
		if _, asked := common[i.service]; !asked {
			common[i.service] = c.serviceLost(i.service)
		}
	}
	for _, i := range expired {
		i.kept.expired = true
		if s := i.shown.Status; common[i.service] && s.Serving() && i.held == notHeld {
			i.before = s
			c.hold(i, heldCritical, c.now.Add(maxHeld))
		}
		c.rejudge(i)
	}
	var over []*instance
	for _, i := range c.timed {
		k := i.kept
		if k.Remove > 0 && !k.critical.IsZero() && c.now.Sub(k.critical) >= k.Remove && i.held == notHeld {
			over = append(over, i)
		}
	}
	for _, i := range over {
		cause, why := CauseCritical, fmt.Sprintf("critical for %v: %s", i.kept.Remove, i.shown.Reason)
		if i.kept.expired {
			cause, why = CauseNotRenewed, fmt.Sprintf("not renewed for %v, and critical for %v", i.kept.TTL, i.kept.Remove)
		}
		c.remove(i, registry.WhyLost, cause, why)
	}
}
