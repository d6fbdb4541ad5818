package launcher

import (
	"log/slog"
	"net/netip"
	"slices"

	"cleat/launcher/address"
	"cleat/registry"
	"cleat/registry/client"
)

// heard takes an event of the session.
func (s *supervisor) heard(event client.Event) {
	if s.life == lifeEnding {
		return // it has said goodbye
	}
	s.keeper.touch()
	switch e := event.(type) {
	case client.Connected:
		s.connected(e)
	case client.Disconnected:
		s.disconnected(e)
	case client.Viewed:
		s.viewed(e)
	case client.Drained:
		s.drainAnswered(e.Drained)
		s.drained(e.Drained)
	case client.Commanded:
		s.commanded(e.Command)
	case client.Refused:
		s.refused(e.Error)
	case client.Cycled:
		s.cycled(e.Cycle)
	case client.Welcomed:
		s.keeper.welcomed(e.Welcome)
	}
}

func (s *supervisor) connected(e client.Connected) {
	s.session = true
	s.keeper.welcomed(e.Welcome)
	s.journal.connected(e)
	s.consumer.answered = true
	s.say("session", slog.LevelInfo, "connected to a discovery server", "server", e.Server, "warming", e.Welcome.Warming)
	s.peer, _ = netip.ParseAddr(e.Welcome.Peer) // invalid where a server does not tell
	s.locate()                                  // the way to this server may be another
	s.redrain()
}

func (s *supervisor) disconnected(e client.Disconnected) {
	s.session = false
	s.cycled(registry.Cycle{})
	s.journal.disconnected(e.Err)
	s.say("session", slog.LevelWarn, "no discovery server; carrying on with what is known", "cause", e.Err)
	s.drainInterrupted()
	// A server that went away before it told anything has not answered: then a
	// fallback counts.
	s.consumer.answered = false
	s.judge()
}

// warnPeer compares the addresses that are advertised with the one that the
// server sees. An address under which the engine has published a port is another
// one by its nature; it is warned about only when it was made up for this host.
func (s *supervisor) warnPeer() {
	seen := s.peer.Unmap()
	if !seen.IsValid() || seen.IsLoopback() {
		return
	}
	for _, of := range s.offers.list {
		advertised, _, _ := s.addrs.of(of)
		_, published := s.addrs.published[address.Port{Number: of.Port, UDP: of.Protocol == registry.UDP}]
		advertised = advertised.Unmap()
		if of.AdvertiseHost != "" || !advertised.IsValid() || advertised == seen || advertised.Is4() != seen.Is4() || published && !s.near {
			continue
		}
		hint := "set CLEAT_ADVERTISE"
		if published {
			hint = "set CLEAT_ADVERTISE=docker:static:ADDRESS with the host's address, unless all who need it are on this host"
		}
		s.say("peer", slog.LevelWarn, "the server sees another address than the one advertised; others may not reach it",
			"advertised", advertised, "seen", seen, "hint", hint)
		return
	}
	s.unsay("peer")
}

// commanded does what an operator asked for. A container that is stopping goes
// on stopping.
func (s *supervisor) commanded(c registry.Command) {
	own := s.offers.ids()
	ids := slices.DeleteFunc(slices.Clone(c.IDs), func(id string) bool { return !slices.Contains(own, id) })
	if len(c.IDs) == 0 {
		ids = own
	}
	var status registry.Status
	switch c.Do {
	case "drain":
		status = registry.Draining
	case "maintenance":
		status = registry.Maintenance
	case "undrain", "service":
	default:
		return // of a newer server
	}
	s.log.Info("an operator asked for a change of status", "do", c.Do, "instances", ids)
	for _, id := range ids {
		if s.operator[id] = status; status == "" {
			delete(s.operator, id)
		}
	}
	if !s.life.stopping() && !s.drain.hidden {
		s.overlay(false)
		s.declare()
	}
}

// overlay lays over the instances' own status what an operator has asked for
// or, while the container drains, that they drain.
func (s *supervisor) overlay(draining bool) {
	s.drain.hidden = draining
	for _, id := range s.offers.ids() {
		status := s.operator[id]
		if draining {
			status = registry.Draining
		}
		s.offers.lay(status, []string{id})
	}
}

// refused takes an error of the server that did not end the session. After a
// conflict the client claims the id again by itself.
func (s *supervisor) refused(e registry.Error) {
	subject := "refused"
	if slices.Contains(s.offers.ids(), e.ID) {
		subject += " " + e.ID
	}
	s.say(subject, slog.LevelWarn, "the discovery server refused something", "code", e.Code, "message", e.Message, "instance", e.ID)
}
