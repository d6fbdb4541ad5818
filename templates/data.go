package templates

import (
	"slices"
	"strconv"
	"strings"
)

// Data is what templates are rendered from. Not modified, may be shared.
type Data struct {
	Views map[string]View   // by alias; an alias that is missing has no endpoints
	Self  Self              // the container itself
	Env   map[string]string // what env.<NAME> finds
	// ReadFile reads what `file` names; nil: [ReadFile]. Its errors may be
	// shown, so they must not hold what is in the file. A file is read once in
	// a rendering.
	ReadFile func(path string) ([]byte, error)
}

// View is a requirement's endpoints in effect.
type View struct {
	Endpoints []Endpoint // stable order
	// Chosen is nil exactly when Endpoints is empty: `if alias` is a promise
	// that the fields of the chosen endpoint are there.
	Chosen *Endpoint
	// First is the oldest. It may be there without Endpoints where the alias is
	// the own service's, which leaves this container out of them. nil: none.
	First *Endpoint
}

// Endpoint is one instance.
type Endpoint struct {
	ID, Host string
	Port     uint16
	Zone     string // empty: none
	Tags     []string
	Attr     map[string]string // names in lower case
}

// Self is the container itself. An empty name, or a zero port, is a missing
// value.
type Self struct {
	Host      string
	Port      uint16
	ID        string
	Zone      string
	Namespace string
	Service   string
	First     bool // this container is the first of its own service
}

// appendAddr appends host:port, with brackets around an IPv6 address.
func appendAddr(b []byte, host string, port uint16) []byte {
	if strings.IndexByte(host, ':') >= 0 {
		b = append(b, '[')
		b = append(b, host...)
		b = append(b, ']')
	} else {
		b = append(b, host...)
	}
	b = append(b, ':')
	return strconv.AppendUint(b, uint64(port), 10)
}

// kind is what a value is.
type kind uint8

const (
	isText kind = iota
	isNumber
	isTruth
	isList
)

// value is what a source or a filter gives.
type value struct {
	kind   kind
	truth  bool
	number int64
	text   string
	list   []string
}

func textValue(s string) value      { return value{kind: isText, text: s} }
func numberValue(n int64) value     { return value{kind: isNumber, number: n} }
func truthValue(yes bool) value     { return value{kind: isTruth, truth: yes} }
func listValue(l []string) value    { return value{kind: isList, list: l} }
func (v value) equal(s string) bool { return v.String() == s }

// String returns the value as it is printed; a list's items are joined by
// commas.
func (v value) String() string {
	switch v.kind {
	case isNumber:
		return strconv.FormatInt(v.number, 10)
	case isTruth:
		return strconv.FormatBool(v.truth)
	case isList:
		return strings.Join(v.list, listSeparator)
	default:
		return v.text
	}
}

// listSeparator joins a list that is printed without join.
const listSeparator = ","

func (v value) append(b []byte) []byte {
	switch v.kind {
	case isNumber:
		return strconv.AppendInt(b, v.number, 10)
	case isList:
		for i, item := range v.list {
			if i > 0 {
				b = append(b, listSeparator...)
			}
			b = append(b, item...)
		}
		return b
	default:
		return append(b, v.String()...)
	}
}

// filled is what if asks: a text or list that is not empty, a number that is
// not 0, a truth.
func (v value) filled() bool {
	switch v.kind {
	case isNumber:
		return v.number != 0
	case isTruth:
		return v.truth
	case isList:
		return len(v.list) > 0
	default:
		return v.text != ""
	}
}

// empty is what default asks: a text or list with nothing in it.
func (v value) empty() bool {
	return v.kind == isText && v.text == "" || v.kind == isList && len(v.list) == 0
}

// size is the value's size in bytes, near enough for limits.
func (v value) size() int {
	n := len(v.text)
	for _, item := range v.list {
		n += len(item)
	}
	return n + len(v.list)
}

func (v value) has(s string) bool {
	if v.kind == isList {
		return slices.Contains(v.list, s)
	}
	return strings.Contains(v.String(), s)
}
