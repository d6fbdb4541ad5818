package settings

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"cleat/launcher/health"
	"cleat/registry"
)

// Offer is a port that the container offers, as declared.
type Offer struct {
	Port       uint16 // that the child listens on; 0 in Defaults
	Protocol   registry.Protocol
	Service    string // its name; empty in Defaults when SERVICE_NAME is absent, and where the port is ignored
	ID         string // of the instance, SERVICE_ID; empty: <CLEAT_ID>:<port>[:udp]
	Tags       []string
	Attributes map[string]string
	Ignore     bool
	// AdvertiseHost and AdvertisePort are what others must use instead; empty and 0: the same.
	AdvertiseHost string
	AdvertisePort uint16
	// Check is how it is found out whether the port can be used, beside that it
	// is listened on; nil: not at all. Nobody changes it.
	Check *health.Check
}

// InstanceID returns the id of an instance that names none itself: the
// launcher's, the port, and the protocol unless it is TCP.
func InstanceID(launcher string, port uint16, protocol registry.Protocol) string {
	id := launcher + ":" + strconv.Itoa(int(port))
	if protocol == registry.UDP {
		id += ":udp"
	}
	return id
}

// AutoOffer returns the offer of a TCP port that was found by listening, made
// of Defaults; several says that there is more than one such port. Ask once
// for each port: a name, once given, never changes.
func (s *Settings) AutoOffer(port uint16, several bool) Offer {
	o := s.Defaults
	o.Port, o.Protocol = port, registry.TCP
	o.Service = cmp.Or(o.Service, s.commandName)
	o.distinguish(several)
	if o.ID != "" && several {
		o.ID = InstanceID(o.ID, port, registry.TCP)
	}
	return o
}

// distinguish puts the port behind a name that was not made for this port
// alone, when there are several ports.
func (o *Offer) distinguish(several bool) {
	if !several {
		return
	}
	suffix := "-" + strconv.Itoa(int(o.Port))
	if most := registry.MaxNameLength - len(suffix); len(o.Service) > most {
		o.Service = strings.TrimRight(o.Service[:most], "-_")
	}
	o.Service += suffix
}

const (
	servicePrefix = "SERVICE_"
	// udpTag is the tag that every instance on a UDP port has.
	udpTag = "udp"
)

