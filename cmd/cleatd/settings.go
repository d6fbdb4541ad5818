package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"cleat/registry/access"
	"cleat/registry/dns"
	"cleat/registry/server"
)

// settings are what flags and environment say.
type settings struct {
	listen      string
	open        bool
	tokens      string // the file; empty: none
	tls         access.CertificateFiles
	data        string // directory; empty: nothing is kept
	engine      string
	warming     *time.Duration // nil: as long as needed
	shutdown    time.Duration
	log         string
	logLevel    slog.Level
	maxSessions int
	name        string
	answer      string // addresses for DNS
	domain      string
	upstreams   string
	names       names
	version     bool
}

// defaultListen is reachable from this machine only.
const defaultListen = "127.0.0.1:9640"

// defaultEngine is the process's own memory.
const defaultEngine = "memory:"

// versionFlag has no variable.
const versionFlag = "version"

// maxShutdown bounds how long launchers may be given to move: whoever stops the
// server waits that long.
const maxShutdown = 5 * time.Minute

// groups are all settings.
func (s *settings) groups() []group {
	return []group{
		{"Where it is reached", []option{
			{"listen", "ADDRESS", defaultListen, "host:port for launchers, people and programs. Another than\nloopback needs -tokens or -open", text(&s.listen)},
			{"dns", "ADDRESSES", defaultDNS, "host:port to answer DNS on, over UDP and TCP, with commas\nbetween them; off: none", text(&s.answer)},
			{"domain", "NAME", dns.DefaultDomain, "below which DNS has the services: mysql.prod.cleat.", text(&s.domain)},
			{"dns-upstream", "ADDRESSES", "", "resolvers that get DNS queries for other names; none: such\nqueries are refused", text(&s.upstreams)},
		}},
		{"Who may reach it", []option{
			{"tokens", "FILE", "", "who may do what: cleatd token new adds to it. It is watched", text(&s.tokens)},
			{"open", "", "", "ask nobody who they are, and serve other machines: whoever\nreaches it may do everything", toggle(&s.open)},
			{"cert", "FILE", "", "the server's certificate, as PEM: only TLS is spoken then", text(&s.tls.Cert)},
			{"key", "FILE", "", "its key", text(&s.tls.Key)},
			{"client-ca", "FILE", "", "who signs the clients' certificates: only clients that have\none are let in", text(&s.tls.ClientCA)},
		}},
		{"What it keeps", []option{
			{"data", "DIR", "", "keep on this disk what must outlive the server: instances\nwithout a launcher, maintenance, what was there last\n(default in memory only)", text(&s.data)},
			{"engine", "URL", defaultEngine, "where the registry is: memory: is in this process", oneOf(&s.engine, defaultEngine)},
		}},
		{"How it runs", []option{
			{"name", "NAME", "", "what it calls itself to launchers (default the host's name)", text(&s.name)},
			{"max-sessions", "NUMBER", strconv.Itoa(server.DefaultMaxSessions), "launchers connected at the same time, at most", s.parseMaxSessions},
			{"warming", "DURATION", "", "after a start, conclude nothing from what is missing for at\nleast so long, when launchers come back; 0: never wait\n(default as long as they may need, 14s)", s.parseWarming},
			{"shutdown", "DURATION", "0s", "at the end, let launchers move to another server of their\nlist one by one, for so long", s.parseShutdown},
			{"log", "FORMAT", "text", "text or json, on stderr", oneOf(&s.log, "text", "json")},
			{"log-level", "LEVEL", "info", "debug, info, warn or error", s.parseLogLevel},
			{versionFlag, "", "", "print the version and exit", toggle(&s.version)},
		}},
	}
}

