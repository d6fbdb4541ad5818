package templates

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error is a mistake in a template, or a rendering that failed; Error() is
// "name:line:column: message; hint". It never holds a value (of env, file,
// attribute) nor more of the source than the tag.
type Error struct {
	Name         string // of the file or variable
	Line, Column int    // from 1; columns are counted in characters
	Message      string
	Hint         string // what to do about it; may be empty

	cause error // what Unwrap returns
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Name != "" {
		b.WriteString(e.Name)
		b.WriteByte(':')
	}
	fmt.Fprintf(&b, "%d:%d: %s", e.Line, e.Column, e.Message)
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// Unwrap returns the cause: an [*AbsentError], what [Data.ReadFile] returned,
// or nil.
func (e *Error) Unwrap() error { return e.cause }

// AbsentError: the text needs an endpoint of an alias that has none.
type AbsentError struct{ Alias string }

func (e *AbsentError) Error() string {
	return fmt.Sprintf("%s has no endpoint", e.Alias)
}

// failure is an [Error] that does not know yet whose it is.
type failure struct {
	at      int // offset in the source, in bytes
	message string
	hint    string
	cause   error
}

// locate makes the failure an error of the text source.
func (f failure) locate(name, source string) *Error {
	at := min(f.at, len(source))
	before := source[:at]
	start := strings.LastIndexByte(before, '\n') + 1
	return &Error{
		Name:    name,
		Line:    1 + strings.Count(before, "\n"),
		Column:  1 + utf8.RuneCountInString(before[start:]),
		Message: f.message,
		Hint:    f.hint,
		cause:   f.cause,
	}
}

// join orders the failures by their place and makes one error of them.
func join(failures []failure, name, source string) error {
	if len(failures) == 0 {
		return nil
	}
	sort.SliceStable(failures, func(i, j int) bool { return failures[i].at < failures[j].at })
	more := len(failures) >= MaxMistakes
	if more {
		failures = failures[:MaxMistakes]
	}
	var errs []error
	for _, f := range failures {
		errs = append(errs, f.locate(name, source))
	}
	if more {
		last := failures[len(failures)-1]
		last.message, last.hint = "there are too many mistakes; more may follow", ""
		errs = append(errs, last.locate(name, source))
	}
	return errors.Join(errs...)
}

// quoted repeats a word of the source in an error, cut to a bearable length.
func quoted(word string) string {
	if len(word) > maxQuoted {
		word = strings.ToValidUTF8(word[:maxQuoted], "") + "…"
	}
	return strconv.Quote(word)
}
