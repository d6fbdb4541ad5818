package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
	"cleat/registry"
)

// world is a checker in a bubble, on a kernel without processes.
type world struct {
	*Checker
	t      *testing.T
	kernel *processtest.Kernel
	stop   context.CancelFunc
	ended  chan error

	mu       sync.Mutex
	exit     int           // of the next checks
	takes    time.Duration // until they exit; 0: at once
	overlaps bool          // two ran at once
}

func bubble(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, kernel: processtest.New(), ended: make(chan error, 1)}
		w.kernel.Script("check", func(p *processtest.Process) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.overlaps = w.overlaps || len(w.kernel.Running()) > 1
			_, _ = io.WriteString(p.Spec.Output, "says \x1b["+strings.Repeat("x", 2*MaxOutput))
			if w.takes == 0 {
				p.Exit(w.exit)
			} else {
				p.EndAfter(w.takes, process.Exit{Code: w.exit})
			}
		})
		w.Checker = New(w.kernel, "")
		ctx, stop := context.WithCancel(t.Context())
		w.stop = stop
		go func() { w.ended <- w.Run(ctx) }()
		test(t, w)
		stop()
		if err := <-w.ended; err != nil {
			t.Error(err)
		}
		if running := w.kernel.Running(); len(running) > 0 {
			t.Errorf("%d processes are left", len(running))
		}
	})
}

// say sets how the next checks end.
func (w *world) say(exit int, takes time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.exit, w.takes = exit, takes
}

// starts are the times of the starts so far, since the first.
func (w *world) starts() []time.Duration {
	var all []time.Duration
	for _, p := range w.kernel.Started() {
		all = append(all, p.Started.Sub(w.kernel.Started()[0].Started))
	}
	return all
}

// expect compares what can be taken now: "id status reason", with ! for withdrawn.
func (w *world) expect(want ...string) {
	w.t.Helper()
	synctest.Wait()
	signalled := false
	select {
	case <-w.Changed():
		signalled = true
	default:
	}
	var got []string
	for _, r := range w.Take() {
		text := fmt.Sprintf("%s %s %s", r.ID, r.Status, r.Reason)
		if r.Withdrawn {
			text += "!"
		}
		got = append(got, text)
		if len(r.Output) > MaxOutput || strings.Contains(r.Output, "\x1b") {
			w.t.Errorf("the output is not clean: %q", r.Output)
		}
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("got %q, want %q", got, want)
	}
	if len(want) > 0 && !signalled {
		w.t.Error("there was no sign")
	}
}

// after lets time pass, and then expects.
func (w *world) after(d time.Duration, want ...string) {
	w.t.Helper()
	time.Sleep(d)
	w.expect(want...)
}

var command = Check{Kind: Command, Command: "check"}

func (w *world) listen(c Check) {
	w.Set(Target{ID: "a", Check: c, Addr: loopback})
}

func (w *world) silence(c Check) { w.Set(Target{ID: "a", Check: c}) }

func TestChecksBeginWhenThePortListensAndEndWithIt(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.silence(command)
		w.after(time.Hour)
		if n := len(w.kernel.Started()); n != 0 {
			t.Fatalf("%d checks before it listens", n)
		}
		w.listen(command)
		w.expect("a passing exit status 0")
		for range 100 {
			w.listen(command) // says nothing new
		}
		w.after(time.Minute)
		n := len(w.kernel.Started())
		if n < 6 || n > 8 {
			t.Errorf("%d checks in a minute", n)
		}
		w.say(2, 0)
		w.after(10*time.Second, "a critical exit status 2")
		w.silence(command)
		w.after(time.Hour)
		w.say(1, 0)
		w.listen(command)
		w.expect("a warning exit status 1")
	})
}

func TestResultsFromBeforeAreNeverTaken(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.say(0, time.Second)
		w.listen(command)
		time.Sleep(time.Second)
		synctest.Wait()
		w.silence(command) // nobody has taken the result
		if got := w.Take(); got != nil {
			t.Errorf("got %v", got)
		}
		w.listen(command)
		time.Sleep(time.Second / 2)
		w.silence(command) // the check runs
		synctest.Wait()
		if n := len(w.kernel.Running()); n != 0 {
			t.Errorf("%d checks run while it does not listen", n)
		}
		w.after(time.Minute)
	})
}

func TestGapsAreFromStartToStart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.say(0, 3*time.Second)
		w.listen(command)
		time.Sleep(time.Minute)
		starts := w.starts()
		first := starts[1] - starts[0]
		if first <= 0 || first > 10*time.Second {
			t.Errorf("the first gap is %v", first)
		}
		for i := 2; i < len(starts); i++ {
			if gap := starts[i] - starts[i-1]; i > 2 && gap != 10*time.Second || gap > 10*time.Second {
				t.Errorf("gap %d is %v", i, gap)
			}
		}
	})
}