const manual = `cleatd is the discovery server of cleat. Launchers (cleat run) tell it what their
containers offer and need; it tells them what they find, and when that changes.

	cleatd [flags]
	cleatd token new|list|remove    make and take away tokens (cleatd token -help)

On this machine, for its containers and people, it needs nothing:

	cleatd &
	CLEAT_SERVER=http://127.0.0.1:9640 cleat run -- my-service
	cleat services
	dig -p 8600 @127.0.0.1 my-service.cleat

For other machines, with tokens and TLS (docs/security.md has it step by step):

	cleatd token new -tokens /etc/cleatd/tokens shop register prod
	cleatd -listen 0.0.0.0:9640 -tokens /etc/cleatd/tokens -cert srv.pem -key srv.key

On a network where you trust everybody:

	cleatd -listen 0.0.0.0:9640 -open

Each flag is also a variable of the environment: -max-sessions is
CLEATD_MAX_SESSIONS. A flag wins over its variable.
`

// parse reads flags and environment. The error joins everything that is wrong.
func parse(args, environ []string, stdout io.Writer) (settings, error) {
	var s settings
	groups := s.groups()
	rest, sources, err := read(groups, args, environ)
	if errors.Is(err, errHelp) {
		fmt.Fprint(stdout, manual)
		printOptions(stdout, groups)
		return settings{}, err
	}
	errs := []error{err}
	for _, arg := range rest {
		errs = append(errs, fmt.Errorf("there is no argument %q; cleatd takes flags, or token as its first word", arg))
	}
	bad := func(name, value string, err error) {
		errs = append(errs, fmt.Errorf("%s is %q: %w", cmp.Or(sources[name], "-"+name), value, err))
	}
	guarded := s.open || s.tokens != ""
	if err := checkListen(s.listen, guarded); err != nil {
		bad("listen", s.listen, err)
	}
	s.names = parseNames(s.answer, s.domain, s.upstreams, guarded, bad)
	s.names.asked = sources["dns"] != ""
	if s.open && s.tokens != "" {
		bad("open", "true", fmt.Errorf("%s says who may do what; expected one of the two", sources["tokens"]))
	}
	switch {
	case s.tls.Cert != "" && s.tls.Key == "":
		bad("cert", s.tls.Cert, errors.New("there is no -key; expected both or none"))
	case s.tls.Key != "" && s.tls.Cert == "":
		bad("key", s.tls.Key, errors.New("there is no -cert; expected both or none"))
	case s.tls.ClientCA != "" && s.tls.Cert == "":
		bad("client-ca", s.tls.ClientCA, errors.New("clients show certificates over TLS only; add -cert and -key"))
	}
	// Flattened, so that each is told on a line of its own.
	var flat []error
	for _, err := range errs {
		if err != nil {
			flat = append(flat, lines(err)...)
		}
	}
	return s, errors.Join(flat...)
}

func (s *settings) parseMaxSessions(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		return errors.New("expected a number above 0")
	}
	s.maxSessions = n
	return nil
}

func (s *settings) parseWarming(text string) error {
	if text == "" {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return errors.New("expected a duration such as 30s, or 0")
	}
	s.warming = &d
	return nil
}

func (s *settings) parseShutdown(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxShutdown {
		return fmt.Errorf("expected a duration such as 10s, at most %v", maxShutdown)
	}
	s.shutdown = d
	return nil
}

func (s *settings) parseLogLevel(text string) error {
	if err := s.logLevel.UnmarshalText([]byte(text)); err != nil {
		return errors.New("expected debug, info, warn or error")
	}
	return nil
}

// isLocal reports whether only this machine reaches an address.
func isLocal(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// checkListen makes sure that nobody serves a network by accident.
func checkListen(address string, guarded bool) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%w; expected host:port, such as %s", err, defaultListen)
	}
	if _, err := net.LookupPort("tcp", cmp.Or(port, "no port")); err != nil {
		return fmt.Errorf("the port is %q; expected a number up to 65535", port)
	}
	if guarded || isLocal(host) {
		return nil
	}
	return errors.New("other machines could reach it, and nothing would ask them who they are; add -tokens FILE (cleatd token new makes one), or -open if you trust everybody on that network, or listen on 127.0.0.1")
}
