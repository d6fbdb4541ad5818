package consul

// What the lists are made of. The names of the fields are those in the JSON,
// and those by which filters select. A field that may be empty is never null.

// node is a machine in Consul. Here it is a launcher, which stands for one
// container, or the agent: that is the server, for all that is registered over
// HTTP.
type node struct {
	ID              string
	Node            string
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	Meta            map[string]string
	CreateIndex     uint64
	ModifyIndex     uint64
}

// address is a service's, for those who come from somewhere else.
type address struct {
	Address string
	Port    int
}

// weights are for SRV records and proxies.
type weights struct {
	Passing int
	Warning int
}

// service is one instance of a service: Consul's word for it.
type service struct {
	ID                string
	Service           string
	Tags              []string
	Meta              map[string]string
	Port              int
	Address           string
	TaggedAddresses   map[string]address
	Weights           weights
	EnableTagOverride bool
	Datacenter        string `json:",omitempty"` // of the agent's own only
	CreateIndex       uint64
	ModifyIndex       uint64
	ContentHash       string `json:",omitempty"` // of agent/service/<id> only
}

// check is one reason for an instance's status.
type check struct {
	Node        string
	CheckID     string
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags []string
	Type        string
	Interval    string
	Timeout     string
	ExposedPort int
	Definition  struct{}
	CreateIndex uint64
	ModifyIndex uint64
}

// instance is an element of health/service.
type instance struct {
	Node    node
	Service service
	Checks  []check

	agent    bool   // the agent's own: registered over HTTP
	registry string // the registry's id
}

// catalogService is an element of catalog/service: an instance, laid flat.
type catalogService struct {
	ID                       string
	Node                     string
	Address                  string
	Datacenter               string
	TaggedAddresses          map[string]string
	NodeMeta                 map[string]string
	ServiceKind              string
	ServiceID                string
	ServiceName              string
	ServiceAddress           string
	ServiceTaggedAddresses   map[string]address
	ServiceTags              []string
	ServiceMeta              map[string]string
	ServicePort              int
	ServiceWeights           weights
	ServiceEnableTagOverride bool
	CreateIndex              uint64
	ModifyIndex              uint64
}

// nodeServices is the answer of catalog/node.
type nodeServices struct {
	Node     node
	Services map[string]service
}

// nodeServiceList is the answer of catalog/node-services.
type nodeServiceList struct {
	Node     node
	Services []service
}

// agentHealth is the answer of agent/health/service.
type agentHealth struct {
	AggregatedStatus string
	Service          service
	Checks           []check
}

// The statuses of a check, and what they make of an instance.
const (
	passing     = "passing"
	warning     = "warning"
	critical    = "critical"
	maintenance = "maintenance" // of an instance only
)

// maintenanceCheck begins the id of the check that an instance in maintenance has.
const maintenanceCheck = "_service_maintenance:"

// flat returns the instance as the catalog lists it.
func (i *instance) flat() catalogService {
	return catalogService{
		ID: i.Node.ID, Node: i.Node.Node, Address: i.Node.Address, Datacenter: i.Node.Datacenter,
		TaggedAddresses: i.Node.TaggedAddresses, NodeMeta: i.Node.Meta,
		ServiceID: i.Service.ID, ServiceName: i.Service.Service, ServiceAddress: i.Service.Address,
		ServiceTaggedAddresses: i.Service.TaggedAddresses, ServiceTags: i.Service.Tags, ServiceMeta: i.Service.Meta,
		ServicePort: i.Service.Port, ServiceWeights: i.Service.Weights, ServiceEnableTagOverride: i.Service.EnableTagOverride,
		CreateIndex: i.Service.CreateIndex, ModifyIndex: i.Service.ModifyIndex,
	}
}

// passing reports whether all checks pass: a warning is not enough for
// ?passing.
func (i *instance) passing() bool {
	for _, c := range i.Checks {
		if c.Status != passing {
			return false
		}
	}
	return true
}

// aggregate returns the worst of the checks.
func (i *instance) aggregate() string {
	worst := passing
	for _, c := range i.Checks {
		switch {
		case c.CheckID == maintenanceCheck+i.Service.ID:
			return maintenance
		case c.Status == critical, c.Status == warning && worst == passing:
			worst = c.Status
		}
	}
	return worst
}
