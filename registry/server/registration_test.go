package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cleat/registry"
)

// managed is an instance without a launcher.
func managed(id string) Registration {
	return Registration{Source: "api", Instance: registry.Instance{
		ID: id, Service: "db", Address: "192.0.2.7", Port: 5432, Status: registry.Passing,
	}}
}

func (d *desk) register(r Registration) error {
	d.t.Helper()
	r, err := r.normalize()
	if err != nil {
		d.t.Fatal(err)
	}
	d.event(func(c *core) { err = c.register(r) })
	return err
}

func (d *desk) mustRegister(r Registration) {
	d.t.Helper()
	if err := d.register(r); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) renew(id string, status registry.Status) {
	d.event(func(c *core) { c.renew(c.instances[identity{"default", id}], status, "said so") })
}

// status returns how an instance is shown, and why.
func (d *desk) status(id string) string {
	i := d.core.instances[identity{"default", id}]
	if i == nil {
		return "gone"
	}
	return strings.TrimSpace(string(i.shown.Status) + " " + i.shown.Reason)
}

// last returns the latest event of an instance.
func (d *desk) last(id string) Event {
	d.t.Helper()
	name := identity{"default", id}
	n := d.core.journal.gone[name]
	if i := d.core.instances[name]; i != nil {
		n = i.event
	}
	story := d.core.journal.story(n)
	if len(story) == 0 {
		d.t.Fatalf("nothing is remembered of %s", id)
	}
	return story[len(story)-1]
}

func (d *desk) wantLast(id string, kind Kind, cause Cause, why string) {
	d.t.Helper()
	if e := d.last(id); e.Kind != kind || e.Cause != cause || !strings.Contains(e.Why, why) {
		d.t.Errorf("the last of %s: got %+v; want %s, %q, %q", id, e, kind, cause, why)
	}
}

func dbConsumer(id string) registry.Declare {
	return registry.Declare{ID: id, Requires: []registry.Require{{Alias: "db", Filter: "db?ns=default"}}}
}

func TestRegistrationIsInViews(t *testing.T) {
	d := newDesk(t)
	c := d.join(dbConsumer("c"))
	d.views(c)
	d.mustRegister(managed("db1"))
	views := d.views(c)
	if len(views) != 1 || len(views[0].Add) != 1 || views[0].Add[0].ID != "db1" || views[0].Add[0].Since == 0 {
		t.Fatalf("registered: %+v", views)
	}
	since := views[0].Add[0].Since
	d.wantLast("db1", KindAppeared, CauseBegan, "api")

	d.mustRegister(managed("db1"))
	if views := d.views(c); len(views) != 0 {
		t.Errorf("registered again, as it was: %+v", views)
	}
	r := managed("db1")
	r.Instance.Port = 5433
	d.mustRegister(r)
	if views := d.views(c); len(views) != 1 || len(views[0].Add) != 1 || views[0].Add[0].Port != 5433 || views[0].Add[0].Since != since {
		t.Errorf("registered with another port: %+v", views)
	}
	d.wantLast("db1", KindChanged, "", "")

	s := reader(d)
	if err := s.Deregister("default", "db1"); err != nil {
		t.Fatal(err)
	}
	if views := d.views(c); len(views) != 1 || !slices.Equal(views[0].Drop, []registry.Drop{{ID: "db1", Why: registry.WhyLeft}}) {
		t.Errorf("deregistered: %+v", views)
	}
	d.wantLast("db1", KindGone, CauseRemoved, "by api")
	if err := s.Deregister("default", "db1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("deregistered twice: %v", err)
	}
	if d.core.keptCount != 0 || len(d.core.timed) != 0 {
		t.Errorf("%d registrations, %d with deadlines are left", d.core.keptCount, len(d.core.timed))
	}
}

