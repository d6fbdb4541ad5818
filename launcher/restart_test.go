package launcher

import (
	"log/slog"
	"slices"
	"syscall"
	"testing"
	"time"

	"cleat/internal/logline"
	"cleat/launcher/process/processtest"
	"cleat/launcher/settings"
	"cleat/registry"
)

// What asked for a restart may be gone before the distance is over.
func TestRestartThatIsNotNeededAnyMore(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		b := w.launch("b", env{"CLEAT_REQUIRE_WEB": "web"}, "app", "{{each web}}{{addr}}{{end}}")
		b.child()
		time.Sleep(time.Minute)
		p.provide("192.0.2.2")
		w.eventually(2*time.Second, "the first restart", func() bool { return b.starts() == 2 })
		time.Sleep(time.Second)
		p.provide("192.0.2.3")
		time.Sleep(3 * time.Second)
		p.provide("192.0.2.2")
		time.Sleep(time.Minute)
		if b.starts() != 2 {
			t.Errorf("there were %d starts, expected 2: what the third would be for has gone", b.starts())
		}
		w.acknowledged(0, "b", "web")
	})
}

// The distance is that between the moments at which the child is told to end,
// however long the drains before take.
func TestDistanceBeginsWhenTheChildIsTold(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		edge := w.newBox("edge")
		edge.listen(81)
		edge.run(env{"SERVICE_81_NAME": "edge", "CLEAT_REQUIRE_WEB": "web", "CLEAT_DRAIN": "8s", "CLEAT_STOP_TIMEOUT": "20s"}, "app", "{{each web}}{{addr}}{{end}}")
		other := w.newBox("other")
		other.listen(81)
		other.run(env{"SERVICE_81_NAME": "edge"}, "app")
		slow := w.newBox("slow")
		slow.file("in", "{{each edge sep=' '}}{{addr}}{{end}}")
		slow.kernel.Script("reload", func(p *processtest.Process) { p.EndAfter(7*time.Second, exitZero) })
		slow.run(env{"CLEAT_REQUIRE_EDGE": "edge", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:reload"}, "slow")
		var told []time.Time
		first := edge.child()
		time.Sleep(time.Minute)
		p.provide("192.0.2.2")
		w.eventually(12*time.Second, "the child is told", func() bool { return len(first.Received()) > 0 })
		told = append(told, time.Now())
		slow.kernel.Script("reload", nil)
		w.eventually(2*time.Second, "it is started again", func() bool { return edge.starts() == 2 })
		second := edge.child()
		time.Sleep(time.Second)
		p.provide("192.0.2.3")
		w.eventually(time.Minute, "the child is told again", func() bool { return len(second.Received()) > 0 })
		told = append(told, time.Now())
		if gap := told[1].Sub(told[0]); gap < leastGap {
			t.Errorf("two restarts were %v apart", gap)
		}
	})
}

// Ports found while a drain is under way do not make its answer unknown.
func TestPortFoundDuringADrain(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		edge := w.newBox("edge")
		edge.listen(81)
		edge.run(env{"SERVICE_NAME": "edge", "CLEAT_REQUIRE_WEB": "web"}, "edge", "{{each web}}{{addr}}{{end}}")
		other := w.newBox("other")
		other.listen(81)
		other.run(env{"SERVICE_81_NAME": "edge"}, "edge")
		slow := w.newBox("slow")
		slow.file("in", "{{each edge sep=' '}}{{addr}}{{end}}")
		slow.kernel.Script("reload", func(p *processtest.Process) { p.EndAfter(2*time.Second, exitZero) })
		slow.run(env{"CLEAT_REQUIRE_EDGE": "edge", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:reload"}, "slow")
		child := edge.child()
		time.Sleep(time.Minute)
		edge.listen(81, 82)
		time.Sleep(900 * time.Millisecond)
		p.provide("192.0.2.2")
		w.eventually(10*time.Second, "the child is told to end", func() bool { return len(child.Received()) > 0 })
		if !edge.logged("drained") {
			t.Error("the server's answer was not taken")
		}
	})
}

// A drain whose answer nobody waits for any more leaves no instance hidden.
func TestDrainOvertakenByACrash(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		edge := w.newBox("edge")
		edge.listen(81)
		edge.run(env{"SERVICE_81_NAME": "edge", "CLEAT_REQUIRE_WEB": "web", "CLEAT_RESTART": "always"}, "edge", "{{each web}}{{addr}}{{end}}")
		for _, name := range []string{"other-1", "other-2"} {
			other := w.newBox(name)
			other.listen(81)
			other.run(env{"SERVICE_81_NAME": "edge"}, "edge")
		}
		slow := w.newBox("slow")
		slow.file("in", "{{each edge sep=' '}}{{addr}}{{end}}")
		slow.kernel.Script("reload", func(p *processtest.Process) { p.EndAfter(3*time.Second, exitZero) })
		slow.run(env{"CLEAT_REQUIRE_EDGE": "edge", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:reload"}, "slow")
		child := edge.child()
		time.Sleep(time.Minute)
		p.provide("192.0.2.2")
		w.eventually(2*time.Second, "the restart begins", func() bool { return edge.logged("restarting the child") })
		time.Sleep(time.Second)
		child.Crash(syscall.SIGSEGV)
		time.Sleep(time.Minute)
		if got := slow.endpoints(); got != "10.0.0.1:81 10.0.0.2:81 10.0.0.3:81" {
			t.Errorf("the consumer sees %q", got)
		}
	})
}

