package consul

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"cleat/registry"
	"cleat/registry/access"
	"cleat/registry/server"
)

// registerService answers PUT agent/service/register.
func (f *face) registerService(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	var d serviceDefinition
	if err := read(w, r, &d); err != nil {
		return err
	}
	if d.Name == "" {
		return refuse(http.StatusBadRequest, "Missing service name")
	}
	if d.Address == "" {
		d.Address = clientAddress(r)
	}
	replace := false
	if values := r.URL.Query(); values.Has("replace-existing-checks") {
		if replace, err = flagOf(values.Get("replace-existing-checks")); err != nil {
			return refuse(http.StatusBadRequest, "Invalid value for ?replace-existing-checks: %.80q; expected true or false", values.Get("replace-existing-checks"))
		}
	}
	checks := d.Checks
	if d.Check != nil {
		checks = append([]checkDefinition{*d.Check}, checks...)
	}
	reg, m, err := d.registration(q.namespace)
	if err != nil {
		return err
	}
	if err := mayRegister(q.grant, q.namespace, reg.Instance.Service); err != nil {
		return err
	}
	old, known := f.server.Registration(q.namespace, reg.Instance.ID)
	if known {
		if err := mayRegister(q.grant, q.namespace, old.Instance.Service); err != nil {
			return err
		}
	}
	before, _ := recall(old)
	pushed := false // somebody says how it is
	checks = slices.DeleteFunc(checks, checkDefinition.empty)
	reg.Instance.Status = registry.Passing
	for n, c := range checks {
		if c.id() == "" {
			c.CheckID = "service:" + reg.Instance.ID
			if len(checks) > 1 {
				c.CheckID += ":" + strconv.Itoa(n+1)
			}
		}
		if err := f.addCheck(&reg, &m, c); err != nil {
			return err
		}
		pushed = pushed || m.Checks[len(m.Checks)-1].Type == typeTTL
	}
	if known && !replace {
		// Checks that were added one by one stay.
		for _, c := range before.Checks {
			if c.Added && m.find(c.CheckID) < 0 {
				m.Checks = append(m.Checks, c)
				if c.Type.asked() && reg.Check == nil {
					reg.Check = old.Check
				}
				pushed = pushed || c.Type == typeTTL
			}
		}
	}
	if known && pushed && slices.ContainsFunc(m.Checks, func(c rememberedCheck) bool {
		return c.Type == typeTTL && before.find(c.CheckID) >= 0
	}) {
		// A check that is registered again stays as it was.
		reg.Instance.Status, reg.Instance.Reason = old.Instance.Status, old.Instance.Reason
	}
	return f.register(w, reg, m)
}

// registration returns what the registry and this interface make of a service,
// without its checks.
func (d serviceDefinition) registration(namespace string) (server.Registration, remembered, error) {
	if d.Kind != "" && d.Kind != "typical" || isSet(d.Proxy) || isConnect(d.Connect) {
		return server.Registration{}, remembered{}, refuse(http.StatusBadRequest,
			"Invalid service %.80q: proxies and gateways of a service mesh are not supported; leave out Kind, Proxy and Connect", d.Name)
	}
	m := remembered{Tags: d.Tags, Meta: d.Meta, EnableTagOverride: d.EnableTagOverride, Weights: weights{Passing: 1, Warning: 1}}
	if d.Weights != nil && *d.Weights != (weights{}) { // some clients send zeros for none
		if d.Weights.Passing < 1 || d.Weights.Passing > maxWeight || d.Weights.Warning < 0 || d.Weights.Warning > maxWeight {
			return server.Registration{}, remembered{}, refuse(http.StatusBadRequest,
				"Invalid weights of the service %.80q: Passing is %d and Warning is %d; expected 1 to %d and 0 to %[4]d", d.Name, d.Weights.Passing, d.Weights.Warning, maxWeight)
		}
		m.Weights = *d.Weights
	}
	if len(d.TaggedAddresses) > 0 {
		m.TaggedAddresses = make(map[string]address, len(d.TaggedAddresses))
		for tag, a := range d.TaggedAddresses {
			m.TaggedAddresses[tag] = address(a)
		}
	}
	if d.Port < 1 || d.Port > 65535 {
		return server.Registration{}, remembered{}, refuse(http.StatusBadRequest,
			"Invalid service %.80q: the port is %d; expected 1 to 65535 (a service without a port cannot be registered)", d.Name, d.Port)
	}
	attributes := d.Meta
	if m.Weights.Passing != 1 {
		if _, taken := attributes[weightAttribute]; !taken {
			attributes = maps.Clone(attributes)
			if attributes == nil {
				attributes = make(map[string]string, 1)
			}
			attributes[weightAttribute] = strconv.Itoa(m.Weights.Passing)
		}
	}
	reg := server.Registration{Namespace: namespace, Source: source, Instance: registry.Instance{
		ID: cmp.Or(d.ID, d.Name), Service: strings.ToLower(d.Name), Namespace: namespace, Address: d.Address, Port: uint16(d.Port),
		Attributes: attributes,
		// Some clients send an empty tag for none.
		Tags: slices.DeleteFunc(slices.Clone(d.Tags), func(tag string) bool { return tag == "" }),
	}}
	return reg, m, nil
}

