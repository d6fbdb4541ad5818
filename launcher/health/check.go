package health

import (
	"strings"
	"time"

	"cleat/internal/probe"
	"cleat/registry"
)

// Kind is how a check is made.
type Kind string

// The kinds, in the order in which Registrator's variables beat each other.
const (
	HTTP    Kind = "http"
	HTTPS   Kind = "https"
	Command Kind = "command"
	Script  Kind = "script"
	TTL     Kind = "ttl"
	TCP     Kind = "tcp"
	GRPC    Kind = "grpc"
)

// What holds where nothing is said.
const (
	DefaultInterval = 10 * time.Second
	DefaultTimeout  = 10 * time.Second
	DefaultMethod   = "GET"
)

// Check says how a port is checked. It is comparable, and a value: nobody
// changes one that is in use.
type Check struct {
	Kind Kind

	Path   string // HTTP and HTTPS: begins with '/', may have a query
	Method string // HTTP and HTTPS; empty: DefaultMethod
	// Command is split into words as a shell splits them and run without one
	// (Command), or is given to /bin/sh -c (Script). In both, $SERVICE_IP and
	// $SERVICE_PORT are replaced by what is checked.
	Command string
	Service string // GRPC: the name to ask for; empty: the server as a whole

	TLS        bool   // GRPC; HTTPS has it always
	SkipVerify bool   // with TLS: any certificate will do
	ServerName string // with TLS: the name that the certificate must be for; empty: the address

	Interval time.Duration // from start to start; not for TTL; 0: DefaultInterval
	Timeout  time.Duration // of one check; not for TTL; 0: DefaultTimeout
	TTL      time.Duration // TTL: how long a report holds

	Rise, Fall int             // outcomes in a row that change the status; 0 is 1; not for TTL
	Initial    registry.Status // before the first verdict: passing, warning, critical, or empty
	// DeregisterAfter is how long the status may be critical before the result
	// says that the instance is to be withdrawn; 0: for ever.
	DeregisterAfter time.Duration
}

// withDefaults fills in what holds where nothing is said.
func (c Check) withDefaults() Check {
	if c.Interval <= 0 {
		c.Interval = DefaultInterval
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Method == "" {
		c.Method = DefaultMethod
	}
	c.Rise, c.Fall = max(c.Rise, 1), max(c.Fall, 1)
	return c
}

// probe is what is asked over the network.
func (c Check) probe() probe.Probe {
	return probe.Probe{
		Kind: probe.Kind(c.Kind), Path: c.Path, Method: c.Method, Service: c.Service,
		TLS: c.TLS, SkipVerify: c.SkipVerify, ServerName: c.ServerName, Timeout: c.Timeout,
	}
}

// What says what is done, for people: "GET /health by HTTPS", "connecting by
// TCP".
// It shows path and command as they are.
func (c Check) What() string {
	switch c.Kind {
	case HTTP, HTTPS:
		return c.withDefaults().Method + " " + c.Path + " by " + strings.ToUpper(string(c.Kind))
	case Command:
		return c.Command
	case Script:
		return "sh -c '" + strings.ReplaceAll(c.Command, "'", `'\''`) + "'"
	case TTL:
		return "the child's own reports"
	case TCP:
		return "connecting by TCP"
	}
	what := "gRPC health"
	if c.Service != "" {
		what += " of " + c.Service
	}
	if c.TLS {
		what += ", by TLS"
	}
	return what
}
