package settings

import (
	"fmt"
	"sort"
	"strings"

	"cleat/launcher/address"
	"cleat/launcher/network"
)

const (
	networkPrefix = "CLEAT_NETWORK_"
	// maxNetworks is the number of networks: far above what a container has.
	maxNetworks = 64
)

// networkOptions are what may follow the spec of a network.
var networkOptions = []string{"wait"}

// networks reads the CLEAT_NETWORK_ variables.
func (p *parser) networks() {
	named := make(map[string]string) // variable by name
	for _, variable := range p.env.names(networkPrefix) {
		text := p.know(variable)
		if text == "" {
			p.warn(shorten(variable) + " is empty: no network is waited for")
			continue
		}
		name := strings.ToLower(strings.TrimPrefix(variable, networkPrefix))
		o := parseOptions(text, networkOptions)
		o.errs = append(o.errs, checkPlaceName(name, "network", named[name])...)
		named[name] = variable
		n := network.Network{Name: name}
		var err error
		if n.Spec, err = address.ParseNetwork(o.before); err != nil {
			o.fail(err.Error(), "", "")
		}
		o.value("wait", func(text string) (e *Error) {
			n.Wait, e = waitSpan.parse(text)
			return e
		})
		if len(o.errs) == 0 {
			p.s.Networks = append(p.s.Networks, n)
		}
		for _, e := range o.errs {
			p.fail(variable, text, e)
		}
	}
	sort.Slice(p.s.Networks, func(i, j int) bool { return p.s.Networks[i].Name < p.s.Networks[j].Name })
	if len(p.s.Networks) > maxNetworks {
		p.fail(networkPrefix, "", wrong(fmt.Sprintf("there are %d networks", len(p.s.Networks)), fmt.Sprintf("at most %d", maxNetworks), ""))
	}
}

// explainNetworks tells of the networks, if there are any.
func (s *Settings) explainNetworks(a *account) {
	if len(s.Networks) == 0 {
		return
	}
	a.section("needs the networks")
	for _, n := range s.Networks {
		wait := "waits for ever"
		if n.Wait > 0 {
			wait = "waits for " + duration(n.Wait)
		}
		a.line(n.Name, n.Spec.String(), wait)
	}
}
