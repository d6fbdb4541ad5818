package settings

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"cleat/registry"
)

const (
	// maxServers is how many servers may be named.
	maxServers = 32
	// maxToken is the length of a token in bytes; it travels in a header.
	maxToken = 4096
)

func parseServers(p *parser, text string) *Error {
	var servers []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		server, wrong := parseServer(item)
		if wrong != nil {
			return wrong
		}
		if !slices.Contains(servers, server) {
			servers = append(servers, server)
		}
	}
	switch {
	case len(servers) == 0:
		return wrong("the list has nothing in it", "http://host:port", "")
	case len(servers) > maxServers:
		return wrong("the list is too long", "at most "+strconv.Itoa(maxServers)+" servers", "")
	}
	p.s.Servers = servers
	return nil
}

func parseServer(text string) (string, *Error) {
	const expected = "http://host:port or https://host:port"
	if !strings.Contains(text, "://") {
		return "", wrong("a server has no scheme", expected, "write http:// before it")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", wrong("a server is not a URL", expected, "")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", wrong("a server has the wrong scheme", expected, "")
	case u.User != nil:
		return "", wrong("a server has a user in its URL", expected, "put the token into CLEAT_TOKEN_FILE")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return "", wrong("a server has something behind its port", expected, "leave out everything behind the port")
	case u.Port() == "":
		return "", wrong("a server has no port", expected, "cleatd's is 9640 unless told otherwise")
	case !isPort(u.Port()):
		return "", wrong("a server has a port out of range", "a port from 1 to 65535", "")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err != nil || addr.IsUnspecified() {
		if err := registry.CheckAddress(u.Hostname()); err != nil {
			return "", wrong("a server has no usable host", expected, "")
		}
	}
	return u.Scheme + "://" + u.Host, nil
}

func parseToken(p *parser, text string) *Error {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return wrong("a token has a space, a control character or one beyond ASCII in it", "printable ASCII without spaces", "")
		}
	}
	if len(text) > maxToken {
		return wrong("the token is too long", "at most "+strconv.Itoa(maxToken)+" bytes", "")
	}
	p.s.Token = text
	return nil
}

// trust checks how the settings for talking to the server go together.
func (p *parser) trust() {
	s := p.s
	if s.Token != "" && s.TokenFile != "" {
		p.fail("CLEAT_TOKEN", "", wrong("CLEAT_TOKEN_FILE is there as well", "one of the two", "keep CLEAT_TOKEN_FILE"))
	}
	if s.Cert != "" && s.Key == "" {
		p.fail("CLEAT_CERT", s.Cert, wrong("CLEAT_KEY is missing", "both or none", ""))
	}
	if s.Key != "" && s.Cert == "" {
		p.fail("CLEAT_KEY", "", wrong("CLEAT_CERT is missing", "both or none", ""))
	}
	secure := slices.ContainsFunc(s.Servers, func(server string) bool { return strings.HasPrefix(server, "https://") })
	if (s.CA != "" || s.Cert != "") && len(s.Servers) > 0 && !secure {
		p.warn("CLEAT_CA, CLEAT_CERT and CLEAT_KEY do nothing: no server in CLEAT_SERVER begins with https://")
	}
	if s.Token == "" && s.TokenFile == "" {
		return
	}
	for _, server := range s.Servers {
		if u, err := url.Parse(server); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			p.warn("the token goes to " + server + " as plain text; use https")
		}
	}
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
