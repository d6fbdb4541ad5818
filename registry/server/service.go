package server

import (
	"fmt"
	"time"

	"cleat/registry"
	"cleat/registry/engine"
)

// service is what the server keeps of one service in one namespace. It is there
// as long as it has instances or views. The counts make the decisions about the
// whole service cost nothing that grows with it.
type service struct {
	namespace, name string

	instances map[string]*instance // by id
	idle      map[string]*instance // those of them that are not shown as serving
	views     []*view              // that ask for this service

	serving int // instances that are shown as passing or warning
	staying int // instances that neither leave nor are in maintenance
	granted int // instances that restart by a grant
	size    int // bytes of all its instances, encoded, at most
	heldNow int // instances that are held, for whatever reason

	lost    map[string]time.Time // ids of instances lost within the last beat, kept or not
	dropped map[string]time.Time // those of them that are gone
	turned  map[string]time.Time // ids of instances that turned critical within the last beat

	revision registry.Revision // of the last change of an instance
	summary  *Summary          // nil until somebody asks

	drains []*drain // that wait for consumers of this service
	queue  []*drain // in-place drains that wait for a grant

	lookup lookup // for those who read it and cannot acknowledge

	// gone names, while the server is warming, what was here and left: a
	// consumer that reconnects later may still know it.
	gone map[string]registry.Why
}

// maxGone is how many instances per service the server remembers as gone while
// it is warming. The end of warming tells the consumers about all the others.
const maxGone = 1024

// service returns the record of a service, made if it is not there.
func (c *core) service(namespace, name string) *service {
	services := c.namespaces[namespace]
	if services == nil {
		services = make(map[string]*service)
		c.namespaces[namespace] = services
	}
	s := services[name]
	if s == nil {
		s = &service{namespace: namespace, name: name, instances: make(map[string]*instance), idle: make(map[string]*instance)}
		s.lookup.index = c.index
		services[name] = s
	}
	return s
}

// forget removes a service that has nothing left.
func (c *core) forget(s *service) {
	if len(s.instances) > 0 || len(s.views) > 0 || c.warming.on && len(s.gone) > 0 {
		return
	}
	services := c.namespaces[s.namespace]
	if services[s.name] != s {
		return
	}
	delete(services, s.name)
	if len(services) == 0 {
		delete(c.namespaces, s.namespace)
	}
}

// count adds the instance to the service's counts, or takes it away.
func (s *service) count(i *instance, by int) {
	switch {
	case i.shown.Status.Serving():
		s.serving += by
	case by > 0:
		s.idle[i.shown.ID] = i
	default:
		delete(s.idle, i.shown.ID)
	}
	if i.stays() {
		s.staying += by
	}
	s.size += by * sizeOf(i.shown)
	s.lookup.counted(s, i.shown, by)
}

// maxServiceSize bounds a service in bytes, so that the complete view of it
// fits into a message, with room for the message's own members and for the ids
// of those that are gone.
const maxServiceSize = registry.MaxServerMessage - 1<<20

// hasRoom reports whether the service of an instance can take it, in place of
// same if that is not nil, and tells the session when not.
func (c *core) hasRoom(by *session, w registry.Instance, same *instance) bool {
	if c.fits(w, same) {
		return true
	}
	by.refuse(registry.CodeTooMany, w.ID, fmt.Sprintf("the service %s has no room for the instance %s: all of them must fit into a message of %d bytes", w.Service, w.ID, registry.MaxServerMessage))
	return false
}

func (c *core) fits(w registry.Instance, same *instance) bool {
	s := c.namespaces[w.Namespace][w.Service]
	if s == nil {
		return true
	}
	size := s.size + sizeOf(w)
	if same != nil && same.service == s {
		size -= sizeOf(same.shown)
	}
	return size <= maxServiceSize
}

// sizeOf returns how many bytes the instance takes when it is encoded, at most.
func sizeOf(i registry.Instance) int {
	const members = 192 // names, punctuation, numbers, status
	n := members + encodedSize(i.ID) + encodedSize(i.Address) + encodedSize(i.Zone)
	for _, tag := range i.Tags {
		n += encodedSize(tag) + len(`"",`)
	}
	for key, value := range i.Attributes {
		n += encodedSize(key) + encodedSize(value) + len(`"":"",`)
	}
	return n
}

// encodedSize returns the length of a text in JSON, at most.
func encodedSize(text string) int {
	n := len(text)
	for i := range len(text) {
		switch b := text[i]; {
		case b < ' ', b == 0x7f, b == '"', b == '\\':
			n += len(`\u0000`) - 1
		case b >= 0x80: // some of these are escaped: six bytes for three
			n++
		}
	}
	return n
}

