package server

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cleat/registry"
	"cleat/registry/access"
)

// apiSource is the source of what is registered by the native interface.
const apiSource = "api"

// maxRequest is the size in bytes of the body of a request to the native
// interface: an instance with all the attributes that it may have fits.
const maxRequest = 128 << 10

// reference is the instance that a request names.
type reference struct{ namespace, id string }

// referenceOf reads which instance a request is about. The query has nothing but
// the namespace.
func referenceOf(w http.ResponseWriter, r *http.Request) (ref reference, ok bool) {
	query, ok := parameters(w, r, "namespace", "ns")
	if !ok {
		return ref, false
	}
	if ref.namespace, ok = namespaceOf(w, query); !ok {
		return ref, false
	}
	ref.id = r.PathValue("id")
	if err := registry.CheckID(ref.id); err != nil {
		problem(w, http.StatusBadRequest, err.Error(), "")
		return ref, false
	}
	return ref, true
}

// serviceOf returns the service of an instance that is there.
func (s *Server) serviceOf(ref reference) (service string) {
	s.inspect(func(c *core) {
		if i := c.instances[identity(ref)]; i != nil {
			service = i.shown.Service
		}
	})
	return service
}

// allowed reports whether the request may do something with an instance. Who may
// not even read it learns nothing of it.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request, role access.Role, ref reference, service string) bool {
	if access.Of(r.Context()).Allows(role, ref.namespace, service) {
		return true
	}
	what := fmt.Sprintf("do that to the instance %q in the namespace %q", ref.id, ref.namespace)
	if service != "" && access.Of(r.Context()).Allows(access.Read, ref.namespace, service) {
		what = fmt.Sprintf("do that to the service %q in the namespace %q", service, ref.namespace)
	}
	forbidden(w, r, what)
	return false
}

// readBody reads a body of JSON in which there is nothing that is not known. An
// empty one is allowed where optional.
func readBody(w http.ResponseWriter, r *http.Request, into any, optional bool) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if optional && errors.Is(err, io.EOF) {
		return true
	}
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return true
		}
		err = errors.New("there is something after it")
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", tooLarge.Limit), "")
		return false
	}
	problem(w, http.StatusBadRequest, "the body is not JSON of the expected form: "+strings.TrimPrefix(err.Error(), "json: "), "/api/v1/openapi.json describes it")
	return false
}

// refuse answers with an error of an operation.
func refuse(w http.ResponseWriter, ref reference, err error) {
	bad, isBad := errors.AsType[*BadInput](err)
	named := fmt.Sprintf("%v: %q in the namespace %q", err, ref.id, ref.namespace)
	switch {
	case isBad:
		problem(w, http.StatusBadRequest, err.Error(), bad.Hint)
	case errors.Is(err, ErrNotFound):
		problem(w, http.StatusNotFound, named, "/api/v1/services/{name} lists the ids of a service's instances")
	case errors.Is(err, ErrLaunched):
		problem(w, http.StatusConflict, named, "it lives and dies with its launcher; maintenance and drain are possible")
	case errors.Is(err, ErrAway):
		problem(w, http.StatusConflict, named, "maintenance is possible, and holds when it comes back")
	case errors.Is(err, ErrTooMany):
		problem(w, http.StatusInsufficientStorage, err.Error(), "")
	default:
		problem(w, http.StatusServiceUnavailable, err.Error(), "try again, or another server")
	}
}

// putInstance answers PUT /api/v1/instances/{id}: an instance without a launcher.
func (s *Server) putInstance(w http.ResponseWriter, r *http.Request) {
	ref, ok := referenceOf(w, r)
	if !ok {
		return
	}
	var body registry.InstanceRequest
	if !readBody(w, r, &body, false) {
		return
	}
	registration, err := registrationOf(ref, body)
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error(), "/api/v1/openapi.json describes the body")
		return
	}
	// Who replaces an instance of another service needs both.
	if service := s.serviceOf(ref); service != "" && !s.allowed(w, r, access.Register, ref, service) {
		return
	}
	if !s.allowed(w, r, access.Register, ref, strings.ToLower(body.Service)) {
		return
	}
	kept, err := s.Register(registration)
	if err != nil {
		refuse(w, ref, err)
		return
	}
	answer := registry.Registered{ID: ref.id, Namespace: ref.namespace, Service: strings.ToLower(body.Service), Kept: kept}
	if !kept {
		answer.Hint = "the server forgets it when it restarts: give it a ttl and renew it, or start cleatd with -data"
		s.log.Info("an instance was registered that does not outlive the server", "namespace", ref.namespace, "service", answer.Service, "id", ref.id)
	}
	answerJSON(w, http.StatusOK, answer)
}

// registrationOf brings a body into the server's terms. The error joins what
// cannot be read; [Server.Register] checks the rest.
func registrationOf(ref reference, body registry.InstanceRequest) (Registration, error) {
	var errs []error
	duration := func(name, text string) time.Duration {
		if text == "" {
			return 0
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			errs = append(errs, fmt.Errorf("%s is %.40q; expected a duration such as 30s", name, text))
		}
		return d
	}
	out := Registration{
		Namespace: ref.namespace, Source: apiSource,
		TTL: duration("ttl", body.TTL), Remove: duration("remove_after", body.RemoveAfter),
		Instance: registry.Instance{
			ID: ref.id, Service: body.Service, Address: body.Address, Port: body.Port, Protocol: body.Protocol,
			Tags: body.Tags, Attributes: body.Attributes, Zone: body.Zone,
			Status: cmp.Or(body.Status, registry.Passing), Reason: body.Reason,
		},
	}
	if k := body.Check; k != nil {
		check := Check{
			Kind: CheckTCP, Method: k.Method, SkipVerify: k.SkipVerify, Rise: k.Rise, Fall: k.Fall,
			Interval: duration("check.interval", k.Interval), Timeout: duration("check.timeout", k.Timeout),
		}
		switch {
		case k.TCP == (k.HTTP != ""):
			errs = append(errs, errors.New("the check has neither tcp nor http, or both; expected one"))
		case k.HTTP != "":
			if err := check.ask(k.HTTP); err != nil {
				errs = append(errs, err)
			}
		}
		out.Check = &check
	}
	return out, errors.Join(errs...)
}

