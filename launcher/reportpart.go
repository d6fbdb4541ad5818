package launcher

import (
	"sort"

	"cleat/launcher/control"
	"cleat/registry"
)

// What a hook or a task is reported as.
const (
	partIdle      = "idle" // it has never ended
	partSucceeded = "succeeded"
	partFailed    = "failed"
)

// reportedParts tells how the hooks, coprocesses, tasks, volumes and networks
// are, those first that are not well.
func (s *supervisor) reportedParts() []registry.ReportedPart {
	var parts []registry.ReportedPart
	for _, v := range s.volumeStatus() {
		parts = append(parts, registry.ReportedPart{Kind: registry.PartVolume, Name: v.Name, State: string(v.State), Error: v.Why})
	}
	for _, n := range s.networkStatus() {
		parts = append(parts, registry.ReportedPart{Kind: registry.PartNetwork, Name: n.Name, State: string(n.State), Error: n.Why})
	}
	for _, h := range s.hookStatus() {
		parts = append(parts, ranPart(registry.PartHook, h.Name, h.Runs, h.Error))
	}
	for _, c := range s.coprocessStatus() {
		p := registry.ReportedPart{Kind: registry.PartCoprocess, Name: c.Name, State: string(c.State), Restarts: c.Restarts, Error: c.Error}
		if c.State == control.Backoff && p.Error == "" {
			p.Error = c.LastExit
		}
		parts = append(parts, p)
	}
	for _, t := range s.taskStatus() {
		parts = append(parts, ranPart(registry.PartTask, t.Name, t.Runs, t.Error))
	}
	sort.SliceStable(parts, func(i, j int) bool { return parts[i].Error != "" && parts[j].Error == "" })
	return parts[:min(len(parts), registry.MaxReportedParts)]
}

// ranPart is what runs and ends, by how it ended last.
func ranPart(kind registry.PartKind, name string, runs int, failure string) registry.ReportedPart {
	p := registry.ReportedPart{Kind: kind, Name: name, State: partSucceeded, Error: failure}
	switch {
	case failure != "":
		p.State = partFailed
	case runs == 0:
		p.State = partIdle
	}
	return p
}
