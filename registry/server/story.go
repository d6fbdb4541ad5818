package server

import (
	"cmp"
	"slices"
	"strings"

	"cleat/registry"
)

// Story is what the server knows of an instance: what it is, what happened to
// it, and who uses it.
type Story struct {
	Present  bool              // false: it is gone, and only Events tell of it
	Instance registry.Instance // as it is shown
	Actual   registry.Status   // what it is, which is not what it is shown as while it is held
	Declared registry.Status   // what its launcher, or whoever registered it, says
	Held     bool              // it is shown although its session is lost, or although it is critical
	Marked   bool              // in maintenance, by an operator
	Drained  bool              // by an operator, of one without a launcher
	Launcher string            // the id of the launcher that keeps it; empty: none does
	Session  string            // that launcher's; empty: it is not connected
	Source   string            // who registered it, if no launcher keeps it
	Events   []Event           // the latest 64, earliest first, as far as they are remembered
	Users    []User            // launchers in whose views it is, sorted by namespace and id
}

// User is a launcher that has an instance in one of its views.
type User struct {
	Namespace, ID string // of the launcher
	Services      []string
	Alias         string
	Filter        string // canonical
	Applied       bool   // it has applied the view's last change
	Held          bool   // it holds on to an earlier view
	Error         string // of its last acknowledgement
}

// Instance returns what is known of an instance, also of one that is gone. found
// is false when nothing is.
func (s *Server) Instance(namespace, id string) (story Story, found bool) {
	name := identity{namespace, id}
	s.inspect(func(c *core) {
		i := c.instances[name]
		if i == nil {
			story.Events = c.journal.story(c.journal.gone[name])
			found = len(story.Events) > 0
			return
		}
		found = true
		story = Story{
			Present: true, Instance: i.shown, Actual: i.actual(), Declared: i.declared,
			Held: i.held != notHeld, Marked: i.mark != nil, Drained: i.drained, Launcher: i.launcher.id,
			Events: c.journal.story(i.event),
		}
		if i.owner != nil {
			story.Session = i.owner.name()
		}
		if i.kept != nil {
			story.Source, story.Declared = i.kept.Source, i.kept.Instance.Status
		}
		for _, v := range i.service.views {
			if _, in := v.place(i); in {
				story.Users = appendUsers(story.Users, v)
			}
		}
	})
	slices.SortFunc(story.Users, func(a, b User) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.ID, b.ID), strings.Compare(a.Alias, b.Alias))
	})
	return story, found
}

// appendUsers appends the launchers that share the view.
func appendUsers(users []User, v *view) []User {
	for _, sub := range v.subscribers {
		s := sub.session
		u := User{
			Namespace: s.id.namespace, ID: s.id.id, Filter: v.text,
			Applied: sub.applied != 0 && sub.applied >= sub.sent, Held: sub.held, Error: sub.err,
		}
		for _, i := range s.provides {
			if !slices.Contains(u.Services, i.service.name) {
				u.Services = append(u.Services, i.service.name)
			}
		}
		for _, r := range s.requires {
			if r.Filter == v.text {
				u.Alias = r.Alias
				users = append(users, u)
			}
		}
	}
	return users
}