// A registration of another service under the same id is another instance.
func TestRegistrationChangesItsService(t *testing.T) {
	d := newDesk(t)
	c := d.join(dbConsumer("c"))
	d.mustRegister(managed("db1"))
	d.views(c)
	r := managed("db1")
	r.Instance.Service = "cache"
	d.mustRegister(r)
	if views := d.views(c); len(views) != 1 || len(views[0].Drop) != 1 {
		t.Errorf("got %+v", views)
	}
	if d.core.keptCount != 1 || len(d.core.namespaces["default"]["cache"].instances) != 1 {
		t.Error("it is not there once, as the other service")
	}
}

func TestTTL(t *testing.T) {
	d := newDesk(t)
	r := managed("db1")
	r.TTL, r.Remove = 10*time.Second, 5*time.Second
	d.mustRegister(r)
	d.pass(9 * time.Second)
	d.renew("db1", "")
	d.pass(9 * time.Second)
	if got := d.status("db1"); got != "passing" {
		t.Errorf("renewed in time: %s", got)
	}
	d.pass(2 * time.Second)
	if got := d.status("db1"); got != "critical not renewed for 10s" {
		t.Errorf("not renewed: %s", got)
	}
	d.wantLast("db1", KindStatus, "", "not renewed for 10s")
	d.renew("db1", "")
	if got := d.status("db1"); got != "passing" {
		t.Errorf("renewed late: %s", got)
	}
	d.renew("db1", registry.Warning)
	if got := d.status("db1"); got != "warning said so" {
		t.Errorf("renewed with a status: %s", got)
	}
	d.pass(14 * time.Second)
	if got := d.status("db1"); got != "critical not renewed for 10s" {
		t.Errorf("not renewed again: %s", got)
	}
	d.pass(2 * time.Second)
	if got := d.status("db1"); got != "gone" {
		t.Errorf("critical for 5 s: %s", got)
	}
	d.wantLast("db1", KindGone, CauseNotRenewed, "not renewed for 10s")
	if d.core.keptCount != 0 || len(d.core.timed) != 0 {
		t.Errorf("%d registrations, %d with deadlines are left", d.core.keptCount, len(d.core.timed))
	}
}

// What its source calls critical is removed in time as well; and not when it
// recovers.
func TestRemoveWhenCritical(t *testing.T) {
	d := newDesk(t)
	r := managed("db1")
	r.Remove = 10 * time.Second
	d.mustRegister(r)
	d.renew("db1", registry.Critical)
	d.pass(9 * time.Second)
	d.renew("db1", registry.Passing)
	d.pass(9 * time.Second)
	d.renew("db1", registry.Critical)
	d.pass(9 * time.Second)
	if got := d.status("db1"); got != "critical said so" {
		t.Fatalf("critical for 9 s: %s", got)
	}
	d.pass(2 * time.Second)
	d.wantLast("db1", KindGone, CauseCritical, "critical for 10s: said so")
}

// A server that was away blames nobody for not renewing.
func TestTTLWhileAway(t *testing.T) {
	d := newDesk(t)
	r := managed("db1")
	r.TTL = 10 * time.Second
	d.mustRegister(r)
	d.pass(5 * time.Second)
	d.now = d.now.Add(time.Hour) // frozen: no tick
	d.event((*core).tick)
	d.pass(4 * time.Second)
	if got := d.status("db1"); got != "passing" {
		t.Errorf("on waking: %s", got)
	}
	d.pass(2 * time.Second)
	if got := d.status("db1"); !strings.HasPrefix(got, "critical") {
		t.Errorf("when the rest of its time was over: %s", got)
	}
}

