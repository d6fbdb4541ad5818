package consul

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"strings"
	"time"

	"cleat/registry"
	"cleat/registry/server"
)

// The bounds of checks. These are Consul's own numbers, but for the defaults.
const (
	// leastInterval is the shortest time between two questions.
	leastInterval = time.Second
	// leastRemove is the shortest time for which an instance is critical before
	// it is removed; shorter ones are made that long.
	leastRemove = time.Minute
)

// serviceDefinition is what a client registers.
type serviceDefinition struct {
	ID                string
	Name              string
	Service           string // its name, in the catalog
	Kind              string
	Tags              []string
	Address           string
	Port              int
	Meta              map[string]string
	TaggedAddresses   map[string]addressDefinition
	Weights           *weights
	EnableTagOverride bool
	Check             *checkDefinition
	Checks            []checkDefinition
	Connect           json.RawMessage
	Proxy             json.RawMessage
}

func (s *serviceDefinition) UnmarshalJSON(data []byte) error {
	type plain serviceDefinition
	return decode(data, (*plain)(s))
}

type addressDefinition address

func (a *addressDefinition) UnmarshalJSON(data []byte) error {
	type plain addressDefinition
	return decode(data, (*plain)(a))
}

// checkDefinition is what a client registers a check by.
type checkDefinition struct {
	ID        string
	CheckID   string
	Name      string
	Notes     string
	Status    string
	Output    string // with catalog/register
	Node      string // likewise
	ServiceID string

	TTL      duration
	HTTP     string
	Method   string
	TCP      string
	Interval duration
	Timeout  duration

	TLSSkipVerify                  bool
	TLSServerName                  string
	SuccessBeforePassing           int
	FailuresBeforeCritical         int
	DeregisterCriticalServiceAfter duration

	// What the server does not do.
	Header            map[string][]string
	Body              string
	TCPUseTLS         bool
	Args, ScriptArgs  []string
	Script            string
	DockerContainerID string
	UDP               string
	GRPC              string
	H2Ping            string
	OSService         string
	AliasNode         string
	AliasService      string
}

func (c *checkDefinition) UnmarshalJSON(data []byte) error {
	type plain checkDefinition
	return decode(data, (*plain)(c))
}

// empty reports whether the check says nothing, as some clients send it for
// none.
func (c checkDefinition) empty() bool { return reflect.ValueOf(c).IsZero() }

// id returns the check's id, under either of its names.
func (c checkDefinition) id() string {
	if c.CheckID != "" {
		return c.CheckID
	}
	return c.ID
}

// unsupported names the kind of a check that the server does not do.
func (c checkDefinition) unsupported() string {
	switch {
	case len(c.Args) > 0, len(c.ScriptArgs) > 0, c.Script != "":
		return "a script"
	case c.DockerContainerID != "":
		return "a command in a container"
	case c.UDP != "":
		return "UDP"
	case c.TCPUseTLS:
		return "TLS without HTTP"
	case len(c.Header) > 0, c.Body != "":
		return "HTTP with a Header or a Body"
	case c.GRPC != "":
		return "gRPC"
	case c.H2Ping != "":
		return "an HTTP/2 ping"
	case c.OSService != "":
		return "a service of the system"
	case c.AliasNode != "", c.AliasService != "":
		return "an alias"
	}
	return ""
}

