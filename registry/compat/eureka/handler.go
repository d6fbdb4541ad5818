package eureka

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"cleat/registry/access"
	"cleat/registry/server"
)

// Handler answers Eureka's clients. It is safe for concurrent use.
type Handler struct {
	registered *server.Server

	// writing orders those who read what is kept with an instance and write it
	// back changed.
	writing sync.Mutex

	mu        sync.Mutex
	snapshots map[string]*snapshot // by namespace
}

// New returns the interface to a server's registry, for the paths below
// /eureka/.
func New(registered *server.Server) *Handler {
	return &Handler{registered: registered, snapshots: make(map[string]*snapshot)}
}

// ServeHTTP answers one request, in the namespace of its token.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := segments(r.URL.EscapedPath())
	if !ok {
		refuse(w, http.StatusBadRequest, "the path cannot be read")
		return
	}
	grant := access.Of(r.Context())
	q := &request{Handler: h, w: w, r: r, grant: grant, namespace: grant.Namespace()}
	switch {
	case len(path) == 1 && path[0] == "apps":
		q.only(http.MethodGet, q.all)
	case len(path) == 2 && path[0] == "apps" && path[1] == "delta":
		q.only(http.MethodGet, q.delta)
	case len(path) == 2 && path[0] == "apps":
		q.with(path[1], "", map[string]func(){http.MethodGet: q.app, http.MethodPost: q.register})
	case len(path) == 3 && path[0] == "apps":
		q.with(path[1], path[2], map[string]func(){http.MethodGet: q.instance, http.MethodPut: q.renew, http.MethodDelete: q.remove})
	case len(path) == 4 && path[0] == "apps" && path[3] == "status":
		q.with(path[1], path[2], map[string]func(){http.MethodPut: q.override, http.MethodDelete: q.restore})
	case len(path) == 4 && path[0] == "apps" && path[3] == "metadata":
		q.with(path[1], path[2], map[string]func(){http.MethodPut: q.describe})
	case len(path) == 2 && path[0] == "instances":
		q.only(http.MethodGet, func() { q.anywhere(path[1]) })
	case len(path) == 2 && path[0] == "vips":
		q.only(http.MethodGet, func() { q.vip(path[1], func(i *instance) string { return i.VIP }) })
	case len(path) == 2 && path[0] == "svips":
		q.only(http.MethodGet, func() { q.vip(path[1], func(i *instance) string { return i.SecureVIP }) })
	case len(path) > 0 && path[0] == "peerreplication":
		refuse(w, http.StatusNotFound, "this server is no peer of Eureka servers")
	default:
		refuse(w, http.StatusNotFound, "Eureka's interface has no such path here; see /eureka/apps")
	}
}

// segments returns the parts of a path below /eureka or /eureka/v2, with or
// without a slash at the end.
func segments(path string) ([]string, bool) {
	path = strings.Trim(strings.TrimPrefix(path, "/eureka"), "/")
	if path == "v2" {
		path = ""
	}
	parts := strings.Split(strings.TrimPrefix(path, "v2/"), "/")
	for n, part := range parts {
		text, err := url.PathUnescape(part)
		if err != nil {
			return nil, false
		}
		parts[n] = text
	}
	return parts, true
}

// request is one that is being answered.
type request struct {
	*Handler
	w         http.ResponseWriter
	r         *http.Request
	grant     access.Grant
	namespace string
	name      string // the app's, as it was asked for
	service   string // that the app is
	id        string // the instance's, as Eureka has it
}

// only answers one method.
func (q *request) only(method string, answer func()) {
	q.choose(map[string]func(){method: answer})
}

// with answers what concerns an app, or one instance of it.
func (q *request) with(app, id string, methods map[string]func()) {
	service, err := serviceOf(app)
	if err != nil {
		refuse(q.w, http.StatusBadRequest, err.Error())
		return
	}
	q.name, q.service, q.id = app, service, id
	q.choose(methods)
}

func (q *request) choose(methods map[string]func()) {
	method := q.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	answer := methods[method]
	if answer == nil {
		allowed := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
		q.w.Header().Set("Allow", allowed)
		refuse(q.w, http.StatusMethodNotAllowed, fmt.Sprintf("the method %.20q is not allowed here; expected %s", q.r.Method, allowed))
		return
	}
	answer()
}

// may reports whether the request may do that to its service, and answers when
// it may not.
func (q *request) may(role access.Role) bool {
	if q.grant.Allows(role, q.namespace, q.service) {
		return true
	}
	refuse(q.w, http.StatusForbidden, fmt.Sprintf("the token may not do that to the app %.80q", q.name))
	return false
}

// visible reports whether the request may see a service.
func (q *request) visible(service string) bool {
	return q.grant.Allows(access.Read, q.namespace, service)
}

// answer writes a body in the form that was asked for: JSON when Accept has the
// word in it, else XML, with what Eureka puts around JSON.
func (q *request) answer(name string, body any) {
	var data []byte
	var err error
	kind := "application/xml"
	if strings.Contains(strings.ToLower(q.r.Header.Get("Accept")), "json") {
		kind = "application/json"
		data, err = json.Marshal(map[string]any{name: body})
	} else {
		data, err = xml.Marshal(body)
	}
	if err != nil {
		panic("eureka: internal error: an answer cannot be encoded: " + err.Error())
	}
	header := q.w.Header()
	header.Set("Content-Type", kind)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	_, _ = q.w.Write(data) // a client that is gone needs no answer
}

// refuse answers with an error, in words.
func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, text, code)
}
