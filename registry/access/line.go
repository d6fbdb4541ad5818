package access

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cleat/registry"
)

// The forms of the second field of a line.
const (
	hashed      = "sha256:" // a token, by its SHA-256 in hexadecimal
	certified   = "cert:"   // a client certificate, by its name
	unknown     = "-"       // whoever shows nothing
	anonymous   = "anonymous"
	wholeServer = "*"
)

// The bounds of a line.
const (
	maxLine  = 4 << 10 // in bytes
	maxGlobs = 32      // in one list
	maxGlob  = 255     // in bytes
	maxStars = 8       // in one pattern: a match takes longer with each
	maxCert  = 253     // in bytes: the longest name that DNS can hold
)

// Line is one line of a file of tokens: one thing that somebody may do.
type Line struct {
	Name       string // of the token
	Role       Role
	Namespaces []string // patterns: * stands for any characters
	Services   []string

	token       digest
	certificate string // in place of a token
}

// NewLine returns the line that allows a role to a new token, or to the client
// certificate of that name if there is one, or to whoever shows nothing if the
// name is anonymous; over lists of patterns with commas between them, of which
// empty ones stand for everything. The error joins everything that is wrong.
func NewLine(name, token, certificate, role, namespaces, services string) (Line, error) {
	holder := certified + certificate
	if certificate == "" {
		d, ok := digestOf(token)
		if !ok {
			return Line{}, errors.New("the token was not made by cleatd token")
		}
		holder = hashed + d.String()
		if name == anonymous {
			holder = unknown
		}
	}
	return parseLine([]string{name, holder, role, cmp.Or(namespaces, wholeServer), cmp.Or(services, wholeServer)})
}

// HasToken reports whether the line is about a token.
func (l Line) HasToken() bool { return l.certificate == "" && l.Name != anonymous }

// Shown returns who the line is about: the beginning of the token's hash, or the
// name of a certificate. It is no secret.
func (l Line) Shown() string {
	switch {
	case l.certificate != "":
		return certified + l.certificate
	case l.Name == anonymous:
		return unknown
	}
	const enough = 8 // characters to tell tokens apart
	return hashed + l.token.String()[:enough]
}

// String returns the line as it is in a file.
func (l Line) String() string {
	who := hashed + l.token.String()
	if l.certificate != "" || l.Name == anonymous {
		who = l.Shown()
	}
	return strings.Join([]string{l.Name, who, l.Role.String(), strings.Join(l.Namespaces, ","), strings.Join(l.Services, ",")}, " ")
}

// parseLine reads the fields of a line. The error joins everything that is wrong.
func parseLine(fields []string) (Line, error) {
	const least, most = 3, 5
	if len(fields) < least || len(fields) > most {
		return Line{}, fmt.Errorf("there are %d fields; expected NAME HASH ROLE, and then maybe NAMESPACES and SERVICES", len(fields))
	}
	var errs []error
	check := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	l := Line{Name: fields[0], Namespaces: []string{wholeServer}, Services: []string{wholeServer}}
	check(registry.CheckName(l.Name))
	check(l.parseHolder(fields[1]))
	var err error
	l.Role, err = ParseRole(fields[2])
	check(err)
	if l.Name == anonymous && l.Role > Read {
		check(fmt.Errorf("the role of anonymous is %v; who shows no token may only read", l.Role))
	}
	if len(fields) > least {
		l.Namespaces, err = parseGlobs(fields[3], "/")
		check(err)
	}
	if len(fields) == most {
		l.Services, err = parseGlobs(fields[4], "")
		check(err)
	}
	if len(errs) > 0 {
		return Line{}, errors.Join(errs...)
	}
	return l, nil
}

// parseHolder reads who a line is about.
func (l *Line) parseHolder(text string) error {
	if (text == unknown) != (l.Name == anonymous) {
		return fmt.Errorf("the name is %.40q and the hash %.80q; expected - for anonymous, and for nobody else", l.Name, text)
	}
	if text == unknown {
		return nil
	}
	if name, found := strings.CutPrefix(text, certified); found {
		if name == "" || len(name) > maxCert || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c == '#' || c > '~' }) {
			return fmt.Errorf("the certificate's name %.80q is not 1 to %d printable characters without spaces", name, maxCert)
		}
		l.certificate = strings.ToLower(name)
		return nil
	}
	sum, found := strings.CutPrefix(text, hashed)
	decoded, err := hex.DecodeString(sum)
	switch {
	case strings.HasPrefix(text, tokenPrefix):
		// Not shown: it may be a token.
		return errors.New("there is a token in place of its hash; cleatd token new makes both")
	case !found || err != nil || len(decoded) != len(l.token):
		return fmt.Errorf("the hash is not %s and %d hexadecimal digits; cleatd token new makes it", hashed, 2*len(l.token))
	}
	l.token = digest(decoded)
	return nil
}

// parseGlobs reads a list of patterns, in which there may be the separator beside
// what names are made of.
func parseGlobs(text, separator string) ([]string, error) {
	globs := strings.Split(text, ",")
	if len(globs) > maxGlobs {
		return nil, fmt.Errorf("there are %d patterns in one list; at most %d are allowed", len(globs), maxGlobs)
	}
	for _, g := range globs {
		switch {
		case g == "":
			return nil, fmt.Errorf("the list %.80q has an empty pattern in it", text)
		case len(g) > maxGlob:
			return nil, fmt.Errorf("the pattern %.40q... is %d bytes long; at most %d are allowed", g, len(g), maxGlob)
		case strings.Count(g, wholeServer) > maxStars:
			return nil, fmt.Errorf("the pattern %.80q has more than %d stars", g, maxStars)
		}
		for _, c := range g {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-_*"+separator, c) {
				return nil, fmt.Errorf("the pattern %.80q has %q in it; expected letters in lower case, digits, '-', '_' and '*'", g, c)
			}
		}
	}
	return globs, nil
}

// rule returns what the line allows.
func (l Line) rule() rule {
	r := rule{role: l.Role}
	for _, g := range l.Namespaces {
		r.namespaces = append(r.namespaces, glob(g))
	}
	for _, g := range l.Services {
		r.services = append(r.services, glob(g))
	}
	return r
}

// sameHolder reports whether two lines are about the same token or certificate.
func (l Line) sameHolder(other Line) bool {
	return l.token == other.token && l.certificate == other.certificate
}

// rule allows a role over some services.
type rule struct {
	role                 Role
	namespaces, services []glob
}

// covers reports whether one of the patterns covers the name.
func covers(globs []glob, name string) bool {
	return slices.ContainsFunc(globs, func(g glob) bool { return g.covers(name) })
}
