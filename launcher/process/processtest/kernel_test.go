package processtest_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
)

func TestChildRunsUntilASignalEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := processtest.New()
		started, err := k.Start(process.Spec{Args: []string{"/usr/bin/web", "-x"}, Main: true})
		if err != nil {
			t.Fatal(err)
		}
		p := k.Next(t.Context())
		if p.Spec.Args[1] != "-x" || p.Pid() != started.Pid() {
			t.Fatalf("Next = %+v", p)
		}
		started.Signal(syscall.SIGWINCH)
		if !p.Running() {
			t.Fatal("SIGWINCH ended it")
		}
		started.Signal(syscall.SIGTERM)
		started.Signal(syscall.SIGTERM) // after its end: nothing
		if exit := <-started.Exited(); exit.Status() != 143 {
			t.Errorf("status %d, want 143", exit.Status())
		}
		if _, open := <-started.Exited(); open {
			t.Error("Exited gave a second exit")
		}
		want := []string{"start web", "signal web SIGWINCH", "signal web SIGTERM", "end web: killed by SIGTERM"}
		if !slices.Equal(k.Events(), want) {
			t.Errorf("events %q, want %q", k.Events(), want)
		}
	})
}

func TestScriptIgnoresAndEndsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := processtest.New()
		k.Script("db", func(p *processtest.Process) {
			p.Ignore(syscall.SIGTERM)
			p.EndAfter(time.Hour, process.Exit{Code: 4})
		})
		p, _ := k.Start(process.Spec{Args: []string{"db"}, Main: true})
		p.SignalGroup(syscall.SIGTERM)
		start := time.Now()
		if exit := <-p.Exited(); exit.Code != 4 || time.Since(start) != time.Hour {
			t.Errorf("%v after %v, want exit status 4 after 1h", exit, time.Since(start))
		}
		q, _ := k.Start(process.Spec{Args: []string{"db"}, Main: true})
		q.Signal(syscall.SIGKILL)
		if exit := <-q.Exited(); exit.Signal != syscall.SIGKILL {
			t.Errorf("%v, want killed by SIGKILL", exit)
		}
		if n := len(k.Running()); n != 0 {
			t.Errorf("%d still run", n)
		}
	})
}

func TestOthersSucceedAtOnceAndStartsFail(t *testing.T) {
	k := processtest.New()
	if err := process.Run(t.Context(), k, process.Spec{Args: []string{"nginx", "-t"}}); err != nil {
		t.Errorf("Run = %v", err)
	}
	k.Fail("nginx", fs.ErrNotExist)
	err := process.Run(t.Context(), k, process.Spec{Args: []string{"nginx", "-t"}})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Run = %v, want not found", err)
	}
}

func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := processtest.New()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if p := k.Next(ctx); p != nil {
			t.Errorf("Next = %v, want none", p)
		}
		go func() {
			time.Sleep(time.Minute)
			k.Start(process.Spec{Args: []string{"hook"}})
			k.Start(process.Spec{Args: []string{"web"}, Main: true})
		}()
		if p := k.NextMain(t.Context()); p.Spec.Args[0] != "web" {
			t.Errorf("NextMain = %v", p.Spec.Args)
		}
	})
}

func TestEndLeftovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := processtest.New()
		k.Leftovers(func(ctx context.Context, grace time.Duration) { time.Sleep(grace) })
		start := time.Now()
		k.EndLeftovers(t.Context(), 2*time.Second)
		if time.Since(start) != 2*time.Second || !slices.Equal(k.Ends(), []time.Duration{2 * time.Second}) {
			t.Errorf("took %v, ends %v", time.Since(start), k.Ends())
		}
	})
}
