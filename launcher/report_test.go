package launcher

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
	"cleat/registry"
	"cleat/registry/client"
)

// told is what the server shows of the container's last report.
func (b *box) told() registry.Report {
	b.w.t.Helper()
	api := client.NewAPI(client.Config{Servers: []string{"http://cleatd:9640"}, Dial: b.w.dial})
	list, err := api.Sessions(context.Background())
	if err != nil {
		b.w.t.Fatal(err)
	}
	at := slices.IndexFunc(list.Sessions, func(s registry.SessionDetail) bool { return s.ID == b.name })
	if at < 0 || list.Sessions[at].Report == nil {
		return registry.Report{}
	}
	return *list.Sessions[at].Report
}

// The server shows all that a launcher reports: what it waits for, its child and
// how that ended, its files, its instances, what was done and what failed.
func TestReport(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("front")
		b.listen(80)
		b.file("in", "{{each web}}{{addr}} {{end}}")
		b.kernel.Script("reload", func(p *processtest.Process) { p.Exit(1) })
		b.run(env{
			"CLEAT_REQUIRE_WEB": "web", "SERVICE_80_NAME": "front", "CLEAT_RESTART": "always",
			"CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:reload --token hunter2",
		}, "front", "--password=hunter2")
		w.eventually(3*time.Second, "it reports that it waits", func() bool {
			r := b.told()
			return r.State == "waiting" && slices.Equal(r.Unmet, []string{"web"}) && r.Child == nil &&
				len(r.Checks) == 1 && r.Checks[0].Status == registry.Starting
		})
		web(w, "web-1", nil)
		w.eventually(5*time.Second, "it reports that it runs", func() bool {
			r := b.told()
			return r.State == "running" && r.Child != nil && r.Child.PID != 0 && r.Child.Starts == 1 && r.Child.Command == "front" &&
				r.Checks[0].Status == registry.Passing && r.Render != nil && r.Render.Files == 1 && r.Renders == 1
		})
		since := b.told().Checks[0].Since

		b.used.Store(1500)
		w.eventually(7*time.Second, "it reports what the child uses", func() bool {
			r := b.told()
			return r.Use != nil && *r.Use == registry.Use{CPU: 1500, Memory: 1 << 20, Processes: 2}
		})
		if got := b.told().Checks[0].Since; !got.Equal(since) {
			t.Errorf("it passes since %v, expected %v", got, since)
		}

		web(w, "web-2", nil)
		w.eventually(5*time.Second, "it reports the failure", func() bool {
			r := b.told()
			return len(r.Actions) > 0 && r.Actions[0].Error == "exit status 1" && strings.Contains(r.LastError, "exit status 1")
		})
		b.listen()
		w.eventually(5*time.Second, "it reports what does not pass, and since when", func() bool {
			c := b.told().Checks
			return len(c) == 1 && c[0].Status == registry.Critical && c[0].Reason != "" && c[0].Since.After(since)
		})
		b.child().Exit(3)
		w.eventually(5*time.Second, "it reports how the child ended", func() bool {
			c := b.told().Child
			return c != nil && c.Starts == 2 && c.LastExit == "exit status 3" && !c.Ended.IsZero()
		})
		data, err := json.Marshal(b.told())
		if err != nil || strings.Contains(string(data), "hunter2") {
			t.Errorf("the report holds a secret: %s, %v", data, err)
		}
		if s := b.status(); s.Child.Use != nil {
			t.Errorf("the status has what the child before used: %+v", s.Child.Use)
		}
	})
}

// The server shows what there is around the child, first what is not well.
func TestReportedParts(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("db")
		b.kernel.Script("exporter", func(p *processtest.Process) { p.EndAfter(31*time.Second, process.Exit{Code: 2}) })
		b.kernel.Script("dump", func(p *processtest.Process) { p.Exit(1) })
		b.run(env{
			"CLEAT_COPROCESS_EXPORTER": "exporter --secret hunter2", "CLEAT_TASK_DUMP": "@every 10s dump", "CLEAT_HOOK_PRE_START": "migrate",
			"CLEAT_HOOK_PRE_STOP": "save", "CLEAT_VOLUME_DATA": "/data", "CLEAT_NETWORK_BACK": "ethwe",
		})
		w.eventually(5*time.Second, "all is well", func() bool {
			return reflect.DeepEqual(b.told().Parts, []registry.ReportedPart{
				{Kind: registry.PartVolume, Name: "data", State: "ready"}, {Kind: registry.PartNetwork, Name: "back", State: "ready"},
				{Kind: registry.PartHook, Name: "PRE_START", State: "succeeded"}, {Kind: registry.PartHook, Name: "PRE_STOP", State: "idle"},
				{Kind: registry.PartCoprocess, Name: "exporter", State: "running"}, {Kind: registry.PartTask, Name: "dump", State: "idle"},
			})
		})
		b.ground.set("data", errNotMounted)
		time.Sleep(32 * time.Second)
		w.eventually(5*time.Second, "what is not well comes first", func() bool {
			p := b.told().Parts
			return len(p) == 6 &&
				p[0] == registry.ReportedPart{Kind: registry.PartVolume, Name: "data", State: "gone", Error: errNotMounted.Error()} &&
				slices.Contains(p[1:3], registry.ReportedPart{Kind: registry.PartTask, Name: "dump", State: "failed", Error: "exit status 1"})
		})
		w.eventually(time.Minute, "the coprocess has ended", func() bool {
			return slices.Contains(b.told().Parts, registry.ReportedPart{
				Kind: registry.PartCoprocess, Name: "exporter", State: "backoff", Restarts: 1, Error: "exit status 2",
			}) || slices.Contains(b.told().Parts, registry.ReportedPart{Kind: registry.PartCoprocess, Name: "exporter", State: "running", Restarts: 1})
		})
		if data, err := json.Marshal(b.told()); err != nil || strings.Contains(string(data), "hunter2") {
			t.Errorf("the report holds a secret: %s, %v", data, err)
		}
	})
}

// Reports are at least a second apart, and what the child uses, which changes
// all the time, is told no more than once a minute.
func TestReportsAreFew(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		web(w, "web-1", nil)
		b := front(w, "front", nil)
		b.child()
		time.Sleep(10 * time.Second)
		count := func(d, step time.Duration, each func()) (n int) {
			last := b.told()
			for range d / step {
				each()
				time.Sleep(step)
				synctest.Wait()
				if r := b.told(); !reflect.DeepEqual(r, last) {
					last = r
					n++
				}
			}
			return n
		}
		if n := count(10*time.Minute, 5*time.Second, func() { b.used.Add(7) }); n < 9 || n > 11 {
			t.Errorf("10 minutes of use were reported %d times, expected 10", n)
		}
		flip := 0
		n := count(10*time.Second, 100*time.Millisecond, func() {
			if flip++; flip%2 == 0 {
				b.do("set", "tag+=x")
				b.file("in", "broken {{")
			} else {
				b.file("in", "{{each web sep=' '}}{{addr}}{{end}}")
			}
			select {
			case b.changed <- struct{}{}:
			default:
			}
		})
		if n > 11 {
			t.Errorf("10 seconds of changes were reported %d times, expected 10 at most", n)
		}
		began := time.Now()
		b.signals <- syscall.SIGTERM
		b.wait()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
}
