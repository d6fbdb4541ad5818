package registry

import "time"

// The bodies of the native HTTP API, under /api/v1.

// ServiceList is the body of GET /api/v1/services.
type ServiceList struct {
	Namespace string           `json:"namespace"`
	Revision  Revision         `json:"revision"`
	Warming   bool             `json:"warming"`
	Services  []ServiceSummary `json:"services"` // sorted by name
}

// ServiceSummary counts a service's instances by status.
type ServiceSummary struct {
	Service   string         `json:"service"`
	Instances map[Status]int `json:"instances"`
	Held      int            `json:"held,omitempty"` // of these, kept although their session is lost
}

// ServiceDetail is the body of GET /api/v1/services/{name}.
type ServiceDetail struct {
	Service   string         `json:"service"`
	Namespace string         `json:"namespace"`
	Revision  Revision       `json:"revision"`
	Warming   bool           `json:"warming"`
	Instances []HeldInstance `json:"instances"` // sorted by (since, id)
}

// HeldInstance is an instance as the API shows it.
type HeldInstance struct {
	ID         string            `json:"id"`
	Address    string            `json:"address"`
	Port       uint16            `json:"port"`
	Protocol   Protocol          `json:"protocol"`
	Status     Status            `json:"status"`
	Reason     string            `json:"reason,omitempty"`
	Zone       string            `json:"zone,omitempty"`
	Tags       []string          `json:"tags"`
	Attributes map[string]string `json:"attributes"`
	Since      Revision          `json:"since"`
	Held       bool              `json:"held,omitempty"` // kept although its session is lost
}

// SessionList is the body of GET /api/v1/sessions.
type SessionList struct {
	Sessions []SessionDetail `json:"sessions"` // sorted by namespace and id
}

// SessionDetail is one launcher that is connected.
type SessionDetail struct {
	Session   string       `json:"session"`
	ID        string       `json:"id"`
	Namespace string       `json:"namespace"`
	Zone      string       `json:"zone,omitempty"`
	Peer      string       `json:"peer"`
	Connected Milliseconds `json:"connected"` // how long
	Silent    Milliseconds `json:"silent"`    // since its last sign of life
	Provides  []string     `json:"provides"`  // ids
	Services  []string     `json:"services"`  // of these; sorted
	Requires  []Required   `json:"requires"`
	Report    *Report      `json:"report,omitempty"`
	Cycle     []CycleLink  `json:"cycle,omitempty"` // that its child's first start waits for
}

// Required is how a session's need is met.
type Required struct {
	Require
	Endpoints int      `json:"endpoints"` // in the view
	Revision  Revision `json:"revision"`  // of the view
	Applied   Revision `json:"applied"`   // the last one that the session acknowledged; 0: none
	Held      bool     `json:"held,omitempty"`
	Error     string   `json:"error,omitempty"` // of the last acknowledgement
}

// InstanceRequest is the body of PUT /api/v1/instances/{id}: an instance that has
// no launcher. Durations are texts such as 30s.
type InstanceRequest struct {
	Service     string            `json:"service"`
	Address     string            `json:"address"`
	Port        uint16            `json:"port"`
	Protocol    Protocol          `json:"protocol,omitempty"` // tcp if it is empty
	Tags        []string          `json:"tags,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	Zone        string            `json:"zone,omitempty"`
	Status      Status            `json:"status,omitempty"` // passing if it is empty
	Reason      string            `json:"reason,omitempty"`
	TTL         string            `json:"ttl,omitempty"`          // critical when it is not renewed for so long
	RemoveAfter string            `json:"remove_after,omitempty"` // removed when it is critical for so long
	Check       *CheckRequest     `json:"check,omitempty"`
}

// CheckRequest says how the server finds out how an instance is. One of TCP and
// HTTP is set.
type CheckRequest struct {
	TCP        bool   `json:"tcp,omitempty"`         // a connection is accepted
	HTTP       string `json:"http,omitempty"`        // a path, or a URL: the status is 2xx, or 429 for a warning
	Method     string `json:"method,omitempty"`      // GET if it is empty
	SkipVerify bool   `json:"skip_verify,omitempty"` // any certificate will do
	Interval   string `json:"interval,omitempty"`    // 10s if it is empty
	Timeout    string `json:"timeout,omitempty"`     // 10s, or the interval, if it is empty
	Rise       int    `json:"rise,omitempty"`        // results in a row that make it better; 0 is 1
	Fall       int    `json:"fall,omitempty"`        // results in a row that make it worse; 0 is 1
}

// Registered is the answer to PUT /api/v1/instances/{id}.
type Registered struct {
	ID        string `json:"id"`
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
	Kept      bool   `json:"kept"` // the server knows it again after a restart, or is told again
	Hint      string `json:"hint,omitempty"`
}

// StatusRequest is the body of PUT /api/v1/instances/{id}/renew, and with the
// reason alone of .../maintenance. It may be absent.
type StatusRequest struct {
	Status Status `json:"status,omitempty"` // as it was, if it is empty
	Reason string `json:"reason,omitempty"`
}

// InstanceDetail is the body of GET /api/v1/instances/{id}: what an instance is,
// what happened to it, and who uses it.
type InstanceDetail struct {
	Namespace   string         `json:"namespace"`
	Service     string         `json:"service,omitempty"`
	Instance    *HeldInstance  `json:"instance,omitempty"` // absent: it is gone
	Declared    Status         `json:"declared,omitempty"` // what its launcher, or whoever registered it, says
	Maintenance bool           `json:"maintenance"`        // by an operator
	Drained     bool           `json:"drained"`            // by an operator, of one without a launcher
	Launcher    string         `json:"launcher,omitempty"` // that keeps it; absent: none does
	Source      string         `json:"source,omitempty"`   // by whose interface it was registered, if no launcher keeps it
	Events      []Event        `json:"events"`             // the latest 64, earliest first
	Users       []InstanceUser `json:"users"`              // launchers in whose views it is
}

// InstanceUser is a launcher that has an instance in one of its views.
type InstanceUser struct {
	Namespace string   `json:"namespace"`
	ID        string   `json:"id"`
	Services  []string `json:"services"` // that it provides itself
	Alias     string   `json:"alias"`
	Filter    string   `json:"filter"`
	Applied   bool     `json:"applied"` // it has applied the view's last change
	Held      bool     `json:"held,omitempty"`
	Error     string   `json:"error,omitempty"`
}

// Event is something that happened, as GET /api/v1/events streams it and as an
// instance's story has it. See the constants of the server for kinds and causes.
type Event struct {
	Revision  Revision  `json:"revision"` // of events; later ones have larger ones
	Time      time.Time `json:"time"`
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace,omitempty"`
	Service   string    `json:"service,omitempty"`
	ID        string    `json:"id,omitempty"` // of the instance; of the launcher, where it is about a session
	Status    Status    `json:"status,omitempty"`
	Cause     string    `json:"cause,omitempty"`
	Why       string    `json:"why,omitempty"`
	Session   string    `json:"session,omitempty"`
}

// TargetGroup is one element of the body of GET /api/v1/prometheus, which
// Prometheus calls http_sd.
type TargetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// Problem is the body of every answer with an error status.
type Problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}
