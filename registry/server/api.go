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

// filterOf reads which instances of a service are asked for, if the request may
// read them.
func filterOf(w http.ResponseWriter, r *http.Request, name string, query url.Values) (filter registry.Filter, ok bool) {
	name = strings.ToLower(name)
	if err := registry.CheckName(name); err != nil {
		problem(w, http.StatusBadRequest, err.Error(), "")
		return filter, false
	}
	namespace, ok := namespaceOf(w, query)
	if !ok {
		return filter, false
	}
	if !access.Of(r.Context()).Allows(access.Read, namespace, name) {
		forbidden(w, r, fmt.Sprintf("read the service %q in the namespace %q", name, namespace))
		return filter, false
	}
	query.Del("namespace")
	query.Del("service")
	query.Set("ns", namespace)
	filter, err := registry.ParseFilter(name+"?"+query.Encode(), namespace, nil)
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error(), "the filters are those of a requirement: tag=, attr.<name>=, zone=")
		return filter, false
	}
	return filter, true
}

// showService answers GET /api/v1/services/{name}. Who asks cannot acknowledge
// a drain.
func (s *Server) showService(w http.ResponseWriter, r *http.Request) {
	query, ok := parameters(w, r, "namespace", "ns", "tag", "zone", "attr.*")
	if !ok {
		return
	}
	if filter, ok := filterOf(w, r, r.PathValue("name"), query); ok {
		answerJSON(w, http.StatusOK, s.detail(filter, s.Lookup([]byte(filter.Namespace), []byte(filter.Service))))
	}
}

// detail returns what is asked for of a listing.
func (s *Server) detail(filter registry.Filter, listing *Listing) registry.ServiceDetail {
	detail := registry.ServiceDetail{
		Service: filter.Service, Namespace: filter.Namespace, Revision: listing.Revision, Warming: s.Warming(),
		Instances: []registry.HeldInstance{},
	}
	for _, i := range listing.Instances {
		would := i
		would.Status = registry.Passing // all statuses are shown
		if !filter.Match(would) {
			continue
		}
		note := listing.Notes[i.ID]
		detail.Instances = append(detail.Instances, held(i, cmp.Or(note.Actual, i.Status), note.Held))
	}
	slices.SortFunc(detail.Instances, func(a, b registry.HeldInstance) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), strings.Compare(a.ID, b.ID))
	})
	return detail
}

// actual returns what the instance is, which is not what consumers are shown
// while its service is held.
func (i *instance) actual() registry.Status {
	if i.masked {
		return registry.Critical
	}
	return i.shown.Status
}

// held returns an instance as interfaces show it.
func held(i registry.Instance, actual registry.Status, isHeld bool) registry.HeldInstance {
	h := registry.HeldInstance{
		ID: i.ID, Address: i.Address, Port: i.Port, Protocol: i.Protocol,
		Status: actual, Reason: i.Reason, Zone: i.Zone,
		Tags: i.Tags, Attributes: i.Attributes, Since: i.Since, Held: isHeld,
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
		Provides:  ids(s.provides), Requires: make([]registry.Required, 0, len(s.requires)), Report: s.report, Cycle: s.cycle,
	}
	if d.Provides == nil {
		d.Provides = []string{}
	}
	d.Services = make([]string, 0, 1)
	for _, i := range s.provides {
		d.Services = append(d.Services, i.shown.Service)
	}
	slices.Sort(d.Services)
	d.Services = slices.Compact(d.Services)
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
