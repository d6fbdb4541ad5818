// Testchild is what the end-to-end tests wrap: one static program that plays a service, a proxy, a client of a
// database, or something that misbehaves. It knows nothing of cleat.
//
//	testchild show                              print arguments and environment, one line each
//	testchild exit CODE                         exit with that code
//	testchild die SIGNAL                        end by that signal (a number)
//	testchild signals [-end SIGNAL]             print every signal that comes; end at that one (15; 0 is never)
//	testchild family                            the same, with a child that does so too; none of them ends
//	testchild listen [-ignore-term] ADDRESS...  listen and do nothing ("udp:127.0.0.1:53" for UDP, which echoes); USR1
//	                                            closes all, USR2 opens them again
//	testchild dial ADDRESS                      connect, and end
//	testchild orphans COUNT                     leave that many orphans behind, then stay
//	testchild exec-orphan                       start a process that outlives this one, and end
//	testchild mount DIRECTORY                   make it, and mount a file system in memory there
//	testchild umount DIRECTORY                  undo that
//	testchild note [-exit CODE] FILE TEXT       write a line to the end of a file, and end
//	testchild note -stay [-deaf] FILE TEXT      write "TEXT begins", wait for TERM, write "TEXT ends"; deaf: never end
//	testchild ps                                print pid, parent, state and name of every process
//	testchild web -listen ADDRESS -name NAME    answer every request with NAME; ends at TERM without looking back
//	testchild proxy -listen ADDRESS FILE        pass requests on to the addresses in FILE, read again at HUP
//	testchild db -listen ADDRESS                write to and read from the database at DB_HOST and DB_PORT, for ever
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("no role given"))
	}
	role, args := os.Args[1], os.Args[2:]
	roles := map[string]func([]string) error{
		"show":        show,
		"exit":        exit,
		"die":         die,
		"signals":     signals,
		"family":      family,
		"listen":      listen,
		"dial":        dial,
		"orphans":     orphans,
		"exec-orphan": execOrphan,
		"linger":      linger,
		"mount":       mount,
		"note":        takeNote,
		"umount":      umount,
		"ps":          ps,
		"web":         web,
		"proxy":       proxy,
		"db":          db,
	}
	play, ok := roles[role]
	if !ok {
		fail(fmt.Errorf("no role %q", role))
	}
	if err := play(args); err != nil {
		fail(err)
	}
}

// failed is the exit code when the test program itself is at fault. It is one that no test expects.
const failed = 99

func fail(err error) {
	fmt.Fprintln(os.Stderr, "testchild:", err)
	os.Exit(failed)
}

func show(args []string) error {
	for _, a := range args {
		fmt.Println("arg", a)
	}
	env := os.Environ()
	slices.Sort(env)
	for _, e := range env {
		fmt.Println("env", e)
	}
	return nil
}

func exit(args []string) error {
	code, err := strconv.Atoi(strings.Join(args, " "))
	if err != nil {
		return err
	}
	os.Exit(code)
	return nil
}

func die(args []string) error {
	number, err := strconv.Atoi(strings.Join(args, " "))
	if err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return err
	}
	// The Go runtime handles most signals; only the default disposition ends a process by the signal itself. KILL and
	// STOP cannot be changed, and need not be.
	var byDefault struct{ handler, flags, restorer, mask uintptr }
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(number), uintptr(unsafe.Pointer(&byDefault)), 0,
		unsafe.Sizeof(byDefault.mask), 0, 0)
	if err := syscall.Kill(os.Getpid(), syscall.Signal(number)); err != nil {
		return err
	}
	stay()
	return nil
}

func signals(args []string) error {
	flags := flag.NewFlagSet("signals", flag.ContinueOnError)
	end := flags.Int("end", int(syscall.SIGTERM), "number of the signal to end at")
	if err := flags.Parse(args); err != nil {
		return err
	}
	came := make(chan os.Signal, 64)
	signal.Notify(came)
	fmt.Println("ready")
	for s := range came {
		if s == syscall.SIGURG { // the Go runtime sends it to itself
			continue
		}
		fmt.Printf("signal %d\n", s.(syscall.Signal))
		if s == syscall.Signal(*end) {
			return nil
		}
	}
	return nil
}

func family([]string) error {
	const never = "0"
	child := exec.Command(os.Args[0], "signals", "-end", never)
	child.Stdout = os.Stdout
	if err := child.Start(); err != nil {
		return err
	}
	return signals([]string{"-end", never})
}

func listen(args []string) error {
	flags := flag.NewFlagSet("listen", flag.ContinueOnError)
	ignoreTerm := flags.Bool("ignore-term", false, "stay at TERM")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *ignoreTerm {
		signal.Ignore(syscall.SIGTERM)
	}
	var keep []io.Closer
	open := func() error {
		for _, address := range flags.Args() {
			c, err := listenAt(address)
			if err != nil {
				return err
			}
			keep = append(keep, c)
		}
		return nil
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1, syscall.SIGUSR2)
	if err := open(); err != nil {
		return err
	}
	fmt.Println("ready", len(keep))
	for s := range asked {
		for _, c := range keep {
			_ = c.Close()
		}
		keep = nil
		if s == syscall.SIGUSR2 {
			if err := open(); err != nil {
				return err
			}
		}
	}
	return nil
}

func listenAt(address string) (io.Closer, error) {
	udp, ok := strings.CutPrefix(address, "udp:")
	if !ok {
		return net.Listen("tcp", address)
	}
	conn, err := net.ListenPacket("udp", udp)
	if err != nil {
		return nil, err
	}
	go echo(conn)
	return conn, nil
}

func dial(args []string) error {
	conn, err := net.DialTimeout("tcp", strings.Join(args, " "), 5*time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// echo sends back every datagram.
func echo(conn net.PacketConn) {
	const largest = 1 << 16 // bytes of a datagram
	buffer := make([]byte, largest)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo(buffer[:n], from)
	}
}

// stay waits for ever. Go would take a select without cases for a deadlock.
func stay() {
	for {
		time.Sleep(time.Hour)
	}
}
