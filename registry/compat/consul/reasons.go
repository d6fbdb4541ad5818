package consul

import (
	"cmp"
	"fmt"

	"cleat/registry"
	"cleat/registry/server"
)

// reasons returns the checks of an instance.
//
// Together they amount to what the instance is shown as, whatever they said:
// critical when it drains, what it was while self-preservation holds it. An
// instance of a launcher has one check, which stands for all that its launcher
// knows. said and m are what a client of this interface said of its instance;
// ours is false if it is not one of those.
func reasons(made *instance, i registry.Instance, said server.Registration, m remembered, ours bool) []check {
	blank := check{
		Node: made.Node.Node, ServiceID: made.Service.ID, ServiceName: i.Service, ServiceTags: made.Service.Tags,
		CreateIndex: uint64(i.Since), ModifyIndex: uint64(i.Since),
	}
	status, output := statusOf(i.Status), cmp.Or(i.Reason, string(i.Status))
	checks := make([]check, 0, len(m.Checks)+1)
	for _, kept := range m.Checks {
		checks = append(checks, kept.result(blank, said))
	}
	if i.Status == registry.Maintenance {
		c := blank
		c.CheckID, c.Name, c.Status, c.Type = maintenanceCheck+made.Service.ID, "Service Maintenance Mode", critical, maintenance
		c.Notes = cmp.Or(i.Reason, "no reason was given")
		return append(checks, c)
	}
	if len(checks) == 0 && (!ours || status != passing) {
		c := blank
		c.CheckID, c.Name, c.Type = "service:"+made.Service.ID, fmt.Sprintf("Service '%s' check", i.Service), string(typeTTL)
		c.Status, c.Output = status, output
		return append(checks, c)
	}
	// The server has these words for a TTL that is over.
	settle(checks, status, output, output == fmt.Sprintf("not renewed for %v", said.TTL))
	return checks
}

// result returns the check with what it said last, as far as that is known
// apart from what the instance is shown as.
func (k rememberedCheck) result(c check, said server.Registration) check {
	c.CheckID, c.Name, c.Notes, c.Type = k.CheckID, k.Name, k.Notes, string(k.Type)
	if k.Interval > 0 {
		c.Interval = k.Interval.String()
	}
	if k.Timeout > 0 {
		c.Timeout = k.Timeout.String()
	}
	switch k.Type {
	case typeTTL:
		c.Status, c.Output = statusOf(said.Instance.Status), said.Instance.Reason
	case typeOther:
		c.Status, c.Output = k.Status, k.Output
	default: // if it were not passing, the instance would show it
		c.Status = passing
	}
	return c
}

// settle makes the checks amount to a status. When none of them is as bad, the
// blame goes to the TTL if that is over, or else to what the server asks.
func settle(checks []check, status, output string, late bool) {
	found := len(checks) == 0
	blame := 0
	for n := range checks {
		c := &checks[n]
		if badness(c.Status) > badness(status) {
			c.Status = status
		}
		found = found || c.Status == status
		if t := checkType(c.Type); late && t == typeTTL || !late && t.asked() {
			blame = n
		}
	}
	if !found {
		checks[blame].Status, checks[blame].Output = status, output
	}
}

// badness orders the statuses of checks.
func badness(status string) int {
	switch status {
	case passing:
		return 0
	case warning:
		return 1
	}
	return 2
}

// statusOf returns a status as that of a check.
func statusOf(s registry.Status) string {
	switch s {
	case registry.Passing:
		return passing
	case registry.Warning:
		return warning
	}
	return critical
}
