package consul

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"cleat/registry"
	"cleat/registry/access"
	"cleat/registry/server"
)

// checkOf returns the registration that a check belongs to, if the asker may say
// how it is.
func (f *face) checkOf(q query, checkID string) (server.Registration, remembered, int, error) {
	reg, m, at := f.checks.find(q.namespace, checkID)
	if at < 0 {
		return reg, m, at, refuse(http.StatusNotFound, "Unknown check ID %q. Ensure that the check ID is passed, not the check name.", registry.Cut(checkID))
	}
	return reg, m, at, mayRegister(q.grant, q.namespace, reg.Instance.Service)
}

// pushCheck returns what answers PUT agent/check/pass/<id> and its like.
func (f *face) pushCheck(status string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		q, err := f.parseQuery(r)
		if err != nil {
			return err
		}
		return f.push(q, r.PathValue("check"), status, r.URL.Query().Get("note"))
	}
}

// updateCheck answers PUT agent/check/update/<id>.
func (f *face) updateCheck(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	var update struct{ Status, Output string }
	if err := read(w, r, &update); err != nil {
		return err
	}
	if !slices.Contains([]string{passing, warning, critical}, update.Status) {
		return refuse(http.StatusBadRequest, "Invalid check status: '%.80s'; expected passing, warning or critical", update.Status)
	}
	return f.push(q, r.PathValue("check"), update.Status, update.Output)
}

// push renews a TTL.
func (f *face) push(q query, checkID, status, output string) error {
	reg, m, at, err := f.checkOf(q, checkID)
	if err != nil {
		return err
	}
	if t := m.Checks[at].Type; t != typeTTL {
		return refuse(http.StatusNotFound, "CheckID %.80q does not have associated TTL: its type is %q", checkID, t)
	}
	to, err := parseStatus(status)
	if err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	output = registry.Cut(output)
	if said := reg.Instance; to == said.Status && output != said.Reason && !f.outputs.due(q.namespace, said.ID, time.Now()) {
		to, output = "", "" // as it was
	}
	if err := f.server.Renew(q.namespace, reg.Instance.ID, to, output); err != nil {
		return operationError(err, reg.Instance.ID)
	}
	return nil
}

// registerCheck answers PUT agent/check/register: a check more for a service.
func (f *face) registerCheck(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	var d checkDefinition
	if err := read(w, r, &d); err != nil {
		return err
	}
	switch {
	case d.Name == "":
		return refuse(http.StatusBadRequest, "Missing check name")
	case d.ServiceID == "":
		return refuse(http.StatusBadRequest, "Invalid check %.80q: it names no ServiceID, and the agent stands for no machine that could be checked", d.Name)
	}
	d.CheckID = cmp.Or(d.id(), d.Name)
	reg, found := f.server.Registration(q.namespace, d.ServiceID)
	m, ours := recall(reg)
	if !found || !ours {
		return refuse(http.StatusNotFound, "ServiceID %.80q does not exist", d.ServiceID)
	}
	if err := mayRegister(q.grant, q.namespace, reg.Instance.Service); err != nil {
		return err
	}
	if other, _, at := f.checks.find(q.namespace, d.CheckID); at >= 0 && other.Instance.ID != reg.Instance.ID {
		return refuse(http.StatusBadRequest, "Invalid check: the id %.80q is that of a check of the service %.80q", d.CheckID, other.Instance.ID)
	}
	said, reason := reg.Instance.Status, reg.Instance.Reason
	if at := m.find(d.CheckID); at >= 0 { // it replaces the one of that id
		old := m.Checks[at].Type
		m.Checks = slices.Delete(m.Checks, at, at+1)
		if old.asked() {
			reg.Check = nil
		}
		if err := f.addCheck(&reg, &m, d); err != nil {
			return err
		}
		if added := &m.Checks[len(m.Checks)-1]; added.Type == typeTTL && old == typeTTL {
			reg.Instance.Status, reg.Instance.Reason = said, reason
		}
	} else if err := f.addCheck(&reg, &m, d); err != nil {
		return err
	}
	m.Checks[len(m.Checks)-1].Added = true
	return f.register(w, reg, m)
}

// deregisterCheck answers PUT agent/check/deregister/<id>.
func (f *face) deregisterCheck(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	reg, m, at, err := f.checkOf(q, r.PathValue("check"))
	if err != nil {
		return err
	}
	return f.dropCheck(w, reg, m, at)
}

// dropCheck takes a check off a registration.
func (f *face) dropCheck(w http.ResponseWriter, reg server.Registration, m remembered, at int) error {
	switch t := m.Checks[at].Type; {
	case t == typeTTL:
		reg.Instance.Status, reg.Instance.Reason = registry.Passing, ""
	case t.asked():
		reg.Check = nil
	}
	m.Checks = slices.Delete(m.Checks, at, at+1)
	judge(&reg, m)
	return f.register(w, reg, m)
}

// judge sets the status of a registration by those of its checks that others say
// once and for all, if it has any.
func judge(reg *server.Registration, m remembered) {
	any := false
	worst := rememberedCheck{Status: passing}
	for _, c := range m.Checks {
		if c.Type != typeOther {
			continue
		}
		any = true
		if badness(c.Status) > badness(worst.Status) {
			worst = c
		}
	}
	if any {
		reg.Instance.Status, _ = parseStatus(worst.Status) // was checked when it came
		reg.Instance.Reason = worst.Output
	}
}

// maintainService answers PUT agent/service/maintenance/<id>.
func (f *face) maintainService(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	values := r.URL.Query()
	if values.Get("enable") == "" {
		return refuse(http.StatusBadRequest, "Missing value for enable")
	}
	on, err := flagOf(values.Get("enable"))
	if err != nil {
		return refuse(http.StatusBadRequest, "Invalid value for enable: %.80q; expected true or false", values.Get("enable"))
	}
	id := r.PathValue("id")
	reg, found := f.server.Registration(q.namespace, id)
	if !found {
		return unknownService(id)
	}
	if err := mayRegister(q.grant, q.namespace, reg.Instance.Service); err != nil {
		return err
	}
	if err := f.server.Maintain(q.namespace, id, on, values.Get("reason")); err != nil {
		return operationError(err, id)
	}
	return nil
}

// deregisterService answers PUT agent/service/deregister/<id>.
func (f *face) deregisterService(_ http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	return f.deregister(q, r.PathValue("id"))
}

func (f *face) deregister(q query, id string) error {
	if reg, found := f.server.Registration(q.namespace, id); found {
		if err := mayRegister(q.grant, q.namespace, reg.Instance.Service); err != nil {
			return err
		}
	} else if left, found := f.server.Instance(q.namespace, id); found && left.Present {
		// What a lost launcher left, and is held.
		if err := mayRegister(q.grant, q.namespace, left.Instance.Service); err != nil {
			return err
		}
	} else if !q.grant.Any(access.Register, q.namespace) {
		return denied("service:write", q.namespace, "")
	}
	if err := f.server.Deregister(q.namespace, id); err != nil {
		return operationError(err, id)
	}
	return nil
}
