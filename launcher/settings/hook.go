package settings

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"cleat/launcher/volume"
)

// HookName says when a hook runs.
type HookName string

// The hooks.
const (
	PreStart  HookName = "PRE_START"  // before each start of the child; it must succeed
	PostStart HookName = "POST_START" // as soon as the child was started
	PreStop   HookName = "PRE_STOP"   // before the child is told to end
	PostStop  HookName = "POST_STOP"  // when the child has ended
)

// hookNames are all of them, in the order in which they run.
var hookNames = []HookName{PreStart, PostStart, PreStop, PostStop}

// Hook is a command that runs at one moment of the child's life.
type Hook struct {
	Args    []string
	User    string        // as process.Spec has it; empty: cleat's own
	Timeout time.Duration // then it is killed
	Wait    time.Duration // of PreStart: how long it may go on failing; 0: for ever
}

const hookPrefix = "CLEAT_HOOK_"

// How long hooks may take where nothing is said. The two of the stop are made to
// fit it, see [parser.afterwards].
const (
	preStartTimeout  = 5 * time.Minute // a migration takes its time
	postStartTimeout = time.Minute
	preStopTimeout   = 3 * time.Second
	postStopTimeout  = 2 * time.Second
)

var (
	// hookSpan: what is shorter could not even be started.
	hookSpan = span{10 * time.Millisecond, 24 * time.Hour}
	// keepSpan: a hook that may fail for longer than a day may for ever.
	keepSpan = span{time.Second, 24 * time.Hour}
)

var hookFamilies = []Variable{
	{
		Name: "CLEAT_HOOK_PRE_START", Example: "CLEAT_HOOK_PRE_START=/app/migrate --wait",
		Accepts: "a command",
		Means:   "Runs before each start of the child, once its files, arguments and environment are rendered. The child is started when it has succeeded.",
	},
	{
		Name: "CLEAT_HOOK_PRE_START_TIMEOUT", Default: "5m", Example: "CLEAT_HOOK_PRE_START_TIMEOUT=1h",
		Accepts: hookSpan.String(),
		Means:   "How long it may take; then it is killed, and has failed.",
	},
	{
		Name: "CLEAT_HOOK_PRE_START_WAIT", Example: "CLEAT_HOOK_PRE_START_WAIT=10m",
		Accepts: keepSpan.String(),
		Means:   "How long it may go on failing before the container ends, with exit code 125. Without it: for ever.",
	},
	{
		Name: "CLEAT_HOOK_POST_START", Example: "CLEAT_HOOK_POST_START=/app/warm-up",
		Accepts: "a command",
		Means:   "Runs as soon as the child was started, beside it, whether or not it listens yet.",
	},
	{
		Name: "CLEAT_HOOK_POST_START_TIMEOUT", Default: "1m", Example: "CLEAT_HOOK_POST_START_TIMEOUT=10m",
		Accepts: hookSpan.String(),
		Means:   "How long it may take; then it is killed.",
	},
	{
		Name: "CLEAT_HOOK_PRE_STOP", Example: "CLEAT_HOOK_PRE_STOP=redis-cli save",
		Accepts: "a command",
		Means:   "Runs when the child is about to be told to end, after the drain. The child is told when it has ended, however it did.",
	},
	{
		Name: "CLEAT_HOOK_PRE_STOP_TIMEOUT", Default: "3s", Example: "CLEAT_HOOK_PRE_STOP_TIMEOUT=5s",
		Accepts: "a duration from 10ms to CLEAT_STOP_TIMEOUT",
		Means:   "How long it may take, and never more than half of what is left for the child; then it is killed. The default is a third of CLEAT_STOP_TIMEOUT where that is less.",
	},
	{
		Name: "CLEAT_HOOK_POST_STOP", Example: "CLEAT_HOOK_POST_STOP=rm -f /data/lock",
		Accepts: "a command",
		Means:   "Runs whenever the child has ended. Its result changes nothing.",
	},
	{
		Name: "CLEAT_HOOK_POST_STOP_TIMEOUT", Default: "2s", Example: "CLEAT_HOOK_POST_STOP_TIMEOUT=4s",
		Accepts: "a duration from 10ms to half of CLEAT_STOP_TIMEOUT",
		Means:   "How long it may take; then it is killed. So much of CLEAT_STOP_TIMEOUT is kept for it. The default is a quarter of CLEAT_STOP_TIMEOUT where that is less.",
	},
	{
		Name: "CLEAT_HOOK_<HOOK>_USER", Example: "CLEAT_HOOK_PRE_START_USER=root",
		Accepts: "a user's name or number, and after a `:` a group's name or number",
		Means:   "The user that the hook runs as. Without it: as CLEAT_USER says.",
	},
}