// stays reports whether the instance is one that the service reckons with: not
// leaving, not taken out of service by an operator.
func (i *instance) stays() bool {
	switch i.shown.Status {
	case registry.Draining:
		return i.grant != nil
	case registry.Maintenance:
		return false
	}
	return true
}

// touched notes that something about the service's instances has changed: what
// readers without a session know of it is over.
func (c *core) touched(s *service) {
	c.totals.changes++
	s.revision = c.change()
	s.summary = nil
	s.lookup.expire()
	c.expireCatalogs(s.namespace)
}

// enter makes an instance known, with what lies over its own status.
func (c *core) enter(i *instance, cause Cause, why string) {
	if m := c.marks[i.identity()]; m != nil {
		i.mark, m.absent = m, time.Time{}
	}
	i.shown.Status, i.shown.Reason = i.status(), i.reason()
	c.insert(i)
	c.tell(i, KindAppeared, cause, why)
}

// insert makes an instance known and shows it.
func (c *core) insert(i *instance) {
	s := c.service(i.shown.Namespace, i.shown.Service)
	i.service = s
	c.instances[i.identity()] = i
	s.instances[i.shown.ID] = i
	delete(s.gone, i.shown.ID)
	s.count(i, 1)
	c.total(i, 1)
	c.touched(s)
	c.unsavedInstance(i)
	s.lookup.changed(s)
	for _, v := range s.views {
		if v.filter.Match(i.shown) {
			c.add(v, i)
		}
	}
}

// show puts a new form of the instance in place of the one shown so far, and
// tells every view that it concerns. The service stays the same.
func (c *core) show(i *instance, next registry.Instance) {
	before := i.shown
	if next.Equal(before) {
		return
	}
	s := i.service
	var in []*view // where it was; found by its old place in the order
	for _, v := range s.views {
		if v.remove(i) {
			in = append(in, v)
		}
	}
	s.count(i, -1)
	c.total(i, -1)
	i.shown = next
	s.count(i, 1)
	c.total(i, 1)
	c.touched(s)
	c.unsavedInstance(i)
	i.json = nil
	if next.Status != before.Status {
		c.tell(i, KindStatus, c.doing, next.Reason)
	} else if !differsInReason(next, before) {
		c.tell(i, KindChanged, c.doing, "")
	}
	told := before.Endpoint().Equal(next.Endpoint())
	for _, v := range s.views {
		was := len(in) > 0 && in[0] == v
		if was {
			in = in[1:]
		}
		switch is := v.filter.Match(next); {
		case is && was && told:
			v.insert(i)
		case is:
			c.add(v, i)
		case was:
			c.drop(v, i, i.why())
		}
	}
	if next.Status.Serving() {
		i.hidden = 0
	}
	c.reconsider(s)
}

// differsInReason reports whether two forms of an instance with the same status
// differ in nothing but its reason.
func differsInReason(a, b registry.Instance) bool {
	a.Reason = b.Reason
	return a.Equal(b)
}

// hide drops the instance explicitly from every view in which it would be but
// for its status, also where it never was: a consumer may know it from an
// earlier connection, or from a server before this one.
func (c *core) hide(i *instance) {
	would := i.shown
	would.Status = registry.Passing
	for _, v := range i.service.views {
		if v.filter.Match(would) && !v.filter.Match(i.shown) {
			c.drop(v, i, i.why())
		}
	}
	i.hidden = c.change()
}

// remove forgets an instance. why is for its consumers, cause and text are for
// people.
func (c *core) remove(i *instance, why registry.Why, cause Cause, text string) {
	s := i.service
	c.tell(i, KindGone, cause, text)
	s.count(i, -1)
	c.total(i, -1)
	c.unhold(i)
	c.keep(i, nil)
	if i.mark != nil {
		i.mark.absent = c.now
	}
	for _, v := range s.views {
		if v.remove(i) {
			c.drop(v, i, why)
		}
	}
	delete(c.instances, i.identity())
	delete(s.instances, i.shown.ID)
	c.unsaved.gone(engine.Instance, i.identity())
	c.touched(s)
	s.lookup.changed(s)
	if c.warming.on && len(s.gone) < maxGone {
		if s.gone == nil {
			s.gone = make(map[string]registry.Why)
		}
		s.gone[i.shown.ID] = why
	}
	i.owner = nil
	c.removedInDrain(i)
	c.reconsider(s)
	c.forget(s)
}

// why says why an instance is not in a view.
func (i *instance) why() registry.Why {
	switch i.shown.Status {
	case registry.Draining:
		if i.grant != nil {
			return registry.WhyRestarting
		}
		return registry.WhyDraining
	case registry.Starting:
		return registry.WhyRestarting
	case registry.Critical:
		return registry.WhyCritical
	case registry.Maintenance:
		return registry.WhyMaintenance
	}
	return registry.WhyLeft // it serves on, but no longer what the filter asks for
}
