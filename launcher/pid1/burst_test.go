package pid1_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestBurst sends all signals at once, round after round: each that was sent
// arrives, and no more often than it was sent. The stop signals are not among
// them, because the kernel drops a CONT that waits when one of them comes, and
// the other way round.
func TestBurst(t *testing.T) {
	const (
		rounds = 50
		copies = 4 // of each real-time signal in a round
	)
	everywhere(t, func(t *testing.T, where option) {
		r := start(t, helper("signals"), where)
		r.ready()
		sent, came := make(map[syscall.Signal]int), make(map[syscall.Signal]int)
		for range rounds {
			want := make(map[syscall.Signal]int)
			var burst []syscall.Signal
			for _, s := range catchable() {
				want[s] = 1
				if s > 31 {
					want[s] = copies
				}
				if slices.Contains(stops, s) {
					delete(want, s)
				}
				for range want[s] {
					burst = append(burst, s)
				}
			}
			rand.Shuffle(len(burst), func(i, j int) { burst[i], burst[j] = burst[j], burst[i] })
			for _, s := range burst {
				r.signal(s)
			}
			for s, n := range r.tally(want) {
				came[s] += n
				sent[s] += want[s]
			}
		}
		var share [2]int
		for s, n := range came {
			if n > sent[s] {
				t.Errorf("signal %d came %d times, and was sent %d times", s, n, sent[s])
			}
			if s > 31 {
				share[0], share[1] = share[0]+n, share[1]+sent[s]
			}
		}
		t.Logf("%d of %d real-time signals arrived", share[0], share[1])
		r.stdin.Close()
		r.wantExit(0)
	})
}

// TestFlood sends one signal as fast as it can, and every other one once
// meanwhile: none of these is lost among the many.
func TestFlood(t *testing.T) {
	const rounds = 5
	everywhere(t, func(t *testing.T, where option) {
		r := start(t, helper("signals"), where)
		r.ready()
		for range rounds {
			end := make(chan bool)
			var senders sync.WaitGroup
			for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGWINCH, 40, 41} {
				senders.Go(func() {
					for {
						select {
						case <-end:
							return
						default:
							r.cmd.Process.Signal(s)
						}
					}
				})
			}
			time.Sleep(20 * time.Millisecond) // the flood is under way
			want := make(map[syscall.Signal]int)
			for _, s := range catchable() {
				if !slices.Contains(stops, s) {
					want[s] = 1
					r.signal(s)
				}
			}
			time.Sleep(20 * time.Millisecond)
			close(end)
			senders.Wait()
			r.tally(want)
		}
		r.stdin.Close()
		r.wantExit(0)
	})
}

// TestSignalsToAFrozenSupervisor fills the pipe to a supervisor that does not
// read, and everything before it: what comes then is not lost.
func TestSignalsToAFrozenSupervisor(t *testing.T) {
	const many = 20_000 // more than the small pipe and all buffers before it hold
	everywhere(t, func(t *testing.T, where option) {
		r := start(t, helper("signals"), where)
		r.ready()
		shrinkPipes(t, r.cmd.Process.Pid)
		supervisor := r.family()[0]
		supervisor.Signal(syscall.SIGSTOP)
		for n := range many {
			r.signal(syscall.Signal(40 + n%20))
			if n%10 == 0 {
				time.Sleep(10 * time.Microsecond) // else many become one
			}
		}
		r.signal(syscall.SIGHUP)
		r.signal(64)
		supervisor.Signal(syscall.SIGCONT)
		r.tally(map[syscall.Signal]int{syscall.SIGHUP: 1, 40: 1, 59: 1, 64: 1})
		r.stdin.Close()
		r.wantExit(0)
	})
}

// shrinkPipes makes the pipes that the init stage has to the supervisor as small
// as they can be.
func shrinkPipes(t *testing.T, pid int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	shrunk := 0
	for _, name := range names {
		fd, _ := strconv.Atoi(name.Name())
		target, _ := os.Readlink(dir + "/" + name.Name())
		if fd <= 2 || !strings.HasPrefix(target, "pipe:") {
			continue
		}
		pipe, err := os.OpenFile(dir+"/"+name.Name(), os.O_RDWR|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.FcntlInt(pipe.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
			t.Fatal(err)
		}
		pipe.Close()
		shrunk++
	}
	if shrunk != 2 {
		t.Fatalf("the init stage has %d pipes, expected 2", shrunk)
	}
}

// TestStopAndContinueCancel shows what the kernel does for any program: of CONT
// and a stop signal that wait together, the later one stays.
func TestStopAndContinueCancel(t *testing.T) {
	t.Parallel()
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Skip("needs cat, a program that leaves signals alone")
	}
	args := helper("nasty", "block", cat)
	c := exec.Command(args[0], args[1:]...)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		c.Wait()
	}()
	line := func(name string) uint64 {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "\n"+name+":\t")
		value, _, _ := strings.Cut(rest, "\n")
		set, err := strconv.ParseUint(value, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	// Before it is cat, it is a Go program, whose threads block signals for moments.
	eventually(t, "it is cat, and blocks all signals", func() bool {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", c.Process.Pid))
		return err == nil && string(name) == "cat\n" && line("SigBlk")&bits(syscall.SIGCONT) != 0
	})
	c.Process.Signal(syscall.SIGUSR1)
	for _, s := range []syscall.Signal{syscall.SIGCONT, syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGTTIN} {
		c.Process.Signal(s)
		if got, want := line("ShdPnd"), bits(syscall.SIGUSR1, s); got != want {
			t.Errorf("%#x wait after %v, want %#x", got, s, want)
		}
	}
}

// tally counts the signals that come, until each that is wanted has, and no more
// come for a moment.
func (r *run) tally(want map[syscall.Signal]int) map[syscall.Signal]int {
	r.t.Helper()
	const moment = 20 * time.Millisecond
	got := make(map[syscall.Signal]int)
	limit := time.NewTimer(patience)
	defer limit.Stop()
	quiet := time.NewTimer(2 * patience)
	defer quiet.Stop()
	for {
		select {
		case line, ok := <-r.lines:
			if !ok {
				r.t.Fatal("the output has ended")
			}
			n, err := strconv.Atoi(line)
			if err != nil {
				r.t.Fatal(err)
			}
			got[syscall.Signal(n)]++
			if len(lacking(got, want)) == 0 {
				quiet.Reset(moment)
			}
		case <-quiet.C:
			return got
		case <-limit.C:
			r.t.Fatalf("these signals have not come: %v", lacking(got, want))
		}
	}
}

// lacking lists the wanted signals that have not come.
func lacking(got, want map[syscall.Signal]int) []int {
	var missing []int
	for s := range want {
		if got[s] == 0 {
			missing = append(missing, int(s))
		}
	}
	slices.Sort(missing)
	return missing
}
