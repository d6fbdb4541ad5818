package launcher

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
)

func TestTaskRunsWhileTheChildDoes(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("backup", slow(time.Second))
		b.run(env{"CLEAT_REQUIRE_DB": "mysql", "CLEAT_TASK_BACKUP": "@every 1m backup 'a b'", "CLEAT_TASK_BACKUP_USER": "me", "CLEAT_RESTART": "always"})
		time.Sleep(3 * time.Minute)
		if len(b.kernel.Started()) > 0 {
			t.Fatal("it ran before the child")
		}
		provider(w, "db-1")
		child := b.child()
		time.Sleep(3*time.Minute + 2*time.Second)
		if n := strings.Count(b.commands(), "backup"); n != 3 {
			t.Fatalf("it ran %d times in 3 min, expected 3", n)
		}
		p := b.last("backup")
		if getenv(p, "DB_HOST") != "10.0.0.2" || getenv(p, "CLEAT_TASK") != "backup" || getenv(p, "CLEAT_CHILD_PID") == "" || p.Spec.Args[1] != "a b" || p.Spec.User != "me" || !p.Spec.Whole {
			t.Errorf("it was started with %+v", p.Spec)
		}
		s := b.status()
		if k := s.Tasks[0]; k.Runs != 3 || k.Failures != 0 || k.Took != 1 || k.Schedule != "@every 1m" || k.Next.Sub(s.Now) > time.Minute || k.Next.Before(s.Now) {
			t.Errorf("the status is %+v", k)
		}
		if n := strings.Count(w.log.String(), "a task has ended well"); n != 1 {
			t.Errorf("that was logged %d times, expected once", n)
		}
		// What is due while no child runs is left out; the schedule goes on.
		b.kernel.Fail("app", nil)
		b.kernel.Script("app", func(p *processtest.Process) { p.Exit(1) })
		child.Exit(1)
		time.Sleep(5 * time.Minute)
		if n := strings.Count(b.commands(), "backup"); n > 4 {
			t.Errorf("it ran %d times, though no child ran", n)
		}
		if k := b.status().Tasks[0]; k.LeftOut < 4 {
			t.Errorf("the status is %+v", k)
		}
	})
}

func TestTaskByTheClock(t *testing.T) {
	inWorld(t, -1, func(w *world) { // a bubble begins at midnight UTC
		b := w.newBox("b")
		b.run(env{"CLEAT_SERVER": "", "CLEAT_TASK_X": "30 * * * * x", "CLEAT_TASK_Y": "@hourly y", "TZ": "Mars/Olympus"})
		b.child()
		began := time.Now()
		time.Sleep(2*time.Hour + time.Second)
		if n := strings.Count(b.commands(), "x"); n != 2 {
			t.Errorf("x ran %d times in 2 h", n)
		}
		if n := strings.Count(b.commands(), "y"); n < 2 || n > 3 {
			t.Errorf("y ran %d times in 2 h", n)
		}
		for _, p := range b.kernel.Started() {
			if p.Spec.Args[0] == "x" && (p.Started.Minute() != 30 || p.Started.Before(began)) {
				t.Errorf("x ran at %v", p.Started)
			}
		}
		if !strings.Contains(w.log.String(), "the time zone of TZ is not known here") {
			t.Error("an unknown time zone is not told")
		}
	})
}

func TestTaskNeverRunsTwiceAtATime(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("x", func(p *processtest.Process) {
			for _, other := range b.kernel.Running() {
				if other != p && !other.Spec.Main {
					t.Error("two runs at the same time")
				}
			}
		})
		b.run(env{"CLEAT_SERVER": "", "CLEAT_TASK_X": "@every 10s x", "CLEAT_TASK_X_TIMEOUT": "25s"})
		child := b.child()
		time.Sleep(34 * time.Second)
		if n := strings.Count(b.commands(), "x"); n != 1 {
			t.Errorf("it ran %d times", n)
		}
		if k := b.status().Tasks[0]; k.LeftOut != 2 || !k.Running {
			t.Errorf("the status is %+v", k)
		}
		if n := strings.Count(w.log.String(), "this run is left out"); n != 1 {
			t.Errorf("that was logged %d times, expected once", n)
		}
		time.Sleep(1500 * time.Millisecond) // 25 s after 10 s it is killed
		if k := b.status().Tasks[0]; k.Error != "killed: it took longer than 25s" || k.Failures != 1 || k.Running {
			t.Errorf("the status is %+v", k)
		}
		if !child.Running() || !strings.Contains(w.log.String(), "a task failed") {
			t.Error("the failure is not told, or has touched the child")
		}
	})
}

func TestTaskEndsWithTheChildAndTheStop(t *testing.T) {
	inWorld(t, -1, func(w *world) {
		b := w.newBox("b")
		b.kernel.Script("x", func(*processtest.Process) {})
		b.kernel.Script("app", func(p *processtest.Process) { p.Ignore(syscall.SIGTERM) })
		b.run(env{"CLEAT_SERVER": "", "CLEAT_TASK_X": "@every 10s x", "CLEAT_RESTART": "always"})
		child := b.child()
		time.Sleep(11 * time.Second)
		child.Exit(1)
		w.eventually(10*time.Millisecond, "it ends with the child", func() bool { return !b.last("x").Running() })
		time.Sleep(10 * time.Second)
		second := b.child()
		if !b.last("x").Running() {
			t.Fatal("it does not run again")
		}
		b.signals <- syscall.SIGTERM
		w.eventually(10*time.Millisecond, "it ends with the stop", func() bool { return !b.last("x").Running() })
		n := strings.Count(b.commands(), "x")
		time.Sleep(8 * time.Second)
		second.End(process.Exit{Code: 4})
		b.wait()
		if strings.Count(b.commands(), "x") != n {
			t.Error("it ran in the stop")
		}
		if strings.Contains(w.log.String(), "a task failed") {
			t.Error("what was killed on purpose is told as a failure")
		}
	})
}
