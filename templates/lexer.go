package templates

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	endToken tokenKind = iota
	wordToken
	numberToken // a whole number; number holds it, text how it was written
	quotedToken // text holds what the quotes mean
	pipeToken
	equalToken
	notEqualToken
	badToken // text is the sign, openQuote, or empty when a text is missing
)

type token struct {
	kind   tokenKind
	text   string
	number int64
	at     int // offset in the source
}

// lexer cuts what is inside one tag into tokens.
type lexer struct {
	s    string
	i    int
	base int // offset of s in the source
}

// openQuote is the text of a bad token, and the message about it.
const openQuote = "a quote is not closed inside the tag"

const blanks = " \t\r\n"

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '_' || c == '.' || c == '-' || c == '@' || c == '+'
}

func (l *lexer) next() token {
	for l.i < len(l.s) && strings.IndexByte(blanks, l.s[l.i]) >= 0 {
		l.i++
	}
	t := token{at: l.base + l.i}
	if l.i == len(l.s) {
		return t
	}
	rest := l.s[l.i:]
	switch c := rest[0]; {
	case c == '|':
		l.i++
		t.kind, t.text = pipeToken, rest[:1]
	case strings.HasPrefix(rest, "=="):
		l.i += 2
		t.kind, t.text = equalToken, rest[:2]
	case strings.HasPrefix(rest, "!="):
		l.i += 2
		t.kind, t.text = notEqualToken, rest[:2]
	case c == '\'' || c == '"':
		text, n, closed := unquote(rest)
		l.i += n
		if t.kind, t.text = quotedToken, text; !closed {
			t.kind, t.text = badToken, openQuote
		}
	case isWordByte(c):
		n := 1
		for n < len(rest) && isWordByte(rest[n]) {
			n++
		}
		l.i += n
		t.kind, t.text = wordToken, rest[:n]
		if c == '-' || c == '+' || c >= '0' && c <= '9' {
			if number, err := strconv.ParseInt(t.text, 10, 64); err == nil {
				t.kind, t.number = numberToken, number
			}
		}
	default:
		_, n := utf8.DecodeRuneInString(rest)
		l.i += n
		t.kind, t.text = badToken, rest[:n]
	}
	return t
}

// peek returns the next token without taking it.
func (l *lexer) peek() token {
	ahead := *l
	return ahead.next()
}

// separator reads what stands behind sep=, in quotes or up to the next blank.
func (l *lexer) separator() token {
	t := token{at: l.base + l.i}
	rest := l.s[l.i:]
	if rest != "" && (rest[0] == '\'' || rest[0] == '"') {
		return l.next()
	}
	n := strings.IndexAny(rest, blanks)
	if n < 0 {
		n = len(rest)
	}
	l.i += n
	t.kind, t.text = quotedToken, rest[:n]
	if n == 0 {
		t.kind = badToken
	}
	return t
}

// unquote reads the quoted text that s begins with, and returns how many bytes
// it takes. A backslash makes \' \" \\ \n \r \t; before any other character it
// is itself, so that regular expressions can be written as they are.
func unquote(s string) (text string, n int, closed bool) {
	quote := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == quote:
			return b.String(), i + 1, true
		case c == '\\' && i+1 < len(s):
			i++
			switch e := s[i]; e {
			case '\'', '"', '\\':
				b.WriteByte(e)
			case 'n':
				b.WriteByte('\n')
			case 'r':
				b.WriteByte('\r')
			case 't':
				b.WriteByte('\t')
			default:
				b.WriteByte('\\')
				b.WriteByte(e)
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", len(s), false
}

// indexUnquoted returns where sub begins in s outside of quotes, or -1. A
// quote that is never closed hides nothing.
func indexUnquoted(s, sub string) int {
	open := "" // the quotes that nothing closes; looking once is enough
	for i := 0; i < len(s); {
		if strings.HasPrefix(s[i:], sub) {
			return i
		}
		if c := s[i]; (c == '\'' || c == '"') && strings.IndexByte(open, c) < 0 {
			if _, n, closed := unquote(s[i:]); closed {
				i += n
				continue
			}
			open += string(c)
		}
		i++
	}
	return -1
}

// firstWord returns the run of letters, digits, '_', '-', '#', '/' and '@' that
// s begins with.
func firstWord(s string) string {
	for i := range len(s) {
		if c := s[i]; (!isWordByte(c) || c == '.' || c == '+') && c != '#' && c != '/' {
			return s[:i]
		}
	}
	return s
}
