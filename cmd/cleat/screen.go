package main

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// screenWidth is how wide a screen may be, in characters.
	screenWidth = 100
	// mostColumn is how wide a column makes the ones after it start.
	mostColumn = 40
	// leastLast is how much room the last column has at least.
	leastLast = 30
	// columnGap is between two columns.
	columnGap = "  "
)

// screen writes sections of aligned lines. What does not fit into the width is
// continued below; nothing is cut off.
type screen struct {
	w    io.Writer
	rows [][]string
	any  bool
	err  error
}

// section begins a section; columns are aligned within one. The first one may
// have no title.
func (s *screen) section(title string) {
	s.flush()
	if s.any {
		s.write("\n")
	}
	s.any = true
	if title != "" {
		s.write(printable(title) + "\n")
	}
}

// line adds a line.
func (s *screen) line(cells ...string) {
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	for len(cells) > 1 && cells[len(cells)-1] == "" {
		cells = cells[:len(cells)-1]
	}
	s.rows = append(s.rows, cells)
}

// end writes what is left, and returns the writer's error.
func (s *screen) end() error {
	s.flush()
	return s.err
}

func (s *screen) flush() {
	var widths []int
	for _, cells := range s.rows {
		for i, cell := range cells[:len(cells)-1] {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if n := utf8.RuneCountInString(cell); n <= mostColumn {
				widths[i] = max(widths[i], n)
			}
		}
	}
	for _, cells := range s.rows {
		s.row(cells, widths)
	}
	s.rows = nil
}

// row writes one line, and what does not fit into it below.
func (s *screen) row(cells []string, widths []int) {
	var line strings.Builder
	at := 0
	for i, cell := range cells[:len(cells)-1] {
		n := utf8.RuneCountInString(cell)
		line.WriteString(columnGap + cell + strings.Repeat(" ", max(widths[i]-n, 0)))
		at += len(columnGap) + max(widths[i], n)
	}
	indent := 0
	for i := range cells[:len(cells)-1] {
		indent += len(columnGap) + widths[i]
	}
	indent = min(indent, screenWidth-leastLast) + len(columnGap)
	if at += len(columnGap); at > screenWidth-leastLast {
		s.write(line.String() + "\n")
		line.Reset()
		line.WriteString(strings.Repeat(" ", indent))
		at = indent
	} else {
		line.WriteString(columnGap)
	}
	for n, part := range wrap(cells[len(cells)-1], screenWidth-max(at, indent)) {
		if n > 0 {
			line.WriteString("\n" + strings.Repeat(" ", indent))
		}
		line.WriteString(part)
	}
	s.write(line.String() + "\n")
}

func (s *screen) write(text string) {
	if s.err == nil {
		_, s.err = io.WriteString(s.w, text)
	}
}

// wrap breaks a text at its spaces, or where a word is too long within it.
func wrap(text string, width int) []string {
	var lines []string
	line := []rune(text)
	for len(line) > width {
		cut := width
		for i := width; i > 0; i-- {
			if line[i] == ' ' {
				cut = i
				break
			}
		}
		lines = append(lines, string(line[:cut]))
		line = line[cut:]
		for len(line) > 0 && line[0] == ' ' {
			line = line[1:]
		}
	}
	return append(lines, string(line))
}

// printable replaces what could drive a terminal or break a line.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
}
