package pid1_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"cleat/launcher/pid1"

	"golang.org/x/sys/unix"
)

// helpers are the programs that cleat runs in these tests.
var helpers map[string]func(args []string) int

func init() {
	helpers = map[string]func(args []string) int{
		"exit":        exitWith,
		"die":         dieOf,
		"signals":     printSignals,
		"ready":       sayReady,
		"stubborn":    stubborn,
		"orphans":     orphans,
		"descriptors": descriptors,
		"copy":        copyInput,
		"directory":   directory,
		"leave":       leave,
		"terminal":    describeTerminal,
		"count":       countSignal,
		"limit":       limit,
		"shell":       shell,
		"nasty":       nasty,
		"script":      script,
		"pair":        pair,
		"alone":       alone,
		"parent":      parent,
		"ask":         ask,
	}
}

func exitWith(args []string) int {
	code, _ := strconv.Atoi(strings.TrimPrefix(args[0], "exit "))
	return code
}

// dieOf ends by the default action of a signal, which Go handles itself for
// some.
func dieOf(args []string) int {
	n, _ := strconv.Atoi(args[0])
	runtime.LockOSThread()
	var action [16]uintptr
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	unix.Tgkill(os.Getpid(), unix.Gettid(), syscall.Signal(n))
	time.Sleep(time.Second)
	return 99
}

// catchable lists the signals that cleat passes on.
func catchable() []syscall.Signal {
	var all []syscall.Signal
	for s := syscall.Signal(1); s <= 64; s++ {
		skipped := []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPROF, 32, 33, 34}
		if !slices.Contains(skipped, s) {
			all = append(all, s)
		}
	}
	return all
}

func notifyAll() chan os.Signal {
	c := make(chan os.Signal, 1024)
	for _, s := range catchable() {
		signal.Notify(c, s)
	}
	return c
}

// printSignals prints the number of each signal, until its input ends.
func printSignals([]string) int {
	c := notifyAll()
	fmt.Println("ready", os.Getpid())
	end := make(chan bool)
	go func() { io.Copy(io.Discard, os.Stdin); close(end) }()
	for {
		select {
		case s := <-c:
			fmt.Println(int(s.(syscall.Signal)))
		case <-end:
			return 0
		}
	}
}

// sayReady prints a line and waits for a signal to end it.
func sayReady([]string) int {
	fmt.Println("ready", os.Getpid())
	time.Sleep(time.Minute)
	return 98
}

// stubborn ignores SIGTERM and the like.
func stubborn([]string) int {
	notifyAll()
	return sayReady(nil)
}

// orphans makes grandchildren whose parent is gone, as fast as it can.
func orphans([]string) int {
	for {
		clone()
		var status syscall.WaitStatus
		syscall.Wait4(-1, &status, 0, nil)
		time.Sleep(time.Millisecond)
	}
}

// clone forks without exec. The child forks once more and exits, and so does
// its child; they do nothing that needs Go's runtime.
//
//go:norace
//go:nosplit
func clone() {
	pid, _, _ := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if pid != 0 {
		return
	}
	syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
}

// descriptors prints the open descriptors that were inherited, and what the
// named ones hold.
func descriptors(args []string) int {
	for fd := range 1024 {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			fmt.Print(fd, " ")
		}
	}
	fmt.Println()
	for _, arg := range args {
		fd, _ := strconv.Atoi(arg)
		var text [64]byte
		n, err := unix.Pread(fd, text[:], 0)
		fmt.Println(fd, string(text[:max(n, 0)]), err)
	}
	return 0
}

func copyInput([]string) int {
	io.Copy(os.Stdout, os.Stdin)
	return 0
}

func directory([]string) int {
	dir, err := os.Getwd()
	fmt.Println(dir, err)
	return 0
}

