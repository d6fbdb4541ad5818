package settings

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"cleat/launcher/health"
	"cleat/registry"
)

// checkPrefix is what the keys about checks begin with. None of them is ever an
// attribute.
const checkPrefix = "check_"

const (
	// maxThreshold bounds rise and fall: more would be a matter of hours.
	maxThreshold = 100
	// maxMethod is the length of a method in bytes.
	maxMethod = 16
	// maxGRPCService is the length of a gRPC service's name in bytes.
	maxGRPCService = 255
)

// The ranges of what checks may take.
var (
	// intervalSpan: more often is a load, not a check.
	intervalSpan = span{100 * time.Millisecond, 24 * time.Hour}
	// timeoutSpan: the least is what an answer over loopback may take.
	timeoutSpan = span{10 * time.Millisecond, time.Hour}
	// ttlSpan: a child that reports more often than each second has nothing to say.
	ttlSpan = span{time.Second, 24 * time.Hour}
	// deregisterSpan: a month is for ever.
	deregisterSpan = span{time.Second, 30 * 24 * time.Hour}
)

// checks makes the checks of all offers. general are the statements of no port.
func (p *parser) checks(general said, ports map[port]said) {
	used := make(map[string]bool) // variables
	p.s.Defaults.Check = p.check(nil, general, registry.TCP, used)
	for i := range p.s.Offers {
		o := &p.s.Offers[i]
		own := ports[port{o.Port, o.Protocol}]
		if o.Ignore {
			for _, s := range own {
				used[s.variable] = true // or it would be warned about
			}
			continue
		}
		o.Check = p.check(own, general, o.Protocol, used)
	}
	unused := make(map[string]string) // key by variable
	for _, about := range append(slices.Collect(maps.Values(ports)), general) {
		for key, s := range about {
			if strings.HasPrefix(key, checkPrefix) && !used[s.variable] {
				unused[s.variable] = key
			}
		}
	}
	for _, variable := range slices.Sorted(maps.Keys(unused)) {
		p.warnUnused(unused[variable], variable)
	}
}

// check makes the check of one port, or nil. What is said of the port beats what
// is said of all of them: a check of its own is the only one that is looked at.
func (p *parser) check(own, general said, protocol registry.Protocol, used map[string]bool) *health.Check {
	merged := maps.Clone(general)
	if merged == nil {
		merged = make(said)
	}
	asksItself := slices.ContainsFunc(checkVariables, func(v checkVariable) bool { return v.asks(own) })
	for _, v := range checkVariables {
		s, said := own[v.key]
		switch {
		case said:
			merged[v.key] = s
		case v.kind != "" && (asksItself || protocol == registry.UDP && byTCP(v.kind)):
			delete(merged, v.key)
		}
		if s, said := merged[v.key]; said && v.kind != "" && !v.asks(merged) {
			used[s.variable] = true // it says that there is none
		}
	}
	at := slices.IndexFunc(checkVariables, func(v checkVariable) bool { return v.asks(merged) })
	if at < 0 {
		return nil
	}
	c := &health.Check{Kind: checkVariables[at].kind, Interval: health.DefaultInterval, Timeout: health.DefaultTimeout, Rise: 1, Fall: 1}
	ok := true
	for i, v := range checkVariables {
		s, said := merged[v.key]
		if !said || v.kind != "" && i != at || v.of != nil && !v.of(c) {
			continue
		}
		used[s.variable], used[general[v.key].variable] = true, true // what is overridden has its use elsewhere
		if v.set == nil {
			continue
		}
		if bad := v.set(c, s.value); bad != nil {
			p.failOnce(s, bad)
			ok = false
		}
	}
	if !ok {
		return nil
	}
	return c
}

// asks reports whether the statements ask for this check.
func (v checkVariable) asks(about said) bool {
	s, said := about[v.key]
	if v.kind == "" || !said {
		return false
	}
	if v.set == nil {
		// A switch. Registrator takes any value for yes.
		on, bad := parseBool(s.value)
		return on || bad != nil
	}
	return true
}

// failOnce notes what is wrong with a variable that several ports may use.
func (p *parser) failOnce(s statement, bad *Error) {
	if !slices.ContainsFunc(p.errs, func(err error) bool {
		e, ok := err.(*Error)
		return ok && e.Variable == printable(shorten(s.variable))
	}) {
		p.fail(s.variable, maskCommand(s.value), bad)
	}
}

// warnUnused says that a variable about checks changes nothing.
func (p *parser) warnUnused(key, variable string) {
	var keys []string
	for _, v := range checkVariables {
		if v.key == key {
			p.warn(shorten(variable) + " does nothing: no check uses it")
			return
		}
		keys = append(keys, v.key)
	}
	text := shorten(variable) + " does nothing: there is no such setting of a check"
	if meant := nearest(key, keys); meant != "" {
		text += "; did you mean ..." + strings.ToUpper(meant) + "?"
	}
	p.warn(text)
}

