package access

import "strings"

// glob is a pattern over names, in lower case: each * stands for any characters,
// none and slashes included, every other character for itself. dev/* has all
// namespaces below dev, but not dev.
type glob string

// everything matches every name.
const everything glob = "*"

// literal reports whether the pattern is a name.
func (g glob) literal() bool { return !strings.Contains(string(g), "*") }

// covers reports whether the pattern matches a name; or all of them, if that is
// empty.
func (g glob) covers(name string) bool {
	if g == everything {
		return true
	}
	return name != "" && g.match(name)
}

// match takes time in proportion to both lengths multiplied, at most.
func (g glob) match(name string) bool {
	pattern := string(g)
	star, resume := -1, 0 // the last *, and where what it stands for ends
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			resume++
			p, n = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// below reports whether the pattern may match a name that begins with the prefix.
func (g glob) below(prefix string) bool {
	fixed, _, open := strings.Cut(string(g), "*")
	return strings.HasPrefix(fixed, prefix) && len(fixed) > len(prefix) || open && (strings.HasPrefix(prefix, fixed) || strings.HasPrefix(fixed, prefix))
}
