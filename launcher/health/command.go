package health

import (
	"context"
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"cleat/internal/probe"
	"cleat/launcher/process"
	"cleat/registry"

	"github.com/google/shlex"
)

// The exit statuses that mean something, as in Nagios and Consul; all others
// are critical.
const (
	exitPassing = 0
	exitWarning = 1
)

// Variables of a command, and placeholders in its text.
const (
	variableIP   = "SERVICE_IP"
	variablePort = "SERVICE_PORT"
)

// placeholder is one of the two, and no longer name.
var placeholder = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\$(` + variableIP + `|` + variablePort + `)\b`) })

// checkCommand runs a command or a script.
func checkCommand(ctx context.Context, k process.Kernel, user string, c Check, at netip.AddrPort, env []string) probe.Outcome {
	words, err := arguments(c, at)
	if err != nil {
		return probe.Failure(c.Timeout, "", err)
	}
	said := &head{}
	p, err := k.Start(process.Spec{
		Args: words, Env: environment(env, at), User: user, Output: said, Whole: true,
	})
	if err != nil {
		return probe.Failure(c.Timeout, "", err)
	}
	killed := false
	var exit process.Exit
	select {
	case exit = <-p.Exited():
	case <-ctx.Done():
		// Nothing can be done about a failure: then it does not end, and that is
		// seen by whoever waits for this.
		_ = p.SignalGroup(syscall.SIGKILL)
		exit = <-p.Exited()
		killed = exit.Signal == syscall.SIGKILL
	}
	o := probe.Outcome{Status: registry.Critical, Reason: exit.String(), Output: said.text()}
	switch {
	case killed:
		o.Reason = "killed because it took longer than " + c.Timeout.String()
	case exit.Signal != 0:
	case exit.Code == exitPassing:
		o.Status = registry.Passing
	case exit.Code == exitWarning:
		o.Status = registry.Warning
	}
	return o
}

// arguments are the words to run.
func arguments(c Check, at netip.AddrPort) ([]string, error) {
	fill := func(text string) string {
		return placeholder().ReplaceAllStringFunc(text, func(name string) string {
			if name == "$"+variableIP {
				return at.Addr().String()
			}
			return strconv.Itoa(int(at.Port()))
		})
	}
	if c.Kind == Script {
		return []string{"/bin/sh", "-c", fill(c.Command)}, nil
	}
	words, err := shlex.Split(c.Command)
	if err != nil || len(words) == 0 {
		// Not the cause: it may quote the command.
		return nil, errors.New("the command cannot be split into words")
	}
	for i := range words {
		words[i] = fill(words[i])
	}
	return words, nil
}

// environment is env with what is checked, in place of variables of that name.
func environment(env []string, at netip.AddrPort) []string {
	all := slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return name == variableIP || name == variablePort
	})
	return append(all, variableIP+"="+at.Addr().String(), variablePort+"="+strconv.Itoa(int(at.Port())))
}

// head keeps the beginning of what is written to it, and takes the rest. It may
// be read while it is written: a process that does not die may go on.
type head struct {
	mu   sync.Mutex
	kept []byte
}

// Write implements [io.Writer]. It never fails.
func (h *head) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept = append(h.kept, b[:min(len(b), MaxOutput-len(h.kept))]...)
	return len(b), nil
}

func (h *head) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return probe.Clean(string(h.kept), MaxOutput)
}
