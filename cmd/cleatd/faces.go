package main

import (
	"net"
	"net/netip"

	"cleat/registry/access"
	"cleat/registry/compat/consul"
	"cleat/registry/compat/eureka"
	"cleat/registry/dashboard"
	"cleat/registry/metrics"
	"cleat/registry/server"
)

// mount puts the interfaces of other systems on the server's port.
func mount(srv *server.Server, name string, listening net.Addr) {
	srv.Handle("/v1/", consul.New(srv, consul.Config{Node: name, Address: reachedAt(listening), Version: version()}))
	srv.Handle("/eureka/", eureka.New(srv))
	srv.Handle("/", dashboard.New(srv, dashboard.Config{Name: name, Version: version()}))
}

// show lets the server answer scrapes.
func show(srv *server.Server, numbers *metrics.Metrics, named *nameServer, certificates *access.Certificates) {
	config := metrics.Config{Server: srv, Version: version()}
	if named != nil {
		config.Answers = named.Answers
	}
	if certificates != nil {
		config.Expiry = certificates.Expiry
	}
	numbers.Show(config)
	srv.Handle("/metrics", numbers)
}

// reachedAt returns the address at which the server is reached, as far as that
// can be known: where it listens on all of them, the machine's first that is no
// loopback one. It may be empty.
func reachedAt(listening net.Addr) string {
	addr, err := netip.ParseAddrPort(listening.String())
	if err != nil {
		return ""
	}
	if !addr.Addr().IsUnspecified() {
		return addr.Addr().Unmap().WithZone("").String()
	}
	own, _ := net.InterfaceAddrs() // without any, there is only loopback
	for _, a := range own {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().IsGlobalUnicast() {
			return prefix.Addr().String()
		}
	}
	return ""
}
