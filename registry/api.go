package registry

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
	Requires  []Required   `json:"requires"`
	Report    *Report      `json:"report,omitempty"`
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

// Problem is the body of every answer with an error status.
type Problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}
