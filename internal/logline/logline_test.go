package logline_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"cleat/internal/logline"
)

func TestText(t *testing.T) {
	for _, c := range []struct {
		write func(*slog.Logger)
		want  string
	}{
		{func(l *slog.Logger) { l.Info("started", "command", "nginx", "pid", 12) }, "cleat: started command=nginx pid=12\n"},
		{func(l *slog.Logger) { l.Warn("gone", "cause", errors.New("a b\nc")) }, "cleat: warning: gone cause=\"a b\\nc\"\n"},
		{func(l *slog.Logger) { l.Error("a\nb") }, "cleat: error: a; b\n"},
		{func(l *slog.Logger) { l.Debug("quiet") }, ""},
		{func(l *slog.Logger) { l.Info("x", "empty", "", "none", nil, "list", []string{"a", "b"}) }, "cleat: x list=a,b\n"},
		{func(l *slog.Logger) { l.With("a", 1).WithGroup("g").Info("x", "b", 2) }, "cleat: x a=1 g.b=2\n"},
		{func(l *slog.Logger) { l.Info("x", "v", strings.Repeat("y", 5000)) }, "cleat: x v=" + strings.Repeat("y", 4096) + "...\n"},
	} {
		var w writes
		c.write(logline.New(&w, "cleat", slog.LevelInfo, false))
		if got := w.String(); got != c.want {
			t.Errorf("got %q, expected %q", got, c.want)
		}
		if c.want != "" && w.count != 1 {
			t.Errorf("%q took %d writes, expected one", c.want, w.count)
		}
	}
}

func TestJSON(t *testing.T) {
	var w writes
	logline.New(&w, "cleat", slog.LevelInfo, true).Warn("gone", "cause", "x")
	var line map[string]any
	if err := json.Unmarshal(w.Bytes(), &line); err != nil || line["msg"] != "gone" || line["cause"] != "x" || line["time"] == nil {
		t.Fatalf("%s: %v", w.Bytes(), err)
	}
}

// writes counts the writes.
type writes struct {
	bytes.Buffer
	count int
}

func (w *writes) Write(p []byte) (int, error) {
	w.count++
	return w.Buffer.Write(p)
}
