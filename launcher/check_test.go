package launcher

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cleat/launcher/control"
	"cleat/launcher/process/processtest"
	"cleat/registry"
	"cleat/registry/client"
)

// With a check, an instance serves when its port is listened on and the check
// passes, and not otherwise.
func TestCheckDecides(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		var code atomic.Int32
		code.Store(2)
		b := w.newBox("web-1")
		b.kernel.Script("check", func(p *processtest.Process) { p.Exit(int(code.Load())) })
		b.listen(80)
		b.run(env{"SERVICE_80_NAME": "web", "SERVICE_80_CHECK_CMD": "check it", "SERVICE_80_CHECK_INTERVAL": "5s", "CLEAT_RESTART": "always"}, "web")
		f := front(w, "front", env{"CLEAT_REQUIRE_WEB": "web?on-loss=empty"})
		w.never(20*time.Second, "it serves before its check passes", func() bool { return f.starts() > 0 })
		if !strings.Contains(w.log.String(), "an instance is critical service=web") {
			t.Error("the log does not tell that the check fails")
		}
		code.Store(0)
		w.eventually(6*time.Second, "it serves", func() bool { return f.read("out") == "10.0.0.1:80" })
		code.Store(1) // warning: it still serves
		w.never(20*time.Second, "a warning is taken for a failure", func() bool { return f.read("out") != "10.0.0.1:80" })
		code.Store(2)
		w.eventually(6*time.Second, "it does not serve", func() bool { return f.read("out") == "" })
		code.Store(0)
		w.eventually(6*time.Second, "it serves again", func() bool { return f.read("out") == "10.0.0.1:80" })
		b.listen()
		w.eventually(2*time.Second, "a port that nothing listens on is not checked", func() bool { return f.read("out") == "" })
		b.listen(80)
		w.eventually(6*time.Second, "it serves once it listens", func() bool { return f.read("out") == "10.0.0.1:80" })
		// A child that crashed is checked anew.
		code.Store(2)
		b.child().Exit(1)
		w.never(30*time.Second, "it serves after a crash without a check that passed", func() bool { return f.read("out") == "10.0.0.1:80" && b.starts() > 1 && len(b.kernel.Running()) > 0 })
	})
}

// An instance that is critical for too long is withdrawn, and comes back.
func TestCheckWithdraws(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		var code atomic.Int32
		b := w.newBox("web-1")
		b.kernel.Script("check", func(p *processtest.Process) { p.Exit(int(code.Load())) })
		b.listen(80)
		b.run(env{"SERVICE_80_NAME": "web", "SERVICE_80_CHECK_CMD": "check", "SERVICE_80_CHECK_DEREGISTER_AFTER": "1m"}, "web")
		f := front(w, "front", nil)
		f.child()
		time.Sleep(10 * time.Second)
		status := func() registry.Status {
			detail, err := client.NewAPI(client.Config{Servers: []string{"http://cleatd:9640"}, Dial: w.dial}).Service(w.t.Context(), registry.Filter{Service: "web", Namespace: "default"})
			if err != nil || len(detail.Instances) == 0 {
				return ""
			}
			return detail.Instances[0].Status
		}
		code.Store(2)
		expect := func(after time.Duration, want registry.Status) {
			t.Helper()
			time.Sleep(after)
			if got := status(); got != want {
				t.Errorf("after %v the status is %q, expected %q", after, got, want)
			}
		}
		expect(15*time.Second, registry.Critical)
		expect(40*time.Second, registry.Critical)
		expect(30*time.Second, "")
		code.Store(0)
		expect(15*time.Second, registry.Passing)
	})
}

// A port with a TTL check serves for as long as the child says so.
func TestChildReports(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("web-1")
		b.listen(80)
		b.run(env{"SERVICE_80_NAME": "web", "SERVICE_80_CHECK_TTL": "30s"}, "web")
		report := func(status registry.Status, port string) control.Answer {
			t.Helper()
			r := control.NewRequest(control.DoReport, nil)
			r.Status, r.Text = status, "as it is"
			var err error
			if r.Port, err = control.ParsePort(port); err != nil {
				t.Fatal(err)
			}
			b.asks <- r
			return b.answer(r)
		}
		f := front(w, "front", env{"CLEAT_REQUIRE_WEB": "web?on-loss=empty"})
		w.never(time.Minute, "it serves though nobody has reported", func() bool { return f.starts() > 0 })
		if a := report(registry.Passing, ""); a.Done != "web-1:80 is passing" {
			t.Errorf("the answer is %+v", a)
		}
		w.eventually(time.Second, "it serves", func() bool { return f.read("out") == "10.0.0.1:80" })
		for range 5 {
			time.Sleep(20 * time.Second)
			report(registry.Warning, "80")
		}
		if f.read("out") != "10.0.0.1:80" {
			t.Error("it does not serve though its child reports in time")
		}
		w.never(29*time.Second, "a report holds for less than its time", func() bool { return f.read("out") == "" })
		w.eventually(3*time.Second, "a report holds for longer than its time", func() bool { return f.read("out") == "" })
		if a := report(registry.Passing, "81"); a.Refused == nil || !a.Refused.Wrong {
			t.Errorf("a report for a port that there is not: %+v", a)
		}
	})
}
