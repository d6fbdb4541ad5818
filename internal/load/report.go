package main

import (
	"fmt"
	"io"
)

// budget is a limit on a number. The zero value is none.
type budget struct {
	most, least float64
}

// report prints one number a line, with its budget, as the table of a document.
type report struct {
	to   io.Writer
	over bool // something is over its budget
}

func (r *report) section(name string) {
	fmt.Fprintf(r.to, "\n| %s | | |\n|---|---|---|\n", name)
}

// row prints a number in as many digits as mean something.
func (r *report) row(what string, number float64, unit string, b budget) {
	limit := ""
	met := true
	switch {
	case b.most != 0:
		limit, met = "at most "+digits(b.most)+" "+unit, number <= b.most
	case b.least != 0:
		limit, met = "at least "+digits(b.least)+" "+unit, number >= b.least
	}
	if !met {
		limit, r.over = "OVER: "+limit, true
	}
	fmt.Fprintf(r.to, "| %s | %s %s | %s |\n", what, digits(number), unit, limit)
}

func digits(number float64) string {
	switch {
	case number >= 1000:
		return fmt.Sprintf("%.0f", number)
	case number >= 10:
		return fmt.Sprintf("%.1f", number)
	}
	return fmt.Sprintf("%.2f", number)
}