// Many TTLs that are over at once have one cause: whatever renewed them is gone.
func TestTTLsOfMany(t *testing.T) {
	d := newDesk(t)
	c := d.join(dbConsumer("c"))
	for n := range 4 {
		r := managed(fmt.Sprint("db", n))
		r.TTL, r.Remove = 10*time.Second, time.Second
		r.Instance.Port += uint16(n)
		d.mustRegister(r)
	}
	d.pass(5 * time.Second)
	d.renew("db0", "")
	d.beat(c)
	d.views(c)
	d.pass(6 * time.Second)
	if got := d.views(c); len(got) != 0 {
		t.Fatalf("three of four were not renewed: %+v; want them held", got)
	}
	if !d.core.held.preserving || len(d.core.held.all) != 3 {
		t.Errorf("held: %d", len(d.core.held.all))
	}
	d.renew("db1", "")
	d.wantLast("db1", KindConfirmed, "", "")
	for range 65 {
		d.beat(c)
		d.renew("db0", "")
		d.renew("db1", "")
		d.pass(time.Second)
	}
	dropped := make(map[string]bool)
	for _, v := range d.views(c) {
		for _, drop := range v.Drop {
			dropped[drop.ID] = true
		}
	}
	if len(dropped) != 2 || !dropped["db2"] || !dropped["db3"] {
		t.Errorf("after a minute: dropped %v; want those that were never renewed", dropped)
	}
	if d.status("db2") != "gone" || d.status("db1") != "passing" {
		t.Errorf("db2 is %s, db1 %s", d.status("db2"), d.status("db1"))
	}
}

// A launcher that declares the id of a registration takes it over; nobody can
// register a live launcher's.
func TestLauncherTakesOver(t *testing.T) {
	d := newDesk(t)
	r := managed("p:80")
	r.TTL, r.Instance.Service = 10*time.Second, "web"
	d.mustRegister(r)
	p := d.join(provider("p", registry.Passing))
	story := d.core.journal.story(d.core.instances[identity{"default", "p:80"}].event)
	if !slices.ContainsFunc(story, func(e Event) bool {
		return e.Kind == KindMoved && e.Cause == CauseReplaced && e.Why == "declared by the launcher p" && e.Session == p.name()
	}) {
		t.Errorf("its story: %+v", story)
	}
	if d.core.keptCount != 0 || len(d.core.timed) != 0 {
		t.Error("it is still a registration")
	}
	if err := d.register(r); !errors.Is(err, ErrLaunched) {
		t.Errorf("registering a launcher's: %v", err)
	}
	s := reader(d)
	if err := s.Deregister("default", "p:80"); !errors.Is(err, ErrLaunched) {
		t.Errorf("deregistering a launcher's: %v", err)
	}
	if err := s.Renew("default", "p:80", "", ""); !errors.Is(err, ErrLaunched) {
		t.Errorf("renewing a launcher's: %v", err)
	}
	d.event(func(c *core) { c.closed(p, false, "reset") })
	if err := d.register(r); err != nil {
		t.Errorf("registering what a lost launcher left: %v", err)
	}
	d.pass(time.Second)
	if got := d.status("p:80"); got != "passing" {
		t.Errorf("when the launcher's loss is decided: %s; want it kept, it is no longer the launcher's", got)
	}
	q := d.join(provider("p", registry.Warning))
	if got := d.status("p:80"); got != "warning" || len(q.provides) != 1 {
		t.Errorf("the launcher is back: %s", got)
	}
	d.event(func(c *core) { c.closed(q, true, "") })
	d.wantLast("p:80", KindGone, CauseLeft, "")
}

func TestRegistrationIsBounded(t *testing.T) {
	d := newDesk(t)
	d.core.maxKept = 2
	d.mustRegister(managed("db1"))
	d.mustRegister(managed("db2"))
	if err := d.register(managed("db3")); !errors.Is(err, ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}
	d.mustRegister(managed("db2")) // again
}

