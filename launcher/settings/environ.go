package settings

import (
	"maps"
	"slices"
	"strings"
)

// environ is an environment with one value for each name: the last one, as
// exec and the C library's setenv leave it.
type environ struct {
	values map[string]string
	order  []string // the entries of the last of each name, as they were given
}

func newEnviron(entries []string) environ {
	e := environ{values: make(map[string]string, len(entries))}
	last := make(map[string]int, len(entries))
	for i, entry := range entries {
		if name, value, ok := cutEntry(entry); ok {
			e.values[name] = value
			last[name] = i
		}
	}
	for i, entry := range entries {
		name, _, ok := cutEntry(entry)
		// An entry without '=' means nothing to cleat; the child may know better.
		if entry != "" && (!ok || last[name] == i) {
			e.order = append(e.order, entry)
		}
	}
	return e
}

// cutEntry splits name=value. A name is never empty, so that "=C:=C:\" is no
// variable here.
func cutEntry(entry string) (name, value string, ok bool) {
	i := strings.IndexByte(entry, '=')
	if i <= 0 {
		return "", "", false
	}
	return entry[:i], entry[i+1:], true
}

// names returns the names that begin with prefix, sorted.
func (e environ) names(prefix string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(e.values)) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

// hidden are the variables that the child never gets: cleat's secrets, and
// where they are kept.
var hidden = map[string]bool{"CLEAT_TOKEN": true, "CLEAT_TOKEN_FILE": true, "CLEAT_KEY": true, "CLEAT_CACHE": true}

// told are the variables by which cleat tells hooks, coprocesses and tasks what
// they are and how the child is. Where one of these runs cleat, they are no
// settings; and they are not passed on, because they are about another child.
var told = map[string]bool{
	HookVariable: true, CoprocessVariable: true, TaskVariable: true,
	PIDVariable: true, ExitVariable: true, WhyVariable: true,
}

// Variables that tell a command of a container what it is and how the child is.
const (
	HookVariable      = "CLEAT_HOOK"      // PRE_START, POST_START, PRE_STOP or POST_STOP
	CoprocessVariable = "CLEAT_COPROCESS" // its name, in lower case
	TaskVariable      = "CLEAT_TASK"      // its name, in lower case
	PIDVariable       = "CLEAT_CHILD_PID" // the child's; after its end, the one it had
	ExitVariable      = "CLEAT_CHILD_EXIT"
	WhyVariable       = "CLEAT_WHY"
)

// child returns the environment of the child, without cleat's secrets.
func (e environ) child() []string {
	child := make([]string, 0, len(e.order))
	for _, entry := range e.order {
		if name, _, _ := strings.Cut(entry, "="); !hidden[name] && !told[name] {
			child = append(child, entry)
		}
	}
	return child
}