// Established connections get their time before a restart as before a stop.
func TestRestartLingers(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		edge := w.newBox("edge")
		edge.established.Store(1)
		edge.listen(81)
		edge.run(env{"SERVICE_81_NAME": "edge", "CLEAT_REQUIRE_WEB": "web", "CLEAT_LINGER": "2s"}, "edge", "{{each web}}{{addr}}{{end}}")
		other := w.newBox("other")
		other.listen(81)
		other.run(env{"SERVICE_81_NAME": "edge"}, "edge")
		child := edge.child()
		time.Sleep(time.Minute)
		at := time.Now()
		p.provide("192.0.2.2")
		w.eventually(5*time.Second, "the child is told to end", func() bool { return len(child.Received()) > 0 })
		if took := time.Since(at); took < 2*time.Second || took > 2500*time.Millisecond {
			t.Errorf("the child was told after %v, expected CLEAT_LINGER, 2s, and the quiet period", took)
		}
	})
}

// An instance that stops serving while its restart waits in the server's queue
// is reported.
func TestCriticalWhileARestartWaits(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		p := w.puppet("p")
		p.provide("192.0.2.1")
		edge := w.newBox("edge")
		edge.listen(81)
		edge.run(env{"SERVICE_81_NAME": "edge", "CLEAT_REQUIRE_WEB": "web"}, "edge", "{{each web}}{{addr}}{{end}}")
		// Another one's restart has the grant, and takes its time.
		other := w.newBox("other")
		other.listen(81)
		other.kernel.Script("edge", func(p *processtest.Process) { p.Ignore(syscall.SIGTERM) })
		other.file("in", "{{each web}}{{addr}}{{end}}")
		other.run(env{"SERVICE_81_NAME": "edge", "CLEAT_REQUIRE_WEB": "web", "CLEAT_STOP_TIMEOUT": "1m", "CLEAT_QUIET": "1ms:1ms"}, "edge", "{{each web}}{{addr}}{{end}}")
		f := w.newBox("front")
		f.file("in", "{{each edge sep=' '}}{{addr}}{{end}}")
		f.run(env{"CLEAT_REQUIRE_EDGE": "edge?on-loss=empty", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:none"}, "front")
		child := edge.child()
		time.Sleep(time.Minute)
		p.provide("192.0.2.2")
		time.Sleep(5 * time.Second)
		if len(child.Received()) > 0 || f.endpoints() != "10.0.0.1:81" {
			t.Fatalf("it does not wait in the queue: %v, %q", child.Received(), f.endpoints())
		}
		edge.listen()
		w.eventually(3*time.Second, "the consumers are told", func() bool { return f.endpoints() == "" })
	})
}

// What an operator has asked for outlives drains and restarts.
func TestOperatorsStatusOutlivesARestart(t *testing.T) {
	set, err := settings.Parse([]string{"CLEAT_SERVER=http://cleatd:9640", "SERVICE_80_NAME=web", "SERVICE_80_ADVERTISE=192.0.2.1:80", "CLEAT_ID=b"}, []string{"app"}, settings.Host{Hostname: "b"})
	if err != nil {
		t.Fatal(err)
	}
	s := newSupervisor(Config{Settings: set, Kernel: processtest.New(), Log: logline.New(new(syncBuffer), "b", slog.LevelInfo, false)})
	status := func() registry.Status {
		instances, _ := s.offers.instances(s.addrs)
		return instances[0].Status
	}
	s.commanded(registry.Command{Do: "maintenance", IDs: []string{"b:80", "somebody-else:80"}})
	if status() != registry.Maintenance {
		t.Fatalf("the status is %s", status())
	}
	s.life, s.restart = lifeHalting, &restart{}
	s.halted()
	if status() != registry.Maintenance {
		t.Errorf("after a restart the status is %s", status())
	}
	s.overlay(true)
	s.life = lifeDraining
	s.commanded(registry.Command{Do: "undrain"})
	if status() != registry.Draining {
		t.Errorf("undrained in a stop, the status is %s", status())
	}
	if slices.Contains(s.offers.ids(), "somebody-else:80") || len(s.operator) > 0 {
		t.Errorf("ids that are not its own are kept: %v", s.operator)
	}
}
