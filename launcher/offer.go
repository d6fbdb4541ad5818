package launcher

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"cleat/launcher/address"
	"cleat/launcher/health"
	"cleat/launcher/listeners"
	"cleat/launcher/settings"
	"cleat/registry"
)

const (
	// autoStable is how long the set of ports that the child listens on must
	// have been the same before they get their names.
	autoStable = 500 * time.Millisecond

	// The sockets are looked at often while the child starts, and seldom later,
	// when a look costs a wake-up for nothing.
	pollEager   = 10 * time.Millisecond // until eagerTime after a start
	eagerTime   = 3 * time.Second
	pollPatient = 100 * time.Millisecond // until patientTime after a start
	patientTime = 30 * time.Second
	pollSettled = time.Second // later, and once everything listens
)

// offering is one port that the container offers: an instance.
//
//	starting --listens--> passing <--listens / stops--> critical
//	   ^                     |                              |
//	   +---- the child ended, to be started again ----------+
//
// With a check, it is the check that says passing, warning or critical while
// the port is listened on; until its first verdict the instance is starting.
//
// A drain and an operator's maintenance lie over that; see [offerings.instances].
type offering struct {
	settings.Offer
	state   registry.Status // starting, passing, warning or critical
	reason  string
	local   netip.Addr     // the loopback address, while it listens on nothing else
	at      netip.AddrPort // where it is checked; zero: it does not listen
	verdict *health.Result // of the check, since it listens; nil: none yet
}

// offerings are all that the container offers.
type offerings struct {
	settings *settings.Settings
	list     []*offering
	waits    string    // what keeps the child from its first start; empty: nothing
	up       bool      // the child runs
	began    time.Time // when it was started

	// Ports found by listening, until they have been the same for autoStable.
	found      []uint16
	foundSince time.Time

	drain map[string]registry.Status // by id: draining or maintenance, over everything else
}

func newOfferings(s *settings.Settings) *offerings {
	o := &offerings{settings: s, drain: make(map[string]registry.Status)}
	for _, offer := range s.Offers {
		if !offer.Ignore {
			o.list = append(o.list, &offering{Offer: offer, state: registry.Starting})
		}
	}
	return o
}

// any reports whether something is or may come to be offered.
func (o *offerings) any() bool { return len(o.list) > 0 || o.settings.AutoPorts }

// started says that the child has been started.
func (o *offerings) started(now time.Time) {
	o.up, o.began = true, now
	o.found = nil
}

// stopped says that the child has ended and will be started again: whoever
// wants its services waits for that.
func (o *offerings) stopped() {
	o.up = false
	for _, of := range o.list {
		of.state, of.reason, of.local = registry.Starting, "", netip.Addr{}
		of.at, of.verdict = netip.AddrPort{}, nil
	}
}

// wantsUDP reports whether UDP sockets must be looked at.
func (o *offerings) wantsUDP() bool {
	return slices.ContainsFunc(o.list, func(of *offering) bool { return of.Protocol == registry.UDP })
}

// next returns when the sockets should be looked at again; the zero time for
// never.
func (o *offerings) next(now time.Time) time.Time {
	if !o.up || len(o.list) == 0 && !o.settings.AutoPorts {
		return time.Time{}
	}
	age := now.Sub(o.began)
	unsettled := o.found != nil || len(o.list) == 0 ||
		slices.ContainsFunc(o.list, func(of *offering) bool { return of.state == registry.Starting })
	switch {
	case unsettled && age < eagerTime:
		return now.Add(pollEager)
	case unsettled && age < patientTime:
		return now.Add(pollPatient)
	}
	return now.Add(pollSettled)
}

// listening takes what listens now, and reports whether an instance changed.
func (o *offerings) listening(all []listeners.Listener, ownNamespace bool, now time.Time) bool {
	changed := o.discover(all, ownNamespace, now)
	for _, of := range o.list {
		before := *of
		of.see(all)
		if of.state != before.state || of.reason != before.reason || of.local != before.local {
			changed = true
		}
	}
	return changed
}

// see brings one offering up to date. Any listener on its port counts: orphans,
// daemons, siblings that share the port.
func (of *offering) see(all []listeners.Listener) {
	var on, wide bool
	var local netip.Addr
	var bound []netip.Addr
	for _, l := range all {
		if l.Port != of.Port || l.UDP != (of.Protocol == registry.UDP) {
			continue
		}
		on = true
		bound = append(bound, l.Addr)
		if l.Addr.IsLoopback() {
			local = l.Addr
		} else {
			wide = true
		}
	}
	if wide {
		local = netip.Addr{}
	}
	if !on {
		of.at, of.verdict = netip.AddrPort{}, nil
	} else if at := netip.AddrPortFrom(health.Choose(bound), of.Port); of.at != at {
		of.at, of.verdict = at, nil // what was found out elsewhere says nothing of here
	}
	switch {
	case on:
		of.local = local
		of.conclude()
	case of.state != registry.Starting:
		// It keeps its address: the port may come back.
		of.state, of.reason = registry.Critical, fmt.Sprintf("nothing listens on port %d", of.Port)
	}
}

// conclude makes the state of a port that is listened on.
func (of *offering) conclude() {
	switch {
	case of.Check == nil:
		of.state, of.reason = registry.Passing, ""
	case of.verdict != nil:
		of.state, of.reason = of.verdict.Status, of.verdict.Reason
	case of.state != registry.Starting:
		of.state, of.reason = registry.Critical, "not checked yet"
	}
}

// withdrawn reports whether it is not offered any more, because its check has
// failed for too long.
func (of *offering) withdrawn() bool { return of.verdict != nil && of.verdict.Withdrawn }