// leave leaves a process behind that ignores SIGTERM in a session of its own,
// and exits 7, or waits if it is told to.
func leave(args []string) int {
	read, write, _ := os.Pipe()
	p, err := os.StartProcess("/proc/self/exe", helper("stubborn"), &os.ProcAttr{
		Files: []*os.File{nil, write, os.Stderr},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	read.Read(make([]byte, 64)) // it ignores signals by now
	fmt.Println("left", p.Pid)
	if len(args) > 0 && args[0] == "wait" {
		time.Sleep(time.Minute)
	}
	return 7
}

// describeTerminal prints what it sees of its terminal.
func describeTerminal([]string) int {
	group, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	size, _ := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
	fmt.Println("foreground", group == unix.Getpgrp(), "leader", unix.Getpgrp() == os.Getpid(), err, size != nil)
	return 0
}

// countSignal prints how often the signal came until nothing came for a while.
func countSignal(args []string) int {
	n, _ := strconv.Atoi(args[0])
	c := make(chan os.Signal, 64)
	signal.Notify(c, syscall.Signal(n))
	fmt.Println("ready", os.Getpid())
	count := 0
	for wait := time.Minute; ; wait = 200 * time.Millisecond {
		select {
		case <-c:
			count++
		case <-time.After(wait):
			fmt.Println("count", count)
			return 0
		}
	}
}

// limit becomes another program that may open only so many files.
func limit(args []string) int {
	n, _ := strconv.Atoi(args[0])
	var limit syscall.Rlimit
	syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	limit.Cur = uint64(n)
	fmt.Fprintln(os.Stderr, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit),
		syscall.Exec(args[1], args[1:], os.Environ()))
	return 1
}

// shell is a small interactive shell with job control. It runs a job, in the
// "foreground" or the "background"; each time that the job is stopped it says
// so, and after a line of input continues it in the foreground. On SIGUSR1 it
// moves the job to the foreground as it is.
func shell(args []string) int {
	block(syscall.SIGTTOU)
	foreground, job := args[0] == "foreground", args[1:]
	pid, err := syscall.ForkExec(job[0], job, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Foreground: foreground},
	})
	if err != nil {
		fmt.Println("shell:", err)
		return 1
	}
	move := make(chan os.Signal, 1)
	signal.Notify(move, syscall.SIGUSR1)
	go func() {
		for range move {
			give(pid)
		}
	}()
	for {
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, syscall.WUNTRACED, nil); err != nil {
			continue
		}
		group, _ := unix.IoctlGetInt(0, unix.TIOCGPGRP)
		returned := group == pid || group == os.Getpid()
		if !status.Stopped() {
			fmt.Println("shell: ended", status.ExitStatus(), "terminal returned", returned)
			return 0
		}
		give(os.Getpid())
		fmt.Println("shell: stopped by", int(status.StopSignal()), "terminal returned", returned)
		var line [64]byte
		os.Stdin.Read(line[:])
		give(pid)
		syscall.Kill(-pid, syscall.SIGCONT)
	}
}

// give makes a group the foreground one of the terminal.
func give(group int) {
	defer runtime.UnlockOSThread()
	block(syscall.SIGTTOU)
	unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, group)
}

// script runs a program in its own process group, as a shell script does.
func script(args []string) int {
	pid, err := syscall.ForkExec(args[0], args, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		return 1
	}
	for {
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err == nil {
			return status.ExitStatus()
		}
	}
}

// ask reads a line when it gets SIGUSR1.
func ask([]string) int {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	fmt.Println("ready", os.Getpid())
	<-c
	var line string
	fmt.Scan(&line)
	fmt.Println("answer", line)
	return 0
}

// pair is a program of two processes in one group. On SIGHUP the first exits,
// with 0 when the second has had the signal as well, and else with 1.
func pair([]string) int {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	read, write, _ := os.Pipe()
	second := exec.Command("/proc/self/exe", helper("ready")[1:]...)
	second.Stdout = write
	if err := second.Start(); err != nil {
		return 2
	}
	read.Read(make([]byte, 64))
	fmt.Println("ready", os.Getpid())
	<-c
	timer := time.AfterFunc(300*time.Millisecond, func() { os.Exit(1) })
	defer timer.Stop()
	second.Wait()
	return 0
}

// nasty becomes another program with some signals ignored, or all blocked.
func nasty(args []string) int {
	if args[0] == "ignore" {
		signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1,
			syscall.SIGTTOU, syscall.SIGTTIN, syscall.SIGTSTP, syscall.SIGCONT)
	} else {
		runtime.LockOSThread()
		all := unix.Sigset_t{Val: [16]uint64{^uint64(0)}}
		unix.PthreadSigmask(unix.SIG_BLOCK, &all, nil)
	}
	fmt.Fprintln(os.Stderr, syscall.Exec(args[1], args[1:], os.Environ()))
	return 1
}

// parent becomes another program that has a dead child already.
func parent(args []string) int {
	clone()
	time.Sleep(10 * time.Millisecond)
	fmt.Fprintln(os.Stderr, syscall.Exec(args[0], args, os.Environ()))
	return 1
}

// alone is an init stage that cannot find itself.
func alone(args []string) int {
	if err := syscall.Chroot(args[0]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return pid1.Run([]string{"not-there"}, nil)
}

// block blocks a signal on this thread, and keeps the thread.
func block(s syscall.Signal) {
	runtime.LockOSThread()
	var set unix.Sigset_t
	set.Val[0] = 1 << (s - 1)
	unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil)
}
