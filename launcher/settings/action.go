package settings

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/google/shlex"

	"cleat/launcher/process"
)

// Action is what a changed file causes.
type Action struct {
	Kind    ActionKind
	Signal  syscall.Signal // of Kind Signal
	Command string         // of Kind Command: split as a shell splits words, run without a shell
}

// ActionKind is the kind of an Action.
type ActionKind string

// The kinds of actions.
const (
	ActionNone    ActionKind = "none"
	ActionRestart ActionKind = "restart"
	ActionSignal  ActionKind = "signal"
	ActionCommand ActionKind = "command"
)

// String returns the action as it is written in a variable.
func (a Action) String() string {
	switch a.Kind {
	case ActionSignal:
		return process.SignalName(a.Signal)
	case ActionCommand:
		return a.Command
	}
	return string(a.Kind)
}

// Shown returns the action as people may see it: without what can be told to be
// a secret.
func (a Action) Shown() string { return maskCommand(a.String()) }

// maxCommand is the length of a command in bytes: far above what anybody
// writes into a variable, and below what one argument may be.
const maxCommand = 64 << 10

// parseAction parses restart, none, a signal, or a command.
func parseAction(text string) (Action, *Error) {
	text = strings.TrimSpace(text)
	const expected = "restart, none, a signal or a command"
	switch kind := ActionKind(strings.ToLower(text)); kind {
	case "":
		return Action{}, wrong("the action is empty", expected, "")
	case ActionNone, ActionRestart:
		return Action{Kind: kind}, nil
	}
	if s, err := ParseSignal(text); err == nil {
		return Action{Kind: ActionSignal, Signal: s}, nil
	} else if looksLikeSignal(text) {
		// A command in capitals without a path is far less likely than a slip.
		return Action{}, wrong(err.Error(), expected, "a command of that name is written with its path")
	}
	if wrong := checkCommand(text); wrong != nil {
		wrong.Expected = cmp.Or(wrong.Expected, expected)
		return Action{}, wrong
	}
	return Action{Kind: ActionCommand, Command: text}, nil
}

// checkCommand reports why a text cannot be split into the words of a command.
func checkCommand(text string) *Error {
	if len(text) > maxCommand {
		return wrong("the command is too long", "at most "+strconv.Itoa(maxCommand)+" bytes", "")
	}
	words, err := shlex.Split(text)
	switch {
	case err != nil:
		return wrong("the command cannot be split into words", "", "a quote or a backslash at its end is left open")
	case len(words) == 0 || words[0] == "":
		return wrong("the command is empty", "", "")
	}
	return nil
}

// owner is a user and perhaps a group, by name or number.
var owner = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([0-9]{1,10}|[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?)(:([0-9]{1,10}|[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?))?$`)
})

// maxOwner is the highest number of a user or group: the one above means
// "unchanged" to the kernel.
const maxOwner = 1<<32 - 2

func isOwner(text string) bool {
	if !owner().MatchString(text) {
		return false
	}
	for part := range strings.SplitSeq(text, ":") {
		if part[0] >= '0' && part[0] <= '9' {
			if n, err := strconv.ParseUint(part, 10, 64); err != nil || n > maxOwner {
				return false
			}
		}
	}
	return true
}
