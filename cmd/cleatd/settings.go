package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cleat/registry/dns"
	"cleat/registry/server"
)

// settings are what flags and environment say.
type settings struct {
	listen      string
	open        bool
	warming     *time.Duration // nil: as long as needed
	log         string
	logLevel    slog.Level
	maxSessions int
	name        string
	names       names
	version     bool
}

// defaultListen is reachable from this machine only.
const defaultListen = "127.0.0.1:9640"

const manual = `cleatd is the discovery server of cleat. Launchers (cleat run) tell it what their
containers offer and need; it tells them what they find, and when that changes.
It keeps everything in memory: after a restart the launchers tell it again.

Usage:

	cleatd [flags]

Without flags it listens on %s, for containers and people on this machine:

	cleatd &
	CLEAT_SERVER=http://127.0.0.1:9640 cleat run -- my-service
	curl http://127.0.0.1:9640/api/v1/services

To serve other machines, listen on an address that they reach, on a network that
you trust:

	cleatd -listen 0.0.0.0:9640 -open

Flags, each of which is also a variable of the environment (-max-sessions is
CLEATD_MAX_SESSIONS); a flag wins over its variable:

`

// errHelp says that the manual was asked for, and printed.
var errHelp = errors.New("help")

// parse reads flags and environment. The error joins everything that is wrong.
func parse(args, environ []string, stdout io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("cleatd", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	listen := flags.String("listen", defaultListen, "`address` (host:port) to listen on")
	flags.BoolVar(&s.open, "open", false, "serve other machines, without authentication: allow -listen on other\naddresses than loopback, and requests for any host name")
	warming := flags.String("warming", "", "the least `duration` after a start, such as 30s, for which nothing is concluded\nfrom what is missing, when launchers come back that knew an earlier server;\n0 turns it off (default: as long as they may need to come back, 14s)")
	flags.StringVar(&s.log, "log", "text", "`format` of the log on stderr: text or json")
	level := flags.String("log-level", "info", "least `level` that is logged: debug, info, warn or error")
	flags.IntVar(&s.maxSessions, "max-sessions", server.DefaultMaxSessions, "the largest `number` of launchers connected at the same time")
	flags.StringVar(&s.name, "name", "", "the server's `name` in its welcome to launchers (default: the host's)")
	answer := flags.String("dns", defaultDNS, "`addresses` (host:port, with commas between them) to answer DNS on, over UDP\nand TCP; empty or off: none")
	domain := flags.String("domain", dns.DefaultDomain, "the `name` below which DNS has the services: mysql.prod.cleat.")
	upstreams := flags.String("dns-upstream", "", "`resolvers` (addresses, with commas between them) that get DNS queries for other\nnames (default: such queries are refused)")
	flags.BoolVar(&s.version, "version", false, "print the version and exit")

	var errs []error
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stdout, manual, defaultListen)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return settings{}, errHelp
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("%w; cleatd -help lists the flags", err))
	}
	for _, arg := range flags.Args() {
		errs = append(errs, fmt.Errorf("there is no argument %q; cleatd takes flags only", arg))
	}
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	variables, err := ownVariables(environ, flags)
	if err != nil {
		errs = append(errs, err)
	}
	source := make(map[string]string) // of each value, for errors
	flags.VisitAll(func(f *flag.Flag) {
		source[f.Name] = "-" + f.Name
		variable := variableOf(f.Name)
		value := variables[variable]
		if given[f.Name] || value == "" {
			return
		}
		source[f.Name] = variable
		old := f.Value.String()
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s is %q: %w", variable, value, err))
			_ = flags.Set(f.Name, old) // was good
		}
	})

	s.listen = *listen
	bad := func(name, value, expected string) {
		errs = append(errs, fmt.Errorf("%s is %q; expected %s", source[name], value, expected))
	}
	if *warming != "" {
		d, err := time.ParseDuration(*warming)
		if err != nil || d < 0 {
			bad("warming", *warming, "a duration such as 30s, or 0")
		}
		s.warming = &d
	}
	if s.log != "text" && s.log != "json" {
		bad("log", s.log, "text or json")
	}
	if err := s.logLevel.UnmarshalText([]byte(*level)); err != nil {
		bad("log-level", *level, "debug, info, warn or error")
	}
	if s.maxSessions <= 0 {
		bad("max-sessions", fmt.Sprint(s.maxSessions), "a number above 0")
	}
	s.names = parseNames(*answer, *domain, *upstreams, s.open, func(name, value string, err error) {
		errs = append(errs, fmt.Errorf("%s is %q: %w", source[name], value, err))
	})
	s.names.asked = given["dns"] || variables[variableOf("dns")] != ""
	if err := checkListen(s.listen, s.open); err != nil {
		errs = append(errs, fmt.Errorf("%s is %q: %w", source["listen"], s.listen, err))
	}
	return s, errors.Join(errs...)
}

// prefix begins the names of all variables that are meant for cleatd.
const prefix = "CLEATD_"

// variableOf returns the variable that says the same as a flag.
func variableOf(flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// ownVariables returns what the environment says to cleatd. One that is misspelt
// is an error, but not those that Kubernetes makes for a service of that name.
func ownVariables(environ []string, flags *flag.FlagSet) (map[string]string, error) {
	known := make(map[string]bool)
	flags.VisitAll(func(f *flag.Flag) {
		if f.Name != "version" {
			known[variableOf(f.Name)] = true
		}
	})
	variables := make(map[string]string)
	var errs []error
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case !strings.HasPrefix(name, prefix):
		case known[name]:
			variables[name] = value
		case strings.HasPrefix(name, prefix+"SERVICE_"), strings.HasPrefix(name, prefix+"PORT"):
		default:
			errs = append(errs, fmt.Errorf("cleatd knows no variable %s; expected one of %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
		}
	}
	return variables, errors.Join(errs...)
}

// checkListen makes sure that nobody serves a network by accident.
func checkListen(address string, open bool) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%w; expected host:port, such as %s", err, defaultListen)
	}
	if _, err := net.LookupPort("tcp", cmp.Or(port, "no port")); err != nil {
		return fmt.Errorf("the port is %q; expected a number up to 65535", port)
	}
	if open || host == "localhost" {
		return nil
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Unmap().IsLoopback() {
		return nil
	}
	return errors.New("other machines could reach it, and nothing would ask them who they are; add -open if you trust that network, or listen on 127.0.0.1")
}
