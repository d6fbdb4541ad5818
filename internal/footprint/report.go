package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// The budgets.
const (
	budgetSize     = 9.0  // MB on disk, stripped
	budgetResident = 16.0 // MB, both stages summed
	budgetSwitches = 12.0 // voluntary context switches a second, both stages
	budgetStart    = 15.0 // ms over the child's own time
	budgetEnd      = 20.0 // ms over the child's own time
)

// none is the budget of what has none.
const none = 0

// report prints one number a line, with its budget.
type report struct {
	lines *tabwriter.Writer
	over  bool // something is over its budget
}

func newReport(to io.Writer) *report {
	return &report{lines: tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)}
}

func (r *report) row(what string, number, budget float64, unit string) {
	fmt.Fprintf(r.lines, "%s\t%.1f %s", what, number, unit)
	if budget != none {
		verdict := "within"
		if number > budget {
			verdict, r.over = "OVER", true
		}
		fmt.Fprintf(r.lines, "\t%s %.0f %s", verdict, budget, unit)
	}
	fmt.Fprintln(r.lines)
}

// compared is a row that says how often the number is that of another.
func (r *report) compared(what string, number, other float64, with, unit string) {
	fmt.Fprintf(r.lines, "%s\t%.1f %s\t%.1f times %s\n", what, number, unit, number/other, with)
}

func (r *report) section() {
	fmt.Fprintln(r.lines)
	r.lines.Flush()
}

func (r *report) note(text string) { fmt.Fprintln(r.lines, text) }

func (r *report) flush() error { return r.lines.Flush() }
