package dns

import (
	"net/netip"

	"cleat/registry/access"
	"cleat/registry/server"
)

// visible is what of a registry may be seen by those who ask in DNS, where nobody
// can show a token. The rest is to them as if it were not there.
type visible struct {
	Registry
	grant func() access.Grant
}

func (v visible) Lookup(namespace, service []byte) *server.Listing {
	if !v.grant().Allows(access.Read, string(namespace), string(service)) {
		return nil
	}
	return v.Registry.Lookup(namespace, service)
}

// HasNamespace says of a namespace in which nothing can be seen that it is not
// there.
func (v visible) HasNamespace(namespace []byte) bool {
	grant, name := v.grant(), string(namespace)
	return (grant.Any(access.Read, name) || grant.AnyBelow(access.Read, name)) && v.Registry.HasNamespace(namespace)
}

func (v visible) ServicesAt(addr netip.Addr, most int) []server.ServiceName {
	const all = 1 << 16 // no address has more services than ports
	grant := v.grant()
	var names []server.ServiceName
	for _, name := range v.Registry.ServicesAt(addr, all) {
		if len(names) < most && grant.Allows(access.Read, name.Namespace, name.Service) {
			names = append(names, name)
		}
	}
	return names
}
