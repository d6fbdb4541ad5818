package server_test

import (
	"testing"
	"time"

	"cleat/registry"
	"cleat/registry/server"
)

const web = "web?ns=default"

func TestConversation(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		messages := consumer.messages()
		if len(messages) != 2 || messages[0].Welcome == nil || messages[1].View == nil {
			t.Fatalf("got %+v; want a welcome and a view", messages)
		}
		welcome := *messages[0].Welcome
		if welcome.Server != "cleatd" || welcome.Peer != "127.0.0.1" || welcome.BeatEvery != 3000 || welcome.ExpireAfter != 9000 || welcome.Warming || welcome.Session == "" {
			t.Errorf("welcome: %+v", welcome)
		}
		if v := messages[1].View; !v.Complete || v.Revision == 0 || len(v.Add)+len(v.Drop) > 0 {
			t.Errorf("first view: %+v", v)
		}

		provider := w.join(launcher("p").provides("p:1", "web", registry.Starting))
		since := provider.welcome().Since["p:1"]
		if since == 0 {
			t.Error("the welcome has no since for an instance that came without")
		}
		if got := consumer.viewed(); len(got) != 0 {
			t.Errorf("a new instance that is starting made messages: %+v", got)
		}
		provider.declare(launcher("p").provides("p:1", "web", registry.Passing))
		views := consumer.viewed()
		if len(views) != 1 || views[0].Complete || len(views[0].Add) != 1 || views[0].Add[0].Since != since {
			t.Fatalf("got %+v; want one difference with the endpoint and its since %d", views, since)
		}
		if got := consumer.view(web); got != "p:1" {
			t.Errorf("the view has %q", got)
		}
		provider.bye()
		views = consumer.viewed()
		if len(views) != 1 || whys(views[0]) != "p:1:left" {
			t.Errorf("after close 1000: %+v; want a drop as left", views)
		}
	})
}

func TestADeclareCostsItsDifference(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		provider := w.join(launcher("p").provides("p:1", "web", registry.Passing).provides("p:2", "web", registry.Passing).provides("p:3", "web", registry.Warning))
		consumer.messages()
		provider.messages()

		provider.declare(launcher("p").provides("p:1", "web", registry.Passing).provides("p:2", "web", registry.Passing).provides("p:3", "web", registry.Warning))
		consumer.declare(launcher("c").requires(web))
		if got := append(consumer.messages(), provider.messages()...); len(got) != 0 {
			t.Errorf("declaring the same again made messages: %+v", got)
		}

		provider.declare(launcher("p").provides("p:2", "web", registry.Passing).provides("p:3", "web", registry.Passing).provides("p:4", "web", registry.Passing))
		views := consumer.viewed()
		if len(views) != 1 || views[0].Complete || len(views[0].Add) != 2 || whys(views[0]) != "p:1:left" {
			t.Fatalf("got %+v; want p:3 and p:4 added and p:1 dropped as left, in one message", views)
		}
		if got := provider.welcome().Since; len(got) != 1 || got["p:4"] == 0 {
			t.Errorf("the welcome after an instance was added has since %v; want only that of p:4", got)
		}

		consumer.declare(launcher("c").requires(web, "db?ns=default"))
		views = consumer.viewed()
		if len(views) != 1 || !views[0].Complete || views[0].Filter != "db?ns=default" {
			t.Errorf("after another requirement: %+v; want its complete view only", views)
		}
		consumer.declare(launcher("c").requires("db?ns=default"))
		provider.declare(launcher("p"))
		if got := consumer.viewed(); len(got) != 0 {
			t.Errorf("a view that is required no more made messages: %+v", got)
		}
	})
}

func TestViewsAreInOrder(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		for _, id := range []string{"z", "m", "a"} {
			w.join(launcher(id).provides(id+":1", "web", registry.Passing))
		}
		consumer := w.join(launcher("c").requires(web))
		views := consumer.viewed()
		if len(views) != 1 || len(views[0].Add) != 3 {
			t.Fatalf("got %+v", views)
		}
		for n, id := range []string{"z:1", "m:1", "a:1"} { // by since
			if views[0].Add[n].ID != id {
				t.Errorf("endpoint %d is %s; want %s", n, views[0].Add[n].ID, id)
			}
		}
	})
}