// hooks reads the CLEAT_HOOK_ variables.
func (p *parser) hooks() {
	p.s.Hooks = make(map[HookName]Hook)
	standard := map[HookName]time.Duration{
		PreStart: preStartTimeout, PostStart: postStartTimeout,
		PreStop: min(preStopTimeout, p.s.StopTimeout/3), PostStop: min(postStopTimeout, p.s.StopTimeout/4),
	}
	for _, name := range hookNames {
		variable := hookPrefix + string(name)
		text := p.know(variable)
		h := Hook{Timeout: standard[name], User: p.s.User}
		if text != "" {
			h.Args = p.command(variable, text)
		}
		for _, o := range []string{"_TIMEOUT", "_USER", "_WAIT"} {
			if o == "_WAIT" && name != PreStart {
				continue
			}
			value := p.know(variable + o)
			switch {
			case value == "":
				continue
			case text == "":
				p.lonely(variable, o, value)
				continue
			}
			if bad := p.hookOption(&h, name, o, value); bad != nil {
				p.fail(variable+o, value, bad)
			}
		}
		if text != "" {
			p.s.Hooks[name] = h
		}
	}
	for _, variable := range p.env.names(hookPrefix) {
		if p.known[variable] || p.know(variable) == "" {
			continue
		}
		hint := ""
		if meant := nearest(strings.ToUpper(variable), hookVariables()); meant != "" {
			hint = "did you mean " + meant + "?"
		}
		p.fail(variable, "", wrong("there is no such hook, and no such option of one", "PRE_START, POST_START, PRE_STOP or POST_STOP", hint))
	}
}

// lonely says that an option has no hook to belong to: an error, unless the hook
// was taken away by an empty value.
func (p *parser) lonely(variable, option, value string) {
	if _, empty := p.env.values[variable]; empty {
		p.warn(variable + option + " is ignored: " + variable + " is empty")
		return
	}
	p.fail(variable+option, value, wrong("it is an option of "+variable+", which there is not", "", "set "+variable+"=COMMAND"))
}

func (p *parser) hookOption(h *Hook, name HookName, option, text string) *Error {
	switch option {
	case "_USER":
		return putUser(&h.User, text)
	case "_WAIT":
		return keepSpan.put(&h.Wait, text)
	}
	within := hookSpan
	switch name {
	case PreStop:
		within.most = max(p.s.StopTimeout, within.least)
	case PostStop:
		within.most = max(p.s.StopTimeout/2, within.least)
	}
	d, bad := within.parse(text)
	if bad != nil && within.most != hookSpan.most {
		bad.Hint = cmp.Or(bad.Hint, "raise CLEAT_STOP_TIMEOUT, and what stops the container")
	}
	if bad == nil {
		h.Timeout = d
	}
	return bad
}

// hookVariables are the names that can be meant.
func hookVariables() []string {
	var all []string
	for _, name := range hookNames {
		for _, option := range []string{"", "_TIMEOUT", "_USER"} {
			all = append(all, hookPrefix+string(name)+option)
		}
	}
	return append(all, hookPrefix+string(PreStart)+"_WAIT")
}

// releaseShare is the part of the stop that is kept for the releases of volumes:
// one in so many. Beside what POST_STOP and coprocesses have where nothing is
// said, that makes half of it.
const releaseShare = 8

// afterwards keeps the time of the stop that is needed after the child's end:
// by the coprocesses that stop then, together, then by POST_STOP, and then by
// the releases of volumes. What they ask for may be half of the stop, so that the
// child has its time.
func (p *parser) afterwards() {
	s := p.s
	var slowest Coprocess
	for _, c := range s.Coprocesses {
		if !c.StopBefore && c.Timeout > slowest.Timeout {
			slowest = c
		}
	}
	s.Afterwards = slowest.Timeout
	hook, there := s.Hooks[PostStop]
	if there {
		s.Afterwards += hook.Timeout
	}
	who := "for POST_STOP and the slowest coprocess together"
	if slices.ContainsFunc(s.Volumes, func(v volume.Volume) bool { return v.Release != "" }) {
		s.Releasing = s.StopTimeout / releaseShare
		s.Afterwards += s.Releasing
		who = "for POST_STOP, the slowest coprocess and the releases of volumes (" + duration(s.Releasing) + ") together"
	}
	if most := s.StopTimeout / 2; s.Afterwards > most {
		variable := coprocessPrefix + strings.ToUpper(slowest.Name) + "_TIMEOUT"
		if slowest.Timeout == 0 || there && p.env.values[variable] == "" {
			variable = hookPrefix + string(PostStop) + "_TIMEOUT"
		}
		p.fail(variable, p.env.values[variable], wrong("what follows the child's end would take "+duration(s.Afterwards)+" of the stop",
			"at most half of CLEAT_STOP_TIMEOUT, "+duration(most)+", "+who, "raise CLEAT_STOP_TIMEOUT, and what stops the container"))
		s.Afterwards = most
	}
	if there && hook.Timeout == 0 {
		p.warn(hookPrefix + string(PostStop) + " never runs: CLEAT_STOP_TIMEOUT leaves no time for it")
	}
	if before, there := s.Hooks[PreStop]; there && before.Timeout == 0 {
		p.warn(hookPrefix + string(PreStop) + " never runs: CLEAT_STOP_TIMEOUT leaves no time for it")
	}
}

// explainHooks tells which hooks there are.
func (s *Settings) explainHooks(a *account) {
	if len(s.Hooks) == 0 {
		return
	}
	a.section("hooks")
	for _, name := range hookNames {
		h, there := s.Hooks[name]
		if !there {
			continue
		}
		parts := []string{"at most " + duration(h.Timeout)}
		if h.Wait > 0 {
			parts = append(parts, "may fail for "+duration(h.Wait))
		} else if name == PreStart {
			parts = append(parts, "tried again until it succeeds")
		}
		if h.User != s.User {
			parts = append(parts, "as the user "+h.User)
		}
		a.line(string(name), explainCommand(h.Args))
		a.line("", strings.Join(slices.Clip(parts), ", "))
	}
}
