package pid1_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/pid1"
	"cleat/launcher/process"
)

var (
	starts = flag.Int("starts", 300, "how many starts must lose no exit status in a storm of orphans")
	full   = flag.Bool("full", false, "run all exit codes from 0 to 255 rather than a choice")
)

// This test binary is also cleat (with a supervisor that only starts, forwards
// and reports) and every program that cleat runs here. The first argument says
// which.
const (
	roleCleat  = "as-cleat"
	roleHelper = "as-helper"
	// modeVariable tells the supervisor what to do differently.
	modeVariable = "PID1_TEST_MODE"
	// mountVariable has an init stage that is PID 1 mount its own /proc.
	mountVariable = "PID1_TEST_MOUNT"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == roleCleat {
		cleat()
	}
	if len(os.Args) > 2 && os.Args[1] == roleHelper {
		os.Exit(helpers[os.Args[2]](os.Args[3:]))
	}
	forgetParent()
	// Else each process sleeps for a second at its end under -race.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	code := m.Run()
	// Without root some tests skip, and their helpers idle.
	if code == 0 && os.Getuid() == 0 && flag.Lookup("test.run").Value.String() == "" {
		for _, name := range slices.Sorted(maps.Keys(helpers)) {
			if _, ok := used.Load(name); !ok {
				fmt.Printf("helper %q is not used by any test\n", name)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// forgetParent keeps from what the tests start what this process was started
// with: descriptors that somebody left open, and signals that are ignored, as a
// shell does for a job in the background.
func forgetParent() {
	for fd := 3; fd < 1024; fd++ {
		syscall.CloseOnExec(fd)
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGINT)
	go func() {
		<-interrupts
		os.Exit(130)
	}()
}

// used are the helpers that a test has asked for.
var used sync.Map

// helper is the command line of a helper.
func helper(name string, args ...string) []string {
	if _, ok := helpers[name]; !ok {
		panic("no helper " + name)
	}
	used.Store(name, true)
	return append([]string{"/proc/self/exe", roleHelper, name}, args...)
}

// cleat is main of a small cleat run.
func cleat() {
	if link, ok := pid1.Attach(); ok {
		os.Exit(supervise(link, os.Args[2:]))
	}
	if os.Getpid() == 1 && os.Getenv(mountVariable) != "" {
		if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			fmt.Fprintln(os.Stderr, "mount /proc:", err)
			os.Exit(2)
		}
	}
	os.Exit(pid1.Run(os.Args, os.Environ()))
}

// supervise starts the command, forwards signals, and reports the exit.
func supervise(link *pid1.Link, args []string) int {
	mode, value, _ := strings.Cut(os.Getenv(modeVariable), "=")
	os.Unsetenv(modeVariable)
	os.Unsetenv(mountVariable)
	kernel := link.Kernel()
	spec := process.Spec{Args: args, Env: os.Environ(), Main: true}
	switch mode {
	case "deaf": // does not listen at first
		time.Sleep(300 * time.Millisecond)
	case "storm":
		return storm(link, kernel, spec, value)
	case "ahead": // a volume's helper process, and what fails before the child, once
		for n, ahead := range []bool{false, true, true} {
			if n == 2 {
				kernel.EndLeftovers(context.Background(), 300*time.Millisecond)
			}
			p, err := kernel.Start(process.Spec{Args: helper("leave", "exit 1"), Env: spec.Env, Ahead: ahead})
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			<-p.Exited()
		}
	case "refuse": // obeys a signal that came before the start
		s := <-link.Signals()
		link.Record(128+int(s), 0)
		link.End()
		return 0
	}
	child, err := kernel.Start(spec)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		link.Record(process.StartError(err), 0)
		link.End()
		return 0
	}
	switch mode {
	case "die": // is lost while the child runs
		<-link.Signals()
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "info":
		fmt.Println(link.InitPid(), link.PID1(), os.Getpid(), child.Pid(), os.Getenv("CLEAT_STAGE") == "")
	}
	for {
		select {
		case s, ok := <-link.Signals():
			if !ok { // the init stage is gone
				child.SignalGroup(syscall.SIGKILL)
				return 1
			}
			if mode == "group" {
				child.SignalGroup(s)
				continue
			}
			child.Signal(s)
		case exit := <-child.Exited():
			switch mode {
			case "hang": // never comes to an end
				link.Record(exit.Status(), 300*time.Millisecond)
				select {}
			case "again": // restarts once, after ending what is left
				mode = ""
				kernel.EndLeftovers(context.Background(), 300*time.Millisecond)
				if child, err = kernel.Start(spec); err != nil {
					return 1
				}
				continue
			}
			link.Record(exit.Status(), 0)
			link.End()
			return 0
		}
	}
}

// storm starts a command so many times beside one that makes orphans all the
// time, and counts the exits that are not the ones asked for.
func storm(link *pid1.Link, kernel process.Kernel, spec process.Spec, count string) int {
	n, _ := strconv.Atoi(count)
	maker, err := kernel.Start(process.Spec{Args: helper("orphans"), Env: spec.Env})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	wrong := 0
	for i := range n {
		code := i % 256
		child, err := kernel.Start(process.Spec{Args: append(slices.Clone(spec.Args), fmt.Sprintf("exit %d", code)), Env: spec.Env})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			wrong++
			continue
		}
		if exit := <-child.Exited(); exit != (process.Exit{Code: code}) {
			fmt.Fprintf(os.Stderr, "start %d: %v, want exit status %d\n", i, exit, code)
			wrong++
		}
	}
	maker.Signal(syscall.SIGKILL)
	<-maker.Exited()
	fmt.Println("lost", wrong)
	link.Record(min(wrong, 1), 0)
	// The test looks for zombies now.
	<-link.Signals()
	link.End()
	return 0
}
