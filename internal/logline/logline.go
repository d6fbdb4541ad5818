// Package logline is cleat's own log: for people by default, one line and one
// write for each message, with a short prefix that tells it from the child's
// output, which goes to the same place:
//
//	cleat: started command=nginx pid=12
//	cleat: warning: no discovery server; carrying on with what is known cause="connection refused"
//
// It has no time, because whatever collects a container's output adds one. On
// request it writes JSON, with time, by [slog.JSONHandler].
package logline

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// mostValue is the length in bytes up to which a value is shown.
const mostValue = 4096

// New returns a logger that writes to w, from the level on. Safe for concurrent
// use.
func New(w io.Writer, prefix string, level slog.Leveler, asJSON bool) *slog.Logger {
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(&handler{mu: new(sync.Mutex), w: w, prefix: prefix, level: level})
}

// handler is a [slog.Handler] of lines for people.
type handler struct {
	mu     *sync.Mutex // of w
	w      io.Writer
	prefix string
	level  slog.Leveler
	attrs  string // rendered
	group  string // with a dot at its end
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(h.prefix)
	b.WriteString(": ")
	switch {
	case r.Level >= slog.LevelError:
		b.WriteString("error: ")
	case r.Level >= slog.LevelWarn:
		b.WriteString("warning: ")
	case r.Level < slog.LevelInfo:
		b.WriteString("debug: ")
	}
	b.WriteString(oneLine(r.Message))
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		writeAttr(&b, h.group, a)
		return true
	})
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.w.Write([]byte(b.String()))
	return err
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range attrs {
		writeAttr(&b, h.group, a)
	}
	with := *h
	with.attrs += b.String()
	return &with
}

func (h *handler) WithGroup(name string) slog.Handler {
	with := *h
	with.group += name + "."
	return &with
}

// writeAttr writes " name=value"; what is empty is left out.
func writeAttr(b *strings.Builder, group string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		for _, member := range value.Group() {
			writeAttr(b, group+a.Key+".", member)
		}
		return
	}
	text := show(value)
	if text == "" || a.Key == "" {
		return
	}
	b.WriteByte(' ')
	b.WriteString(group + a.Key)
	b.WriteByte('=')
	b.WriteString(text)
}

func show(value slog.Value) string {
	var text string
	switch v := value.Any().(type) {
	case nil:
		return ""
	case []string:
		text = strings.Join(v, ",")
	case error:
		text = v.Error()
	case fmt.Stringer:
		text = v.String()
	default:
		text = value.String()
	}
	if len(text) > mostValue {
		text = strings.ToValidUTF8(text[:mostValue], "") + "..."
	}
	if slices.ContainsFunc([]rune(text), needsQuote) {
		return strconv.Quote(text)
	}
	return text
}

func needsQuote(r rune) bool {
	return r == ' ' || r == '"' || r == '=' || !unicode.IsPrint(r)
}

// oneLine keeps a message that quotes something on one line.
func oneLine(message string) string {
	return strings.ReplaceAll(message, "\n", "; ")
}
