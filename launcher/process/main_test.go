package process_test

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"cleat/launcher/process"
)

// roleHelper makes this test binary one of its own programs.
const roleHelper = "as-helper"

// helpers are the programs that are started in these tests.
var helpers = map[string]func(args []string) int{
	"exit": func(args []string) int {
		code, _ := strconv.Atoi(args[0])
		return code
	},
	"wait": func([]string) int {
		fmt.Println("ready")
		time.Sleep(time.Minute)
		return 98
	},
	// die ends by a signal. Go catches most and drops some of them, once its
	// runtime is up: only the default disposition lets each of them kill.
	"die": func(args []string) int {
		number, _ := strconv.Atoi(args[0])
		var byDefault struct{ handler, flags, restorer, mask uintptr }
		syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(number), uintptr(unsafe.Pointer(&byDefault)), 0,
			unsafe.Sizeof(byDefault.mask), 0, 0)
		syscall.Kill(os.Getpid(), syscall.Signal(number))
		time.Sleep(time.Minute)
		return 98
	},
	// family starts a process of the same group that ignores SIGTERM, and
	// waits.
	"family": func([]string) int {
		read, write, _ := os.Pipe()
		child := exec.Command("/proc/self/exe", roleHelper, "stubborn")
		child.Stdout = write
		child.Start()
		read.Read(make([]byte, 64))
		fmt.Fprintln(os.Stderr, child.Process.Pid)
		time.Sleep(time.Minute)
		return 98
	},
	// background leaves a process behind that keeps its descriptors open.
	"background": func([]string) int {
		child := exec.Command("/proc/self/exe", roleHelper, "wait")
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		child.Start()
		fmt.Fprintln(os.Stderr, child.Process.Pid)
		return 0
	},
	"stubborn": func([]string) int {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM)
		fmt.Println("ready")
		time.Sleep(time.Minute)
		return 98
	},
	// prefixed runs a script whose lines are prefixed, and exits once they are
	// written, at most for as long as the first argument says.
	"prefixed": func(args []string) int {
		limit, _ := time.ParseDuration(args[0])
		k := process.New(process.Config{})
		p, err := k.Start(process.Spec{Args: []string{"/bin/sh", "-c", args[1]}, Main: true, Prefix: "app | "})
		if err != nil {
			return 99
		}
		exit := <-p.Exited()
		k.Flush(limit)
		return exit.Status()
	},
	// describe prints what it was started with.
	"describe": func([]string) int {
		input, _ := io.ReadAll(os.Stdin)
		groups, _ := os.Getgroups()
		var open []int
		for fd := range 64 {
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			if err == nil && flags&unix.FD_CLOEXEC == 0 {
				open = append(open, fd)
			}
		}
		fmt.Printf("input %q user %d:%d groups %v open %v leader %t\n",
			input, os.Getuid(), os.Getgid(), groups, open, unix.Getpgrp() == os.Getpid())
		return 0
	},
}

// used are the helpers that a test has asked for.
var used sync.Map

func helper(name string, args ...string) []string {
	if _, ok := helpers[name]; !ok {
		panic("no helper " + name)
	}
	used.Store(name, true)
	return append([]string{"/proc/self/exe", roleHelper, name}, args...)
}

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == roleHelper {
		os.Exit(helpers[os.Args[2]](os.Args[3:]))
	}
	// Else each process sleeps for a second at its end under -race.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	code := m.Run()
	if code == 0 && flag.Lookup("test.run").Value.String() == "" {
		for _, name := range slices.Sorted(maps.Keys(helpers)) {
			if _, ok := used.Load(name); !ok && name != "stubborn" {
				fmt.Printf("helper %q is not used by any test\n", name)
				code = 1
			}
		}
	}
	os.Exit(code)
}
