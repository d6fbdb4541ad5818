package consul

import (
	"encoding/hex"
	"net"
	"net/http"
	"slices"
	"strings"

	"cleat/registry/access"
	"cleat/registry/server"
)

// The ports of Consul's other protocols, which clients are told because they
// expect some.
const (
	gossipPort = 8301
	serverPort = "8300"
)

// showLeader answers GET status/leader: the address of the server, or nothing
// while it does not know enough to answer lists.
func (f *face) showLeader(w http.ResponseWriter, r *http.Request) error {
	leader := f.leader()
	if f.server.Warming() {
		leader = ""
	}
	answer(w, r, false, http.StatusOK, encode(leader))
	return nil
}

func (f *face) leader() string { return net.JoinHostPort(f.config.Address, serverPort) }

// listPeers answers GET status/peers.
func (f *face) listPeers(w http.ResponseWriter, r *http.Request) error {
	answer(w, r, false, http.StatusOK, encode([]string{f.leader()}))
	return nil
}

// member is an agent, as the others see it.
type member struct {
	Name        string
	Addr        string
	Port        int
	Tags        map[string]string
	Status      int // 1: alive
	ProtocolMin int
	ProtocolMax int
	ProtocolCur int
	DelegateMin int
	DelegateMax int
	DelegateCur int
}

func (f *face) member() member {
	return member{
		Name: f.config.Node, Addr: f.config.Address, Port: gossipPort, Status: 1,
		Tags:        map[string]string{"role": "consul", "dc": f.config.Datacenter, "port": serverPort, "build": compatible + ":cleat"},
		ProtocolMin: 1, ProtocolMax: 3, ProtocolCur: 2, DelegateMin: 2, DelegateMax: 5, DelegateCur: 4,
	}
}

// showSelf answers GET agent/self.
func (f *face) showSelf(w http.ResponseWriter, r *http.Request) error {
	q, err := f.agentQuery(r)
	if err != nil {
		return err
	}
	answer(w, r, q.pretty, http.StatusOK, encode(map[string]any{
		"Config": map[string]any{
			"Datacenter": f.config.Datacenter, "PrimaryDatacenter": f.config.Datacenter,
			"NodeName": f.config.Node, "NodeID": nodeID(q.namespace, f.config.Node), "BindAddr": f.config.Address,
			"Server": true, "Version": compatible, "VersionMetadata": "cleat", "Revision": f.config.Version,
			"BuildDate": "1970-01-01T00:00:01Z",
		},
		"DebugConfig": map[string]any{},
		"Member":      f.member(),
		"Meta":        map[string]string{},
		"Stats":       map[string]any{"agent": map[string]string{"version": f.config.Version}},
	}))
	return nil
}

// listMembers answers GET agent/members.
func (f *face) listMembers(w http.ResponseWriter, r *http.Request) error {
	q, err := f.agentQuery(r)
	if err != nil {
		return err
	}
	answer(w, r, q.pretty, http.StatusOK, encode([]member{f.member()}))
	return nil
}

// agentQuery reads the parameters of a request that is about the agent itself.
func (f *face) agentQuery(r *http.Request) (query, error) {
	q, err := f.parseQuery(r)
	if err == nil && !q.grant.Any(access.Read, "") {
		err = denied("agent:read", q.namespace, "")
	}
	return q, err
}

// listCoordinates answers GET coordinate/...: no distances are known.
func (f *face) listCoordinates(w http.ResponseWriter, r *http.Request) error {
	q, err := f.agentQuery(r)
	if err != nil {
		return err
	}
	f.list(w, r, q, func() view { return view{revision: 1, body: emptyList} })
	return nil
}

// own returns the agent's own instances that the asker may see: those that were
// registered over HTTP, whatever the interface. Like Consul's agent, which knows
// its own without a leader, it answers while the server is warming.
func (f *face) own(q query) []instance {
	all := slices.Clone(f.censusOf(q.namespace).instances())
	return slices.DeleteFunc(all, func(i instance) bool { return !i.agent || !q.reads(i.Service.Service) })
}

