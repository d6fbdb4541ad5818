package settings

import (
	"fmt"
	"strings"
)

// Error is one mistake in the settings.
type Error struct {
	Variable string // its name, or "the command"
	Value    string // what it is, shortened and without secrets; empty where it is not shown
	Problem  string // what is wrong
	Expected string // what would be right; may be empty
	Hint     string // how to get there; may be empty
}

// Error returns one line, such as
//
//	CLEAT_DRAIN="5": a number without a unit; expected a duration from 0s to 24h; write 5s
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Variable)
	if e.Value != "" {
		fmt.Fprintf(&b, "=%q", e.Value)
	}
	b.WriteString(": ")
	b.WriteString(e.Problem)
	if e.Expected != "" {
		b.WriteString("; expected ")
		b.WriteString(e.Expected)
	}
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// Errors returns the mistakes that an error of [Parse] joins, in its order.
func Errors(err error) []*Error {
	switch e := err.(type) {
	case *Error:
		return []*Error{e}
	case interface{ Unwrap() error }:
		return Errors(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []*Error
		for _, inner := range e.Unwrap() {
			all = append(all, Errors(inner)...)
		}
		return all
	}
	return nil
}

// flatten makes one line of an error that joins several.
func flatten(err error) string {
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// wrong makes the part of an Error that is not about its variable.
func wrong(problem, expected, hint string) *Error {
	return &Error{Problem: problem, Expected: expected, Hint: hint}
}
