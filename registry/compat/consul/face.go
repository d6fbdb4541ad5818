package consul

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"cleat/registry/server"
)

// DefaultDatacenter is what Consul calls the only datacenter when it is told no
// other name.
const DefaultDatacenter = "dc1"

// compatible is the version of Consul whose answers these are: some clients
// decide by it what they may ask.
const compatible = "1.22.5"

// Config is what the interface is told.
type Config struct {
	// Node is the name of the agent's node, to which everything belongs that is
	// registered over HTTP. Empty: cleatd.
	Node string
	// Address is the agent's address, as nodes have one. Empty: 127.0.0.1.
	Address string
	// Datacenter is the name of the only one. Empty: [DefaultDatacenter].
	Datacenter string
	// Version is that of the program, for people. May be empty.
	Version string
}

// face answers Consul's HTTP API from a server's registry. Everything that it
// knows beside can be lost: it is kept to find things faster.
type face struct {
	server  *server.Server
	config  Config
	mux     *http.ServeMux
	checks  checkIndex
	outputs outputs
	census  censuses
}

// New returns a handler for all paths below /v1/. It belongs behind the server's
// guard: without a grant in the request's context it shows and takes nothing.
func New(s *server.Server, config Config) http.Handler {
	config.Node = cmp.Or(config.Node, "cleatd")
	config.Address = cmp.Or(config.Address, "127.0.0.1")
	config.Datacenter = cmp.Or(config.Datacenter, DefaultDatacenter)
	f := &face{server: s, config: config, mux: http.NewServeMux()}
	f.checks.server = s
	get := func(path string, h handler) { f.handle(path, h, http.MethodGet, http.MethodHead) }
	put := func(path string, h handler) { f.handle(path, h, http.MethodPut) }

	get("/v1/status/leader", f.showLeader)
	get("/v1/status/peers", f.listPeers)

	get("/v1/catalog/datacenters", f.listDatacenters)
	get("/v1/catalog/services", f.listServices)
	get("/v1/catalog/service/{service}", f.listCatalogService)
	get("/v1/catalog/nodes", f.listNodes)
	get("/v1/catalog/node/{node}", f.showNode)
	get("/v1/catalog/node-services/{node}", f.showNodeServices)
	put("/v1/catalog/register", f.registerInCatalog)
	put("/v1/catalog/deregister", f.deregisterFromCatalog)

	get("/v1/health/service/{service}", f.listHealthService)
	get("/v1/health/connect/{service}", f.listProxies)
	get("/v1/health/checks/{service}", f.listServiceChecks)
	get("/v1/health/node/{node}", f.listNodeChecks)
	get("/v1/health/state/{state}", f.listStateChecks)

	get("/v1/agent/self", f.showSelf)
	get("/v1/agent/members", f.listMembers)
	get("/v1/agent/services", f.listAgentServices)
	get("/v1/agent/checks", f.listAgentChecks)
	get("/v1/agent/service/{id}", f.showAgentService)
	get("/v1/agent/health/service/id/{id}", f.showHealthByID)
	get("/v1/agent/health/service/name/{service}", f.showHealthByName)
	put("/v1/agent/service/register", f.registerService)
	put("/v1/agent/service/deregister/{id}", f.deregisterService)
	put("/v1/agent/service/maintenance/{id}", f.maintainService)
	put("/v1/agent/check/register", f.registerCheck)
	put("/v1/agent/check/deregister/{check}", f.deregisterCheck)
	put("/v1/agent/check/pass/{check}", f.pushCheck(passing))
	put("/v1/agent/check/warn/{check}", f.pushCheck(warning))
	put("/v1/agent/check/fail/{check}", f.pushCheck(critical))
	put("/v1/agent/check/update/{check}", f.updateCheck)

	get("/v1/coordinate/nodes", f.listCoordinates)
	get("/v1/coordinate/datacenters", f.listCoordinates)

	// What needs a name, and got none.
	for path, missing := range map[string]string{
		"/v1/catalog/service/": "service name", "/v1/health/service/": "service name", "/v1/health/checks/": "service name",
		"/v1/health/connect/": "service name", "/v1/agent/health/service/name/": "service name",
		"/v1/catalog/node/": "node name", "/v1/catalog/node-services/": "node name", "/v1/health/node/": "node name",
		"/v1/health/state/": "check state", "/v1/agent/service/": "service ID", "/v1/agent/health/service/id/": "service ID",
		"/v1/agent/service/deregister/": "service ID", "/v1/agent/service/maintenance/": "service ID",
		"/v1/agent/check/pass/": "check ID", "/v1/agent/check/warn/": "check ID", "/v1/agent/check/fail/": "check ID",
		"/v1/agent/check/update/": "check ID", "/v1/agent/check/deregister/": "check ID",
	} {
		f.mux.HandleFunc(path+"{$}", func(w http.ResponseWriter, _ *http.Request) {
			answerError(w, refuse(http.StatusBadRequest, "Missing %s", missing))
		})
	}
	for path, why := range absent {
		f.mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { answerError(w, why) })
	}
	f.mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		answerError(w, refuse(http.StatusNotFound, "Invalid URL path %.100q: not one of Consul's HTTP endpoints that cleatd has", r.URL.Path))
	})
	return f.mux
}

// absent are the parts of Consul that cleatd is not.
var absent = map[string]error{
	"/v1/kv/":               refuse(http.StatusNotImplemented, "cleatd has no key-value store (/v1/kv/): it does service discovery only"),
	"/v1/session/":          refuse(http.StatusNotImplemented, "cleatd has no locks and sessions (/v1/session/): it does service discovery only"),
	"/v1/txn":               refuse(http.StatusNotImplemented, "cleatd has no key-value store, and no transactions (/v1/txn)"),
	"/v1/event/":            refuse(http.StatusNotImplemented, "cleatd has no user events (/v1/event/)"),
	"/v1/query":             refuse(http.StatusNotImplemented, "cleatd has no prepared queries (/v1/query)"),
	"/v1/query/":            refuse(http.StatusNotImplemented, "cleatd has no prepared queries (/v1/query)"),
	"/v1/config/":           refuse(http.StatusNotImplemented, "cleatd has no service mesh (/v1/config/)"),
	"/v1/config":            refuse(http.StatusNotImplemented, "cleatd has no service mesh (/v1/config)"),
	"/v1/connect/":          refuse(http.StatusNotImplemented, "cleatd has no service mesh (/v1/connect/)"),
	"/v1/agent/connect/":    refuse(http.StatusNotImplemented, "cleatd has no service mesh (/v1/agent/connect/)"),
	"/v1/agent/maintenance": refuse(http.StatusNotImplemented, "the agent stands for no machine that could be in maintenance; use /v1/agent/service/maintenance/<id>"),
	"/v1/acl/":              refuse(http.StatusUnauthorized, "ACL support disabled"),
}

// handler answers a request, or returns an error to be answered with.
type handler func(w http.ResponseWriter, r *http.Request) error

// handle routes a path, for these methods only.
func (f *face) handle(path string, h handler, methods ...string) {
	f.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			answerError(w, refuse(http.StatusMethodNotAllowed, "method %.20s not allowed; use %s", r.Method, strings.Join(methods, ", ")))
			return
		}
		if err := h(w, r); err != nil {
			answerError(w, err)
		}
	})
}
