package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"

	"cleat/registry/access"
	"cleat/registry/server"
)

// DefaultDomain is where services have their names.
const DefaultDomain = "cleat."

// The numbers in the SOA record, in seconds. Nobody transfers the domain, so
// only the last one means anything: how long "none" may be kept.
const (
	soaRefresh = 3600
	soaRetry   = 600
	soaExpire  = 86400
)

// Registry is where answers come from: a [server.Server], and a table in tests.
// Its methods must be quick, and may be called by any goroutine.
type Registry interface {
	Lookup(namespace, service []byte) *server.Listing
	HasNamespace(namespace []byte) bool
	ServicesAt(addr netip.Addr, most int) []server.ServiceName
	Warming() bool
}

// Config is what a server is told.
type Config struct {
	// Registry is where answers come from.
	Registry Registry
	// Grant is what whoever asks may see, asked for every query: nobody can show
	// a token in DNS. nil: everything.
	Grant func() access.Grant
	// Domain is below which services have names. Empty: [DefaultDomain].
	Domain string
	// Upstreams are resolvers that get the queries for other names, each when
	// those before it do not answer. None: such queries are refused.
	Upstreams []netip.AddrPort
}

// Server answers DNS queries. See the package comment.
type Server struct {
	registry  Registry
	forwarder *forwarder // nil: nothing is passed on

	domain          string
	packedDomain    []byte
	domainLabels    int
	packedAddresses []byte // the name below which addresses have theirs
	authority       record // SOA
	nameServer      record // NS
	minimal         record // for queries for everything

	answers [maxCode + 1]atomic.Uint64 // by response code

	makeSets    func(*server.Listing) any
	workers     sync.Pool
	connections chan struct{} // a place for each over TCP
}

// maxCode is the largest response code that the server gives (BADVERS).
const maxCode = 16

// Answers returns how many queries were answered with each response code, by its
// name (NOERROR, NXDOMAIN, ...), since the server began. Queries that were passed
// on are not among them.
func (s *Server) Answers() map[string]uint64 {
	counts := make(map[string]uint64)
	for code := range s.answers {
		if n := s.answers[code].Load(); n > 0 {
			counts[dns.RcodeToString[code]] = n
		}
	}
	return counts
}

// New returns a server. The error says what is wrong with the configuration.
func New(config Config) (*Server, error) {
	if config.Registry == nil {
		return nil, errors.New("there is no registry to answer from")
	}
	if config.Domain == "" {
		config.Domain = DefaultDomain
	}
	domain, err := CheckDomain(config.Domain)
	if err != nil {
		return nil, err
	}
	s := &Server{
		registry: config.Registry,
		domain:   domain, packedDomain: packName(domain), domainLabels: dns.CountLabel(domain),
		packedAddresses: packName("addr." + domain),
		connections:     make(chan struct{}, maxConnections),
	}
	s.authority = pack(&dns.SOA{
		Hdr: dns.RR_Header{Rrtype: dns.TypeSOA}, Ns: "ns." + domain, Mbox: "hostmaster." + domain,
		Refresh: soaRefresh, Retry: soaRetry, Expire: soaExpire, Minttl: ttl,
	})
	s.nameServer = pack(&dns.NS{Hdr: dns.RR_Header{Rrtype: dns.TypeNS}, Ns: "ns." + domain})
	s.minimal = pack(&dns.HINFO{Hdr: dns.RR_Header{Rrtype: dns.TypeHINFO}, Cpu: "RFC8482"})
	if config.Grant != nil {
		s.registry = visible{config.Registry, config.Grant}
	}
	s.makeSets = func(l *server.Listing) any { return s.newSets(l) }
	s.workers.New = func() any { return &worker{server: s} }
	if len(config.Upstreams) > 0 {
		s.forwarder = newForwarder(config.Upstreams)
	}
	return s, nil
}

// Serve answers on the listeners, which it closes, until ctx ends; then it
// returns nil when everything it began has ended. It returns an error when a
// listener fails. It may be called more than once, with other listeners.
func (s *Server) Serve(ctx context.Context, listeners ...*Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 2*len(listeners))
	var work sync.WaitGroup
	for _, l := range listeners {
		closed := context.AfterFunc(ctx, l.Close)
		defer closed()
		work.Go(func() {
			if err := s.serveUDP(ctx, l); err != nil {
				failed <- fmt.Errorf("cannot go on answering DNS over UDP on %s: %w", l.Addr(), err)
			}
		})
		work.Go(func() {
			if err := s.serveTCP(ctx, l); err != nil {
				failed <- fmt.Errorf("cannot go on answering DNS over TCP on %s: %w", l.Addr(), err)
			}
		})
	}
	var err error
	select {
	case err = <-failed:
		cancel()
	case <-ctx.Done():
	}
	work.Wait()
	for _, l := range listeners {
		l.Close()
	}
	return err
}
