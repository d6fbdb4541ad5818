package registry

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"sync"
)

// DefaultNamespace is where instances live that name no other.
const DefaultNamespace = "default"

// maxHostname is the length in bytes of the longest name that DNS can hold.
const maxHostname = 253

// hostname is a host name of RFC 1123: labels of letters, digits and hyphens,
// with the underscore that container names use.
var hostname = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)
})

// CheckName reports what is wrong with the name of a service, a zone or one
// part of a namespace: [a-z0-9]([a-z0-9_-]*[a-z0-9])?, at most [MaxNameLength]
// bytes. Names are compared in lower case; lower them before checking.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the name is empty; expected letters, digits, '-' and '_'")
	case len(name) > MaxNameLength:
		return fmt.Errorf("the name %s is %d bytes long; at most %d are allowed", quote(name), len(name), MaxNameLength)
	}
	for i, c := range name {
		if isAlnum(c) {
			continue
		}
		switch {
		case c >= 'A' && c <= 'Z':
			return fmt.Errorf("the name %s has a capital letter; names are in lower case", quote(name))
		case c != '-' && c != '_':
			return fmt.Errorf("the name %s has %q in it; expected letters, digits, '-' and '_'", quote(name), c)
		case i == 0 || i == len(name)-1:
			return fmt.Errorf("the name %s begins or ends with %q; it must begin and end with a letter or a digit", quote(name), c)
		}
	}
	return nil
}

// CheckNamespace reports what is wrong with a namespace: one to
// [MaxNamespaceParts] names joined by slashes, such as prod or dev/alice.
func CheckNamespace(namespace string) error {
	if strings.Count(namespace, "/") >= MaxNamespaceParts {
		return fmt.Errorf("the namespace %s has more than %d parts", quote(namespace), MaxNamespaceParts)
	}
	for part := range strings.SplitSeq(namespace, "/") {
		if err := CheckName(part); err != nil {
			return fmt.Errorf("the namespace %s is not made of names joined by '/': %w", quote(namespace), err)
		}
	}
	return nil
}

// CheckID reports what is wrong with the id of an instance or a launcher:
// letters, digits and any of . _ : @ - after a first letter or digit, at most
// [MaxIDLength] bytes. Ids are compared as they are written.
func CheckID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("the id is empty")
	case len(id) > MaxIDLength:
		return fmt.Errorf("the id %s is %d bytes long; at most %d are allowed", quote(id), len(id), MaxIDLength)
	}
	for i, c := range id {
		upper := c >= 'A' && c <= 'Z'
		if !isAlnum(c) && !upper && (i == 0 || !strings.ContainsRune("._:@-", c)) {
			return fmt.Errorf("the id %s has %q at position %d; expected letters and digits, and any of . _ : @ - after the first", quote(id), c, i+1)
		}
	}
	return nil
}

// CheckAddress reports what is wrong with the address of an instance: an IP
// address without zone, or a host name.
func CheckAddress(address string) error {
	if addr, err := netip.ParseAddr(address); err == nil {
		switch {
		case addr.Zone() != "":
			return fmt.Errorf("the address %s has a zone, which means nothing on another host", quote(address))
		case addr.IsUnspecified():
			return fmt.Errorf("the address %s is not one that anybody could connect to", quote(address))
		}
		return nil
	}
	if len(address) > maxHostname || !hostname().MatchString(address) {
		return fmt.Errorf("%s is neither an IP address nor a host name", quote(address))
	}
	if last := address[strings.LastIndexByte(address, '.')+1:]; last != address && strings.Trim(last, "0123456789") == "" {
		return fmt.Errorf("%s ends like an IPv4 address, but is none", quote(address))
	}
	return nil
}

// CheckAlias reports what is wrong with the alias of a requirement: what the
// name of a variable becomes in lower case, [a-z0-9_]+, and hyphens; at most
// [MaxNameLength] bytes.
func CheckAlias(alias string) error {
	if alias == "" || len(alias) > MaxNameLength {
		return fmt.Errorf("the alias %s is empty, or longer than %d bytes", quote(alias), MaxNameLength)
	}
	for _, c := range alias {
		if !isAlnum(c) && c != '_' && c != '-' {
			return fmt.Errorf("the alias %s has %q in it; expected letters in lower case, digits, '-' and '_'", quote(alias), c)
		}
	}
	return nil
}

// normalizeAddress returns the one form in which an address is compared: that of
// RFC 5952 for an IP address, lower case for a host name.
func normalizeAddress(address string) string {
	if addr, err := netip.ParseAddr(address); err == nil {
		return addr.Unmap().String()
	}
	return strings.ToLower(address)
}

func isAlnum(c rune) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// quote shows text from outside in an error: quoted, and cut where it is long.
func quote(text string) string {
	const longest = 80 // enough to recognise it by
	if len(text) > longest {
		return fmt.Sprintf("%q...", text[:longest])
	}
	return fmt.Sprintf("%q", text)
}
