package templates

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// takes is what a filter may be given.
type takes uint8

const (
	takesAny  takes = iota
	takesText       // text, number or truth
	takesEach       // as takesText; of a list, every item for itself
	takesList
)

// argument is what a filter's argument must be.
type argument uint8

const (
	textArgument   argument = iota // text, or a number as it is written
	someArgument                   // text that is not empty
	regexpArgument                 // a regular expression (RE2)
	numberArgument                 // a whole number
)

// filter is one filter of the language.
type filter struct {
	arguments []argument
	optional  bool // the arguments may be left out
	takes     takes
	list      bool // it gives a list
	same      bool // it gives a list when it is given one
	// check refuses arguments when the text is parsed; may be nil.
	check func(c call) error
	// apply returns the result, or why there is none. Its error must not hold
	// the value. It may return errMissing.
	apply func(c call, v value) (value, error)
	// text is apply for takesEach.
	text func(c call, s string) (string, error)
}

// counted says how many arguments the filter takes.
func (f *filter) counted() string {
	n := len(f.arguments)
	switch {
	case f.optional:
		return fmt.Sprintf("at most %d argument", n)
	case n == 0:
		return "no argument"
	case n == 1:
		return "1 argument"
	default:
		return fmt.Sprintf("%d arguments", n)
	}
}

// call is a filter with its arguments.
type call struct {
	name    string
	filter  *filter
	texts   []string // the arguments as they are written
	number  int64    // the first argument as a number
	pattern *regexp.Regexp
	list    bool // the result is a list
	at      int  // offset in the text
}

// errMissing is the error of a filter that found nothing: default helps.
var errMissing = errors.New("has nothing to give")

// errTooLarge is the error of a filter whose result would be too large.
var errTooLarge = fmt.Errorf("gives more than %d bytes", maxValueSize)

func filterNames() []string { return slices.Sorted(maps.Keys(filters)) }

// run applies the call to the value.
func (c call) run(v value) (value, error) {
	if c.filter.text == nil {
		return c.filter.apply(c, v)
	}
	if v.kind != isList {
		s, err := c.filter.text(c, v.String())
		if err == nil && len(s) > maxValueSize {
			err = errTooLarge
		}
		return textValue(s), err
	}
	items, size := make([]string, len(v.list)), 0
	for i, item := range v.list {
		s, err := c.filter.text(c, item)
		if err != nil {
			return value{}, err
		}
		if size += len(s); size > maxValueSize {
			return value{}, errTooLarge
		}
		items[i] = s
	}
	return listValue(items), nil
}

// filter reads one filter behind a '|' and appends it to the expression.
func (b *builder) filter(l *lexer, e *expression) bool {
	t := l.next()
	if t.kind != wordToken {
		b.fail(t.at, "the name of a filter is missing", "expected one of "+strings.Join(filterNames(), ", "))
		return false
	}
	c := call{name: t.text, filter: filters[t.text], at: t.at}
	if c.filter == nil {
		b.fail(t.at, fmt.Sprintf("there is no filter %s", quoted(t.text)), didYouMean(t.text, filterNames()))
	}
	given, good := b.literals(l)
	if !good || c.filter == nil || !b.arguments(&c, given) {
		return false
	}
	if len(e.calls) == MaxFilters {
		b.fail(t.at, fmt.Sprintf("there are more than %d filters in one tag", MaxFilters), "")
		return false
	}
	switch f := c.filter; {
	case e.unknown:
	case f.takes == takesList && !e.list:
		b.fail(t.at, c.name+" needs a list", "tags is one, and split makes one of a text")
		return false
	case f.takes == takesText && e.list:
		b.fail(t.at, c.name+" cannot take a list", "make it a text first, with join, first or last")
		return false
	}
	e.list = c.filter.list || e.list && (c.filter.takes == takesEach || c.filter.same)
	c.list = e.list
	e.defaulted = e.defaulted || c.name == "default"
	e.calls = append(e.calls, c)
	return true
}

// literals reads the arguments of a filter.
func (b *builder) literals(l *lexer) (given []token, good bool) {
	for {
		switch t := l.peek(); {
		case t.kind == quotedToken || t.kind == numberToken:
			l.next()
			given = append(given, t)
		case t.kind == wordToken && t.text != "sep": // each's, behind its filters
			b.fail(t.at, fmt.Sprintf("the argument %s is neither in quotes nor a whole number", quoted(t.text)), "write it in quotes")
			return nil, false
		case t.kind == badToken:
			b.bad(t)
			return nil, false
		default:
			return given, true
		}
	}
}

// arguments checks the arguments of a call and puts them in.
func (b *builder) arguments(c *call, given []token) bool {
	want := c.filter.arguments
	if len(given) != len(want) && !(len(given) == 0 && c.filter.optional) {
		b.fail(c.at, fmt.Sprintf("%s takes %s, not %d", c.name, c.filter.counted(), len(given)), "")
		return false
	}
	for i, t := range given {
		switch want[i] {
		case someArgument:
			if t.text == "" {
				b.fail(t.at, c.name+" cannot take an empty argument here", "")
				return false
			}
		case numberArgument:
			if t.kind != numberToken {
				b.fail(t.at, c.name+" needs a whole number", "write it without quotes")
				return false
			}
			c.number = t.number
		case regexpArgument:
			if c.pattern = b.pattern(t); c.pattern == nil {
				return false
			}
		}
		c.texts = append(c.texts, t.text)
	}
	if c.filter.check != nil {
		if err := c.filter.check(*c); err != nil {
			b.fail(c.at, c.name+" "+err.Error(), "")
			return false
		}
	}
	return true
}

// pattern compiles a regular expression; nil: it reported what is wrong.
func (b *builder) pattern(t token) *regexp.Regexp {
	if len(t.text) > maxPattern {
		b.fail(t.at, fmt.Sprintf("the regular expression is longer than %d bytes", maxPattern), "")
		return nil
	}
	pattern, err := regexp.Compile(t.text)
	if err != nil {
		why := "it cannot be read"
		if e, ok := errors.AsType[*syntax.Error](err); ok {
			why = e.Code.String()
		}
		b.fail(t.at, "the regular expression is wrong: "+why, "the syntax is RE2's")
		return nil
	}
	if pattern.NumSubexp() > maxGroups {
		b.fail(t.at, fmt.Sprintf("the regular expression has more than %d groups", maxGroups), "")
		return nil
	}
	return pattern
}
