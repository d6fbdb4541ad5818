package templates

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// filters are all filters, by name. docs/templates.md has an example of each.
var filters = map[string]*filter{
	// Texts, and every item of a list.
	"lower": {takes: takesEach, text: plain(strings.ToLower)},
	"upper": {takes: takesEach, text: plain(strings.ToUpper)},
	"trim": {takes: takesEach, arguments: []argument{someArgument}, optional: true, text: func(c call, s string) (string, error) {
		if len(c.texts) == 0 {
			return strings.TrimSpace(s), nil
		}
		return strings.Trim(s, c.texts[0]), nil
	}},
	"trimprefix": {takes: takesEach, arguments: []argument{textArgument}, text: with(strings.TrimPrefix)},
	"trimsuffix": {takes: takesEach, arguments: []argument{textArgument}, text: with(strings.TrimSuffix)},
	"replace":    {takes: takesEach, arguments: []argument{someArgument, textArgument}, text: replace},
	"regexreplace": {takes: takesEach, arguments: []argument{regexpArgument, textArgument},
		text: func(c call, s string) (string, error) { return replacePattern(c.pattern, s, c.texts[1]) }},
	"indent":   {takes: takesEach, arguments: []argument{numberArgument}, check: checkIndent, text: indent},
	"basename": {takes: takesEach, text: plain(path.Base)},
	"dirname":  {takes: takesEach, text: plain(path.Dir)},
	"hostport": {takes: takesEach, arguments: []argument{numberArgument}, check: checkPort, text: func(c call, s string) (string, error) {
		return string(appendAddr(nil, s, uint16(c.number))), nil
	}},

	// Encodings, of texts and of every item of a list.
	"quote":    {takes: takesEach, text: func(_ call, s string) (string, error) { return quoteJSON(s) }},
	"shell":    {takes: takesEach, text: quoteShell},
	"urlquery": {takes: takesEach, text: plain(url.QueryEscape)},
	"xml":      {takes: takesEach, text: plain(xmlEscapes.Replace)},
	"base64": {takes: takesEach, text: plain(func(s string) string {
		return base64.StdEncoding.EncodeToString([]byte(s))
	})},
	"base64decode": {takes: takesEach, text: decodeBase64},
	"sha256": {takes: takesEach, text: plain(func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])
	})},
	"json": {takes: takesAny, apply: toJSON},
	"get":  {takes: takesText, arguments: []argument{someArgument}, check: checkPath, apply: getJSON},

	// Numbers.
	"add": {takes: takesText, arguments: []argument{numberArgument}, apply: arithmetic(func(a, b int64) (int64, bool) {
		sum := a + b
		return sum, (sum > a) == (b > 0)
	})},
	"mul": {takes: takesText, arguments: []argument{numberArgument}, apply: arithmetic(func(a, b int64) (int64, bool) {
		product := a * b
		return product, a == 0 || product/a == b && !(a == -1 && b == math.MinInt64)
	})},
	"div": {takes: takesText, arguments: []argument{numberArgument}, check: checkDivisor, apply: arithmetic(func(a, b int64) (int64, bool) {
		return a / b, !(a == math.MinInt64 && b == -1)
	})},
	"mod": {takes: takesText, arguments: []argument{numberArgument}, check: checkDivisor, apply: arithmetic(func(a, b int64) (int64, bool) {
		return a % b, true
	})},

	// Lists.
	"split": {takes: takesText, arguments: []argument{someArgument}, list: true, apply: split},
	"join":  {takes: takesList, arguments: []argument{textArgument}, apply: joinList},
	"sort": {takes: takesList, list: true, apply: func(_ call, v value) (value, error) {
		return listValue(slices.Sorted(slices.Values(v.list))), nil
	}},
	"first": {takes: takesList, apply: func(_ call, v value) (value, error) {
		if len(v.list) == 0 {
			return value{}, errMissing
		}
		return textValue(v.list[0]), nil
	}},
	"last": {takes: takesList, apply: func(_ call, v value) (value, error) {
		if len(v.list) == 0 {
			return value{}, errMissing
		}
		return textValue(v.list[len(v.list)-1]), nil
	}},
	"count": {takes: takesList, apply: func(_ call, v value) (value, error) {
		return numberValue(int64(len(v.list))), nil
	}},

	// Questions, for if.
	"contains": {takes: takesAny, arguments: []argument{textArgument}, apply: func(c call, v value) (value, error) {
		return truthValue(v.has(c.texts[0])), nil
	}},
	"hasprefix": {takes: takesText, arguments: []argument{textArgument}, apply: func(c call, v value) (value, error) {
		return truthValue(strings.HasPrefix(v.String(), c.texts[0])), nil
	}},
	"hassuffix": {takes: takesText, arguments: []argument{textArgument}, apply: func(c call, v value) (value, error) {
		return truthValue(strings.HasSuffix(v.String(), c.texts[0])), nil
	}},
	"match": {takes: takesText, arguments: []argument{regexpArgument}, apply: func(c call, v value) (value, error) {
		return truthValue(c.pattern.MatchString(v.String())), nil
	}},

	// A missing value is the renderer's affair; here only empty ones arrive.
	"default": {takes: takesAny, same: true, arguments: []argument{textArgument}, apply: func(c call, v value) (value, error) {
		if !v.empty() {
			return v, nil
		}
		if v.kind == isList {
			return listValue([]string{c.texts[0]}), nil
		}
		return textValue(c.texts[0]), nil
	}},
}

