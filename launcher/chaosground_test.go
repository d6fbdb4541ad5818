package launcher

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
	"cleat/launcher/volume"
)

// chaosVolumes are the volumes that a victim may have, in the order in which
// they are provisioned.
var chaosVolumes = []string{"a", "b", "c"}

// giveGround gives a container volumes that come late, are made by commands that
// fail, and are filled slowly; and a network.
func (v *victim) giveGround(e env) {
	for _, name := range chaosVolumes {
		text := "/" + name + "?mounted"
		if v.c.one(2) {
			text += "&seed=/seed"
		}
		if v.c.one(2) {
			text += "&provision=make-" + name + "&release=undo-" + name
		}
		e["CLEAT_VOLUME_"+strings.ToUpper(name)] = text
		v.kernel.Script("make-"+name, v.commandScript)
		v.kernel.Script("undo-"+name, v.commandScript)
	}
	e["CLEAT_NETWORK_BACK"] = "ethwe"
	for range 2 {
		v.shiftGround()
	}
	v.ground.prepare = func(ctx context.Context, _ volume.Volume) (volume.Prepared, error) {
		timer := time.NewTimer(time.Duration(v.mood("seed", 3000)) * time.Millisecond)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return volume.Prepared{}, context.Cause(ctx)
		case <-timer.C:
		}
		if !v.c.calm.Load() && v.mood("seeded", 4) == 0 {
			return volume.Prepared{}, syscall.ENOSPC
		}
		return volume.Prepared{Seeded: true}, nil
	}
}

// shiftGround lets a volume or the network come or go.
func (v *victim) shiftGround() {
	name := v.c.pick("a", "b", "c", "back")
	if v.c.one(3) {
		v.ground.set(name, errNotMounted)
	} else {
		v.ground.set(name, nil)
	}
}

// settleGround lets everything be there.
func (v *victim) settleGround() {
	for _, name := range append([]string{"back"}, chaosVolumes...) {
		v.ground.set(name, nil)
	}
}

// releases reports whether a command gives a volume back: those alone run after
// a stop.
func releases(p *processtest.Process) bool { return strings.HasPrefix(commandOf(p), "undo-") }

// provisioned plays the commands that make and undo volumes, as they happened.
// What was made must be undone exactly once, the last one first, and nothing may
// be made under something that is. It returns what is still there.
func (v *victim) provisioned() (there []string) {
	var wrong []string
	undoing := ""
	for _, event := range v.kernel.Events() {
		what, how, _ := strings.Cut(event, ": ")
		verb, command, _ := strings.Cut(what, " ")
		action, name, found := strings.Cut(command, "-")
		if !found || action != "make" && action != "undo" {
			continue
		}
		switch {
		case undoing != "" && !(verb == "end" && action == "undo" && name == undoing) && verb != "group" && verb != "signal":
			wrong = append(wrong, event+" while "+undoing+" was being undone")
		case verb == "start" && action == "make" && len(there) > 0 && there[len(there)-1] >= name:
			wrong = append(wrong, event+" although "+there[len(there)-1]+" was there")
		case verb == "end" && action == "make" && (how == process.Exit{}.String() || strings.HasPrefix(how, "killed")):
			there = append(there, name)
		case verb == "start" && action == "undo":
			if len(there) == 0 || there[len(there)-1] != name {
				wrong = append(wrong, fmt.Sprintf("%s although %v were there", event, there))
			} else {
				there = there[:len(there)-1]
			}
			undoing = name
		case verb == "end" && action == "undo":
			undoing = ""
		}
	}
	if len(wrong) > 0 {
		v.c.t.Errorf("%s: %s", v.name, strings.Join(wrong, "; "))
	}
	return there
}