// ask makes it a check by HTTP of a path at the instance, or of a URL.
func (k *Check) ask(where string) error {
	k.Kind, k.Path = CheckHTTP, where
	if strings.HasPrefix(where, "/") {
		return nil
	}
	u, err := url.Parse(where)
	if err != nil || u.Host == "" || u.Scheme != CheckHTTP && u.Scheme != CheckHTTPS {
		return fmt.Errorf("check.http is %.100q; expected a path such as /healthz, or a URL", where)
	}
	k.Kind, k.Path, k.Address = u.Scheme, cmp.Or(u.RequestURI(), "/"), u.Host
	if u.Port() == "" {
		port := "80"
		if k.Kind == CheckHTTPS {
			port = "443"
		}
		k.Address = u.Host + ":" + port
	}
	return nil
}

// deleteInstance answers DELETE /api/v1/instances/{id}.
func (s *Server) deleteInstance(w http.ResponseWriter, r *http.Request) {
	s.operateOn(w, r, access.Register, func(ref reference) error { return s.Deregister(ref.namespace, ref.id) })
}

// renewInstance answers PUT /api/v1/instances/{id}/renew.
func (s *Server) renewInstance(w http.ResponseWriter, r *http.Request) {
	var body registry.StatusRequest
	if readBody(w, r, &body, true) {
		s.operateOn(w, r, access.Register, func(ref reference) error { return s.Renew(ref.namespace, ref.id, body.Status, body.Reason) })
	}
}

// maintainInstance answers PUT and DELETE /api/v1/instances/{id}/maintenance.
func (s *Server) maintainInstance(w http.ResponseWriter, r *http.Request) {
	var body registry.StatusRequest
	if !readBody(w, r, &body, true) {
		return
	}
	if body.Status != "" {
		problem(w, http.StatusBadRequest, "maintenance has no status; expected a reason, or nothing", "")
		return
	}
	on := r.Method == http.MethodPut
	s.operateOn(w, r, access.Admin, func(ref reference) error { return s.Maintain(ref.namespace, ref.id, on, body.Reason) })
}

// drainInstance answers PUT and DELETE /api/v1/instances/{id}/drain.
func (s *Server) drainInstance(w http.ResponseWriter, r *http.Request) {
	s.operateOn(w, r, access.Admin, func(ref reference) error {
		if r.Method == http.MethodPut {
			return s.Drain(ref.namespace, ref.id)
		}
		return s.Undrain(ref.namespace, ref.id)
	})
}

// operateOn does something with an instance that is there, or was.
func (s *Server) operateOn(w http.ResponseWriter, r *http.Request, role access.Role, do func(reference) error) {
	ref, ok := referenceOf(w, r)
	if !ok || !s.allowed(w, r, role, ref, s.serviceOf(ref)) {
		return
	}
	if err := do(ref); err != nil {
		refuse(w, ref, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// showInstance answers GET /api/v1/instances/{id}.
func (s *Server) showInstance(w http.ResponseWriter, r *http.Request) {
	ref, ok := referenceOf(w, r)
	if !ok {
		return
	}
	story, found := s.Instance(ref.namespace, ref.id)
	service := story.Instance.Service
	if !story.Present && found {
		service = story.Events[len(story.Events)-1].Service
	}
	if !s.allowed(w, r, access.Read, ref, service) {
		return
	}
	if !found {
		refuse(w, ref, ErrNotFound)
		return
	}
	detail := registry.InstanceDetail{
		Namespace: ref.namespace, Service: service, Declared: story.Declared, Maintenance: story.Marked, Drained: story.Drained,
		Launcher: story.Launcher, Source: story.Source, Events: make([]registry.Event, 0, len(story.Events)), Users: []registry.InstanceUser{},
	}
	if story.Present {
		h := held(story.Instance, story.Actual, story.Held)
		detail.Instance = &h
	}
	for _, e := range story.Events {
		detail.Events = append(detail.Events, e.public())
	}
	for _, u := range story.Users {
		if u.Services == nil {
			u.Services = []string{}
		}
		detail.Users = append(detail.Users, registry.InstanceUser{
			Namespace: u.Namespace, ID: u.ID, Services: u.Services, Alias: u.Alias, Filter: u.Filter, Applied: u.Applied, Held: u.Held, Error: u.Error,
		})
	}
	answerJSON(w, http.StatusOK, detail)
}

// public returns the event as interfaces show it.
func (e Event) public() registry.Event {
	return registry.Event{
		Revision: e.Revision, Time: e.Time, Kind: string(e.Kind), Namespace: e.Namespace, Service: e.Service, ID: e.ID,
		Status: e.Status, Cause: string(e.Cause), Why: e.Why, Session: e.Session,
	}
}
