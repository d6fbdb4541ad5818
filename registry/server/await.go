package server

import "cleat/registry"

// await makes the drain wait until the subscription has applied the revision.
func (d *drain) await(sub *subscription, need registry.Revision) {
	switch {
	case sub.session == d.session, sub.applied >= need:
		return
	case (sub.first == 0 || sub.first > need) && !sub.session.known:
		return // it has never seen the instance
	}
	before, found := d.waiting[sub]
	d.waiting[sub] = max(before, need)
	if !found {
		d.left[sub.session]++
	}
}

// release makes the drain wait for the subscription no longer. It reports
// whether it did.
func (d *drain) release(sub *subscription, applied bool) bool {
	if _, found := d.waiting[sub]; !found {
		return false
	}
	delete(d.waiting, sub)
	s := sub.session
	if d.left[s]--; d.left[s] > 0 {
		return true
	}
	delete(d.left, s)
	if applied {
		d.applied++
		if len(d.names) < mostNamed {
			d.names = append(d.names, s.id.id)
		}
	}
	return true
}

// acknowledge tells the drains what a subscription has applied.
func (c *core) acknowledge(sub *subscription) {
	for _, d := range sub.view.service.drains {
		if need, found := d.waiting[sub]; found && sub.applied >= need {
			d.release(sub, true)
			c.drains.check = append(c.drains.check, d)
		}
	}
}

// unsubscribed tells the drains that a subscription has ended. It returns those
// that waited for it.
func (c *core) unsubscribed(sub *subscription) []*drain {
	var waited []*drain
	for _, d := range sub.view.service.drains {
		if d.release(sub, false) {
			waited = append(waited, d)
			c.drains.check = append(c.drains.check, d)
		}
	}
	return waited
}

// awaitReturn makes the drains that waited for a consumer wait for its return:
// it may only have lost its connection.
func (c *core) awaitReturn(gone *departure) {
	for _, d := range gone.waited {
		if d.state == drainWaiting {
			d.closed[gone.id] = departed{gone.key, gone.at.Add(consumerGrace)}
			c.schedule(gone.at.Add(consumerGrace))
		}
	}
	gone.waited = nil
}

// returned makes the drains that waited for a consumer's return wait for its
// acknowledgement.
func (c *core) returned(s *session) {
	for _, sub := range s.subs {
		for _, d := range sub.view.service.drains {
			if gone, found := d.closed[s.id]; !found || gone.key != s.key {
				continue
			}
			for _, i := range d.instances {
				would := i.shown
				would.Status = registry.Passing
				if sub.view.filter.Match(would) {
					d.await(sub, i.hidden)
				}
			}
		}
	}
	for _, sub := range s.subs {
		for _, d := range sub.view.service.drains {
			if d.left[s] > 0 {
				delete(d.closed, s.id)
			}
		}
	}
}
