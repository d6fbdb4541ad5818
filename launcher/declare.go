package launcher

import (
	"log/slog"
	"time"

	"cleat/launcher/address"
	"cleat/registry"
	"cleat/templates"
)

// addressRetry is how long to wait before an address is looked for again.
const addressRetry = time.Second

// patientBegin is how long the first statement waits for the addresses. What is
// needed is asked for then without what is offered: a container engine or a name
// server that does not answer holds nobody up.
const patientBegin = 100 * time.Millisecond

// mostEngineRetry is the longest that a container engine is left alone that did
// not answer. The first time is addressRetry, then it doubles.
const mostEngineRetry = 30 * time.Second

// locate finds out the addresses to advertise, aside: it may have to look up a
// server's name, or to ask the container engine.
func (s *supervisor) locate() {
	if s.Address == nil {
		return
	}
	if s.locating {
		s.relocate = true
		return
	}
	s.locating, s.relocate = true, false
	peer := s.peer
	go func() { // not waited for at the end: a name server that does not answer must not delay that
		s.located <- s.Address(peer) // there is room: only one is under way
	}()
}

// relocated takes what locate found out.
func (s *supervisor) relocated(found address.Answer) {
	s.locating = false
	addrs := addresses{wide: found.Wide, local: found.Local, published: found.Published}
	if s.keepPublished(found.Engine) {
		addrs.published = s.addrs.published
	}
	moved := !s.addrs.equal(addrs)
	s.addrs, s.near = addrs, found.Near
	_, missing := s.offers.instances(s.addrs)
	expected := len(s.offers.list) == 0 && len(s.addrs.published) == 0 && s.offers.any()
	switch {
	case found.Err == nil || !missing && !expected:
		s.unsay("address")
	default:
		s.say("address", slog.LevelWarn, "no address to advertise yet", "cause", found.Err)
		s.alarm.by(alarmDeclare, time.Now().Add(addressRetry))
	}
	s.warnPeer()
	s.declare()
	if s.begun && moved {
		s.changed(time.Now(), false) // for templates that use self
	}
	if s.relocate {
		s.locate()
	}
}

// keepPublished takes whether the container engine could be asked, and reports
// whether what it said before is still to be believed: an engine that is away
// has not taken back what it has published.
func (s *supervisor) keepPublished(err error) bool {
	if err == nil {
		s.engine = 0
		s.unsay("engine")
		return false
	}
	s.engine = min(max(2*s.engine, addressRetry), mostEngineRetry)
	s.alarm.by(alarmDeclare, time.Now().Add(s.engine))
	s.say("engine", slog.LevelWarn, "cannot ask the container engine which ports are published", "cause", err,
		"hint", "the next of CLEAT_ADVERTISE counts; docker needs the engine's socket")
	return true
}

// declare states what is offered and needed, when that has changed. While a
// drain in place is asked for, only the news that an instance does not serve is
// stated: any other statement would end the drain.
func (s *supervisor) declare() {
	if s.Client == nil {
		return
	}
	instances, missing := s.instances()
	if missing {
		s.alarm.by(alarmDeclare, time.Now().Add(addressRetry))
	}
	if s.drain.asked && !s.drain.hidden && allServe(instances) {
		return
	}
	d := registry.Declare{
		ID: s.set.ID, Key: s.key, Namespace: s.set.Namespace, Zone: s.set.Zone,
		Provides: instances, Requires: []registry.Require{},
	}
	if d.Provides == nil {
		d.Provides = []registry.Instance{}
	}
	s.consumer.own = make(map[string]bool, len(s.offers.list))
	for _, id := range s.offers.ids() {
		s.consumer.own[id] = true
	}
	for _, n := range s.needs {
		d.Requires = append(d.Requires, registry.Require{Alias: n.Alias, Filter: n.key, Min: n.Min, Optional: n.Optional})
	}
	if s.declared != nil && equalDeclares(*s.declared, d) {
		return
	}
	for _, i := range instances {
		s.say("instance "+i.ID, slog.LevelInfo, "an instance is "+string(i.Status), "service", i.Service, "address", i.Endpoint().Addr(), "reason", i.Reason)
	}
	s.declared = &d
	s.Client.Declare(d)
}

// redeclare states everything again, even if it is the same.
func (s *supervisor) redeclare() {
	s.declared = nil
	s.declare()
}

func equalDeclares(a, b registry.Declare) bool {
	if len(a.Provides) != len(b.Provides) {
		return false
	}
	for i := range a.Provides {
		if !a.Provides[i].Equal(b.Provides[i]) {
			return false
		}
	}
	return true // what is required never changes
}

func allServe(instances []registry.Instance) bool {
	for _, i := range instances {
		if !i.Status.Serving() {
			return false
		}
	}
	return true
}

// poll looks at the listening sockets.
func (s *supervisor) poll() {
	now := time.Now()
	if s.child == nil || s.life.stopping() || s.Client == nil {
		return
	}
	all, err := s.Listeners(s.offers.wantsUDP(), s.beside())
	if err != nil {
		s.say("listeners", slog.LevelWarn, "cannot read which ports are listened on", "cause", err)
	} else {
		s.unsay("listeners")
		known := len(s.offers.list)
		changed := s.offers.listening(all, s.OwnNamespace(), now)
		if len(s.offers.list) > known {
			s.locate() // a port of its own may be published
		}
		s.aim()
		if changed {
			s.offersChanged(now)
		}
	}
	if next := s.offers.next(now); !next.IsZero() {
		s.alarm.at(alarmPoll, next)
	}
}

// self returns what templates see of the container itself.
func (s *supervisor) self() templates.Self {
	self := templates.Self{ID: s.set.ID, Zone: s.set.Zone, Namespace: s.set.Namespace}
	if s.addrs.wide.IsValid() {
		self.Host = s.addrs.wide.String()
	}
	if instances, _ := s.offers.instances(s.addrs); len(instances) > 0 {
		self.Host, self.Port, self.Service = instances[0].Address, instances[0].Port, instances[0].Service
	}
	for _, n := range s.needs {
		if n.Self {
			if first, found := founder(n.files.endpoints); found {
				self.First = s.consumer.own[first.ID]
			}
		}
	}
	return self
}

// aim tells the checks where the child listens.
func (s *supervisor) aim() {
	for _, t := range s.offers.targets() {
		s.checker.Set(t)
	}
}

// checked takes what the checks have found out.
func (s *supervisor) checked() {
	changed := false
	for _, r := range s.checker.Take() {
		changed = s.offers.checked(r) || changed
	}
	if changed && s.child != nil && !s.life.stopping() {
		s.offersChanged(time.Now())
	}
}

// offersChanged acts on a change of what the child offers.
func (s *supervisor) offersChanged(now time.Time) {
	s.declare()
	s.proven()
	s.changed(now, false) // for templates that use self
}
