package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"cleat/registry"
	"cleat/registry/client"
)

// askUsage is said after the usage line of each command that asks.
const askUsage = `
  -server URL,...    the discovery servers (default: CLEAT_SERVER)
  -namespace NAME    default: CLEAT_NAMESPACE, or else "default"
  -token TOKEN       default: CLEAT_TOKEN, or else what is in the file CLEAT_TOKEN_FILE
  -json              for scripts: %s

CLEAT_CA, CLEAT_CERT and CLEAT_KEY say how https servers are trusted. Exit codes: 0
found, 1 nothing found or failed, 2 wrong usage.
`

// asking is what is to be known about each command.
var asking = map[string]struct{ line, about, json string }{
	"services": {"services", "Lists the services of a namespace, and how many instances of each there are.", "one object, as /api/v1/services answers"},
	"resolve": {"resolve REQUIREMENT", `Prints host:port of every endpoint that a requirement finds now, such as web, or
'mysql?tag=primary&zone=eu-1', one on a line, the oldest first. Parameters that say
what a launcher makes of its view are passed over, but min=: with fewer endpoints than
that, the exit code is 1.`, "one object, with all that is known of each endpoint"},
	"graph": {"graph", `Prints who requires whom, in the namespace and around it: what is unmet, what would
break with what, and cycles. -all is for all namespaces; -dot is for Graphviz, and
-svg a picture that the server draws.`, "one object, as /api/v1/graph answers"},
	"watch": {"watch SERVICE", `Prints what a service, or any requirement such as 'web?tag=blue', consists of, and
then every change of it with its cause, until Ctrl-C (exit code 0). It stays while
servers come and go.`, "one object on a line for each event"},
}

// ask is one of the commands that ask a server.
type ask struct {
	out, errs io.Writer
	getenv    func(string) string

	api       client.Config
	namespace string
	json      bool
	drawn     string // the format of a graph that the server draws; empty: none
}

// errUsage: the command line is wrong, which has been said.
var errUsage = errors.New("wrong usage")

