package consul

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cleat/registry"
	"cleat/registry/server"
)

// listed is what this interface makes of a listing: once for everybody who asks
// for the service, until it changes.
type listed struct {
	instances []instance // sorted by (since, id)

	entries func() *body // all of health/service
	passing func() *body // those of them that pass
	flat    func() *body // all of catalog/service
	checks  func() *body // all of health/checks
}

// listedOf returns what the listing says.
func (f *face) listedOf(l *server.Listing) *listed {
	return l.Derived(f, func(l *server.Listing) any { return f.makeListed(l) }).(*listed)
}

func (f *face) makeListed(l *server.Listing) *listed {
	sorted := slices.Clone(l.Instances)
	slices.SortFunc(sorted, func(a, b registry.Instance) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), strings.Compare(a.ID, b.ID))
	})
	made := &listed{instances: make([]instance, len(sorted))}
	for n, i := range sorted {
		made.instances[n] = f.instance(i, l.Notes[i.ID])
	}
	made.entries = sync.OnceValue(func() *body { return encode(made.instances) })
	made.passing = sync.OnceValue(func() *body {
		return encode(slices.DeleteFunc(slices.Clone(made.instances), func(i instance) bool { return !i.passing() }))
	})
	made.flat = sync.OnceValue(func() *body { return encode(flatten(made.instances)) })
	made.checks = sync.OnceValue(func() *body { return encode(checksOf(made.instances)) })
	return made
}

// flatten returns the instances as the catalog lists them.
func flatten(instances []instance) []catalogService {
	flat := make([]catalogService, len(instances))
	for n := range instances {
		flat[n] = instances[n].flat()
	}
	return flat
}

// checksOf returns the checks of all the instances.
func checksOf(instances []instance) []check {
	checks := []check{}
	for _, i := range instances {
		checks = append(checks, i.Checks...)
	}
	return checks
}

// instance returns an instance of the registry in Consul's words.
func (f *face) instance(i registry.Instance, note server.Note) instance {
	var said server.Registration
	var m remembered
	ours := false
	if note.Source == source {
		if r, found := f.server.Registration(i.Namespace, i.ID); found {
			said = r
			m, ours = recall(r)
		}
	}
	if !ours {
		m = remembered{Tags: i.Tags, Meta: i.Attributes, Weights: weightsOf(i)}
	}
	made := instance{registry: i.ID, agent: note.Source != "" && m.Node == ""}
	made.Node = f.nodeOf(i, note, m)
	made.Service = service{
		ID: cmp.Or(m.ServiceID, i.ID), Service: i.Service, Tags: m.Tags, Meta: m.Meta, Port: int(i.Port), Address: i.Address,
		TaggedAddresses: m.TaggedAddresses, Weights: m.Weights, EnableTagOverride: m.EnableTagOverride,
		CreateIndex: uint64(i.Since), ModifyIndex: uint64(i.Since),
	}
	if made.Service.Tags == nil {
		made.Service.Tags = []string{}
	}
	if made.Service.Meta == nil {
		made.Service.Meta = map[string]string{}
	}
	if len(made.Service.TaggedAddresses) == 0 {
		made.Service.TaggedAddresses = make(map[string]address, 2)
		for _, tag := range addressTags(i.Address) {
			made.Service.TaggedAddresses[tag] = address{i.Address, int(i.Port)}
		}
	}
	made.Checks = reasons(&made, i, said, m, ours)
	return made
}

// nodeOf returns the node that an instance is on: that of its launcher, the one
// that it was registered with, or the agent's.
func (f *face) nodeOf(i registry.Instance, note server.Note, m remembered) node {
	switch {
	case note.Source == "":
		// A launcher makes its instances' ids from its own: <launcher>:<port>.
		launcher, _, _ := strings.Cut(i.ID, ":")
		n := f.node(i.Namespace, launcher, i.Address)
		if i.Zone != "" {
			n.Meta["zone"] = i.Zone
		}
		return n
	case m.Node != "":
		return f.node(i.Namespace, m.Node, i.Address)
	}
	return f.agentNode(i.Namespace)
}

func (f *face) agentNode(namespace string) node {
	return f.node(namespace, f.config.Node, f.config.Address)
}

func (f *face) node(namespace, name, addr string) node {
	n := node{
		ID: nodeID(namespace, name), Node: name, Address: addr, Datacenter: f.config.Datacenter,
		TaggedAddresses: make(map[string]string, 2), Meta: make(map[string]string, 1), CreateIndex: 1, ModifyIndex: 1,
	}
	for _, tag := range addressTags(addr) {
		n.TaggedAddresses[tag] = addr
	}
	return n
}

// addressTags returns the names under which Consul lists an address.
func addressTags(text string) []string {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return nil
	case addr.Is4():
		return []string{"lan_ipv4", "wan_ipv4"}
	}
	return []string{"lan_ipv6", "wan_ipv6"}
}

// nodeID returns what identifies a node for ever, in the form of Consul's ids.
func nodeID(namespace, name string) string {
	sum := sha256.Sum256([]byte(namespace + " " + name))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// weightsOf returns the weights of an instance: its attribute is for DNS, too.
func weightsOf(i registry.Instance) weights {
	w := weights{Passing: 1, Warning: 1}
	if n, err := strconv.ParseUint(i.Attributes[weightAttribute], 10, 16); err == nil && n > 0 {
		w.Passing = int(n)
	}
	return w
}
