//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// The columns of the timeline, in characters: 98 in all.
const (
	labelWidth = 7
	textWidth  = 64
)

// timeline prints what happens, one line each: seconds since the beginning, what
// was done or seen, and what became of the requests. Its methods are safe for
// concurrent use.
type timeline struct {
	mu      sync.Mutex
	out     io.Writer
	colour  bool
	verbose bool
	began   time.Time
	count   func() tally // nil: no requests yet
	failed  int          // when the last line was printed
}

func newTimeline(out io.Writer, terminal, verbose bool) *timeline {
	return &timeline{out: out, colour: terminal && os.Getenv("NO_COLOR") == "", verbose: verbose, began: time.Now()}
}

// The styles of the timeline, as the parameters of ANSI's SGR.
const (
	plain = ""
	bold  = "1"
	dim   = "2"
	red   = "31;1"
	green = "32"
	cyan  = "36;1"
)

func (t *timeline) style(style, text string) string {
	if !t.colour || style == plain || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// title prints what this is.
func (t *timeline) title(name string, lines ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	indent := strings.Repeat(" ", len(name)+2)
	fmt.Fprintf(t.out, "%s  %s\n", t.style(bold, name), strings.Join(lines, "\n"+indent))
	fmt.Fprintf(t.out, "\n%s\n", t.style(dim, fmt.Sprintf("%8s  %-*s%-*s%9s %7s",
		"seconds", labelWidth, "", textWidth, "", "requests", "failed")))
}

// counting says where the requests are counted.
func (t *timeline) counting(count func() tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count = count
}

// did tells of something that the demo does; the label begins a new step.
func (t *timeline) did(label, format string, args ...any) {
	if label != "" {
		t.gap()
	}
	t.line(label, bold, fmt.Sprintf(format, args...))
}

// saw tells of something that was observed.
func (t *timeline) saw(format string, args ...any) { t.line("", plain, fmt.Sprintf(format, args...)) }

// broken tells of a promise that was not kept.
func (t *timeline) broken(format string, args ...any) {
	t.line("BROKEN", red, fmt.Sprintf(format, args...))
}

// note explains, without a time of its own.
func (t *timeline) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, text := range wrap(fmt.Sprintf(format, args...), textWidth) {
		fmt.Fprintf(t.out, "%*s%s\n", 10+labelWidth, "", t.style(dim, text))
	}
}

// command shows a command to try.
func (t *timeline) command(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "%*s%s\n", 10+labelWidth+2, "", t.style(bold, text))
}

// closing is the last word.
func (t *timeline) closing(style, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(t.out, t.style(style, fmt.Sprintf(format, args...)))
}

// table prints rows under a heading: texts to the left, numbers to the right.
func (t *timeline) table(rows [][]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	fmt.Fprintln(t.out)
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			if i < tableTexts || i == len(row)-1 {
				fmt.Fprintf(&b, "%-*s  ", widths[i], cell)
			} else {
				fmt.Fprintf(&b, "%*s  ", widths[i], cell)
			}
		}
		style := plain
		if n == 0 {
			style = dim
		}
		fmt.Fprintln(t.out, t.style(style, strings.TrimRight(b.String(), " ")))
	}
	fmt.Fprintln(t.out)
}

// tableTexts is the number of columns on the left of a table that are texts.
const tableTexts = 2

// gap prints an empty line.
func (t *timeline) gap() {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(t.out)
}

// raw prints what a process said, if that is wanted.
func (t *timeline) raw(name, text string) {
	if !t.verbose {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(t.out, t.style(dim, fmt.Sprintf("%10s%-*s%s", "", labelWidth, name, text)))
}

func (t *timeline) line(label, style, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	labelStyle := cyan
	if style == red {
		labelStyle = red
	}
	for i, part := range wrap(text, textWidth) {
		when, counts := "", ""
		if i == 0 {
			when = fmt.Sprintf("%.2f", time.Since(t.began).Seconds())
		}
		if i == 0 && t.count != nil {
			now := t.count()
			failed := now.failed - t.failed
			t.failed = now.failed
			failedStyle := dim
			if failed > 0 {
				failedStyle = red
			}
			counts = fmt.Sprintf("%*s%s %s", textWidth-len([]rune(part)), "",
				t.style(dim, fmt.Sprintf("%9d", now.requests)), t.style(failedStyle, fmt.Sprintf("%7d", failed)))
		}
		fmt.Fprintf(t.out, "%s  %s%s%s\n", t.style(dim, fmt.Sprintf("%8s", when)),
			t.style(labelStyle, fmt.Sprintf("%-*s", labelWidth, label)), t.style(style, part), counts)
		label = ""
	}
}

// wrap breaks a text into lines of at most that many characters, at spaces
// where there are any.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len([]rune(line))+1+len([]rune(word)) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// since tells how long ago that was, in a form for people.
func since(began time.Time) string { return span(time.Since(began)) }

// span writes a duration for people: milliseconds below a second.
func span(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
