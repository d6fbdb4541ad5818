package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cleat/registry"
	"cleat/registry/client"
)

const (
	// watchLeave is how long `cleat watch` tries to say goodbye.
	watchLeave = time.Second
	// watchTime is how the time of an event is shown to people.
	watchTime = "15:04:05.000"
)

// watched is one line of `cleat watch -json`.
type watched struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"` // connected, disconnected, view or refused

	Server string `json:"server,omitempty"` // of connected
	Error  string `json:"error,omitempty"`  // of disconnected and refused

	Filter    string              `json:"filter,omitempty"` // of view, as all that follows
	Revision  registry.Revision   `json:"revision,omitempty"`
	Warming   bool                `json:"warming,omitempty"`
	Added     []registry.Endpoint `json:"added,omitempty"`
	Changed   []registry.Endpoint `json:"changed,omitempty"`
	Dropped   []dropped           `json:"dropped,omitempty"`
	Endpoints []registry.Endpoint `json:"endpoints,omitzero"` // all of the view
}

// dropped is an endpoint that left the view.
type dropped struct {
	registry.Endpoint
	Why registry.Why `json:"why,omitempty"` // absent: the server does not list it any more
}

// watch keeps a session that requires one view and provides nothing. It
// acknowledges every view at once, so that no drain waits for somebody who only
// looks on.
func (a *ask) watch(ctx context.Context, text string) int {
	filter, _, err := parseRequirement(text, a.namespace)
	if err != nil {
		return a.fail("watch", exitUsage, err)
	}
	c := client.New(a.api)
	c.Declare(registry.Declare{
		ID: "cleat-watch-" + strings.ToLower(rand.Text()), Key: rand.Text(), Namespace: a.namespace,
		Requires: []registry.Require{{Alias: "watch", Filter: filter.String(), Optional: true}},
	})
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = c.Run(context.WithoutCancel(ctx)) // it ends by Leave
	}()
	defer func() {
		c.Leave(watchLeave)
		<-over
	}()

	var view registry.View
	connected := false
	for {
		select {
		case <-ctx.Done():
			return exitFound
		case e := <-c.Events():
			line := watched{Time: time.Now()}
			switch e := e.(type) {
			case client.Connected:
				connected = true
				line.Event, line.Server, line.Warming = "connected", e.Server, e.Welcome.Warming
			case client.Disconnected:
				if _, refused := errors.AsType[*registry.Error](e.Err); refused && !connected {
					return a.fail("watch", exitNothing, e.Err)
				}
				line.Event, line.Error = "disconnected", e.Err.Error()
			case client.Refused:
				line.Event, line.Error = "refused", e.Message
			case client.Viewed:
				c.Applied(registry.Applied{Filter: e.Message.Filter, Revision: e.Message.Revision})
				line.Event, line.Filter, line.Revision, line.Warming = "view", e.Message.Filter, e.View.Revision, e.View.Warming
				line.compare(view, e)
				first := !view.Known()
				warmed := view.Warming && !e.View.Warming
				view = e.View
				if !first && !warmed && len(line.Added)+len(line.Changed)+len(line.Dropped) == 0 {
					continue // it is as it was
				}
			default:
				continue
			}
			if err := a.tell(line); err != nil {
				return a.fail("watch", exitNothing, err)
			}
		}
	}
}

// compare notes what the event changes in the view.
func (l *watched) compare(before registry.View, e client.Viewed) {
	l.Endpoints = e.View.Endpoints
	if l.Endpoints == nil {
		l.Endpoints = []registry.Endpoint{}
	}
	was := make(map[string]registry.Endpoint, len(before.Endpoints))
	for _, endpoint := range before.Endpoints {
		was[endpoint.ID] = endpoint
	}
	for _, endpoint := range e.View.Endpoints {
		old, there := was[endpoint.ID]
		switch {
		case !there:
			l.Added = append(l.Added, endpoint)
		case !old.Equal(endpoint):
			l.Changed = append(l.Changed, endpoint)
		}
		delete(was, endpoint.ID)
	}
	for _, id := range keys(was) {
		d := dropped{Endpoint: was[id]}
		if i := slices.IndexFunc(e.Message.Drop, func(drop registry.Drop) bool { return drop.ID == id }); i >= 0 {
			d.Why = e.Message.Drop[i].Why
		}
		l.Dropped = append(l.Dropped, d)
	}
}

// tell prints one event.
func (a *ask) tell(l watched) error {
	if a.json {
		if a.print(l, true) != exitFound {
			return errors.New("the event cannot be written")
		}
		return nil
	}
	var b strings.Builder
	say := func(sign, format string, args ...any) {
		fmt.Fprintf(&b, "%s  %-1s %s\n", l.Time.Format(watchTime), sign, strings.TrimRight(fmt.Sprintf(format, args...), " "))
	}
	width := 0
	for _, list := range [][]registry.Endpoint{l.Added, l.Changed} {
		for _, e := range list {
			width = max(width, len(e.ID))
		}
	}
	for _, d := range l.Dropped {
		width = max(width, len(d.ID))
	}
	for _, d := range l.Dropped {
		why := string(d.Why)
		if why == "" {
			why = "not listed any more"
		}
		say("-", "%-*s  %s  %s", width, d.ID, d.Addr(), why)
	}
	for _, e := range l.Added {
		say("+", "%-*s  %s  %s  %s", width, e.ID, e.Addr(), e.Status, describe(e))
	}
	for _, e := range l.Changed {
		say("~", "%-*s  %s  %s  %s", width, e.ID, e.Addr(), e.Status, describe(e))
	}
	switch l.Event {
	case "connected":
		say("", "connected to %s%s", l.Server, ifWarming(l.Warming))
	case "disconnected":
		say("", "disconnected: %s", l.Error)
	case "refused":
		say("", "refused: %s", l.Error)
	default:
		say("=", "%d %s%s", len(l.Endpoints), plural(len(l.Endpoints), "endpoint"), ifWarming(l.Warming))
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}

// describe shows what tells an endpoint from the others.
func describe(e registry.Endpoint) string {
	var words []string
	if e.Protocol == registry.UDP {
		words = append(words, string(registry.UDP))
	}
	if e.Zone != "" {
		words = append(words, "zone="+e.Zone)
	}
	for _, tag := range e.Tags {
		words = append(words, "tag="+tag)
	}
	for _, key := range keys(e.Attributes) {
		words = append(words, fmt.Sprintf("%s=%q", key, e.Attributes[key]))
	}
	return strings.Join(words, " ")
}

func ifWarming(warming bool) string {
	if warming {
		return " (warming: what is missing may yet come)"
	}
	return ""
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