// portKey is the beginning of a key that is about one port.
var portKey = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([0-9]+)_(?:((?i:TCP|UDP))_)?(.+)$`) })

// port is a port and its protocol.
type port struct {
	number   uint16
	protocol registry.Protocol
}

// String returns the port as the names of variables write it.
func (at port) String() string {
	name := strconv.Itoa(int(at.number))
	if at.protocol == registry.UDP {
		name += "_UDP"
	}
	return name
}

// compare orders ports by number, then by protocol.
func (at port) compare(other port) int {
	return cmp.Or(cmp.Compare(at.number, other.number), cmp.Compare(at.protocol, other.protocol))
}

// said is what the SERVICE_ variables say of one port, or of none: the value
// and the variable for each key in lower case.
type said map[string]statement

type statement struct{ variable, value string }

// offers reads the SERVICE_ variables. Without a server nothing is published
// and they may be somebody else's, so that mistakes are warnings then.
func (p *parser) offers() {
	before := len(p.errs)
	general, ports := p.services()
	if s, ok := general["advertise"]; ok {
		p.fail(s.variable, s.value, wrong("it must name a port", "SERVICE_<port>_ADVERTISE", "or set CLEAT_ADVERTISE for all ports"))
		delete(general, "advertise")
	}
	p.s.Defaults = p.offer(port{protocol: registry.TCP}, general)
	p.checkAttributes(servicePrefix, p.s.Defaults)
	serving := 0
	// Sorted, so that mistakes and warnings always come in the same order.
	order := slices.Collect(maps.Keys(ports))
	sort.Slice(order, func(i, j int) bool { return order[i].compare(order[j]) < 0 })
	for _, at := range order {
		own := ports[at]
		o := p.offer(at, own)
		o.inherit(p.s.Defaults, own)
		if o.Protocol == registry.UDP && !slices.Contains(o.Tags, udpTag) {
			o.Tags = slices.Sorted(slices.Values(append(o.Tags, udpTag)))
		}
		if len(p.s.Defaults.Attributes) <= registry.MaxAttributes {
			p.checkAttributes(servicePrefix+at.String()+"_", o)
		}
		p.s.Offers = append(p.s.Offers, o)
		if !o.Ignore {
			serving++
		}
	}
	p.nameOffers(ports, serving > 1)
	p.checks(general, ports)
	p.s.AutoPorts = p.s.AutoPorts && serving == 0 && !p.s.Defaults.Ignore
	if serving > registry.MaxProvides {
		p.fail(servicePrefix, "", wrong(fmt.Sprintf("there are %d ports", serving), fmt.Sprintf("at most %d", registry.MaxProvides), ""))
	}
	if p.given("CLEAT_SERVER") {
		return
	}
	for _, err := range p.errs[before:] {
		p.warn(err.Error() + " (without CLEAT_SERVER nothing is registered)")
	}
	if len(p.errs) > before {
		p.errs = p.errs[:before]
		p.s.Offers, p.s.Defaults = nil, Offer{Protocol: registry.TCP}
	}
}

// services sorts the SERVICE_ variables by what they are about.
func (p *parser) services() (general said, ports map[port]said) {
	general, ports = make(said), make(map[port]said)
	// Sorted, so that of two that differ in case only, the capitals win.
	for _, variable := range p.env.names(servicePrefix) {
		value := p.env.values[variable]
		if value == "" {
			continue
		}
		key, about := strings.TrimPrefix(variable, servicePrefix), general
		if parts := portKey().FindStringSubmatch(key); parts != nil {
			if !isPort(parts[1]) {
				p.fail(variable, value, wrong("the port in the name is wrong", "a number from 1 to 65535 without leading zeros", ""))
				continue
			}
			number, _ := strconv.ParseUint(parts[1], 10, 16)
			at := port{uint16(number), cmp.Or(registry.Protocol(strings.ToLower(parts[2])), registry.TCP)}
			if ports[at] == nil {
				ports[at] = make(said)
			}
			key, about = parts[3], ports[at]
		}
		key = strings.ToLower(key)
		if _, twice := about[key]; !twice && key != "" {
			about[key] = statement{variable, value}
		}
	}
	return general, ports
}

// offer makes an offer of what is said of its port. The name and the id are
// completed later: they depend on how many ports there are.
func (p *parser) offer(at port, own said) Offer {
	o := Offer{Port: at.number, Protocol: at.protocol}
	for _, key := range slices.Sorted(maps.Keys(own)) {
		variable, value := own[key].variable, own[key].value
		var bad *Error
		switch key {
		case "ignore":
			// Any value, even "false": so does Registrator.
			o.Ignore = true
		case "name":
			o.Service, bad = registryName(value)
		case "id":
			o.ID, bad = value, checkID(value)
		case "tags":
			o.Tags, bad = p.tags(variable, value)
		case "advertise":
			o.AdvertiseHost, o.AdvertisePort, bad = parseAdvertise(value)
		default:
			// The check is made when all ports are known.
			if !strings.HasPrefix(key, checkPrefix) {
				p.attribute(&o, key, variable, value)
			}
		}
		if bad != nil {
			p.fail(variable, value, bad)
		}
	}
	return o
}

// inherit takes over what is said of all ports, and not of this one.
func (o *Offer) inherit(all Offer, own said) {
	o.Ignore = o.Ignore || all.Ignore
	if _, ok := own["name"]; !ok {
		o.Service = all.Service
	}
	if _, ok := own["id"]; !ok {
		o.ID = all.ID
	}
	if _, ok := own["tags"]; !ok {
		o.Tags = slices.Clone(all.Tags)
	}
	for key, value := range all.Attributes {
		if _, ok := own[key]; !ok {
			if o.Attributes == nil {
				o.Attributes = make(map[string]string)
			}
			o.Attributes[key] = value
		}
	}
}

func (p *parser) checkAttributes(variables string, o Offer) {
	if n := len(o.Attributes); n > registry.MaxAttributes {
		p.fail(variables, "", wrong(fmt.Sprintf("there are %d attributes", n), fmt.Sprintf("at most %d", registry.MaxAttributes), ""))
	}
}

// nameOffers gives every offer its name and id.
func (p *parser) nameOffers(ports map[port]said, several bool) {
	ids := make(map[string]string) // the variable that made it
	for i := range p.s.Offers {
		o := &p.s.Offers[i]
		own := ports[port{o.Port, o.Protocol}]
		if o.Ignore {
			o.Service, o.ID = "", ""
			continue
		}
		if own["name"].variable == "" {
			o.Service = cmp.Or(o.Service, p.s.commandName)
			o.distinguish(several)
		}
		variable := own["id"].variable
		if variable == "" && o.ID != "" && several {
			o.ID = InstanceID(o.ID, o.Port, o.Protocol)
		}
		id := cmp.Or(o.ID, InstanceID(p.s.ID, o.Port, o.Protocol))
		if other, twice := ids[id]; twice && (variable != "" || other != "") {
			p.fail(cmp.Or(variable, other), id, wrong("two ports have the same id", "", "leave it out for one of them"))
		}
		ids[id] = variable
	}
}

func checkID(id string) *Error {
	// As with CLEAT_ID: several ports put theirs behind it.
	if err := registry.CheckID(id); err != nil {
		return wrong(err.Error(), "", "")
	}
	if len(id) > maxID {
		return wrong("the id is too long", "at most "+strconv.Itoa(maxID)+" bytes", "")
	}
	return nil
}

// parseAdvertise parses port or host:port.
func parseAdvertise(text string) (host string, number uint16, bad *Error) {
	const expected = "port or host:port"
	digits := text
	if !isPort(text) {
		var err error
		if host, digits, err = net.SplitHostPort(text); err != nil {
			return "", 0, wrong("this is neither a port nor a host and a port", expected, "such as 8080, 192.0.2.1:8080 or [2001:db8::1]:8080")
		}
		if err := registry.CheckAddress(host); err != nil {
			return "", 0, wrong(err.Error(), expected, "")
		}
		if !isPort(digits) {
			return "", 0, wrong("the port is wrong", "a number from 1 to 65535", "")
		}
	}
	n, _ := strconv.ParseUint(digits, 10, 16)
	return host, uint16(n), nil
}