func TestBadRegistrations(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Registration)
		says   string
	}{
		"no id":            {func(r *Registration) { r.Instance.ID = "" }, "id"},
		"no port":          {func(r *Registration) { r.Instance.Port = 0 }, "1 to 65535"},
		"another place":    {func(r *Registration) { r.Namespace, r.Instance.Namespace = "prod", "dev" }, `"dev"`},
		"no source":        {func(r *Registration) { r.Source = "" }, "source"},
		"a short TTL":      {func(r *Registration) { r.TTL = time.Millisecond }, "1s"},
		"a negative TTL":   {func(r *Registration) { r.TTL = -time.Second }, "-1s"},
		"negative removal": {func(r *Registration) { r.Remove = -1 }, "never"},
		"large extra":      {func(r *Registration) { r.Extra = make([]byte, MaxExtra+1) }, "16384"},
		"extra not JSON":   {func(r *Registration) { r.Extra = []byte("x") }, "JSON"},
		"no such check":    {func(r *Registration) { r.Check = &Check{Kind: "icmp"} }, `"icmp"`},
		"a bad address":    {func(r *Registration) { r.Check = &Check{Kind: "tcp", Address: "localhost"} }, "host:port"},
		"a bad path":       {func(r *Registration) { r.Check = &Check{Kind: "http", Path: "x y"} }, "path"},
		"often":            {func(r *Registration) { r.Check = &Check{Kind: "tcp", Interval: time.Millisecond} }, "interval"},
		"slow":             {func(r *Registration) { r.Check = &Check{Kind: "tcp", Interval: time.Second, Timeout: time.Minute} }, "timeout"},
		"UDP":              {func(r *Registration) { r.Instance.Protocol, r.Check = registry.UDP, &Check{Kind: "tcp"} }, "UDP"},
	} {
		t.Run(name, func(t *testing.T) {
			r := managed("db1")
			test.change(&r)
			_, err := reader(newDesk(t)).Register(r)
			var bad *BadInput
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v; want one that says %q", err, test.says)
			}
		})
	}
}

func TestMaintain(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	c := d.join(dbConsumer("c"))
	d.mustRegister(managed("db1"))
	d.views(c)
	if err := s.Maintain("default", "db1", true, "a new disk"); err != nil {
		t.Fatal(err)
	}
	if views := d.views(c); len(views) != 1 || !slices.Equal(views[0].Drop, []registry.Drop{{ID: "db1", Why: registry.WhyMaintenance}}) {
		t.Errorf("in maintenance: %+v", views)
	}
	if got := d.status("db1"); got != "maintenance a new disk" {
		t.Errorf("got %s", got)
	}
	d.wantLast("db1", KindStatus, CauseOperator, "a new disk")
	d.renew("db1", registry.Critical) // lies below
	d.mustRegister(managed("db1"))
	if got := d.status("db1"); got != "maintenance a new disk" {
		t.Errorf("registered again: %s", got)
	}
	// It belongs to the id: what comes back under it is in maintenance.
	if err := s.Deregister("default", "db1"); err != nil {
		t.Fatal(err)
	}
	d.mustRegister(managed("db1"))
	if got := d.status("db1"); got != "maintenance a new disk" {
		t.Errorf("back: %s", got)
	}
	d.views(c)
	if err := s.Maintain("default", "db1", false, ""); err != nil {
		t.Fatal(err)
	}
	if views := d.views(c); len(views) != 1 || len(views[0].Add) != 1 {
		t.Errorf("back in service: %+v", views)
	}
	if err := s.Maintain("default", "nobody", true, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is not there: %v", err)
	}
	if err := s.Maintain("default", "db1", true, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Deregister("default", "db1"); err != nil {
		t.Fatal(err)
	}
	d.pass(markFor + 2*time.Second)
	if len(d.core.marks) != 0 {
		t.Error("a mark is kept for ever")
	}
}

// commands takes the commands out of a session's outbox.
func (d *desk) commands(s *session) []string {
	d.t.Helper()
	queue, _, _ := s.out.take()
	var commands []string
	for _, q := range queue {
		if m := decode(d.t, q.frame); m.Command != nil {
			commands = append(commands, m.Command.Do+" "+strings.Join(m.Command.IDs, ","))
		}
	}
	return commands
}

// A launcher's instance is out at once, and its launcher told; a launcher that
// comes without knowing is told, too.
func TestMaintainLaunchers(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	p := d.join(provider("p", registry.Passing))
	if err := s.Maintain("default", "p:80", true, "why not"); err != nil {
		t.Fatal(err)
	}
	if got := d.status("p:80"); got != "maintenance why not" {
		t.Errorf("got %s", got)
	}
	if got := d.commands(p); !slices.Equal(got, []string{"maintenance p:80"}) {
		t.Errorf("the launcher is told %q", got)
	}
	d.declare(p, provider("p", registry.Maintenance)) // as it answers
	d.event(func(c *core) { c.closed(p, true, "") })
	p = d.join(provider("p", registry.Passing)) // a new container
	if got := d.status("p:80"); got != "maintenance why not" {
		t.Errorf("the new container: %s", got)
	}
	if got := d.commands(p); !slices.Equal(got, []string{"maintenance p:80"}) {
		t.Errorf("the new container is told %q", got)
	}
	if err := s.Maintain("default", "p:80", false, ""); err != nil {
		t.Fatal(err)
	}
	if got := d.status("p:80"); got != "passing" {
		t.Errorf("back in service: %s", got)
	}
	if got := d.commands(p); !slices.Equal(got, []string{"service p:80"}) {
		t.Errorf("the launcher is told %q", got)
	}
}

func TestOperatorDrains(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	c := d.join(dbConsumer("c"))
	d.mustRegister(managed("db1"))
	p := d.join(provider("p", registry.Passing))
	d.views(c)
	d.commands(p)
	if err := errors.Join(s.Drain("default", "db1"), s.Drain("default", "p:80")); err != nil {
		t.Fatal(err)
	}
	if views := d.views(c); len(views) != 1 || !slices.Equal(views[0].Drop, []registry.Drop{{ID: "db1", Why: registry.WhyDraining}}) {
		t.Errorf("drained: %+v", views)
	}
	d.wantLast("db1", KindStatus, CauseOperator, "")
	if got := d.commands(p); !slices.Equal(got, []string{"drain p:80"}) {
		t.Errorf("the launcher is told %q", got)
	}
	d.renew("db1", registry.Warning)
	if got := d.status("db1"); !strings.HasPrefix(got, "draining") {
		t.Errorf("renewed: %s", got)
	}
	if err := errors.Join(s.Undrain("default", "db1"), s.Undrain("default", "p:80")); err != nil {
		t.Fatal(err)
	}
	if got := d.status("db1"); got != "warning said so" {
		t.Errorf("undrained: %s", got)
	}
	if got := d.commands(p); !slices.Equal(got, []string{"undrain p:80"}) {
		t.Errorf("the launcher is told %q", got)
	}
	if err := s.Drain("default", "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is not there: %v", err)
	}
	d.event(func(c *core) { c.closed(p, false, "reset") })
	if err := s.Drain("default", "p:80"); !errors.Is(err, ErrAway) {
		t.Errorf("without its launcher: %v", err)
	}
}

