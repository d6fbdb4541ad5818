package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"cleat/launcher/control"
	"cleat/registry"
)

// mostEndpoints is how many endpoints of a requirement the screen shows; -json
// has more.
const mostEndpoints = 8

// shownSum is how many characters of a SHA-256 tell two files apart.
const shownSum = 12

// status is `cleat status`.
func (t *tell) status(ctx context.Context, client *control.Client) int {
	status, err := client.Status(ctx)
	if err != nil {
		return t.fail("status", exitNothing, err)
	}
	code := exitFound
	switch {
	case t.check:
		if !status.Healthy {
			code = exitNothing
		}
		_, err = fmt.Fprintln(t.out, printable(status.Why))
	case t.json:
		e := json.NewEncoder(t.out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err = e.Encode(status)
	default:
		err = showStatus(t.out, status)
	}
	if err != nil {
		return t.fail("status", exitNothing, err)
	}
	return code
}

// showStatus writes the status for a person.
func showStatus(w io.Writer, s control.Status) error {
	v := &screen{w: w}
	ago := func(at time.Time) string {
		if at.IsZero() {
			return "never"
		}
		return span(s.Now.Sub(at)) + " ago"
	}
	v.section("")
	v.line("launcher", join(", ", s.ID, "namespace "+s.Namespace, prefixed("zone ", s.Zone), "cleat "+s.Version))
	v.line("state", s.State+"; the launcher has been up for "+span(s.Now.Sub(s.Since)))
	child := s.Child.Command
	if s.Child.PID != 0 {
		child += fmt.Sprintf(", pid %d, up %s", s.Child.PID, span(s.Now.Sub(s.Child.Started)))
	} else {
		child += ", not running"
	}
	child += fmt.Sprintf(", restarts %d", s.Child.Restarts)
	if s.Child.LastExit != "" {
		child += fmt.Sprintf(" (last: %s, %s)", s.Child.LastExit, ago(s.Child.Ended))
	}
	v.line("child", child)
	if u := s.Child.Use; u != nil {
		v.line("uses", fmt.Sprintf("%s of memory, %s of processor time, %s", bytesText(u.Memory), span(u.CPU.Duration()), processes(u.Processes)))
	}
	v.line("server", serverText(s))
	health := "healthy"
	if !s.Healthy {
		health = "not healthy"
	}
	v.line(health, s.Why)
	if len(s.Cycle) > 0 {
		v.line("cycle", registry.Cycle{Links: s.Cycle}.String()+": none will start; optional=true in one of these requirements breaks it")
	}
	if len(s.Changed) > 0 {
		v.line("set", strings.Join(s.Changed, ", "))
	}
	if len(s.Provides) > 0 {
		v.section("provides")
	}
	for _, i := range s.Provides {
		address := i.Endpoint().Addr()
		if i.Address == "" {
			address = ":" + i.ListensOn
		}
		more := join(", ", i.Reason, prefixed("tags ", strings.Join(i.Tags, " ")))
		for _, key := range keys(i.Attributes) {
			more = join(", ", more, key+"="+i.Attributes[key])
		}
		v.line(i.Service, address+"/"+string(cmp.Or(i.Protocol, registry.TCP)), string(i.Status), more)
	}
	showGround(v, s)
	if len(s.Requires) > 0 {
		v.section("requires")
	}
	for _, r := range s.Requires {
		more := fmt.Sprintf("%d in use, %d listed, min %d, revision %d", r.Used, r.Listed, r.Min, r.Revision)
		if r.Warming {
			more += ", the server is warming"
		}
		v.line(r.Alias, r.Text, string(r.Standing), join("; ", r.Why, more))
		for n, e := range r.Endpoints {
			if n == mostEndpoints {
				v.line("", fmt.Sprintf("and %d more", r.Used-n))
				break
			}
			mark := " "
			if e.Chosen {
				mark = "*"
			}
			how := ""
			if !e.Listed {
				how = "not in the server's view"
			}
			v.line("", mark+" "+e.Addr(), string(e.Status), join(", ", prefixed("zone ", e.Zone), prefixed("tags ", strings.Join(e.Tags, " ")), how))
		}
	}
	if len(s.Templates) > 0 || s.Render.Failed != "" {
		v.section(fmt.Sprintf("templates, rendered %s, %d written", ago(s.Render.At), s.Render.Wrote))
	}
	if s.Render.Failed != "" {
		v.line("failed", s.Render.Failed)
	}
	for _, f := range s.Templates {
		wrote := "not written by this launcher"
		if !f.Wrote.IsZero() {
			wrote = "wrote " + ago(f.Wrote)
		}
		v.line(f.Destination, f.Action, f.SHA256[:min(len(f.SHA256), shownSum)], join("; ", wrote, f.Error))
	}
	showBeside(v, s)
	if len(s.Actions) > 0 {
		v.section("last actions")
	}
	for _, a := range slices.Backward(s.Actions) {
		how := "done"
		if a.Error != "" {
			how = "failed: " + a.Error
		}
		v.line(ago(a.At), a.What, join("; ", how, a.Why))
	}
	return v.end()
}

// showGround shows the volumes and networks.
func showGround(v *screen, s control.Status) {
	if len(s.Volumes) > 0 {
		v.section("volumes")
	}
	for _, volume := range s.Volumes {
		v.line(volume.Name, volume.Path, string(volume.State), volume.Why)
	}
	if len(s.Networks) > 0 {
		v.section("networks")
	}
	for _, n := range s.Networks {
		v.line(n.Name, n.Spec, string(n.State), join("; ", n.Address, n.Why))
	}
}

func serverText(s control.Status) string {
	switch {
	case s.Server == nil:
		return "none: a plain PID 1"
	case s.Server.Connected:
		text := fmt.Sprintf("%s, connected for %s", s.Server.URL, span(s.Now.Sub(s.Server.Since)))
		if s.Server.Warming {
			text += ", it was warming then"
		}
		return text
	case s.Server.Since.IsZero():
		return "none has answered yet"
	}
	return join(": ", fmt.Sprintf("none for %s; carrying on with what is known", span(s.Now.Sub(s.Server.Since))), s.Server.Error)
}

// span is a time for people: its two largest units.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

func processes(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}

// bytesText is a size for people.
func bytesText(n int64) string {
	const kib, mib, gib = 1 << 10, 1 << 20, 1 << 30
	switch {
	case n >= gib:
		return fmt.Sprintf("%.1f GiB", float64(n)/gib)
	case n >= mib:
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	}
	return fmt.Sprintf("%d KiB", n/kib)
}

// join joins what is not empty.
func join(separator string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), separator)
}

// prefixed is the text behind the prefix, or nothing for nothing.
func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}
