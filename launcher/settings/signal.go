package settings

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"cleat/launcher/process"
)

const (
	// maxSignal is the highest signal number of Linux.
	maxSignal = process.RealTimeMax
	// realTimeMin is SIGRTMIN as programs see it.
	realTimeMin = process.RealTimeMin
)

// otherNames are second names of signals that the system's table leaves out.
var otherNames = map[string]syscall.Signal{
	"IOT": unix.SIGABRT, "CLD": unix.SIGCHLD, "POLL": unix.SIGIO, "UNUSED": unix.SIGSYS,
	"RTMIN": realTimeMin, "RTMAX": maxSignal,
}

// ParseSignal returns the signal of a name, in any case and with or without
// SIG (TERM, sigterm, RTMIN+3, RTMAX-1), or of a number from 1 to 64.
func ParseSignal(text string) (syscall.Signal, error) {
	if number, err := strconv.ParseUint(text, 10, 32); err == nil {
		if number < 1 || number > maxSignal {
			return 0, fmt.Errorf("there is no signal %d; expected 1 to %d, or a name", number, maxSignal)
		}
		return syscall.Signal(number), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if s := unix.SignalNum("SIG" + name); s != 0 {
		return s, nil
	}
	if s, ok := otherNames[name]; ok {
		return s, nil
	}
	if s, ok := realTime(name); ok {
		return s, nil
	}
	hint := "expected a name such as TERM or RTMIN+3, or a number"
	if meant := nearest(name, signalNames()); meant != "" {
		hint = "did you mean " + meant + "?"
	}
	return 0, fmt.Errorf("there is no signal %q; %s", shorten(text), hint)
}

// realTime returns the signal of RTMIN+n or RTMAX-n.
func realTime(name string) (syscall.Signal, bool) {
	from, sign := realTimeMin, 1
	offset, ok := strings.CutPrefix(name, "RTMIN+")
	if !ok {
		from, sign = maxSignal, -1
		if offset, ok = strings.CutPrefix(name, "RTMAX-"); !ok {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(offset, 10, 8)
	number := from + sign*int(n)
	if err != nil || number < realTimeMin || number > maxSignal {
		return 0, false
	}
	return syscall.Signal(number), true
}

// signalNames are all names, without SIG, sorted.
func signalNames() []string {
	names := slices.Collect(maps.Keys(otherNames))
	for s := syscall.Signal(1); s < realTimeMin; s++ {
		if name := unix.SignalName(s); name != "" {
			names = append(names, strings.TrimPrefix(name, "SIG"))
		}
	}
	slices.Sort(names)
	return names
}

// looksLikeSignal reports whether a text was probably meant as a signal: one
// word of capital letters, digits, + and -.
func looksLikeSignal(text string) bool {
	for i := range len(text) {
		c := text[i]
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '+' && c != '-' {
			return false
		}
	}
	return text != ""
}

// uncatchable are the signals that no process can catch, ignore or forward.
func uncatchable(s syscall.Signal) bool { return s == unix.SIGKILL || s == unix.SIGSTOP }

// cleatsOwn are the signals that are never forwarded: the kernel's word about
// cleat's own children, the Go runtime's to itself, and those that Go cannot
// catch (docs/signals.md).
func cleatsOwn(s syscall.Signal) bool {
	return s == unix.SIGCHLD || s == unix.SIGURG || s == unix.SIGPROF || s >= 32 && s <= 34
}
