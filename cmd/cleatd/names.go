package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"cleat/registry/access"
	"cleat/registry/dns"
	"cleat/registry/server"
)

// defaultDNS is where DNS is answered, reachable from this machine only.
const defaultDNS = "127.0.0.1:8600"

// dnsOff turns DNS off, also in a variable, where empty is as good as not there.
const dnsOff = "off"

// portDNS is that of a resolver that is given without one.
const portDNS = 53

// names are the settings of DNS.
type names struct {
	listen    []string // empty: DNS is off
	asked     bool     // the addresses are no default
	domain    string
	upstreams []netip.AddrPort
}

// parseNames checks the settings of DNS. bad is called with the flag's name.
func parseNames(listen, domain, upstreams string, guarded bool, bad func(name, value string, err error)) names {
	var n names
	if listen == dnsOff {
		listen = ""
	}
	for address := range listed(listen) {
		if err := checkListen(address, guarded); err != nil {
			bad("dns", address, err)
		}
		n.listen = append(n.listen, address)
	}
	var err error
	if n.domain, err = dns.CheckDomain(domain); err != nil {
		bad("domain", domain, err)
	}
	for text := range listed(upstreams) {
		upstream, err := parseUpstream(text)
		switch {
		case err != nil:
			bad("dns-upstream", text, err)
		case n.isOwn(upstream):
			bad("dns-upstream", text, errors.New("it is this server's own address; expected another resolver"))
		}
		n.upstreams = append(n.upstreams, upstream)
	}
	return n
}

// listed returns the elements of a list with commas between them.
func listed(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for element := range strings.SplitSeq(text, ",") {
			if element = strings.TrimSpace(element); element != "" && !yield(element) {
				return
			}
		}
	}
}

// parseUpstream reads the address of a resolver, with or without a port.
func parseUpstream(text string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr, portDNS), nil
	}
	upstream, err := netip.ParseAddrPort(text)
	if err != nil || upstream.Port() == 0 {
		return netip.AddrPort{}, errors.New("expected the address of a resolver, such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53")
	}
	return upstream, nil
}

// isOwn reports whether a resolver is this server: it would ask itself for ever.
func (n names) isOwn(upstream netip.AddrPort) bool {
	for _, address := range n.listen {
		host, port, err := net.SplitHostPort(address)
		if err != nil || port != strconv.Itoa(int(upstream.Port())) {
			continue
		}
		addr, err := netip.ParseAddr(host)
		if host == "" || host == "localhost" || err == nil && addr.IsUnspecified() {
			if upstream.Addr().IsLoopback() || upstream.Addr().IsUnspecified() {
				return true
			}
		}
		if err == nil && addr.Unmap() == upstream.Addr().Unmap() {
			return true
		}
	}
	return false
}

// openDNS opens the sockets of DNS. Where nobody asked for DNS, a port that is
// taken is no reason to serve nothing at all: another cleatd, or another
// discovery server, may have it.
func openDNS(ctx context.Context, log *slog.Logger, n names) ([]*dns.Listener, error) {
	var listeners []*dns.Listener
	for _, address := range n.listen {
		l, err := dns.Listen(ctx, address)
		if err == nil {
			listeners = append(listeners, l)
			continue
		}
		if !n.asked {
			log.Warn("DNS is not answered; -dns chooses another address, or none", "error", err)
			return nil, nil
		}
		for _, l := range listeners {
			l.Close()
		}
		return nil, err
	}
	return listeners, nil
}

// nameServer is the server of DNS and its sockets. The nil one serves nothing.
type nameServer struct {
	*dns.Server
	listeners []*dns.Listener
}

// newNameServer opens the sockets of DNS, if there are any.
func newNameServer(ctx context.Context, log *slog.Logger, srv *server.Server, n names, grant func() access.Grant) (*nameServer, error) {
	d, err := dns.New(dns.Config{Registry: srv, Grant: grant, Domain: n.domain, Upstreams: n.upstreams})
	if err != nil {
		return nil, fmt.Errorf("cannot answer DNS: %w", err)
	}
	listeners, err := openDNS(ctx, log, n)
	if err != nil || len(listeners) == 0 {
		return nil, err
	}
	return &nameServer{d, listeners}, nil
}

// say tells the log where DNS is answered.
func (n *nameServer) say(log *slog.Logger, s names) {
	if n != nil {
		for _, l := range n.listeners {
			log.Info("cleatd answers DNS", "address", l.Addr().String(), "domain", s.domain, "upstreams", len(s.upstreams))
		}
	}
}

func (n *nameServer) close() {
	if n != nil {
		for _, l := range n.listeners {
			l.Close()
		}
	}
}

// serveBoth lets the server answer on the listener and DNS on its own, until ctx
// or one of them ends.
func serveBoth(ctx context.Context, srv *server.Server, listener net.Listener, n *nameServer) error {
	if n == nil {
		return srv.Serve(ctx, listener)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		ended <- n.Serve(ctx, n.listeners...)
	}()
	err := srv.Serve(ctx, listener)
	cancel()
	return errors.Join(err, <-ended)
}