func TestFirstGapsDiffer(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for i := range 20 {
			w.Set(Target{ID: fmt.Sprint(i), Check: command, Addr: loopback})
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		starts := w.starts()
		if slices.Sort(starts); len(starts) != 40 || starts[19] != 0 {
			t.Fatalf("%v", starts)
		}
		if late := slices.Compact(starts[20:]); len(late) < 15 {
			t.Errorf("only %d different times: %v", len(late), late)
		}
	})
}

func TestChecksNeverPileUp(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := command
		c.Interval, c.Timeout = time.Second, 30*time.Second
		w.say(0, 25*time.Second)
		w.listen(c)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := len(w.kernel.Started()); w.overlaps || n < 12 || n > 13 {
			t.Errorf("%d checks in 5m, overlaps: %v", n, w.overlaps)
		}
	})
}

func TestTimeoutKills(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := command
		c.Timeout = 2 * time.Second
		w.say(0, time.Hour)
		w.listen(c)
		w.after(2*time.Second - 1)
		w.after(1, "a critical killed because it took longer than 2s")
		if n := len(w.kernel.Running()); n > 1 {
			t.Errorf("%d run", n)
		}
		if got := w.kernel.Started()[0].Received(); !slices.Equal(got, []syscall.Signal{syscall.SIGKILL}) {
			t.Errorf("received %v", got)
		}
	})
}

func TestEagerUntilItServes(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.say(2, 0)
		w.listen(command)
		w.expect("a critical exit status 2")
		time.Sleep(2 * time.Second)
		w.say(0, 0)
		w.after(2*time.Second, "a passing exit status 0")
		want := []time.Duration{0, 250 * time.Millisecond, 750 * time.Millisecond, 1750 * time.Millisecond, 3750 * time.Millisecond}
		if got := w.starts(); !slices.Equal(got, want) {
			t.Errorf("checks at %v, want %v", got, want)
		}
	})
}

func TestThresholds(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := command
		c.Rise, c.Fall = 2, 3
		w.listen(c)
		w.expect()
		w.after(250*time.Millisecond, "a passing exit status 0") // eager for the second
		time.Sleep(10 * time.Second)
		w.say(2, 0)
		w.after(20 * time.Second)
		w.after(10*time.Second, "a critical exit status 2")
		w.say(0, 0)
		w.after(10 * time.Second)
		w.after(10*time.Second, "a passing exit status 0")
	})
}

func TestInitialStatus(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := command
		c.Initial, c.Fall = registry.Passing, 2
		w.say(2, time.Second)
		w.listen(c)
		w.expect("a passing not checked yet")
		w.after(time.Second) // the first one fails
		w.after(12*time.Second, "a critical exit status 2")
	})
}

func TestWithdrawn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := command
		c.DeregisterAfter = time.Minute
		w.say(2, 0)
		w.listen(c)
		w.expect("a critical exit status 2")
		w.after(time.Minute - 1)
		w.after(1, "a critical exit status 2!")
		w.after(time.Hour)
		w.say(1, 0)
		w.after(10*time.Second, "a warning exit status 1")
		w.say(2, 0)
		w.after(10*time.Second, "a critical exit status 2")
		w.after(time.Minute, "a critical exit status 2!")
	})
}

// TestSameCauseIsSaidOnce: what a command says may differ each time.
func TestSameCauseIsSaidOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := 0
		w.kernel.Script("count", func(p *processtest.Process) {
			n++
			fmt.Fprintf(p.Spec.Output, "run %d", n)
			p.Exit(2)
		})
		w.Set(Target{ID: "a", Check: Check{Kind: Command, Command: "count"}, Addr: loopback})
		synctest.Wait()
		if got := w.Take(); len(got) != 1 || got[0].Output != "run 1" {
			t.Errorf("got %+v", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := w.Take(); n < 300 || got != nil {
			t.Errorf("after %d runs: %+v", n, got)
		}
	})
}

