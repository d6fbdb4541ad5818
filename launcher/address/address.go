package address

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// kind is the kind of a spec.
type kind int

const (
	route kind = iota + 1
	ofInterface
	inNetwork
	ofFamily
	static
	fromEnv
	docker
)

// family is a family of addresses.
type family int

const (
	any family = iota
	inet
	inet6
)

// has reports whether an address is of the family.
func (f family) has(addr netip.Addr) bool {
	return f == any || addr.Is4() == (f == inet)
}

// Spec is one way to find the address to advertise (CLEAT_ADVERTISE).
type Spec struct {
	text   string
	kind   kind
	name   string       // of the interface, or of the variable
	family family       // of an interface's address, or of any
	index  int          // among all addresses of the interface; -1: the first of the family
	prefix netip.Prefix // the network
	addr   netip.Addr   // the static address
	host   *Spec        // the host's address, of published ports; nil: it is found out
}

// String returns the spec as it was written.
func (s Spec) String() string { return s.text }

const (
	// maxSpecs is how many specs a list may have.
	maxSpecs = 32
	// maxInterfaceName is the kernel's limit in bytes (IFNAMSIZ, less its end).
	maxInterfaceName = 15
	// maxIndex is the highest index into an interface's addresses.
	maxIndex = 999
)

var errNoSuchSpec = errors.New("this is no such spec")

const wanted = "expected route, an interface (eth0, eth0:inet6, eth0[1]), a network (10.0.0.0/8), inet, inet6, static:ADDRESS, env:NAME or docker"

var (
	// indexed is an interface and an index.
	indexed = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(.*)\[([0-9]*)\]$`) })
	// variable is the name of an environment variable.
	variable = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) })
)

// ParseSpecs parses a comma-separated list of specs. The error names each
// one that is wrong, and why.
func ParseSpecs(text string) ([]Spec, error) {
	var specs []Spec
	var errs []error
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		spec, err := parseSpec(item)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", quote(item), err))
		}
		specs = append(specs, spec)
	}
	switch {
	case len(specs) == 0:
		return nil, fmt.Errorf("the list has nothing in it; %s", wanted)
	case len(specs) > maxSpecs:
		return nil, fmt.Errorf("the list has %d specs; at most %d are allowed", len(specs), maxSpecs)
	case len(errs) > 0:
		return nil, errors.Join(errs...)
	}
	return specs, nil
}

// ParseNetwork parses the one spec of a network that must be up: an interface,
// a network, or a family.
func ParseNetwork(text string) (Spec, error) {
	const wanted = "expected an interface (eth0, eth0:inet6, eth0[1]), a network (10.0.0.0/8), inet or inet6"
	s, err := parseSpec(text)
	addr, isAddr := netip.ParseAddr(strings.TrimPrefix(text, "static:"))
	switch {
	case strings.Contains(text, ","):
		return Spec{}, errors.New("this is a list; " + wanted)
	case isAddr == nil:
		return Spec{}, fmt.Errorf("an address is no network; write %s/%d", addr.Unmap(), addr.Unmap().BitLen())
	case errors.Is(err, errNoSuchSpec):
		return Spec{}, fmt.Errorf("%w; %s", errNoSuchSpec, wanted)
	case err == nil && (s.kind == route || s.kind == fromEnv || s.kind == docker):
		return Spec{}, errors.New("this says where to advertise, and names no network; " + wanted)
	case err != nil:
		return Spec{}, err
	}
	return s, nil
}

func parseSpec(text string) (Spec, error) {
	s := Spec{text: text, index: -1}
	switch text {
	case "route":
		s.kind = route
		return s, nil
	case "inet":
		s.kind, s.family = ofFamily, inet
		return s, nil
	case "inet6":
		s.kind, s.family = ofFamily, inet6
		return s, nil
	case "docker":
		s.kind = docker
		return s, nil
	}
	if rest, ok := strings.CutPrefix(text, "docker:"); ok {
		return parseDocker(s, rest)
	}
	if rest, ok := strings.CutPrefix(text, "static:"); ok {
		addr, err := parseAddr(rest)
		s.kind, s.addr = static, addr
		return s, err
	}
	if rest, ok := strings.CutPrefix(text, "env:"); ok {
		if !variable().MatchString(rest) {
			return Spec{}, errors.New("env: needs the name of a variable, such as env:HOST_IP")
		}
		s.kind, s.name = fromEnv, rest
		return s, nil
	}
	if strings.Contains(text, "/") {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix.Addr().Is4In6() {
			return Spec{}, errors.New("this is not a network, such as 10.0.0.0/8 or fd00::/8")
		}
		s.kind, s.prefix = inNetwork, prefix.Masked()
		return s, nil
	}
	return parseInterface(s, text)
}

// parseDocker parses what follows docker: the host's address.
func parseDocker(s Spec, text string) (Spec, error) {
	host, err := parseSpec(text)
	switch {
	case err == nil && host.kind != static && host.kind != fromEnv:
		err = errors.New("after docker: the host's address is expected, as static:ADDRESS or env:NAME")
	case err == nil:
		s.kind, s.host = docker, &host
	}
	return s, err
}

// parseInterface parses eth0, eth0:inet6 or eth0[1].
func parseInterface(s Spec, text string) (Spec, error) {
	s.kind, s.name, s.family = ofInterface, text, inet
	if name, ok := strings.CutSuffix(text, ":inet6"); ok {
		s.name, s.family = name, inet6
	} else if name, ok := strings.CutSuffix(text, ":inet"); ok {
		s.name = name
	} else if parts := indexed().FindStringSubmatch(text); parts != nil {
		n, err := strconv.Atoi(parts[2])
		if err != nil || n > maxIndex {
			return Spec{}, fmt.Errorf("the index is not a number from 0 to %d", maxIndex)
		}
		s.name, s.family, s.index = parts[1], any, n
	}
	if _, err := netip.ParseAddr(s.name); err == nil {
		return Spec{}, fmt.Errorf("this is an address; write static:%s", s.name)
	}
	if !isInterfaceName(s.name) {
		return Spec{}, fmt.Errorf("%w; %s", errNoSuchSpec, wanted)
	}
	return s, nil
}

// isInterfaceName reports whether the kernel could have an interface of that
// name. A colon is left to what follows the name, and brackets to an index.
func isInterfaceName(name string) bool {
	if name == "" || len(name) > maxInterfaceName || name == "." || name == ".." {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' || strings.IndexByte("/:[],", c) >= 0 {
			return false
		}
	}
	return true
}

// parseAddr parses an address that others could use.
func parseAddr(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return netip.Addr{}, errors.New("this is not an IP address")
	case addr.Zone() != "":
		return netip.Addr{}, errors.New("the address has a zone, which means nothing on another host")
	case addr.IsUnspecified():
		return netip.Addr{}, errors.New("nobody could connect to the unspecified address")
	case addr.IsMulticast():
		return netip.Addr{}, errors.New("nobody could connect to a multicast address")
	}
	return addr.Unmap(), nil
}

// maxQuoted is how many bytes of a text an error shows.
const maxQuoted = 80

func quote(text string) string {
	if len(text) > maxQuoted {
		return fmt.Sprintf("%q...", text[:maxQuoted])
	}
	return fmt.Sprintf("%q", text)
}
