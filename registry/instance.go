package registry

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Protocol is the transport protocol of an instance's port.
type Protocol string

// The protocols.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Instance is one running copy of a service, as its launcher provides it and as
// the server keeps it. Copies share their tags and attributes, which nobody
// changes once an instance is made.
type Instance struct {
	ID         string            `json:"id"`                   // unique in its namespace
	Service    string            `json:"service"`              // the name that it is found by
	Namespace  string            `json:"namespace,omitempty"`  // absent on the wire: the session's
	Address    string            `json:"address"`              // an IP address or a host name
	Port       uint16            `json:"port"`                 // 1 to 65535
	Protocol   Protocol          `json:"protocol,omitempty"`   // absent on the wire: tcp
	Tags       []string          `json:"tags,omitempty"`       // sorted, without duplicates
	Attributes map[string]string `json:"attributes,omitempty"` // names in lower case
	Zone       string            `json:"zone,omitempty"`       // absent on the wire: the session's
	Status     Status            `json:"status"`
	Reason     string            `json:"reason,omitempty"` // of the status, for people
	Since      Revision          `json:"since,omitempty"`  // of its first declare, ever
}

// Endpoint returns the instance as its consumers see it.
func (i Instance) Endpoint() Endpoint {
	return Endpoint{
		ID: i.ID, Address: i.Address, Port: i.Port, Protocol: i.Protocol,
		Tags: i.Tags, Attributes: i.Attributes, Zone: i.Zone, Status: i.Status, Since: i.Since,
	}
}

// Equal reports whether nothing differs between the two.
func (i Instance) Equal(other Instance) bool {
	return i.Endpoint().Equal(other.Endpoint()) &&
		i.Service == other.Service && i.Namespace == other.Namespace && i.Reason == other.Reason
}

// Normalize lowers, sorts and fills in what may be written in several ways, and
// checks everything; namespace and zone are those of its session, checked by
// the caller. The error joins everything that is wrong. The result shares no
// memory with i.
func (i Instance) Normalize(namespace, zone string) (Instance, error) {
	var errs []error
	check := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	i.Service = strings.ToLower(i.Service)
	i.Zone = strings.ToLower(i.Zone)
	if i.Zone == "" {
		i.Zone = zone
	}
	i.Namespace = strings.ToLower(i.Namespace)
	if i.Namespace == "" {
		i.Namespace = namespace
	}
	i.Protocol = Protocol(strings.ToLower(string(i.Protocol)))
	if i.Protocol == "" {
		i.Protocol = TCP
	}
	check(CheckID(i.ID))
	check(CheckName(i.Service))
	check(CheckNamespace(i.Namespace))
	check(CheckAddress(i.Address))
	i.Address = normalizeAddress(i.Address)
	if i.Zone != "" {
		check(CheckName(i.Zone))
	}
	if i.Port == 0 {
		check(fmt.Errorf("the port is 0; expected 1 to 65535"))
	}
	if i.Protocol != TCP && i.Protocol != UDP {
		check(fmt.Errorf("%s is no protocol; expected tcp or udp", quote(string(i.Protocol))))
	}
	tags, err := normalizeTags(i.Tags)
	check(err)
	i.Tags = tags
	attributes, err := normalizeAttributes(i.Attributes)
	check(err)
	i.Attributes = attributes
	_, err = ParseStatus(string(i.Status))
	check(err)
	if i.Since > MaxSince {
		check(fmt.Errorf("since is %d; expected at most %d", i.Since, MaxSince))
	}
	i.Reason = Cut(i.Reason)
	if len(errs) > 0 {
		return Instance{}, fmt.Errorf("the instance %s cannot be registered: %w", quote(i.ID), errors.Join(errs...))
	}
	return i, nil
}

