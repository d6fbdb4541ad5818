package settings

import (
	"regexp"
	"strings"
	"sync"

	"cleat/registry"
)

// containerID is the hostname that a container engine gives: the id of the
// container, short or long. It is already as random as an id must be.
var containerID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([0-9a-f]{12}|[0-9a-f]{64})$`) })

// maxID leaves room for ":<port>:udp" in the ids of instances.
const maxID = registry.MaxIDLength - len(":65535:udp")

// maxIDHost is how many bytes of a hostname go into an id; the kernel allows 64.
const maxIDHost = 64

// id makes the launcher's id where CLEAT_ID says none.
func (p *parser) id() {
	if p.s.ID != "" {
		return
	}
	if containerID().MatchString(p.host.Hostname) {
		p.s.ID = p.host.Hostname
		return
	}
	if p.s.Cache != "" {
		p.warn("CLEAT_CACHE does nothing without CLEAT_ID here: the launcher's id, made of the hostname, has a random part and is never the same twice")
	}
	p.s.ID = idPart(p.host.Hostname, "host") + "-" + idPart(p.host.Random(), "0")
}

// idPart makes text fit into an id; where nothing is left, it is instead.
func idPart(text, instead string) string {
	var b strings.Builder
	for _, r := range text {
		if b.Len() == maxIDHost {
			break
		}
		if one := string(r); registry.CheckID("x"+one) == nil {
			b.WriteString(one)
		} else {
			b.WriteByte('-')
		}
	}
	if part := strings.TrimLeft(b.String(), "._:@-"); part != "" {
		return part
	}
	return instead
}

// serviceName makes the name of a service of a command: the last part of its
// path, in lower case, with hyphens for what no name can hold.
func serviceName(command string) string {
	base := strings.ToLower(command[strings.LastIndexByte(command, '/')+1:])
	var b strings.Builder
	for _, r := range base {
		if b.Len() == registry.MaxNameLength {
			break
		}
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			b.WriteRune(r)
		} else {
			b.WriteByte('-')
		}
	}
	if name := strings.Trim(b.String(), "-_"); name != "" {
		return name
	}
	return "service"
}
