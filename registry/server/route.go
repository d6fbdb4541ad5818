package server

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"cleat/registry"
)

// route is a path of the server's own and what is done there, by method. GET
// answers HEAD, too.
type route struct {
	path       string
	operations map[string]operation
}

// operation is what is done at a path with one method, and its description.
type operation struct {
	do         http.HandlerFunc
	summary    string
	parameters []parameter
	body       any    // what is to be sent, as a value of its type; nil: nothing
	optional   bool   // the body may be absent
	answer     any    // what comes, as a value of its type; nil: nothing, or no JSON
	kind       string // of an answer that is no JSON; empty: it is
	refusals   []int  // statuses, beside those of every operation
}

// parameter is one of a query.
type parameter struct{ name, description string }

// The parameters that several operations have.
var (
	inNamespace = parameter{"namespace", "the namespace, default if it is absent; ns is another name for it"}
	oneOrAll    = parameter{"namespace", "the namespace, all of them if it is absent; ns is another name for it"}
	withTag     = parameter{"tag", "a tag that the instances have; several times: all of them"}
	withZone    = parameter{"zone", "the instances' zone"}
	withValue   = parameter{"attr.{name}", "the value of an attribute; ~ and a regular expression matches the whole value"}
)

// routes are all paths of the server's own that are for programs.
func (s *Server) routes() []route {
	filters := []parameter{inNamespace, withTag, withZone, withValue}
	one := []parameter{inNamespace}
	health := struct {
		Status  string `json:"status"`
		Warming bool   `json:"warming"`
		Version string `json:"version,omitempty"`
	}{}
	get := func(path string, o operation) route { return route{path, map[string]operation{http.MethodGet: o}} }
	return []route{
		get(registry.SessionPath, operation{do: s.startSession, summary: "A launcher's session: a WebSocket, see docs/protocol.md.", kind: "websocket", refusals: []int{426, 503}}),
		get("/api/v1/services", operation{do: s.listServices, summary: "The services of a namespace, with counts of their instances by status.", parameters: one, answer: registry.ServiceList{}}),
		get("/api/v1/services/{name}", operation{
			do: s.showService, parameters: filters, answer: registry.ServiceDetail{},
			summary: "The instances of a service, whatever their status. Who asks is taken for somebody who routes traffic by it: drains wait a little for such readers.",
		}),
		{"/api/v1/instances/{id}", map[string]operation{
			http.MethodGet: {do: s.showInstance, summary: "What an instance is, what happened to it, and who uses it; also of one that is gone, for a while.", parameters: one, answer: registry.InstanceDetail{}, refusals: []int{404}},
			http.MethodPut: {
				do: s.putInstance, parameters: one, body: registry.InstanceRequest{}, answer: registry.Registered{}, refusals: []int{409, 413, 507},
				summary: "Register an instance that has no launcher, such as a managed database, or replace what is known of it.",
			},
			http.MethodDelete: {do: s.deleteInstance, summary: "Remove an instance that has no launcher, or whose launcher is lost.", parameters: one, refusals: []int{404, 409}},
		}},
		{"/api/v1/instances/{id}/renew", map[string]operation{
			http.MethodPut: {do: s.renewInstance, summary: "Say that an instance without a launcher is still there, and how it is.", parameters: one, body: registry.StatusRequest{}, optional: true, refusals: []int{404, 409, 413}},
		}},
		{"/api/v1/instances/{id}/maintenance", map[string]operation{
			http.MethodPut:    {do: s.maintainInstance, summary: "Take any instance out of service until that is taken back.", parameters: one, body: registry.StatusRequest{}, optional: true, refusals: []int{404, 413, 507}},
			http.MethodDelete: {do: s.maintainInstance, summary: "Put an instance back into service.", parameters: one, refusals: []int{404}},
		}},
		{"/api/v1/instances/{id}/drain", map[string]operation{
			http.MethodPut:    {do: s.drainInstance, summary: "Take any instance out of everybody's views, and leave it running.", parameters: one, refusals: []int{404, 409}},
			http.MethodDelete: {do: s.drainInstance, summary: "End a drain.", parameters: one, refusals: []int{404, 409}},
		}},
		get("/api/v1/sessions", operation{do: s.listSessions, summary: "The launchers that are connected, with their reports.", answer: registry.SessionList{}}),
		get("/api/v1/graph", operation{do: s.showGraph, summary: "Who requires whom.", parameters: []parameter{oneOrAll, {"format", "json, or svg or dot for a picture"}}, answer: registry.Graph{}}),
		get("/api/v1/events", operation{
			do: s.streamEvents, kind: eventStream, refusals: []int{503},
			parameters: []parameter{oneOrAll, {"service", "a live view of this service in place of events"}, withTag, withZone, withValue},
			summary:    "Server-sent events: what happens, or with service= a view of the service, whole, whenever it changes. Last-Event-ID resumes.",
		}),
		get("/api/v1/prometheus", operation{
			do: s.listTargets, parameters: []parameter{oneOrAll, {"service", "only this service; several times: these"}}, answer: []registry.TargetGroup{}, refusals: []int{503},
			summary: "All TCP instances as targets for Prometheus (http_sd).",
		}),
		get("/api/v1/openapi.json", operation{do: s.describe, summary: "This description.", answer: map[string]any{}}),
		get("/healthz", operation{do: s.healthy, summary: "Whether the server lives.", answer: health}),
		get("/readyz", operation{do: s.healthy, summary: "Whether the server takes sessions; also while it is warming.", answer: health}),
		get("/debug/pprof/{name...}", operation{do: s.profile, summary: "Profiles of the server, for admins.", kind: "application/octet-stream", refusals: []int{404}}),
	}
}

// ServeHTTP does what the method asks for.
func (r route) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	method := request.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if o, found := r.operations[method]; found {
		o.do(w, request)
		return
	}
	allowed := slices.Sorted(maps.Keys(r.operations))
	if _, found := r.operations[http.MethodGet]; found {
		allowed = append(allowed, http.MethodHead)
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	problem(w, http.StatusMethodNotAllowed, fmt.Sprintf("the method %.20q is not allowed here", request.Method), "use "+strings.Join(allowed, ", "))
}
