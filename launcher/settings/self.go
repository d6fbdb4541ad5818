package settings

import (
	"fmt"
	"slices"
	"strings"

	"cleat/registry"
)

// selfName is the word for the container's own service.
const selfName = "self"

// notForSelf are the parameters that mean nothing for the container's own
// service: it lives in its own namespace, is met by its first node, and is
// never handed on in part, or every node would see another first one.
var notForSelf = []string{"min", "prefer", "limit", "fallback", "on-loss", "ns"}

// ownService parses a requirement of the container's own service.
func (t *requirementText) ownService() {
	t.r.Self = true
	for _, key := range notForSelf {
		if t.values.Has(key) {
			t.fail(key+"= means nothing for self", "", "leave it out")
		}
	}
	var offers []Offer // those that are offered, by service
	var names []string
	for _, o := range t.p.s.Offers {
		if !o.Ignore && !slices.Contains(names, o.Service) {
			offers, names = append(offers, o), append(names, o.Service)
		}
	}
	if len(offers) == 0 {
		t.fail("self needs a port that the container declares", "", "name one, such as SERVICE_80_NAME=web: a port found by listening comes too late")
		return
	}
	name, chosen := t.get("service")
	t.values.Del("service")
	if !chosen && len(offers) > 1 {
		t.fail("the container offers several services", "self?service=<service>, one of "+strings.Join(names, ", "), "")
		return
	}
	at := 0
	if chosen {
		if at = slices.Index(names, strings.ToLower(name)); at < 0 {
			t.fail(fmt.Sprintf("the container does not offer %q", shorten(name)), "one of "+strings.Join(names, ", "), "")
			return
		}
	}
	t.values.Set(selfName, "true")
	t.text = names[at] + "?" + t.values.Encode()
	f, err := registry.ParseFilter(t.text, t.p.s.Namespace, isParameter)
	if err != nil {
		t.failFilter(err)
		return
	}
	own := registry.Instance{
		Service: f.Service, Namespace: f.Namespace, Zone: t.p.s.Zone, Status: registry.Starting,
		Tags: offers[at].Tags, Attributes: offers[at].Attributes,
	}
	if !f.Match(own) {
		t.fail("the filter leaves out this container itself", "", "self is about the nodes that this one is one of; leave the filter out")
	}
	t.r.Filter = f
}