func plain(f func(string) string) func(call, string) (string, error) {
	return func(_ call, s string) (string, error) { return f(s), nil }
}

func with(f func(s, argument string) string) func(call, string) (string, error) {
	return func(c call, s string) (string, error) { return f(s, c.texts[0]), nil }
}

func replace(c call, s string) (string, error) {
	grown := strings.Count(s, c.texts[0]) * (len(c.texts[1]) - len(c.texts[0]))
	if len(s)+grown > maxValueSize {
		return "", errTooLarge
	}
	return strings.ReplaceAll(s, c.texts[0], c.texts[1]), nil
}

// replacePattern is [regexp.Regexp.ReplaceAllString], but stops before the
// result is too large.
func replacePattern(pattern *regexp.Regexp, s, by string) (string, error) {
	var out []byte
	last, references := 0, strings.Count(by, "$")
	matches := pattern.FindAllStringSubmatchIndex(s, maxItems)
	if len(matches) == maxItems {
		return "", fmt.Errorf("matches %d times or more", maxItems)
	}
	for _, match := range matches {
		out = append(out, s[last:match[0]]...)
		if len(out)+len(by)+references*(match[1]-match[0]) > maxValueSize {
			return "", errTooLarge
		}
		out = pattern.ExpandString(out, by, s, match)
		last = match[1]
	}
	return string(append(out, s[last:]...)), nil
}

// indent adds spaces before every line that has something on it.
func indent(c call, s string) (string, error) {
	if len(s)+(strings.Count(s, "\n")+1)*int(c.number) > maxValueSize {
		return "", errTooLarge
	}
	spaces := strings.Repeat(" ", int(c.number))
	var b strings.Builder
	for line := range strings.Lines(s) {
		if strings.Trim(line, "\r\n") != "" {
			b.WriteString(spaces)
		}
		b.WriteString(line)
	}
	return b.String(), nil
}

func checkIndent(c call) error {
	if c.number < 0 || c.number > maxIndent {
		return fmt.Errorf("needs a number from 0 to %d", maxIndent)
	}
	return nil
}

func checkPort(c call) error {
	if c.number < 1 || c.number > math.MaxUint16 {
		return errors.New("needs a port from 1 to 65535")
	}
	return nil
}

func checkDivisor(c call) error {
	if c.number == 0 {
		return errors.New("cannot divide by 0")
	}
	return nil
}

// arithmetic makes a filter of an operation that reports whether its result
// can be represented.
func arithmetic(operation func(a, b int64) (int64, bool)) func(call, value) (value, error) {
	return func(c call, v value) (value, error) {
		a := v.number
		if v.kind != isNumber {
			var err error
			if a, err = strconv.ParseInt(v.String(), 10, 64); err != nil {
				return value{}, errors.New("is not a whole number")
			}
		}
		result, ok := operation(a, c.number)
		if !ok {
			return value{}, errors.New("gives a number that is too large")
		}
		return numberValue(result), nil
	}
}

func split(c call, v value) (value, error) {
	s := v.String()
	if s == "" {
		return listValue(nil), nil
	}
	if strings.Count(s, c.texts[0]) >= maxItems {
		return value{}, fmt.Errorf("gives more than %d items", maxItems)
	}
	return listValue(strings.Split(s, c.texts[0])), nil
}

func joinList(c call, v value) (value, error) {
	if v.size()+len(v.list)*len(c.texts[0]) > maxValueSize {
		return value{}, errTooLarge
	}
	return textValue(strings.Join(v.list, c.texts[0])), nil
}
