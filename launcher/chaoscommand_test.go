package launcher

import (
	"slices"
	"strings"
	"syscall"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
)

// hookCommands, coprocessCommands and the task are what else a victim runs.
var (
	hookCommands      = []string{"pre-start", "post-start", "pre-stop", "post-stop"}
	coprocessCommands = []string{"co-a", "co-b"}
)

const taskCommand = "chore"

// commands gives a victim hooks, coprocesses and a task at random.
func (v *victim) commands(e env) {
	c := v.c
	for _, name := range hookCommands {
		v.kernel.Script(name, v.hook)
		if c.one(2) {
			e["CLEAT_HOOK_"+strings.ReplaceAll(strings.ToUpper(name), "-", "_")] = name
			v.hooks = append(v.hooks, name)
		}
	}
	if v.hooked("pre-start") {
		e["CLEAT_HOOK_PRE_START_TIMEOUT"] = c.pick("1s", "3s", "10s")
		if v.hookWaits = c.one(6); v.hookWaits {
			e["CLEAT_HOOK_PRE_START_WAIT"] = "20s"
		}
	}
	if v.hooked("post-start") {
		e["CLEAT_HOOK_POST_START_TIMEOUT"] = c.pick("1s", "30s")
	}
	for _, name := range coprocessCommands {
		v.kernel.Script(name, v.coprocess)
		if c.one(3) {
			variable := "CLEAT_COPROCESS_" + strings.ToUpper(name[3:])
			e[variable] = name
			e[variable+"_START"] = c.pick("before", "after")
			e[variable+"_STOP"] = c.pick("before", "after")
		}
	}
	v.kernel.Script(taskCommand, v.task)
	if c.one(2) {
		e["CLEAT_TASK_CHORE"] = c.pick("@every 2s ", "@every 15s ", "* * * * * ") + taskCommand
		e["CLEAT_TASK_CHORE_TIMEOUT"] = c.pick("1s", "5s", "1m")
	}
}

func (v *victim) hooked(name string) bool { return slices.Contains(v.hooks, name) }

// name is what a process of a victim is.
func commandOf(p *processtest.Process) string { return p.Spec.Args[0] }

func isHook(p *processtest.Process) bool { return slices.Contains(hookCommands, commandOf(p)) }

func isCoprocess(p *processtest.Process) bool {
	return slices.Contains(coprocessCommands, commandOf(p))
}

// ofStop reports whether a command belongs to the stop.
func ofStop(p *processtest.Process) bool {
	return commandOf(p) == "pre-stop" || commandOf(p) == "post-stop"
}

// hook is a hook: most often it does what it should.
func (v *victim) hook(p *processtest.Process) {
	v.checkHook(p)
	v.commandScript(p)
}

// coprocess is a coprocess: it runs, for a while, and may not obey.
func (v *victim) coprocess(p *processtest.Process) {
	v.checkCoprocess(p)
	if !v.c.calm.Load() && v.mood("co-life", 3) == 0 {
		p.EndAfter(time.Duration(v.mood("co-time", 5000))*time.Millisecond, process.Exit{Code: v.mood("co-code", 2)})
	}
	p.React(func(s syscall.Signal) {
		switch v.mood("co-end", 4) {
		case 0: // ignored
		case 1:
			p.EndAfter(time.Duration(v.mood("co-slow", 1500))*time.Millisecond, exitZero)
		default:
			p.Exit(0)
		}
	})
}

// task is a task.
func (v *victim) task(p *processtest.Process) {
	v.checkTask(p)
	v.commandScript(p)
}
