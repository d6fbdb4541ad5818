package launcher

import (
	"fmt"
	"slices"
	"time"

	"cleat/launcher/control"
	"cleat/launcher/settings"
	"cleat/registry"
)

// status tells how everything is. It is made in the loop, of what is known
// there, and shares no memory that changes with it.
func (s *supervisor) status() control.Status {
	now := time.Now()
	status := control.Status{
		Now: now, Version: s.Version, ID: s.set.ID, Namespace: s.set.Namespace, Zone: s.set.Zone,
		State: string(s.life), Since: s.journal.began,
		Child:    s.childStatus(),
		Provides: s.provided(),
		Changed:  s.changes.texts(),
		Volumes:  s.volumeStatus(),
		Networks: s.networkStatus(),
		Requires: make([]control.Requirement, 0, len(s.needs)),
		Render:   s.journal.render, Templates: s.journal.templates(),
		Actions: append([]control.Action{}, s.journal.actions...),
		Hooks:   s.hookStatus(), Coprocesses: s.coprocessStatus(), Tasks: s.taskStatus(),
	}
	status.Render.Wrote = s.counts.renders
	if s.Client != nil {
		server := s.journal.server
		status.Server = &server
	}
	for _, n := range s.needs {
		status.Requires = append(status.Requires, s.requirementStatus(n, now))
	}
	if !s.begun {
		status.Cycle = s.cycle.Links
	}
	status.Healthy, status.Why = s.health()
	return status
}

func (s *supervisor) childStatus() control.Child {
	c := control.Child{Restarts: s.counts.restarts, LastExit: s.journal.exit, Ended: s.journal.ended}
	if len(s.set.CommandText) > 0 {
		c.Command = s.set.CommandText[0]
	}
	if len(s.started.command) > 0 {
		c.Command = s.started.command[0]
	}
	if s.child != nil {
		c.PID, c.Started, c.Use = s.child.Pid(), s.started.at, s.reporter.use
	}
	return c
}

// health tells whether the child runs and all that it offers passes. A drain
// and an operator's maintenance do not make it ill, and neither does a server
// that is away.
func (s *supervisor) health() (healthy bool, why string) {
	if s.child == nil {
		return false, s.whyNoChild()
	}
	up := fmt.Sprintf("the child runs, pid %d", s.child.Pid())
	if s.Client == nil {
		return true, up // nothing is looked at that it offers
	}
	for _, i := range s.ownStatuses() {
		if i.Status.Serving() {
			continue
		}
		why := fmt.Sprintf("%s (port %d) is %s", i.Service, i.Port, i.Status)
		if i.Reason != "" {
			why += ": " + i.Reason
		}
		return false, why
	}
	if n := len(s.offers.list); n > 0 {
		up += fmt.Sprintf(", and all that it offers passes (%d)", n)
	}
	return true, up
}

func (s *supervisor) whyNoChild() string {
	switch s.life {
	case lifeBackoff:
		return "the child has ended (" + s.journal.exit + ") and will be started again"
	case lifeHooking:
		return "the child waits for the hook PRE_START, which runs"
	case lifeProvisioning, lifeWaiting, lifePreparing:
		if why := s.whyGround(); why != "" {
			return why
		}
		if waited := s.waitedFor(); !s.begun && len(waited) > 0 {
			return fmt.Sprintf("the child waits for %s (%s): %s", waited[0].Alias, waited[0].Text, s.why(waited[0]))
		}
		if s.journal.render.Failed != "" {
			return "the child waits for its configuration: " + s.journal.render.Failed
		}
		if s.hooks.failures > 0 {
			return "the child waits for the hook PRE_START, which failed: " + s.hooks.results[settings.PreStart].Error
		}
		return "the child is about to be started"
	}
	return "the child does not run any more"
}

// ownStatuses returns the instances as they are by themselves: without a drain
// or an operator's maintenance.
func (s *supervisor) ownStatuses() []registry.Instance {
	bare := *s.offers
	bare.drain = nil
	instances, _ := bare.instances(s.addrs)
	for _, of := range s.offers.list {
		// One without an address is not there; it has a state nevertheless.
		if id := s.offers.id(of); !slices.ContainsFunc(instances, func(i registry.Instance) bool { return i.ID == id }) {
			instances = append(instances, registry.Instance{ID: id, Service: of.Service, Port: of.Port, Status: of.state, Reason: of.reason})
		}
	}
	return instances
}

// provided returns what the container offers, as it is declared.
func (s *supervisor) provided() []control.Instance {
	declared, _ := s.instances()
	all := make([]control.Instance, 0, len(s.offers.list))
	for _, of := range s.offers.list {
		i := control.Instance{ListensOn: control.Port{Number: of.Port, Protocol: of.Protocol}.String()}
		id := s.offers.id(of)
		if at := slices.IndexFunc(declared, func(d registry.Instance) bool { return d.ID == id }); at >= 0 {
			i.Instance, i.Declared = declared[at], s.Client != nil
		} else {
			i.Instance = registry.Instance{
				ID: id, Service: of.Service, Port: of.Port, Protocol: of.Protocol, Status: of.state,
				Reason: of.undeclared(), Tags: of.Tags, Attributes: of.Attributes,
			}
			i.Tags, i.Attributes = s.changes.apply(of)
		}
		all = append(all, i)
	}
	return all
}

func (s *supervisor) requirementStatus(n *need, now time.Time) control.Requirement {
	r := control.Requirement{
		Alias: n.Alias, Text: n.Text, Optional: n.Optional, Min: n.Min,
		Listed: len(n.view.Endpoints), Revision: n.view.Revision, Warming: n.view.Warming,
		Used: len(n.files.endpoints), Chosen: n.files.chosen, Endpoints: []control.Endpoint{},
	}
	standing, _ := n.judge(s.consumer, now)
	switch {
	case standing == lost:
		r.Standing = control.Lost
	case standing == unmet:
		r.Standing = control.Unmet
	case n.files.fallback:
		r.Standing = control.Fallback
	case n.files.held:
		r.Standing = control.Held
	case standing == met && !n.cached.IsZero():
		r.Standing, r.Cached = control.Cached, n.cached
	case standing == kept:
		r.Standing = control.Short
	default:
		r.Standing = control.Met
	}
	switch r.Standing {
	case control.Met:
	case control.Cached:
		r.Why = n.tellCached(now)
	default:
		r.Why = s.why(n)
	}
	for _, e := range n.files.endpoints[:min(len(n.files.endpoints), control.MaxEndpoints)] {
		r.Endpoints = append(r.Endpoints, control.Endpoint{
			Endpoint: e, Chosen: e.ID == n.files.chosen,
			Listed: slices.ContainsFunc(n.view.Endpoints, func(listed registry.Endpoint) bool { return listed.ID == e.ID }),
		})
	}
	return r
}