// ofAgent returns the service as the agent describes it.
func (f *face) ofAgent(s service) service {
	s.Datacenter = f.config.Datacenter
	return s
}

// listAgentServices answers GET agent/services.
func (f *face) listAgentServices(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	services := make(map[string]service)
	for _, i := range f.own(q) {
		s := f.ofAgent(i.Service)
		ok, err := q.selects(s)
		if err != nil {
			return err
		}
		if ok {
			services[s.ID] = s
		}
	}
	answer(w, r, q.pretty, http.StatusOK, encode(services))
	return nil
}

// listAgentChecks answers GET agent/checks.
func (f *face) listAgentChecks(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	checks := make(map[string]check)
	for _, c := range checksOf(f.own(q)) {
		ok, err := q.selects(c)
		if err != nil {
			return err
		}
		if ok {
			checks[c.CheckID] = c
		}
	}
	answer(w, r, q.pretty, http.StatusOK, encode(checks))
	return nil
}

// find returns one of the agent's own instances, and the listing that it is in.
func (f *face) find(q query, id string) (*instance, *server.Listing) {
	reg, found := f.server.Registration(q.namespace, id)
	if !found || !q.reads(reg.Instance.Service) {
		return nil, nil
	}
	l := f.server.Look(q.namespace, reg.Instance.Service)
	made := f.listedOf(l)
	for n := range made.instances {
		if i := &made.instances[n]; i.registry == id && i.agent {
			return i, l
		}
	}
	return nil, nil
}

// showAgentService answers GET agent/service/<id>. It can be waited for: with
// the hash of its last answer, rather than with an index.
func (f *face) showAgentService(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	for waiting := f.newWait(w, q); ; {
		i, l := f.find(q, id)
		if i == nil {
			return unknownService(id)
		}
		s := f.ofAgent(i.Service)
		sum := encode(s).sum
		s.ContentHash = hex.EncodeToString(sum[:8])
		if s.ContentHash != q.hash || !waiting.again(r, l.Changed()) {
			w.Header().Set("X-Consul-Contenthash", s.ContentHash)
			answer(w, r, q.pretty, http.StatusOK, encode(s))
			return nil
		}
	}
}

// listHealth answers GET agent/health/service/...: with the status in the
// status code, for load balancers. An instance of a launcher counts as well.
func (f *face) showHealthByID(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	all := f.censusOf(q.namespace).instances()
	at := slices.IndexFunc(all, func(i instance) bool { return i.registry == id && q.reads(i.Service.Service) })
	if at < 0 {
		return refuse(http.StatusNotFound, "ServiceId %.80s not found", id)
	}
	h := f.healthOf(&all[at])
	f.answerHealth(w, r, q, h.AggregatedStatus, encode(h))
	return nil
}

// showHealthByName answers for all instances of a service: with the worst.
func (f *face) showHealthByName(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	name := strings.ToLower(r.PathValue("service"))
	var all []instance
	if q.reads(name) {
		all = f.listedOf(f.server.Look(q.namespace, name)).instances
	}
	if len(all) == 0 {
		return refuse(http.StatusNotFound, "ServiceName %.80s not found", name)
	}
	worst := passing
	healths := make([]agentHealth, len(all))
	for n := range all {
		healths[n] = f.healthOf(&all[n])
		if badness(healths[n].AggregatedStatus) > badness(worst) || healths[n].AggregatedStatus == maintenance {
			worst = healths[n].AggregatedStatus
		}
	}
	f.answerHealth(w, r, q, worst, encode(healths))
	return nil
}

func (f *face) healthOf(i *instance) agentHealth {
	return agentHealth{AggregatedStatus: i.aggregate(), Service: f.ofAgent(i.Service), Checks: i.Checks}
}

func (f *face) answerHealth(w http.ResponseWriter, r *http.Request, q query, status string, b *body) {
	code := http.StatusServiceUnavailable
	switch status {
	case passing:
		code = http.StatusOK
	case warning:
		code = http.StatusTooManyRequests
	}
	if r.URL.Query().Get("format") == "text" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(status))
		return
	}
	answer(w, r, q.pretty, code, b)
}
