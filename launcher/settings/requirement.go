package settings

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"cleat/registry"
)

// Requirement is a named need.
type Requirement struct {
	Alias      string
	Filter     registry.Filter
	Self       bool   // the container's own service
	Text       string // as written, for people; without secrets
	Min        int
	PreferZone bool
	Limit      int           // 0: all
	Wait       time.Duration // 0: for ever
	Optional   bool
	Fallback   []registry.Endpoint // ID is host:port
	OnLoss     OnLoss
}

// OnLoss is what happens when the server's view falls under min.
type OnLoss string

// What may happen.
const (
	Hold  OnLoss = "hold"
	Stop  OnLoss = "stop"
	Empty OnLoss = "empty"
)

const requirePrefix = "CLEAT_REQUIRE_"

const (
	// maxCount bounds min and limit: more endpoints fit into no view.
	maxCount = 50000
	// maxFallback is how many endpoints a fallback may name.
	maxFallback = 64
	// maxAlias is the length of an alias in bytes.
	maxAlias = 63
)

// reserved words mean something else in templates.
var reserved = []string{
	"self", "env", "file", "each", "if", "else", "end", "raw", "endraw", "not",
	"host", "port", "addr", "id", "zone", "tags", "attr",
}

// alias is what a variable's name can hold.
var alias = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z]([a-z0-9_]*[a-z0-9])?$`) })

// parameters are the launcher's own, which a filter does not know.
var parameters = []string{"min", "prefer", "limit", "wait", "optional", "fallback", "on-loss"}

// filterParameters are the filter's, for suggestions.
var filterParameters = []string{"ns", "tag", "zone", "attr."}

func isParameter(key string) bool { return slices.Contains(parameters, key) }

// requirements reads the CLEAT_REQUIRE_ variables.
func (p *parser) requirements() {
	by := make(map[string]string) // variable by alias
	for _, variable := range p.env.names(requirePrefix) {
		text := p.know(variable)
		name := strings.ToLower(strings.TrimPrefix(variable, requirePrefix))
		if text == "" {
			p.warn(shorten(variable) + " is empty: nothing is required")
			continue
		}
		if wrong := checkAlias(name); wrong != nil {
			p.fail(variable, text, wrong)
			continue
		}
		if other, twice := by[name]; twice {
			p.fail(variable, text, wrong("it has the same alias as "+other, "", "aliases are compared in lower case"))
			continue
		}
		by[name] = variable
		r := requirementText{p: p, variable: variable, text: text}
		if r.parse(name); len(r.errs) == 0 {
			p.s.Requirements = append(p.s.Requirements, r.r)
		}
		for _, e := range r.errs {
			p.fail(variable, text, e)
		}
	}
	all := p.s.Requirements
	sort.Slice(all, func(i, j int) bool { return all[i].Alias < all[j].Alias })
	if len(p.s.Requirements) > registry.MaxRequires {
		p.fail(requirePrefix, "", wrong(fmt.Sprintf("there are %d requirements", len(p.s.Requirements)), fmt.Sprintf("at most %d", registry.MaxRequires), ""))
	}
}

func checkAlias(name string) *Error {
	const expected = "a letter, then letters, digits and '_', not at the end"
	switch {
	case slices.Contains(reserved, name):
		return wrong(fmt.Sprintf("the alias %q is reserved: it means something else in templates", name), "", "choose another name, such as "+requirePrefix+strings.ToUpper(name)+"1")
	case name == "":
		return wrong("the alias is missing", requirePrefix+"<ALIAS>", "such as "+requirePrefix+"DB")
	case len(name) > maxAlias:
		return wrong("the alias is too long", fmt.Sprintf("at most %d bytes", maxAlias), "")
	case strings.Contains(name, "-") && alias().MatchString(strings.ReplaceAll(name, "-", "_")):
		return wrong("the alias has a '-' in it", expected, "write "+requirePrefix+strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
	case !alias().MatchString(name):
		return wrong(fmt.Sprintf("the alias %q cannot be used", shorten(name)), expected, "")
	}
	return nil
}

// requirementText is one requirement while it is parsed.
type requirementText struct {
	p        *parser
	variable string
	text     string
	values   url.Values
	errs     []*Error
	r        Requirement
}

func (t *requirementText) fail(problem, expected, hint string) {
	t.errs = append(t.errs, wrong(problem, expected, hint))
}

func (t *requirementText) parse(name string) {
	t.r = Requirement{Alias: name, Min: 1, OnLoss: Hold, Text: masked(t.text)}
	if strings.Contains(t.text, "://") {
		t.fail("this is a URL", "<service>[?filter]", "name the service, such as mysql?tag=primary; an address of its own goes into fallback=")
		return
	}
	service, query, _ := strings.Cut(t.text, "?")
	var err error
	if t.values, err = url.ParseQuery(query); err != nil {
		t.fail("what follows the '?' is not a URL query", "key=value&key=value", "write %3B for ';', %26 for '&', %25 for '%' and %2B for '+'")
		return
	}
	t.own()
	if strings.EqualFold(service, selfName) {
		t.ownService()
	} else {
		t.filter()
	}
	if t.r.Fallback == nil && len(t.errs) == 0 && !t.p.given("CLEAT_SERVER") {
		hint := "set CLEAT_SERVER"
		if !t.r.Self {
			hint += ", or say fallback=host:port"
		}
		t.fail("nothing can be found without a discovery server", "", hint)
	}
}

// get returns the value of a parameter that may be there once.
func (t *requirementText) get(key string) (string, bool) {
	values, ok := t.values[key]
	if len(values) > 1 {
		t.fail(key+"= is there more than once", "once", "")
	}
	if !ok {
		return "", false
	}
	return values[0], true
}

// own parses the parameters that are the launcher's own.
func (t *requirementText) own() {
	if text, ok := t.get("min"); ok {
		t.r.Min = t.count("min", text)
	}
	if text, ok := t.get("limit"); ok {
		t.r.Limit = t.count("limit", text)
	}
	if text, ok := t.get("prefer"); ok {
		switch {
		case text != "zone":
			t.fail("prefer= can only be zone", "prefer=zone", "")
		case t.p.s.Zone == "":
			// An image may well ask for it; where there are no zones it changes nothing.
			t.p.warn(shorten(t.variable) + ": prefer=zone does nothing without CLEAT_ZONE")
		default:
			t.r.PreferZone = true
		}
	}
	if text, ok := t.get("optional"); ok {
		b, bad := parseBool(text)
		if bad != nil {
			t.fail("optional= is neither true nor false", "optional=true", "")
		}
		t.r.Optional = b
	}
	if text, ok := t.get("wait"); ok {
		d, bad := waitSpan.parse(text)
		if bad != nil {
			t.fail("wait=: "+bad.Problem, bad.Expected, bad.Hint)
		} else if t.r.Optional {
			t.fail("wait= and optional=true exclude each other", "one of the two", "an optional requirement waits 1s at most")
		}
		t.r.Wait = d
	}
	if text, ok := t.get("on-loss"); ok {
		switch o := OnLoss(text); o {
		case Hold, Stop, Empty:
			t.r.OnLoss = o
		default:
			bad := choice(text, string(Hold), string(Stop), string(Empty))
			t.fail("on-loss=: "+bad.Problem, bad.Expected, bad.Hint)
		}
	}
	if text, ok := t.get("fallback"); ok {
		t.fallback(text)
		if t.values.Has("on-loss") {
			t.fail("fallback= and on-loss= exclude each other", "one of the two", "the fallback is used when the service is lost")
		}
	}
}

func (t *requirementText) count(key, text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxCount {
		hint := ""
		if key == "min" && n == 0 && err == nil {
			hint = "say optional=true where none will do"
		}
		t.fail(key+"= is not such a number", fmt.Sprintf("a number from 1 to %d", maxCount), hint)
	}
	return n
}

// fallback parses the endpoints to use when the service is not there.
func (t *requirementText) fallback(text string) {
	const expected = "fallback=host:port,..."
	for item := range strings.SplitSeq(text, ",") {
		host, digits, err := net.SplitHostPort(item)
		switch {
		case strings.Contains(item, "@"):
			t.fail("fallback=: an endpoint has a user in it", expected, "")
			return
		case err != nil && strings.Count(item, ":") > 1:
			t.fail("fallback=: an IPv6 address has no brackets", expected, "such as [2001:db8::1]:3306")
			return
		case err != nil:
			t.fail("fallback=: an endpoint has no port", expected, "such as db.example.org:3306")
			return
		case registry.CheckAddress(host) != nil:
			t.fail("fallback=: "+registry.CheckAddress(host).Error(), expected, "")
			return
		case !isPort(digits):
			t.fail("fallback=: the port is wrong", "a number from 1 to 65535", "")
			return
		}
		number, _ := strconv.ParseUint(digits, 10, 16)
		e := registry.Endpoint{Address: host, Port: uint16(number), Protocol: registry.TCP, Status: registry.Passing}
		e.ID = e.Addr()
		if !slices.ContainsFunc(t.r.Fallback, e.Equal) {
			t.r.Fallback = append(t.r.Fallback, e)
		}
	}
	if len(t.r.Fallback) > maxFallback {
		t.fail("fallback=: there are too many endpoints", fmt.Sprintf("at most %d", maxFallback), "")
	}
}

// filter parses the parameters that are the filter's.
func (t *requirementText) filter() {
	if t.values.Has(selfName) {
		t.fail("self= is no parameter", "", "the container's own service is required by the name self: self?service=<service>")
		return
	}
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if isParameter(key) || slices.Contains(filterParameters, key) || strings.HasPrefix(key, "attr.") {
			continue
		}
		hint := "expected ns, tag, attr.<name>, zone, " + strings.Join(parameters, ", ")
		if meant := nearest(key, slices.Concat(parameters, filterParameters)); meant != "" {
			hint = "did you mean " + meant + "?"
		}
		t.fail(fmt.Sprintf("there is no parameter %q", shorten(key)), "", hint)
		t.values.Del(key)
	}
	service, _, _ := strings.Cut(t.text, "?")
	f, err := registry.ParseFilter(service+"?"+t.values.Encode(), t.p.s.Namespace, isParameter)
	if err != nil {
		t.failFilter(err)
	}
	t.r.Filter = f
}

// failFilter notes what the registry says of a filter; it quotes values.
func (t *requirementText) failFilter(err error) {
	if holdsSecret(t.text) {
		t.fail("the filter is wrong", "", "how is not shown, because it holds a secret")
		return
	}
	t.fail(flatten(err), "", "")
}