func TestReports(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := Check{Kind: TTL, TTL: 30 * time.Second}
		report := func(s registry.Status) {
			if err := w.Report("a", s, "fine \x07"); err != nil {
				t.Error(err)
			}
		}
		w.listen(c)
		w.after(30*time.Second - 1)
		w.after(1, "a critical no report for 30s")
		report(registry.Passing)
		w.expect("a passing reported by the child")
		time.Sleep(29 * time.Second)
		report(registry.Passing)
		w.expect()
		w.after(29 * time.Second)
		w.after(time.Second, "a critical no report for 30s")
		report(registry.Warning)
		w.expect("a warning reported by the child")
		report(registry.Critical)
		w.expect("a critical reported by the child")
		w.after(time.Hour)
		w.silence(c)
		w.after(time.Hour)
		// Before it is seen to listen.
		report(registry.Passing)
		time.Sleep(10 * time.Second)
		w.listen(c)
		w.expect("a passing reported by the child")
		w.after(20*time.Second, "a critical no report for 30s")
		w.silence(c)
		report(registry.Passing)
		time.Sleep(31 * time.Second)
		w.listen(c)
		w.expect()
	})
}

func TestReportsThatMeanNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.listen(command)
		if err := w.Report("a", registry.Passing, ""); !errors.Is(err, ErrTarget) {
			t.Errorf("got %v", err)
		}
		if err := w.Report("b", registry.Passing, ""); !errors.Is(err, ErrTarget) {
			t.Errorf("got %v", err)
		}
		if err := w.Report("a", registry.Draining, ""); err == nil || !strings.Contains(err.Error(), "expected passing, warning or critical") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnotherAddressBeginsAnew(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.say(2, 0)
		w.listen(command)
		w.expect("a critical exit status 2")
		w.say(0, time.Second)
		w.Set(Target{ID: "a", Check: command, Addr: netip.MustParseAddrPort("[::1]:81"), Env: []string{"X=1", "SERVICE_PORT=9"}})
		w.after(time.Second, "a passing exit status 0")
		started := w.kernel.Started()
		if got, want := started[len(started)-1].Spec.Env, []string{"X=1", "SERVICE_IP=::1", "SERVICE_PORT=81"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// stuck is a kernel whose processes do not die before an hour has passed.
type stuck struct{ *processtest.Kernel }

func (k stuck) Start(s process.Spec) (process.Process, error) {
	p, err := k.Kernel.Start(s)
	return undead{p}, err
}

type undead struct{ process.Process }

func (undead) SignalGroup(syscall.Signal) error { return nil }

func TestNothingIsStartedBesideWhatDoesNotDie(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.kernel.Script("check", func(p *processtest.Process) { p.EndAfter(time.Hour, process.Exit{}) })
		w.Checker.kernel = stuck{w.kernel}
		w.listen(command)
		w.after(12*time.Second, "a critical a check does not end, though it was killed")
		w.silence(command)
		w.listen(command)
		w.expect()
		w.after(2*time.Second, "a critical a check does not end, though it was killed")
		time.Sleep(50 * time.Minute)
		if n := len(w.kernel.Started()); n != 1 {
			t.Errorf("%d were started", n)
		}
		w.kernel.Script("check", func(p *processtest.Process) { p.Exit(0) })
		time.Sleep(10 * time.Minute)
		w.expect("a passing exit status 0")
	})
}

func TestRunGivesUpOnWhatDoesNotDie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := processtest.New()
		k.Script("check", func(p *processtest.Process) { p.EndAfter(time.Minute, process.Exit{}) })
		c := New(stuck{k}, "")
		c.Set(Target{ID: "a", Check: command, Addr: loopback})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		err := c.Run(ctx)
		if err == nil || !strings.HasSuffix(err.Error(), ": a") || time.Since(begin) != 3*time.Second {
			t.Errorf("Run = %v after %v", err, time.Since(begin))
		}
		time.Sleep(time.Minute)
	})
}

// TestEverythingAtOnce changes targets from several goroutines, while checks end
// in all ways; the race detector and the bubble look on.
func TestEverythingAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				id := fmt.Sprint(i % 3)
				c := command
				if i%3 == 2 {
					c = Check{Kind: TTL, TTL: time.Second}
				}
				for n := range 100 {
					target := Target{ID: id, Check: c}
					if n%3 > 0 {
						target.Addr = netip.AddrPortFrom(loopback.Addr(), uint16(80+n%2))
					}
					w.Set(target)
					w.say(n%3, time.Duration(n%4)*time.Second)
					_ = w.Report(id, registry.Passing, "")
					time.Sleep(time.Duration(n%7) * 300 * time.Millisecond)
					w.Take()
				}
			})
		}
		all.Wait()
		for i := range 3 {
			w.Set(Target{ID: fmt.Sprint(i), Check: command})
		}
		synctest.Wait()
		if got := w.Take(); got != nil {
			t.Errorf("nothing listens, and %v", got)
		}
	})
}