func (a ask) command(name string, args []string) int {
	rest, err := a.parse(name, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitFound
	case errors.Is(err, errUsage):
		return exitUsage
	case err != nil:
		return a.fail(name, exitUsage, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch name {
	case "services":
		return a.services(ctx)
	case "resolve":
		return a.resolve(ctx, rest)
	case "graph":
		return a.graph(ctx)
	default:
		return a.watch(ctx, rest)
	}
}

// parse reads the flags, wherever they stand, and returns the argument that is
// no flag; empty for services and graph, which take none.
func (a *ask) parse(name string, args []string) (string, error) {
	about := asking[name]
	flags := flag.NewFlagSet("cleat "+name, flag.ContinueOnError)
	flags.SetOutput(a.errs)
	flags.Usage = func() {
		fmt.Fprintf(a.errs, "usage: cleat %s [FLAG...]\n\n%s\n"+askUsage, about.line, about.about, about.json)
	}
	servers := flags.String("server", a.getenv("CLEAT_SERVER"), "")
	namespace := flags.String("namespace", a.getenv("CLEAT_NAMESPACE"), "")
	token := flags.String("token", "", "")
	flags.BoolVar(&a.json, "json", false, "")
	all := false
	if name == "graph" {
		flags.BoolVar(&all, "all", false, "")
		for _, format := range []string{"dot", "svg"} {
			flags.BoolFunc(format, "", func(string) error { a.drawn = format; return nil })
		}
	}
	var words []string
	for {
		if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			return "", err
		} else if err != nil {
			return "", errUsage // flag has said what is wrong
		}
		if flags.NArg() == 0 {
			break
		}
		words, args = append(words, flags.Arg(0)), flags.Args()[1:]
	}
	if want := strings.Count(about.line, " "); len(words) != want {
		flags.Usage()
		return "", errUsage
	}
	a.namespace = strings.ToLower(*namespace)
	if a.namespace == "" {
		a.namespace = registry.DefaultNamespace
	}
	if err := registry.CheckNamespace(a.namespace); err != nil {
		return "", err
	}
	if all {
		a.namespace = ""
	}
	if err := a.connect(*servers, *token); err != nil {
		return "", err
	}
	return strings.Join(words, ""), nil
}

// connect says how the servers are reached.
func (a *ask) connect(servers, token string) error {
	for server := range strings.SplitSeq(servers, ",") {
		if server = strings.TrimSpace(server); server != "" {
			a.api.Servers = append(a.api.Servers, server)
		}
	}
	if len(a.api.Servers) == 0 {
		return errors.New("there is no server to ask; set CLEAT_SERVER, or say -server http://host:9640")
	}
	if token == "" {
		token = a.getenv("CLEAT_TOKEN")
	}
	var err error
	a.api.Token, err = tokenOf(token, a.getenv("CLEAT_TOKEN_FILE"), func(err error) {
		fmt.Fprintf(a.errs, "cleat: CLEAT_TOKEN_FILE: %v\n", err)
	})
	if err != nil {
		return err
	}
	a.api.TLS, err = newTLS(a.getenv("CLEAT_CA"), a.getenv("CLEAT_CERT"), a.getenv("CLEAT_KEY"))
	return err
}

func (a *ask) services(ctx context.Context) int {
	list, err := client.NewAPI(a.api).Services(ctx, a.namespace)
	if err != nil {
		return a.fail("services", exitNothing, err)
	}
	a.warn(list.Warming)
	if a.json {
		return a.print(list, len(list.Services) > 0)
	}
	if len(list.Services) == 0 {
		fmt.Fprintf(a.errs, "cleat: there is no service in the namespace %s\n", a.namespace)
		return exitNothing
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tINSTANCES\tSTATUS")
	for _, s := range list.Services {
		n := 0
		var parts []string
		for _, status := range statuses {
			if count := s.Instances[status]; count > 0 {
				n += count
				parts = append(parts, fmt.Sprint(count, " ", status))
			}
		}
		if s.Held > 0 {
			parts = append(parts, fmt.Sprint(s.Held, " of them held"))
		}
		fmt.Fprintf(w, "%s\t%d\t%s\n", s.Service, n, strings.Join(parts, ", "))
	}
	if err := w.Flush(); err != nil {
		return a.fail("services", exitNothing, err)
	}
	return exitFound
}

// statuses are in the order in which people look for them.
var statuses = []registry.Status{
	registry.Passing, registry.Warning, registry.Critical, registry.Starting, registry.Draining, registry.Maintenance,
}

func (a *ask) resolve(ctx context.Context, text string) int {
	filter, least, err := parseRequirement(text, a.namespace)
	if err != nil {
		return a.fail("resolve", exitUsage, err)
	}
	detail, err := client.NewAPI(a.api).Service(ctx, filter)
	if problem, ok := errors.AsType[*client.ProblemError](err); ok && problem.Status == 404 {
		err, detail = nil, registry.ServiceDetail{Service: filter.Service, Namespace: filter.Namespace}
	}
	if err != nil {
		return a.fail("resolve", exitNothing, err)
	}
	detail.Instances = slices.DeleteFunc(detail.Instances, func(h registry.HeldInstance) bool {
		return !filter.Match(registry.Instance{
			ID: h.ID, Service: filter.Service, Namespace: filter.Namespace, Address: h.Address, Port: h.Port, Protocol: h.Protocol,
			Tags: slices.Sorted(slices.Values(h.Tags)), Attributes: h.Attributes, Zone: h.Zone, Status: h.Status,
		})
	})
	enough := len(detail.Instances) >= least
	a.warn(detail.Warming && !enough)
	if a.json {
		if detail.Instances == nil {
			detail.Instances = []registry.HeldInstance{}
		}
		return a.print(detail, enough)
	}
	for _, h := range detail.Instances {
		if _, err := fmt.Fprintln(a.out, registry.Endpoint{Address: h.Address, Port: h.Port}.Addr()); err != nil {
			return a.fail("resolve", exitNothing, err)
		}
	}
	if !enough {
		fmt.Fprintf(a.errs, "cleat: %d of at least %d found for %s\n", len(detail.Instances), least, filter)
		return exitNothing
	}
	return exitFound
}

// launchers are the parameters of a requirement that say what a launcher makes
// of its view; the filter knows nothing of them.
var launchers = []string{"min", "prefer", "limit", "wait", "optional", "fallback", "on-loss"}

// parseRequirement reads a requirement as CLEAT_REQUIRE_ variables hold it. least
// is its min, or 1.
func parseRequirement(text, namespace string) (filter registry.Filter, least int, err error) {
	service, query, _ := strings.Cut(text, "?")
	if strings.EqualFold(service, "self") {
		return filter, 0, errors.New("self is the service of the container that says it; name the service here")
	}
	filter, err = registry.ParseFilter(text, namespace, func(key string) bool { return slices.Contains(launchers, key) })
	if err != nil {
		return filter, 0, fmt.Errorf("the requirement %q cannot be used: %w", text, err)
	}
	values, _ := url.ParseQuery(query) // which ParseFilter has checked
	least = 1
	if values.Has("min") {
		if least, err = strconv.Atoi(values.Get("min")); err != nil || least < 1 || len(values["min"]) > 1 {
			return filter, 0, fmt.Errorf("the requirement %q cannot be used: min= is not one number from 1", text)
		}
	}
	return filter, least, nil
}

// warn says that less than everything may be known.
func (a *ask) warn(warming bool) {
	if warming {
		fmt.Fprintln(a.errs, "cleat: the server has just started and is still warming: what is missing may yet come")
	}
}

// print writes one JSON object on a line.
func (a *ask) print(v any, found bool) int {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil || !found {
		return exitNothing
	}
	return exitFound
}

func (a *ask) fail(name string, code int, err error) int {
	for _, e := range flatten(err) {
		fmt.Fprintf(a.errs, "cleat %s: %v\n", name, e)
	}
	return code
}

// keys returns the keys of a map, sorted.
func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
