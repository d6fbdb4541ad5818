package launcher

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"cleat/launcher/settings"
	"cleat/registry"
	"cleat/registry/client"
	"cleat/templates"
)

// Check reads and parses the template files of the settings and returns every
// mistake in them. It changes nothing.
func Check(s *settings.Settings) []error {
	f := newFiles(s, nil)
	problems, err := f.load()
	if err != nil {
		problems = append(problems, err)
	}
	for _, v := range s.Volumes {
		if err := v.Check(); err != nil {
			problems = append(problems, fmt.Errorf("the volume %s: %w", v.Name, err))
		}
	}
	return problems
}

// Render renders the template at path once, with the requirements of the
// settings as the client's server knows them now, and registers nothing. It
// waits until they are met, or ctx ends. The client is run, and has left when
// Render returns; it may be nil when nothing is required.
func Render(ctx context.Context, s *settings.Settings, c *client.Client, path string) ([]byte, error) {
	text, _, err := readSource(path)
	if err != nil {
		return nil, err
	}
	t, err := templates.Parse(string(text), templates.Context{Name: path, Mode: templates.File, Aliases: s.Aliases()})
	if err != nil {
		return nil, err
	}
	// A supervisor that is never run, for its needs and their rules.
	only := *s
	only.ID = "render-" + s.ID // beside the launcher of this container, not in its place
	only.Offers, only.AutoPorts = nil, false
	asker := newSupervisor(Config{Settings: &only, Log: slog.New(slog.DiscardHandler)})
	for _, o := range s.Offers {
		asker.consumer.own[cmp.Or(o.ID, settings.InstanceID(s.ID, o.Port, o.Protocol))] = true
	}
	if c == nil || len(asker.needs) == 0 {
		return t.Render(asker.snapshot().files)
	}
	asker.Client = c
	asker.requireOnly()
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(context.WithoutCancel(ctx)) })
	defer running.Wait()
	defer c.Leave(leaveTime)
	tick := time.NewTicker(s.QuietMin + time.Millisecond) // waits such as that of optional ones
	defer tick.Stop()
	for {
		select {
		case event := <-c.Events():
			switch e := event.(type) {
			case client.Connected:
				asker.consumer.answered = true
			case client.Viewed:
				for _, n := range asker.needs {
					if n.key == e.Message.Filter {
						n.viewed(e.View, e.Message, time.Now())
					}
				}
			}
		case <-tick.C:
		case <-ctx.Done():
			var missing []string
			for _, n := range asker.waitedFor() {
				missing = append(missing, fmt.Sprintf("%s (%s: %s)", n.Alias, n.Text, asker.why(n)))
			}
			return nil, fmt.Errorf("not met in time: %s", strings.Join(missing, ", "))
		}
		if slices.ContainsFunc(asker.waitedFor(), func(n *need) bool { return !n.Self || !n.view.Known() }) {
			continue
		}
		return t.Render(asker.snapshot().files)
	}
}

// requireOnly states what is needed and offers nothing.
func (s *supervisor) requireOnly() {
	d := registry.Declare{ID: s.set.ID, Key: s.key, Namespace: s.set.Namespace, Zone: s.set.Zone,
		Provides: []registry.Instance{}, Requires: []registry.Require{}}
	for _, n := range s.needs {
		d.Requires = append(d.Requires, registry.Require{Alias: n.Alias, Filter: n.key, Min: n.Min, Optional: n.Optional})
	}
	s.Client.Declare(d)
}
