package server

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"cleat/registry"
	"cleat/registry/access"
)

// listServices answers GET /api/v1/services.
func (s *Server) listServices(w http.ResponseWriter, r *http.Request) {
	query, ok := parameters(w, r, "namespace", "ns")
	if !ok {
		return
	}
	namespace, ok := namespaceOf(w, query)
	if !ok {
		return
	}
	grant := access.Of(r.Context())
	list := registry.ServiceList{Namespace: namespace, Services: []registry.ServiceSummary{}}
	s.event(func(c *core) {
		list.Revision, list.Warming = c.revision, c.warming.on
		for _, service := range c.namespaces[namespace] {
			if len(service.instances) == 0 || !grant.Allows(access.Read, namespace, service.name) {
				continue
			}
			summary := registry.ServiceSummary{Service: service.name, Instances: make(map[registry.Status]int), Held: service.heldNow}
			for _, i := range service.instances {
				summary.Instances[i.actual()]++
			}
			list.Services = append(list.Services, summary)
		}
	})
	slices.SortFunc(list.Services, func(a, b registry.ServiceSummary) int { return strings.Compare(a.Service, b.Service) })
	answerJSON(w, http.StatusOK, list)
}

// showService answers GET /api/v1/services/{name}. Who asks cannot acknowledge
// a drain.
func (s *Server) showService(w http.ResponseWriter, r *http.Request) {
	name := strings.ToLower(r.PathValue("name"))
	if err := registry.CheckName(name); err != nil {
		problem(w, http.StatusBadRequest, err.Error(), "")
		return
	}
	query, ok := parameters(w, r, "namespace", "ns", "tag", "zone", "attr.*")
	if !ok {
		return
	}
	namespace, ok := namespaceOf(w, query)
	if !ok {
		return
	}
	if !access.Of(r.Context()).Allows(access.Read, namespace, name) {
		forbidden(w, r, fmt.Sprintf("read the service %q in the namespace %q", name, namespace))
		return
	}
	query.Del("namespace")
	query.Set("ns", namespace)
	filter, err := registry.ParseFilter(name+"?"+query.Encode(), namespace, nil)
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error(), "the filters are those of a requirement: tag=, attr.<name>=, zone=")
		return
	}
	detail := registry.ServiceDetail{Service: name, Namespace: namespace, Instances: []registry.HeldInstance{}}
	s.event(func(c *core) {
		detail.Revision, detail.Warming = c.revision, c.warming.on
		service := c.namespaces[namespace][name]
		if service == nil {
			return
		}
		service.lookup.note(c.now.Sub(c.start))
		for _, i := range service.instances {
			would := i.shown
			would.Status = registry.Passing // all statuses are shown
			if filter.Match(would) {
				detail.Instances = append(detail.Instances, heldInstance(i))
			}
		}
	})
	slices.SortFunc(detail.Instances, func(a, b registry.HeldInstance) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), strings.Compare(a.ID, b.ID))
	})
	answerJSON(w, http.StatusOK, detail)
}

// actual returns what the instance is, which is not what consumers are shown
// while its service is held.
func (i *instance) actual() registry.Status {
	if i.masked {
		return registry.Critical
	}
	return i.shown.Status
}

func heldInstance(i *instance) registry.HeldInstance {
	h := registry.HeldInstance{
		ID: i.shown.ID, Address: i.shown.Address, Port: i.shown.Port, Protocol: i.shown.Protocol,
		Status: i.actual(), Reason: i.shown.Reason, Zone: i.shown.Zone,
		Tags: i.shown.Tags, Attributes: i.shown.Attributes, Since: i.shown.Since, Held: i.held != notHeld,
	}
	if h.Tags == nil {
		h.Tags = []string{}
	}
	if h.Attributes == nil {
		h.Attributes = map[string]string{}
	}
	return h
}

// listSessions answers GET /api/v1/sessions with those of the namespaces that may
// be read as a whole.
func (s *Server) listSessions(w http.ResponseWriter, r *http.Request) {
	if _, ok := parameters(w, r); !ok {
		return
	}
	grant := access.Of(r.Context())
	list := s.Sessions()
	list = slices.DeleteFunc(list, func(d registry.SessionDetail) bool {
		return !grant.Allows(access.Read, d.Namespace, "")
	})
	answerJSON(w, http.StatusOK, registry.SessionList{Sessions: list})
}

func (c *core) detail(s *session, now time.Time) registry.SessionDetail {
	d := registry.SessionDetail{
		Session: s.name(), ID: s.id.id, Namespace: s.id.namespace, Zone: s.zone, Peer: s.peer,
		Connected: registry.InMilliseconds(now.Sub(s.connected)),
		Silent:    registry.InMilliseconds(max(0, now.Sub(c.start)-time.Duration(s.heard.Load()))),
		Provides:  ids(s.provides), Requires: make([]registry.Required, 0, len(s.requires)), Report: s.report,
	}
	if d.Provides == nil {
		d.Provides = []string{}
	}
	for _, r := range s.requires {
		sub := s.subscription(r.Filter)
		d.Requires = append(d.Requires, registry.Required{
			Require: r, Endpoints: len(sub.view.members), Revision: sub.view.revision,
			Applied: sub.applied, Held: sub.held, Error: sub.err,
		})
	}
	return d
}

// namespaceOf returns the namespace that the query names.
func namespaceOf(w http.ResponseWriter, query url.Values) (string, bool) {
	namespace := strings.ToLower(cmp.Or(query.Get("namespace"), query.Get("ns"), registry.DefaultNamespace))
	if err := registry.CheckNamespace(namespace); err != nil {
		problem(w, http.StatusBadRequest, err.Error(), "")
		return "", false
	}
	return namespace, true
}

// parameters returns the query, in which there must be nothing that is not
// known. A known name that ends in * stands for all that begin like it.
func parameters(w http.ResponseWriter, r *http.Request, known ...string) (url.Values, bool) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		problem(w, http.StatusBadRequest, "the query cannot be read: "+err.Error(), "")
		return nil, false
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.ContainsFunc(known, func(k string) bool {
			prefix, open := strings.CutSuffix(k, "*")
			return name == k || open && strings.HasPrefix(name, prefix)
		}) {
			hint := "there are none here"
			if len(known) > 0 {
				hint = "expected " + strings.Join(known, ", ")
			}
			problem(w, http.StatusBadRequest, fmt.Sprintf("there is no parameter %.80q", name), hint)
			return nil, false
		}
	}
	return query, true
}
