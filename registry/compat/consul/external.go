package consul

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cleat/registry"
	"cleat/registry/server"
)

// catalogRegistration is the body of PUT catalog/register: a service on a node
// that has no agent, such as a managed database. Whoever registers it says how
// it is, in checks with a status.
type catalogRegistration struct {
	Node       string
	Address    string
	Datacenter string
	Service    *serviceDefinition
	Check      *checkDefinition
	Checks     []checkDefinition
}

func (c *catalogRegistration) UnmarshalJSON(data []byte) error {
	type plain catalogRegistration
	return decode(data, (*plain)(c))
}

// registerInCatalog answers PUT catalog/register.
func (f *face) registerInCatalog(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	var d catalogRegistration
	if err := read(w, r, &d); err != nil {
		return err
	}
	if d.Check != nil {
		d.Checks = append([]checkDefinition{*d.Check}, d.Checks...)
	}
	switch {
	case d.Node == "":
		return refuse(http.StatusBadRequest, "Must provide node")
	case d.Datacenter != "" && d.Datacenter != f.config.Datacenter:
		return refuse(http.StatusInternalServerError, "No path to datacenter %.80q; there is only %q", d.Datacenter, f.config.Datacenter)
	case d.Service == nil && len(d.Checks) == 0:
		return refuse(http.StatusBadRequest, "Must provide a Service: a node without one is not kept")
	}
	id := ""
	if d.Service != nil {
		d.Service.Name = cmp.Or(d.Service.Service, d.Service.Name)
		d.Service.Address = cmp.Or(d.Service.Address, d.Address)
		id = cmp.Or(d.Service.ID, d.Service.Name)
		switch {
		case d.Service.Name == "":
			return refuse(http.StatusBadRequest, "Must provide service name")
		case d.Service.Address == "":
			return refuse(http.StatusBadRequest, "Must provide address: of the node, or of the service %.80q", d.Service.Name)
		}
	} else {
		id = d.Checks[0].ServiceID
	}
	var reg server.Registration
	var m remembered
	old, known := f.server.Registration(q.namespace, f.idOn(d.Node, id))
	before, ours := recall(old)
	if known && !ours {
		return refuse(http.StatusConflict, "the service ID %.80q is registered by another interface (%s)", id, old.Source)
	}
	if known {
		if err := mayRegister(q.grant, q.namespace, old.Instance.Service); err != nil {
			return err
		}
	}
	switch {
	case d.Service != nil:
		if reg, m, err = d.Service.registration(q.namespace); err != nil {
			return err
		}
		reg.Instance.ID, reg.Instance.Status = f.idOn(d.Node, id), registry.Passing
		if !sameNode(d.Node, f.config.Node) {
			m.Node, m.ServiceID = d.Node, id
		}
		m.Checks = slices.DeleteFunc(before.Checks, func(c rememberedCheck) bool { return c.Type != typeOther })
		if err := mayRegister(q.grant, q.namespace, reg.Instance.Service); err != nil {
			return err
		}
	case !known:
		return refuse(http.StatusBadRequest, "Unknown service ID %.80q for check ID %.80q", id, d.Checks[0].id())
	default:
		reg, m = old, before
	}
	for _, c := range d.Checks {
		if err := m.say(c, id); err != nil {
			return refuse(http.StatusBadRequest, "Invalid check: %v", err)
		}
	}
	judge(&reg, m)
	if err := f.register(w, reg, m); err != nil {
		return err
	}
	answer(w, r, q.pretty, http.StatusOK, encode(true))
	return nil
}

// say notes what somebody says of a check.
func (m *remembered) say(d checkDefinition, id string) error {
	if d.ServiceID != id {
		return fmt.Errorf("the check %.80q is of the service ID %.80q; expected %.80q (checks of nodes are not kept)", cmp.Or(d.id(), d.Name), d.ServiceID, id)
	}
	status, err := parseStatus(d.Status)
	if err != nil {
		return err
	}
	c := rememberedCheck{
		CheckID: cmp.Or(d.id(), d.Name), Name: cmp.Or(d.Name, d.id()), Notes: registry.Cut(d.Notes),
		Status: string(status), Output: registry.Cut(d.Output),
	}
	if c.CheckID == "" || len(c.CheckID) > registry.MaxIDLength || len(c.Name) > registry.MaxIDLength {
		return fmt.Errorf("the id and the name of the check are %.80q and %.80q; expected one of them, of at most %d bytes", d.id(), d.Name, registry.MaxIDLength)
	}
	at := m.find(c.CheckID)
	switch {
	case at < 0 && len(m.Checks) >= maxChecks:
		return fmt.Errorf("the service has %d checks already", maxChecks)
	case at < 0:
		m.Checks = append(m.Checks, c)
	case m.Checks[at].Type != typeOther:
		return fmt.Errorf("the check %.80q is the agent's own; nobody else may say how it is", c.CheckID)
	default:
		m.Checks[at] = c
	}
	return nil
}

// maxChecks is the number of checks of one service that others may say.
const maxChecks = 16

// idOn returns the registry's id of a service on a node: on nodes other than the
// agent's, ids need to be different only from those on the same node.
func (f *face) idOn(node, id string) string {
	if sameNode(node, f.config.Node) {
		return id
	}
	return strings.ToLower(node) + ":" + id
}

// deregisterFromCatalog answers PUT catalog/deregister: of a check, a service,
// or all services on a node. What is not there is deregistered already.
func (f *face) deregisterFromCatalog(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	var d struct{ Node, Datacenter, ServiceID, CheckID string }
	if err := read(w, r, &d); err != nil {
		return err
	}
	switch {
	case d.Node == "":
		return refuse(http.StatusBadRequest, "Must provide node")
	case d.CheckID != "":
		reg, m, at := f.checkOn(q, d.Node, d.CheckID)
		if at < 0 {
			break
		}
		if err := mayRegister(q.grant, q.namespace, reg.Instance.Service); err != nil {
			return err
		}
		if err := f.dropCheck(w, reg, m, at); err != nil {
			return err
		}
	case d.ServiceID != "":
		if err := f.deregister(q, f.idOn(d.Node, d.ServiceID)); err != nil && asRefusal(err).status != http.StatusNotFound {
			return err
		}
	default:
		for _, i := range f.censusOf(q.namespace).instances() {
			if !sameNode(i.Node.Node, d.Node) || !q.reads(i.Service.Service) {
				continue
			}
			if err := f.deregister(q, i.registry); err != nil && asRefusal(err).status != http.StatusNotFound {
				return err
			}
		}
	}
	answer(w, r, q.pretty, http.StatusOK, encode(true))
	return nil
}

// checkOn returns the registration on a node that has the check, and the check's
// place in it, which is -1 if there is none.
func (f *face) checkOn(q query, node, checkID string) (server.Registration, remembered, int) {
	for _, i := range f.censusOf(q.namespace).instances() {
		if sameNode(i.Node.Node, node) && slices.ContainsFunc(i.Checks, func(c check) bool { return c.CheckID == checkID }) {
			return f.checks.look(q.namespace, i.registry, checkID)
		}
	}
	return server.Registration{}, remembered{}, -1
}