// undeclared tells why it is not declared.
func (of *offering) undeclared() string {
	if of.withdrawn() {
		return "withdrawn, critical for too long: " + of.reason
	}
	return "no address to advertise is known yet"
}

// checked takes what a check has found out, and reports whether an instance
// changed.
func (o *offerings) checked(r health.Result) bool {
	for _, of := range o.list {
		if o.id(of) == r.ID && of.Check != nil && of.at.IsValid() {
			of.verdict = &r
			of.conclude()
			return true
		}
	}
	return false
}

// targets returns what is to be checked, and where.
func (o *offerings) targets() []health.Target {
	var targets []health.Target
	for _, of := range o.list {
		if of.Check != nil {
			targets = append(targets, health.Target{ID: o.id(of), Check: *of.Check, Addr: of.at, Env: o.settings.ChildEnv})
		}
	}
	return targets
}

// discover names the TCP ports that the child really listens on, once their
// set has been stable.
func (o *offerings) discover(all []listeners.Listener, ownNamespace bool, now time.Time) bool {
	if !o.settings.AutoPorts || len(o.list) >= registry.MaxProvides {
		return false
	}
	var ports []uint16
	for _, l := range all {
		whose := l.Owner == listeners.Child || l.Owner == listeners.Unknown && ownNamespace
		if !l.UDP && whose && !o.knows(l.Port) && !slices.Contains(ports, l.Port) {
			ports = append(ports, l.Port)
		}
	}
	slices.Sort(ports)
	if len(ports) == 0 {
		o.found = nil
		return false
	}
	if !slices.Equal(ports, o.found) {
		o.found, o.foundSince = ports, now
		return false
	}
	if now.Sub(o.foundSince) < autoStable {
		return false
	}
	several := len(ports)+len(o.list) > 1
	for _, port := range ports[:min(len(ports), registry.MaxProvides-len(o.list))] {
		of := &offering{Offer: o.settings.AutoOffer(port, several), state: registry.Starting}
		o.list = append(o.list, of)
	}
	o.found = nil
	return true
}

// knows reports whether the TCP port has a name, or is to be ignored.
func (o *offerings) knows(port uint16) bool {
	return slices.ContainsFunc(o.list, func(of *offering) bool { return of.Port == port && of.Protocol == registry.TCP }) ||
		slices.ContainsFunc(o.settings.Offers, func(declared settings.Offer) bool { return declared.Port == port && declared.Protocol == registry.TCP })
}

// addresses are what the container can advertise, as last found out.
type addresses struct {
	wide  netip.Addr // for a child that listens on more than loopback
	local netip.Addr // for one that does not
	// published is where the container engine lets others in, by port; an
	// invalid address: it is told by the first server.
	published map[address.Port]netip.AddrPort
}

func (a addresses) equal(b addresses) bool {
	return a.wide == b.wide && a.local == b.local && maps.Equal(a.published, b.published)
}

// of returns the address and the port under which others reach an offering.
// An invalid address: none is known; later says that a server will tell it.
func (a addresses) of(of *offering) (addr netip.Addr, port uint16, later bool) {
	if on, ok := a.published[address.Port{Number: of.Port, UDP: of.Protocol == registry.UDP}]; ok {
		return on.Addr(), on.Port(), !on.Addr().IsValid()
	}
	if of.local.IsValid() {
		return a.local, of.Port, false
	}
	return a.wide, of.Port, false
}

// instances returns what is to be declared; missing says that an instance had
// to be left out because no address is known for it.
func (o *offerings) instances(addrs addresses) (instances []registry.Instance, missing bool) {
	for _, of := range o.list {
		if of.withdrawn() {
			continue
		}
		i := registry.Instance{
			ID: o.id(of), Service: of.Service, Port: of.Port, Protocol: of.Protocol,
			Tags: of.Tags, Attributes: of.Attributes, Status: of.state, Reason: of.reason,
		}
		addr, port, later := addrs.of(of)
		if of.AdvertiseHost != "" {
			port = of.Port // published elsewhere, by somebody else
		}
		if of.state.Serving() && of.local.IsValid() && !addr.IsLoopback() && of.AdvertiseHost == "" {
			i.Status, i.Reason = registry.Critical, "listens only on "+of.local.String()
		}
		if of.state == registry.Starting {
			i.Reason = cmp.Or(i.Reason, o.waits)
		}
		if over := o.drain[i.ID]; over != "" {
			i.Status, i.Reason = over, ""
		}
		i.Address = cmp.Or(of.AdvertiseHost, addr.String())
		i.Port = cmp.Or(of.AdvertisePort, port)
		if of.AdvertiseHost == "" && !addr.IsValid() {
			missing = missing || !later
			continue
		}
		instances = append(instances, i)
	}
	return instances, missing
}

// passing reports whether all that is offered serves; true when nothing is.
func (o *offerings) passing() bool {
	return !slices.ContainsFunc(o.list, func(of *offering) bool { return !of.state.Serving() })
}

// ids returns the ids of all instances.
func (o *offerings) ids() []string {
	ids := make([]string, 0, len(o.list))
	for _, of := range o.list {
		ids = append(ids, o.id(of))
	}
	return ids
}

// lay puts a status over what the instances are otherwise; the empty status
// takes it away. Ids that are not of this container mean nothing.
func (o *offerings) lay(status registry.Status, ids []string) {
	own := o.ids()
	for _, id := range ids {
		switch {
		case status == "":
			delete(o.drain, id)
		case slices.Contains(own, id):
			o.drain[id] = status
		}
	}
}

func (o *offerings) id(of *offering) string {
	return cmp.Or(of.ID, settings.InstanceID(o.settings.ID, of.Port, of.Protocol))
}
