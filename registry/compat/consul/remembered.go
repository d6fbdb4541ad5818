package consul

import (
	"encoding/json"
	"time"

	"cleat/registry/server"
)

// source names this interface in registrations.
const source = "consul"

// remembered is what this interface keeps with a registration: what Consul's
// clients said and the registry has no place for.
type remembered struct {
	Node              string             `json:",omitempty"` // empty: the agent's
	ServiceID         string             `json:",omitempty"` // on that node; empty: the registry's id
	Tags              []string           `json:",omitempty"` // in their order
	Meta              map[string]string  `json:",omitempty"` // in the case of letters that was used
	TaggedAddresses   map[string]address `json:",omitempty"`
	Weights           weights
	EnableTagOverride bool              `json:",omitempty"`
	Checks            []rememberedCheck `json:",omitempty"`
}

// rememberedCheck is one check of a registration. What came of a TTL and of the
// server's questions is not in here: the registry knows it.
type rememberedCheck struct {
	CheckID  string
	Name     string
	Notes    string        `json:",omitempty"`
	Type     checkType     `json:",omitempty"`
	Interval time.Duration `json:",omitempty"`
	Timeout  time.Duration `json:",omitempty"`
	TTL      time.Duration `json:",omitempty"`
	Remove   time.Duration `json:",omitempty"` // the instance, when critical for so long
	Added    bool          `json:",omitempty"` // after the service, by agent/check/register
	Status   string        `json:",omitempty"` // where somebody else says how it is
	Output   string        `json:",omitempty"` // likewise
}

// checkType is how a check comes to its result.
type checkType string

const (
	typeTTL   checkType = "ttl"  // the client says it, again and again
	typeHTTP  checkType = "http" // the server asks
	typeTCP   checkType = "tcp"  // the server asks
	typeOther checkType = ""     // somebody says it once, with catalog/register
)

// asked reports whether the server asks.
func (t checkType) asked() bool { return t == typeHTTP || t == typeTCP }

// recall returns what was kept with a registration. ok is false if that is not
// one of this interface.
func recall(r server.Registration) (m remembered, ok bool) {
	if r.Source != source || json.Unmarshal(r.Extra, &m) != nil {
		return remembered{}, false
	}
	return m, true
}

// find returns the place of the check with that id, or -1.
func (m remembered) find(checkID string) int {
	for n, c := range m.Checks {
		if c.CheckID == checkID {
			return n
		}
	}
	return -1
}