// A drain in place that began before maintenance must not keep the others of its
// service from restarting.
func TestMaintenanceEndsAGrant(t *testing.T) {
	d := newDesk(t)
	s := reader(d)
	p := d.join(provider("p", registry.Passing))
	q := d.join(provider("qq", registry.Passing))
	d.event(func(c *core) { c.drainRequested(p, registry.Drain{IDs: []string{"p:80"}, InPlace: true, Wait: 1000}) })
	if err := s.Maintain("default", "p:80", true, ""); err != nil {
		t.Fatal(err)
	}
	d.pass(2 * time.Second) // the drain is over
	d.declare(p, provider("p", registry.Starting))
	d.declare(p, provider("p", registry.Passing))
	if got := d.core.namespaces["default"]["web"].granted; got != 0 {
		t.Errorf("%d restarts are still granted", got)
	}
	_ = q
}

func TestNotServing(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Register(managed("db1")); !errors.Is(err, ErrNotServing) {
		t.Errorf("got %v", err)
	}
	if err := s.Maintain("default", "db1", true, ""); !errors.Is(err, ErrNotServing) {
		t.Errorf("got %v", err)
	}
	_, found := s.Instance("default", "db1")
	events, complete, more := s.Events(0)
	if found || len(events) > 0 || complete || len(s.Sessions()) > 0 || len(s.Catalog("").Services) > 0 || len(s.Graph().Nodes) > 0 {
		t.Error("a server that does not serve yet knows something")
	}
	select {
	case <-more:
	default:
		t.Error("who waits for its events waits for ever")
	}
}