func TestFilters(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		tests := []struct{ filter, want string }{
			{"db?ns=default", "p:1 p:2"},
			{"db?ns=prod", "q:1"},
			{"db?ns=default&tag=primary", "p:1"},
			{"db?attr.role=master&ns=default", "p:1"},
			{"db?attr.role=~sla.%2A&ns=default", "p:2"},
			{"db?ns=default&zone=eu-1", "p:2"},
			{"db?ns=default&self=true", "p:1 p:2 p:3 p:4"},
		}
		tag := func(i *registry.Instance) { i.Tags = []string{"primary"} }
		role := func(role string) func(*registry.Instance) {
			return func(i *registry.Instance) { i.Attributes = map[string]string{"role": role} }
		}
		zone := func(i *registry.Instance) { i.Zone = "eu-1" }
		provider := w.join(launcher("p").
			provides("p:1", "db", registry.Passing, tag, role("master")).
			provides("p:2", "db", registry.Warning, zone, role("slave")).
			provides("p:3", "db", registry.Starting, tag).
			provides("p:4", "db", registry.Critical, tag).
			provides("p:5", "db", registry.Draining, tag).
			provides("p:6", "db", registry.Maintenance, tag))
		other := launcher("q").provides("q:1", "db", registry.Passing)
		other.Namespace = "prod"
		w.join(other)
		var filters []string
		for _, test := range tests {
			filters = append(filters, test.filter)
		}
		consumer := w.join(launcher("c").requires(filters...))
		for _, test := range tests {
			if got := consumer.view(test.filter); got != test.want {
				t.Errorf("%s: %q; want %q", test.filter, got, test.want)
			}
		}
		// An instance that serves on, but not for this filter.
		consumer.messages()
		provider.declare(launcher("p").provides("p:1", "db", registry.Passing, role("slave")))
		for _, test := range []struct{ filter, want string }{
			{"db?ns=default", "p:1"},
			{"db?ns=default&tag=primary", ""},
			{"db?attr.role=~sla.%2A&ns=default", "p:1"},
		} {
			if got := consumer.view(test.filter); got != test.want {
				t.Errorf("after the change, %s: %q; want %q", test.filter, got, test.want)
			}
		}
	})
}

func TestWhy(t *testing.T) {
	tests := []struct {
		name   string
		status registry.Status
		want   string
	}{
		{"starting again", registry.Starting, "p:1:restarting"},
		{"draining", registry.Draining, "p:1:draining"},
		{"critical", registry.Critical, "p:1:critical"},
		{"maintenance", registry.Maintenance, "p:1:maintenance"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, cold(), func(t *testing.T, w *world) {
				consumer := w.join(launcher("c").requires(web))
				provider := w.join(launcher("p").provides("p:1", "web", registry.Passing))
				consumer.messages()
				provider.declare(launcher("p").provides("p:1", "web", test.status))
				views := consumer.viewed()
				if len(views) != 1 || whys(views[0]) != test.want || len(views[0].Add) != 0 {
					t.Fatalf("got %+v; want a drop %s", views, test.want)
				}
				// Who comes now is told why, too.
				late := w.join(launcher("late").requires(web))
				if views := late.viewed(); len(views) != 1 || !views[0].Complete || whys(views[0]) != test.want {
					t.Errorf("a newcomer got %+v; want a complete view with the drop %s", views, test.want)
				}
				provider.declare(launcher("p").provides("p:1", "web", registry.Passing))
				if got := consumer.view(web); got != "p:1" {
					t.Errorf("passing again, the view has %q", got)
				}
			})
		})
	}
}

// An instance that is declared with a status that hides it is dropped
// explicitly, even where it was never added on this connection.
func TestExplicitDrop(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web).known())
		consumer.messages()
		back := func(i *registry.Instance) { i.Since = 12345 }
		w.join(launcher("p").provides("p:1", "web", registry.Draining, back))
		views := consumer.viewed()
		if len(views) != 1 || whys(views[0]) != "p:1:draining" {
			t.Errorf("got %+v; want an explicit drop", views)
		}
	})
	// While warming, also of one that nobody has seen: its launcher may have
	// forgotten what its consumers remember.
	bubble(t, server.Config{}, func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web).known())
		consumer.messages()
		w.join(launcher("p").provides("p:1", "web", registry.Starting))
		views := consumer.viewed()
		if len(views) != 1 || whys(views[0]) != "p:1:restarting" {
			t.Errorf("got %+v; want an explicit drop", views)
		}
		late := w.join(launcher("late").requires(web).known())
		if views := late.viewed(); len(views) != 1 || !views[0].Warming || whys(views[0]) != "p:1:restarting" {
			t.Errorf("a consumer that comes later got %+v; want the drop as well", views)
		}
	})
}