// weightAttribute is the attribute that is the weight in SRV records.
const weightAttribute = "weight"

// maxWeight is the largest weight of an SRV record.
const maxWeight = 65535

// isSet reports whether a value is there.
func isSet(value json.RawMessage) bool { return len(value) > 0 && string(value) != "null" }

// isConnect reports whether a service asks for a sidecar, or to be one's peer.
func isConnect(value json.RawMessage) bool {
	if !isSet(value) {
		return false
	}
	var c struct {
		Native         bool
		SidecarService json.RawMessage
	}
	return decode(value, &c) != nil || c.Native || isSet(c.SidecarService)
}

// addCheck adds a check to a registration: at most one with a TTL, and one that
// the server asks. It sets the status that the registration begins with.
func (f *face) addCheck(reg *server.Registration, m *remembered, d checkDefinition) error {
	c, question, err := d.parse(reg.Instance.Service)
	if err != nil {
		return refuse(http.StatusBadRequest, "Invalid check: %v", err)
	}
	if m.find(c.CheckID) >= 0 {
		return refuse(http.StatusBadRequest, "Invalid check: the id %.80q is there twice", c.CheckID)
	}
	for _, other := range m.Checks {
		if other.Type == typeTTL && c.Type == typeTTL || other.Type.asked() && c.Type.asked() {
			return refuse(http.StatusBadRequest, "Invalid check: the service %.80q has %q already; it may have one check with a TTL and one by HTTP or TCP", reg.Instance.ID, other.CheckID)
		}
	}
	status, _ := parseStatus(d.Status) // parse has looked at it
	if c.Type == typeTTL {
		reg.Instance.Status = status
	} else {
		question.Initial = status
		reg.Check = question
	}
	m.Checks = append(m.Checks, c)
	return nil
}

// deadlines sets the registration's times from its checks.
func deadlines(reg *server.Registration, m remembered) {
	reg.TTL, reg.Remove = 0, 0
	for _, c := range m.Checks {
		if c.TTL > 0 {
			reg.TTL = c.TTL
		}
		if c.Remove > 0 && (reg.Remove == 0 || c.Remove < reg.Remove) {
			reg.Remove = c.Remove
		}
	}
}

// register hands a registration to the server, and answers.
func (f *face) register(w http.ResponseWriter, reg server.Registration, m remembered) error {
	deadlines(&reg, m)
	extra, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("the service cannot be encoded: %w", err)
	}
	reg.Extra = extra
	kept, err := f.server.Register(reg)
	if err != nil {
		return operationError(err, reg.Instance.ID)
	}
	f.checks.put(reg.Namespace, reg.Instance.ID, m)
	if !kept {
		w.Header().Set("X-Cleat-Note", "known until cleatd ends: it keeps registrations on disk with -data only")
	}
	return nil
}

// operationError returns an error of the server's operations as Consul's
// clients know it.
func operationError(err error, id string) error {
	if bad, ok := errors.AsType[*server.BadInput](err); ok {
		text := strings.ReplaceAll(bad.Error(), "\n", "; ")
		if bad.Hint != "" {
			text += "; " + bad.Hint
		}
		return refuse(http.StatusBadRequest, "Invalid service: %s", text)
	}
	switch {
	case errors.Is(err, server.ErrNotFound):
		return unknownService(id)
	case errors.Is(err, server.ErrLaunched):
		return refuse(http.StatusConflict, "the service ID %.80q is that of an instance which a launcher keeps: it comes and goes with its container", id)
	case errors.Is(err, server.ErrTooMany):
		return refuse(http.StatusTooManyRequests, "%v", err)
	case errors.Is(err, server.ErrNotServing):
		return refuse(http.StatusServiceUnavailable, "%v", err)
	}
	return err
}

func unknownService(id string) error {
	return refuse(http.StatusNotFound, "Unknown service ID %q. Ensure that the service ID is passed, not the service name.", registry.Cut(id))
}

// mayRegister reports whether the grant lets its holder say what a service is.
func mayRegister(grant access.Grant, namespace, service string) error {
	if grant.Allows(access.Register, namespace, strings.ToLower(service)) {
		return nil
	}
	return denied("service:write", namespace, service)
}

// denied is the answer to what a token does not allow.
func denied(permission, namespace, service string) error {
	on := ""
	if service != "" {
		on = fmt.Sprintf(" on %.80q", service)
	}
	return refuse(http.StatusForbidden, "Permission denied: the token lacks permission '%s'%s in the namespace %q", permission, on, namespace)
}

// clientAddress returns the address that a request came from: in Consul it would
// come to the agent on the client's own machine.
func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().WithZone("").String()
	}
	return host
}
