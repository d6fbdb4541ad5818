package graph

import (
	"fmt"
	"net/url"
	"strings"

	"cleat/registry"
)

// The texts in a box.
const (
	nameSize = 13.0 // pixels
	noteSize = 11.0
	textLeft = 32 // where texts begin, right of the status
	textPad  = 14 // right of them

	longestName      = 26 // characters; longer ones are shortened in the middle
	longestNamespace = 16
	leastWidth       = 148
)

// countRoom is the longest count that a box has room for. The width of a box
// does not depend on the count in it, so that nothing moves when it changes.
const countRoom = "999 of 999 passing"

// widthOf returns how wide the box of a node is.
func widthOf(n registry.GraphNode, withNamespace bool) float64 {
	note := countRoom
	if withNamespace {
		note += " · " + shorten(n.Namespace, longestNamespace)
	}
	text := max(textWidth(shorten(n.Name, longestName), nameSize), textWidth(note, noteSize))
	return max(leastWidth, textLeft+text+textPad)
}

// textWidth returns the width of a text in pixels, in the widest of the fonts
// that a system may have and in bold, so that it fits in every other.
func textWidth(text string, size float64) float64 {
	var ems float64
	for _, r := range text {
		switch {
		case strings.ContainsRune("ijl.,:;'|!()[] ", r):
			ems += 0.46
		case strings.ContainsRune("frt-", r):
			ems += 0.5
		case strings.ContainsRune("mw%@", r):
			ems += 1.05
		case r >= 'A' && r <= 'Z', r == '+':
			ems += 0.86
		default:
			ems += 0.72
		}
	}
	return ems * size
}

// shorten makes a text short by leaving out its middle.
func shorten(text string, longest int) string {
	runes := []rune(text)
	if len(runes) <= longest {
		return text
	}
	head := (longest - 1) * 2 / 3
	return string(runes[:head]) + "…" + string(runes[len(runes)-(longest-1-head):])
}

// Health is how a node is, in one word: one of its status names, or part for a
// service of which some instances serve and others do not, missing for one that
// nobody offers, and launchers for those who offer nothing.
func Health(n registry.GraphNode) string {
	if n.Kind == registry.NodeLaunchers {
		return "launchers"
	}
	return HealthOf(n.Instances)
}

// HealthOf is [Health] of a service with these instances.
func HealthOf(instances map[registry.Status]int) string {
	all := 0
	for _, count := range instances {
		all += count
	}
	switch {
	case all == 0:
		return "missing"
	case instances[registry.Passing] == all:
		return string(registry.Passing)
	case instances[registry.Passing]+instances[registry.Warning] == all:
		return string(registry.Warning)
	case instances[registry.Passing]+instances[registry.Warning] > 0:
		return "part"
	}
	for _, status := range []registry.Status{registry.Critical, registry.Starting, registry.Draining} {
		if instances[status] > 0 {
			return string(status)
		}
	}
	return string(registry.Maintenance)
}

// note is the second line in a box.
func note(n registry.GraphNode, withNamespace bool) string {
	_, all := n.Count()
	text := fmt.Sprintf("%d of %d passing", n.Instances[registry.Passing], all)
	switch {
	case n.Kind == registry.NodeLaunchers && n.Launchers == 1:
		text = "1 launcher"
	case n.Kind == registry.NodeLaunchers:
		text = fmt.Sprintf("%d launchers", n.Launchers)
	case all == 0:
		text = "nobody offers it"
	}
	if withNamespace {
		text += " · " + shorten(n.Namespace, longestNamespace)
	}
	return text
}

// About says about a node what its box has no room for, in lines.
func About(n registry.GraphNode) string {
	var b strings.Builder
	if n.Kind == registry.NodeLaunchers {
		fmt.Fprintf(&b, "%s, launchers in %s that offer nothing: %d", n.Name, n.Namespace, n.Launchers)
	} else {
		fmt.Fprintf(&b, "%s in %s: %s", n.Name, n.Namespace, Counts(n.Instances))
		if n.Held > 0 {
			fmt.Fprintf(&b, "; %d of them held", n.Held)
		}
	}
	if n.Single {
		b.WriteString("\nSingle point of failure: what is there is needed, with none to spare")
	}
	if len(n.Breaks) > 0 {
		fmt.Fprintf(&b, "\nIts loss would break %d: %s", len(n.Breaks), Names(n.Breaks))
	}
	return b.String()
}

// statuses are in the order in which people look for them.
var statuses = []registry.Status{
	registry.Passing, registry.Warning, registry.Critical, registry.Starting, registry.Draining, registry.Maintenance,
}

// Counts says in words how many instances have which status.
func Counts(instances map[registry.Status]int) string {
	var parts []string
	for _, status := range statuses {
		if count := instances[status]; count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count, status))
		}
	}
	if len(parts) == 0 {
		return "nobody offers it"
	}
	return strings.Join(parts, ", ")
}

// Name returns how a node is called by its id: namespace/name.
func Name(id string) string {
	name, isLaunchers := strings.CutPrefix(id, "launchers:")
	if isLaunchers {
		name, _, _ = strings.Cut(name, " (")
	}
	return name
}

// mostNames is how many names a sentence holds.
const mostNames = 12

// Names joins the ids of nodes for people; of many, it names some.
func Names(ids []string) string {
	rest := len(ids) - mostNames
	if rest > 0 {
		ids = ids[:mostNames]
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = Name(id)
	}
	text := strings.Join(names, ", ")
	if rest > 0 {
		text += fmt.Sprintf(" and %d more", rest)
	}
	return text
}

// Short returns a filter without the namespace where that goes without saying.
func Short(filter, namespace string) string {
	service, query, _ := strings.Cut(filter, "?")
	var parts []string
	for part := range strings.SplitSeq(query, "&") {
		if part != "" && part != "ns="+url.QueryEscape(namespace) {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return service
	}
	return service + "?" + strings.Join(parts, "&")
}

// Sentence says of a requirement who has it, what it asks for, and how it is
// met.
func Sentence(e registry.GraphEdge) string {
	from := Name(e.From)
	text := fmt.Sprintf("%s requires %s", from, Short(e.Filter, from[:max(0, strings.LastIndexByte(from, '/'))]))
	if service, _, _ := strings.Cut(e.Filter, "?"); e.Alias != "" && e.Alias != strings.ReplaceAll(service, "-", "_") && e.Alias != service {
		text += " as " + e.Alias
	}
	if e.Optional {
		text += ", optionally"
	}
	text += fmt.Sprintf(": %d found, min %d", e.Endpoints, max(e.Min, 1))
	if e.Unmet {
		text += ", unmet"
	}
	if e.Waiting > 0 {
		text += fmt.Sprintf(", %d of %d wait for it", e.Waiting, e.Launchers)
	}
	if e.Held > 0 {
		text += fmt.Sprintf(", %d of %d go on with what they last had", e.Held, e.Launchers)
	}
	return text
}