func TestRevisionsGrow(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		first := consumer.revision(web)
		if first < registry.FirstRevision(time.Now().Add(-time.Minute)) {
			t.Errorf("the first revision %d does not begin at the start time", first)
		}
		high := registry.FirstRevision(time.Now().Add(365 * 24 * time.Hour)) // a clock set back since
		w.join(launcher("p").provides("p:1", "web", registry.Passing, func(i *registry.Instance) { i.Since = high }))
		if got := consumer.revision(web); got <= high {
			t.Errorf("the revision %d is not above the since %d that a launcher brought", got, high)
		}
		p := w.join(launcher("p2").provides("p:2", "web", registry.Passing))
		if since := p.welcome().Since["p:2"]; since <= high {
			t.Errorf("a new since %d is not above the old one %d", since, high)
		}
		if got := consumer.view(web); got != "p:1 p:2" {
			t.Errorf("the view is %q; want the older first", got)
		}
	})
}

func TestBadDeclareChangesNothing(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		provider := w.join(launcher("p").provides("p:1", "web", registry.Passing))
		consumer.messages()
		provider.messages()
		bad := launcher("p").provides("p:2", "web", registry.Passing).provides("p:3", "No Name!", registry.Passing)
		provider.declare(bad)
		if got := provider.errors(); len(got) != 1 || got[0].Code != registry.CodeBadDeclare || got[0].Fatal {
			t.Errorf("got %+v; want bad_declare, not fatal", got)
		}
		provider.declare(launcher("p").key("another").provides("p:2", "web", registry.Passing))
		if got := provider.errors(); len(got) != 1 || got[0].Code != registry.CodeBadDeclare {
			t.Errorf("another key on the same session: got %+v; want bad_declare", got)
		}
		if got := consumer.messages(); len(got) != 0 {
			t.Errorf("something of it was applied: %+v", got)
		}
		provider.declare(launcher("p").provides("p:4", "web", registry.Passing))
		if got := consumer.view(web); got != "p:4" {
			t.Errorf("after a good one the view is %q", got)
		}
	})
}

func TestApplied(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		required := func() registry.Required {
			t.Helper()
			var list registry.SessionList
			w.get("/api/v1/sessions", &list)
			return list.Sessions[0].Requires[0]
		}
		revision := consumer.revision(web)
		for _, wrong := range []registry.Revision{0, 1, revision - 1, revision + 1} {
			consumer.send(registry.ClientMessage{Applied: &registry.Applied{Filter: web, Revision: wrong}})
			if got := required(); got.Applied != 0 {
				t.Errorf("applied %d counts although it was never sent on this connection (%d was)", wrong, revision)
			}
		}
		consumer.send(registry.ClientMessage{Applied: &registry.Applied{Filter: web, Revision: revision, Held: true, Error: "nginx -t failed"}})
		if got := required(); got.Applied != revision || !got.Held || got.Error != "nginx -t failed" || got.Alias != "alias0" || got.Min != 1 {
			t.Errorf("got %+v", got)
		}
		consumer.send(registry.ClientMessage{Applied: &registry.Applied{Filter: "db?ns=default", Revision: revision}})
		if got := consumer.errors(); len(got) != 1 || got[0].Code != registry.CodeUnknown {
			t.Errorf("applied for a filter that is not required: %+v; want unknown", got)
		}
	})
}

func TestReport(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		p := w.join(launcher("p"))
		p.send(registry.ClientMessage{Report: &registry.Report{State: "running", Restarts: 2, Unmet: []string{"db"}}})
		time.Sleep(2 * time.Second)
		var list registry.SessionList
		w.get("/api/v1/sessions", &list)
		s := list.Sessions[0]
		if s.Report == nil || s.Report.State != "running" || s.Report.Restarts != 2 || s.ID != "p" || s.Peer != "127.0.0.1" {
			t.Errorf("got %+v", s)
		}
		if s.Connected != 2000 || s.Silent != 2000 {
			t.Errorf("connected for %d ms and silent for %d; want 2000", s.Connected, s.Silent)
		}
	})
}

func TestLoss(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		consumer := w.join(launcher("c").requires(web))
		provider := w.join(launcher("p").provides("p:1", "web", registry.Passing))
		consumer.messages()
		begin := time.Now()
		provider.conn.Close()
		time.Sleep(24 * time.Millisecond)
		if got := consumer.viewed(); len(got) != 0 {
			t.Fatalf("dropped after %v; closed sockets are gathered for 25 ms", time.Since(begin))
		}
		time.Sleep(time.Millisecond)
		views := consumer.viewed()
		if len(views) != 1 || whys(views[0]) != "p:1:lost" {
			t.Errorf("got %+v; want a drop as lost", views)
		}
	})
}
