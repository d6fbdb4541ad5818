package settings

import (
	"regexp"
	"strings"
	"sync"
)

// secretParts are pieces of a name that give a secret away wherever they stand.
var secretParts = []string{
	"token", "passw", "passphrase", "secret", "credential", "apikey", "private", "pwd",
}

// secretWords are words that do so when they stand alone between separators.
var secretWords = map[string]bool{
	"key": true, "keys": true, "pass": true, "auth": true, "jwt": true, "cred": true, "creds": true, "dsn": true,
}

// smells reports whether a name smells of a secret.
func smells(name string) bool {
	name = strings.ToLower(name)
	for _, part := range secretParts {
		if strings.Contains(name, part) {
			return true
		}
	}
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '_' || r == '-' || r == '.' }) {
		if secretWords[word] || strings.HasSuffix(word, "key") {
			return true
		}
	}
	return false
}

var (
	// userinfo is the part of a URL before its host, with a password in it.
	// Greedy to the last @, because an @ in a password is often not escaped.
	userinfo = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(//[^/@:\s"]*):([^\s"]*)@`) })
	// source is a data source name as database drivers take it.
	source = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`([^\s:/@"]+):([^\s"]*)@([a-z0-9]*\()`) })
	// perhaps is what may be a user and a password: masked where a value is
	// shown, but no reason not to publish it (an image's name has that form).
	perhaps = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`([^\s:/@,="]+):([^\s:/@,"]+)@`) })
	// parameter is one assignment in a URL's query, or in a connection string.
	parameter = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`([?&;,\s]|^)([A-Za-z0-9_.-]+)=([^&;,\s"]+)`) })
)

const (
	mask     = "***"
	pemStart = "-----BEGIN "
)

// holdsSecret reports whether a value shows by itself that it holds a secret:
// a URL with a user's password or with a parameter that smells of one, or a
// key in PEM form.
func holdsSecret(value string) bool {
	return masked(value) != value
}

// masked returns the value without the secrets that can be told by their form.
func masked(value string) string {
	if strings.Contains(value, pemStart) {
		return mask
	}
	value = source().ReplaceAllString(maskUserinfo(value), "$1:"+mask+"@$3")
	return parameter().ReplaceAllStringFunc(value, func(found string) string {
		parts := parameter().FindStringSubmatch(found)
		if !smells(parts[2]) {
			return found
		}
		return parts[1] + parts[2] + "=" + mask
	})
}

// maskUserinfo masks the passwords before the hosts of URLs. A port before a
// path is no password, even where an @ follows in the path.
func maskUserinfo(value string) string {
	return userinfo().ReplaceAllStringFunc(value, func(found string) string {
		parts := userinfo().FindStringSubmatch(found)
		if port, path, ok := strings.Cut(parts[2], "/"); ok && isPort(port) {
			return parts[1] + ":" + port + "/" + maskUserinfo(path+"@")
		}
		return parts[1] + ":" + mask + "@"
	})
}

// maskArguments returns the arguments without secrets: the values of options
// whose names smell of one, and what can be told by its form.
func maskArguments(arguments []string) []string {
	all := make([]string, len(arguments))
	hideNext := false
	for i, argument := range arguments {
		option, value, hasValue := strings.Cut(argument, "=")
		isOption := strings.HasPrefix(option, "-")
		switch {
		case hideNext && !isOption:
			all[i] = mask
		case hasValue && value != "" && smells(strings.TrimLeft(option, "-")):
			all[i] = option + "=" + mask
		default:
			all[i] = masked(argument)
		}
		hideNext = isOption && !hasValue && smells(strings.TrimLeft(option, "-"))
	}
	return all
}

// maskCommand is maskArguments for a command in one text.
func maskCommand(text string) string {
	return strings.Join(maskArguments(strings.Split(masked(text), " ")), " ")
}

// maxShown is how many bytes of a value an error or account shows: enough to
// recognise it by.
const maxShown = 80

// shown returns what may be shown of a variable's value.
func shown(variable, value string) string {
	if smells(strings.TrimPrefix(variable, "CLEAT_")) {
		return ""
	}
	return shorten(perhaps().ReplaceAllString(masked(value), "$1:"+mask+"@"))
}

// shorten cuts a text for people; masking comes first, because a secret that
// is cut cannot be told any more.
func shorten(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "..."
}
