package settings

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// columnGap is the space between columns, in characters.
const columnGap = "  "

// account writes sections of aligned lines and keeps the first error.
type account struct {
	w    io.Writer
	rows [][]string // of the section that is open
	any  bool
	err  error
}

// section begins a section. Columns are aligned within one.
func (a *account) section(name string) {
	a.flush()
	if a.any {
		a.print("\n")
	}
	a.any = true
	a.print(name + "\n")
}

// line adds a line of cells to the section.
func (a *account) line(cells ...string) {
	for len(cells) > 1 && cells[len(cells)-1] == "" {
		cells = cells[:len(cells)-1]
	}
	for i := range cells {
		// What comes from outside must not break the lines or the screen.
		cells[i] = printable(cells[i])
	}
	a.rows = append(a.rows, cells)
}

// flush writes the section. The last cell of a line makes no column wider: it
// may be a whole sentence.
func (a *account) flush() {
	var widths []int
	for _, cells := range a.rows {
		for i, cell := range cells[:len(cells)-1] {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, cells := range a.rows {
		var b strings.Builder
		for i, cell := range cells {
			b.WriteString(columnGap)
			b.WriteString(cell)
			if i < len(cells)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
			}
		}
		a.print(b.String() + "\n")
	}
	a.rows = nil
}

func (a *account) print(text string) {
	if a.err == nil {
		_, a.err = io.WriteString(a.w, text)
	}
}

func (a *account) end() error {
	a.flush()
	return a.err
}

func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