// Endpoint is an instance as a consumer sees it in a view. Copies share their
// tags and attributes, which nobody changes.
type Endpoint struct {
	ID         string            `json:"id"`
	Address    string            `json:"address"`
	Port       uint16            `json:"port"`
	Protocol   Protocol          `json:"protocol"`
	Tags       []string          `json:"tags,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Zone       string            `json:"zone,omitempty"`
	Status     Status            `json:"status"`
	Since      Revision          `json:"since"`
}

// Addr returns host:port, with brackets around an IPv6 address.
func (e Endpoint) Addr() string {
	return net.JoinHostPort(e.Address, strconv.Itoa(int(e.Port)))
}

// Equal reports whether nothing differs between the two.
func (e Endpoint) Equal(other Endpoint) bool {
	return e.ID == other.ID && e.Address == other.Address && e.Port == other.Port &&
		e.Protocol == other.Protocol && e.Zone == other.Zone && e.Status == other.Status &&
		e.Since == other.Since && slices.Equal(e.Tags, other.Tags) && maps.Equal(e.Attributes, other.Attributes)
}

// Compare orders endpoints as every view does: by since, then by id.
func (e Endpoint) Compare(other Endpoint) int {
	if e.Since != other.Since {
		if e.Since < other.Since {
			return -1
		}
		return 1
	}
	return strings.Compare(e.ID, other.ID)
}

// Cut shortens text for people to [MaxReasonLength] bytes.
func Cut(text string) string {
	if len(text) <= MaxReasonLength {
		return text
	}
	return strings.ToValidUTF8(text[:MaxReasonLength-len("...")], "") + "..."
}

func normalizeTags(tags []string) ([]string, error) {
	if len(tags) == 0 {
		return nil, nil
	}
	if len(tags) > MaxTags {
		return nil, fmt.Errorf("there are %d tags; at most %d are allowed", len(tags), MaxTags)
	}
	for _, tag := range tags {
		if tag == "" || len(tag) > MaxTagLength || !printable(tag) {
			return nil, fmt.Errorf("the tag %s is empty, longer than %d bytes, or not printable", quote(tag), MaxTagLength)
		}
	}
	sorted := slices.Sorted(slices.Values(tags))
	return slices.Compact(sorted), nil
}

func normalizeAttributes(attributes map[string]string) (map[string]string, error) {
	if len(attributes) == 0 {
		return nil, nil
	}
	if len(attributes) > MaxAttributes {
		return nil, fmt.Errorf("there are %d attributes; at most %d are allowed", len(attributes), MaxAttributes)
	}
	normal := make(map[string]string, len(attributes))
	for key, value := range attributes {
		lower := strings.ToLower(key)
		if err := CheckAttribute(lower, value); err != nil {
			return nil, err
		}
		if _, twice := normal[lower]; twice {
			return nil, fmt.Errorf("the attribute %s is there twice, in different cases", quote(lower))
		}
		normal[lower] = value
	}
	return normal, nil
}

// CheckAttribute reports what is wrong with an attribute. The key, in lower
// case, has what a variable's name can hold, and the dots and hyphens that other
// systems use in metadata; at most [MaxAttributeKey] bytes. The value is any text
// of at most [MaxAttributeValue] bytes.
func CheckAttribute(key, value string) error {
	if key == "" || len(key) > MaxAttributeKey {
		return fmt.Errorf("the attribute %s has an empty name, or one longer than %d bytes", quote(key), MaxAttributeKey)
	}
	for _, c := range key {
		if !isAlnum(c) && c != '_' && c != '-' && c != '.' {
			return fmt.Errorf("the attribute %s has %q in its name; expected letters, digits, '_', '-' and '.'", quote(key), c)
		}
	}
	if len(value) > MaxAttributeValue {
		return fmt.Errorf("the attribute %s is %d bytes long; at most %d are allowed", quote(key), len(value), MaxAttributeValue)
	}
	if !utf8.ValidString(value) {
		return fmt.Errorf("the attribute %s is not UTF-8", quote(key))
	}
	return nil
}

// printable refuses control characters and what is not UTF-8.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) || r == utf8.RuneError
	})
}