// parse checks the definition, and returns it as it is remembered and what the
// server has to ask, if anything. name is that of the service.
func (c checkDefinition) parse(name string) (rememberedCheck, *server.Check, error) {
	m := rememberedCheck{
		CheckID: c.id(), Name: c.Name, Notes: registry.Cut(c.Notes), Interval: time.Duration(c.Interval), Timeout: time.Duration(c.Timeout),
		TTL: time.Duration(c.TTL), Remove: time.Duration(c.DeregisterCriticalServiceAfter),
	}
	if m.Name == "" {
		m.Name = fmt.Sprintf("Service '%s' check", name)
	}
	if _, err := parseStatus(c.Status); err != nil {
		return m, nil, err
	}
	if len(m.CheckID) > registry.MaxIDLength || len(m.Name) > registry.MaxIDLength {
		return m, nil, fmt.Errorf("the id or the name of the check %.80q is longer than %d bytes", m.CheckID, registry.MaxIDLength)
	}
	if what := c.unsupported(); what != "" {
		return m, nil, fmt.Errorf("the check %.80q is by %s, which cleatd does not do; it does TTL, HTTP and TCP", m.Name, what)
	}
	kinds := 0
	for _, given := range []bool{c.TTL != 0, c.HTTP != "", c.TCP != ""} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		return m, nil, fmt.Errorf("the check %.80q has %d of TTL, HTTP and TCP; expected one of them", m.Name, kinds)
	}
	if m.Remove != 0 {
		if m.Remove < 0 {
			return m, nil, fmt.Errorf("DeregisterCriticalServiceAfter of the check %.80q is negative", m.Name)
		}
		m.Remove = max(m.Remove, leastRemove)
	}
	if c.TTL != 0 {
		m.Type = typeTTL
		if c.Interval != 0 {
			return m, nil, fmt.Errorf("the check %.80q has a TTL and an Interval; expected one of them", m.Name)
		}
		if m.TTL < server.MinTTL {
			return m, nil, fmt.Errorf("the TTL of the check %.80q is %v; expected at least %v", m.Name, m.TTL, server.MinTTL)
		}
		return m, nil, nil
	}
	if m.Interval < leastInterval {
		return m, nil, fmt.Errorf("the Interval of the check %.80q is %v; expected at least %v", m.Name, m.Interval, leastInterval)
	}
	if m.Timeout < 0 {
		return m, nil, fmt.Errorf("the Timeout of the check %.80q is negative", m.Name)
	}
	m.Type = typeTCP
	if c.HTTP != "" {
		m.Type = typeHTTP
	}
	question, err := c.question(m)
	if err != nil {
		return m, nil, fmt.Errorf("the check %.80q: %w", m.Name, err)
	}
	return m, question, nil
}

// question returns what the server has to ask.
func (c checkDefinition) question(m rememberedCheck) (*server.Check, error) {
	q := &server.Check{
		Kind: server.CheckTCP, Address: c.TCP, Interval: m.Interval, Timeout: min(m.Timeout, m.Interval),
		Rise: max(c.SuccessBeforePassing, 1), Fall: max(c.FailuresBeforeCritical, 1),
	}
	if m.Type == typeTCP {
		return q, nil
	}
	u, err := url.Parse(c.HTTP)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("its HTTP is %.100q; expected http:// or https://, a host and a path", withoutUser(c.HTTP))
	case u.User != nil:
		return nil, fmt.Errorf("its HTTP has a user in it: %.100q; the server does not log in", withoutUser(c.HTTP))
	}
	port := u.Port()
	q.Kind, q.Method, q.Path = server.CheckHTTP, c.Method, u.RequestURI()
	if u.Scheme == "https" {
		q.Kind, q.ServerName, q.SkipVerify = server.CheckHTTPS, c.TLSServerName, c.TLSSkipVerify
		port = cmp.Or(port, "443")
	}
	q.Address = net.JoinHostPort(u.Hostname(), cmp.Or(port, "80"))
	return q, nil
}

// withoutUser hides what may be a password in a URL.
func withoutUser(text string) string {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return text
	}
	return "..." + text[at:]
}

// parseStatus returns the status of that name; critical for none.
func parseStatus(name string) (registry.Status, error) {
	switch strings.ToLower(name) {
	case "", critical:
		return registry.Critical, nil
	case passing:
		return registry.Passing, nil
	case warning:
		return registry.Warning, nil
	}
	return "", fmt.Errorf("%.80q is no status of a check; expected passing, warning or critical", name)
}