// byTCP reports whether a check needs a TCP port.
func byTCP(kind health.Kind) bool {
	return kind == health.HTTP || kind == health.HTTPS || kind == health.TCP || kind == health.GRPC
}

// isRun reports whether a check is run, and not reported.
func isRun(c *health.Check) bool { return c.Kind != health.TTL }

func isKind(kind health.Kind) func(c *health.Check) bool {
	return func(c *health.Check) bool { return c.Kind == kind }
}

func usesTLS(c *health.Check) bool { return c.Kind == health.HTTPS || c.TLS }

// put parses a duration into its place.
func (s span) put(place *time.Duration, text string) *Error {
	d, bad := s.parse(text)
	*place = d
	return bad
}

// put parses a switch into its place.
func put(place *bool, text string) *Error {
	b, bad := parseBool(text)
	*place = b
	return bad
}

func putThreshold(place *int, text string) *Error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxThreshold {
		return wrong("this is not such a number", fmt.Sprintf("a number from 1 to %d", maxThreshold), "")
	}
	*place = n
	return nil
}

func setPath(c *health.Check, text string) *Error {
	const expected = "a path that begins with '/', such as /health"
	switch u, err := url.Parse("http://localhost" + text); {
	case !strings.HasPrefix(text, "/"):
		hint := ""
		if strings.Contains(text, "://") {
			hint = "the address is the one that the child listens on"
		}
		return wrong("this is not a path", expected, hint)
	case len(text) > maxPath:
		return wrong("the path is too long", "at most "+strconv.Itoa(maxPath)+" bytes", "")
	case err != nil || u.Host != "localhost" || strings.ContainsFunc(text, unfit):
		// Not the error: it quotes the text.
		return wrong("this cannot stand in a URL", expected, "write %20 for a space, and %25 for '%'")
	case strings.Contains(text, "#"):
		return wrong("a server is never sent what follows a '#'", expected, "leave it out, or write %23")
	}
	c.Path = text
	return nil
}

// unfit reports whether a character cannot stand in a request.
func unfit(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// method is what a method may be made of.
var method = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z]{1,` + strconv.Itoa(maxMethod) + `}$`) })

func setMethod(c *health.Check, text string) *Error {
	name := strings.ToUpper(text)
	if !method().MatchString(text) || name == "CONNECT" {
		return wrong("this is no method for a check", fmt.Sprintf("at most %d letters", maxMethod), "such as GET or HEAD")
	}
	c.Method = name
	return nil
}

func setScript(c *health.Check, text string) *Error {
	switch {
	case len(text) > maxCommand:
		return wrong("the script is too long", "at most "+strconv.Itoa(maxCommand)+" bytes", "put it into a file")
	case strings.TrimSpace(text) == "":
		return wrong("the script is empty", "", "")
	}
	c.Command = text
	return nil
}

func setGRPCService(c *health.Check, text string) *Error {
	if len(text) > maxGRPCService || strings.ContainsFunc(text, unfit) || printable(text) != text {
		return wrong("this is no name of a service", fmt.Sprintf("at most %d bytes without spaces", maxGRPCService), "such as shop.v1.Cart")
	}
	c.Service = text
	return nil
}

func setInitial(c *health.Check, text string) *Error {
	switch s := registry.Status(text); s {
	case registry.Passing, registry.Warning, registry.Critical:
		c.Initial = s
		return nil
	}
	return choice(text, string(registry.Passing), string(registry.Warning), string(registry.Critical))
}

// checkDetails tells how a port is checked, without secrets.
func checkDetails(c *health.Check) string {
	if c == nil {
		return ""
	}
	parts := []string{"checked by " + maskCommand(c.What())}
	if c.Kind == health.TTL {
		parts = append(parts, "at least every "+duration(c.TTL))
	} else {
		parts = append(parts, "every "+duration(c.Interval), "for at most "+duration(c.Timeout))
	}
	if c.ServerName != "" {
		parts = append(parts, "for "+c.ServerName)
	}
	if c.SkipVerify {
		parts = append(parts, "with any certificate")
	}
	if c.Rise > 1 {
		parts = append(parts, fmt.Sprintf("up after %d", c.Rise))
	}
	if c.Fall > 1 {
		parts = append(parts, fmt.Sprintf("down after %d", c.Fall))
	}
	if c.Initial != "" {
		parts = append(parts, "at first "+string(c.Initial))
	}
	if c.DeregisterAfter > 0 {
		parts = append(parts, "withdrawn after "+duration(c.DeregisterAfter))
	}
	return strings.Join(parts, ", ")
}
