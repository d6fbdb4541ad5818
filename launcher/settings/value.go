package settings

import (
	"log/slog"
	"strconv"
	"strings"
	"time"
)

var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// choice says that text is none of the choices.
func choice(text string, choices ...string) *Error {
	last := len(choices) - 1
	e := wrong("there is no such choice", strings.Join(choices[:last], ", ")+" or "+choices[last], "")
	if meant := nearest(strings.ToLower(text), choices); meant != "" {
		e.Hint = "did you mean " + meant + "?"
	}
	return e
}

// path makes the parser of an absolute path.
func path(field func(p *parser) *string) func(p *parser, text string) *Error {
	return func(p *parser, text string) *Error {
		if wrong := checkPath(text); wrong != nil {
			return wrong
		}
		*field(p) = text
		return nil
	}
}

// maxPath is the length in bytes that the kernel allows for a path.
const maxPath = 4095

func checkPath(text string) *Error {
	switch {
	case !strings.HasPrefix(text, "/"):
		return wrong("this is not an absolute path", "a path that begins with '/'", "")
	case len(text) > maxPath:
		return wrong("the path is too long", "at most "+strconv.Itoa(maxPath)+" bytes", "")
	}
	return nil
}

func parseQuiet(p *parser, text string) *Error {
	const expected = "min:max, durations from 0s to 10m"
	first, second, ok := strings.Cut(text, ":")
	if !ok {
		return wrong("there is only one duration", expected, "such as 100ms:2s")
	}
	least, bad := quietSpan.parse(first)
	if bad == nil {
		var most time.Duration
		if most, bad = quietSpan.parse(second); bad == nil && least > most {
			return wrong("min is longer than max", expected, "")
		}
		p.s.QuietMin, p.s.QuietMax = least, most
	}
	if bad != nil {
		bad.Expected = expected
	}
	return bad
}

func parseBool(text string) (bool, *Error) {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, choice(text, "true", "false")
}

// isPort reports whether text is a port in its only way of writing.
func isPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0 && text == strconv.FormatUint(port, 10)
}
