package control

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"cleat/registry"
)

// Change is one change of what is registered.
//
//	tag+=primary       the tag is there
//	tag-=primary       the tag is not there
//	attr.role=master   the attribute has that value
//	attr.role=         the attribute is not there
type Change struct {
	Tag       string // or else:
	Attribute string // its name, in lower case
	Value     string // of the attribute
	Remove    bool
}

// attributeName is what an attribute may be called (see registry.Instance).
var attributeName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9_.-]{1,63}$`) })

// ParseChange parses the text of one change.
func ParseChange(text string) (Change, error) {
	const expected = "expected tag+=TAG, tag-=TAG, attr.NAME=VALUE, or attr.NAME= to take it away"
	name, value, found := strings.Cut(text, "=")
	key, attribute := strings.CutPrefix(name, "attr.")
	switch {
	case !found:
		return Change{}, fmt.Errorf("the change %q has no '='; %s", shorten(text), expected)
	case attribute:
		key = strings.ToLower(key)
		if !attributeName().MatchString(key) {
			return Change{}, fmt.Errorf("no attribute can have the name %q; expected letters, digits and '_.-', at most %d", shorten(key), registry.MaxAttributeKey)
		}
		return Change{Attribute: key, Value: value, Remove: value == ""}, nil
	case name != "tag+" && name != "tag-":
		return Change{}, fmt.Errorf("there is no change %q; %s", shorten(name+"="), expected)
	case value == "":
		return Change{}, fmt.Errorf("the change %q names no tag; %s", text, expected)
	}
	return Change{Tag: value, Remove: name == "tag-"}, nil
}

// String returns the change as ParseChange takes it.
func (c Change) String() string {
	switch {
	case c.Attribute != "" && c.Remove:
		return "attr." + c.Attribute + "="
	case c.Attribute != "":
		return "attr." + c.Attribute + "=" + c.Value
	case c.Remove:
		return "tag-=" + c.Tag
	}
	return "tag+=" + c.Tag
}

// Port names one of the ports that the child listens on. The zero value names
// all.
type Port struct {
	Number   uint16
	Protocol registry.Protocol
}

// ParsePort parses a port such as 3306 or 53/udp; the empty text is all ports.
func ParsePort(text string) (Port, error) {
	if text == "" {
		return Port{}, nil
	}
	number, protocol, named := strings.Cut(strings.ToLower(text), "/")
	p := Port{Protocol: registry.TCP}
	if named {
		p.Protocol = registry.Protocol(protocol)
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 || p.Protocol != registry.TCP && p.Protocol != registry.UDP {
		return Port{}, fmt.Errorf("%q is no port; expected a number such as 3306, or 53/udp", shorten(text))
	}
	p.Number = uint16(n)
	return p, nil
}

// String returns the port as ParsePort takes it.
func (p Port) String() string {
	switch {
	case p.Number == 0:
		return ""
	case p.Protocol == registry.UDP:
		return fmt.Sprintf("%d/udp", p.Number)
	}
	return strconv.Itoa(int(p.Number))
}

// mostShown is how many bytes of a text an error repeats.
const mostShown = 80

func shorten(text string) string {
	if len(text) <= mostShown {
		return text
	}
	return strings.ToValidUTF8(text[:mostShown], "") + "..."
}
