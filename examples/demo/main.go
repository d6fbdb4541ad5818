//go:build linux

// Demo shows cleat's main job on a machine with only Go:
//
//	go run ./examples/demo [-for 30s] [-v]
//
// It builds cleat and cleatd, starts cleatd, three web backends and a front
// proxy, each under `cleat run`, and keeps requests flowing through the front.
// Then it kills a backend, adds one, relocates one, and kills and restarts the
// server, and tells what happened, how long it took, and what became of the
// requests.
//
// What is promised, and checked:
//
//   - Nobody is told an address. The backends listen on ports that the kernel
//     chooses; cleat finds them, and writes them into the front's configuration.
//   - A backend that is killed is out of that configuration at once. Requests
//     that were in it are lost with it; the front sends them again to another
//     backend, because they are GETs, as nginx does by default
//     (proxy_next_upstream error timeout). The demo counts them.
//   - A relocation costs no request, and needs no second try either: the old
//     backend is told to stop only after the front has let go of it.
//   - The server's death and its return with an empty memory change nothing: no
//     file, no process, no request.
//
// The exit code is 0 when all of this held, 1 when not, 130 when it was
// interrupted before the end of the story. Nothing is left behind: no process
// and no file.
//
// The front is a toy, in front.go, so that the demo needs nothing but Go. It
// stands for nginx, HAProxy or whatever reads a configuration file and reads it
// again at a signal.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `usage: go run ./examples/demo [-for DURATION] [-v]

Starts cleatd, three web backends and a front proxy, each under "cleat run", and
tells what happens when backends are killed, added and relocated, and when the
server dies.

  -for DURATION   end after that time, at least 15s (building comes on top);
                  without it, everything stays up for looking around until Ctrl-C
  -v              print what every process says, as it says it
`

const (
	// shortest is what all steps take on a slow machine.
	shortest = 15 * time.Second

	exitBroken      = 1   // something that is promised did not happen
	exitUsage       = 2   // the command line is wrong
	exitInterrupted = 130 // Ctrl-C before the end of the story
)

func main() {
	if len(os.Args) > 1 {
		// Under cleat run this program is its own cast.
		switch os.Args[1] {
		case roleWeb:
			os.Exit(webMain())
		case roleFront:
			os.Exit(frontMain(os.Args[2:]))
		}
	}
	os.Exit(demoMain(os.Args[1:], os.Stdout))
}

func demoMain(args []string, out *os.File) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	length := flags.Duration("for", 0, "")
	verbose := flags.Bool("v", false, "")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(os.Stderr, "there is no argument %q\n\n%s", flags.Arg(0), usage)
		return exitUsage
	case *length != 0 && *length < shortest:
		fmt.Fprintf(os.Stderr, "-for %v is too short: all the steps take up to %v\n", *length, shortest)
		return exitUsage
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	t := newTimeline(out, isTerminal(out), *verbose)
	code, err := perform(ctx, t, *length)
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
	}
	return code
}

// perform builds, plays the story and cleans up, whatever happens.
func perform(ctx context.Context, t *timeline, length time.Duration) (code int, err error) {
	dir, err := os.MkdirTemp("", "cleat-demo-")
	if err != nil {
		return exitBroken, err
	}
	defer func() {
		if removing := os.RemoveAll(dir); err == nil && removing != nil {
			code, err = exitBroken, removing
		}
	}()
	t.title("cleat demo", "a discovery server, three web backends and a front proxy,",
		"each of them under `cleat run`; none of them is told an address")
	if err := build(ctx, t, dir); err != nil {
		if ctx.Err() != nil {
			return exitInterrupted, nil
		}
		return exitBroken, err
	}
	w, err := newWorld(ctx, dir, t)
	if err != nil {
		return exitBroken, err
	}
	s := newStory(t, w, length)
	code = s.play(ctx)
	if left := w.end(); left > 0 {
		t.broken("%d processes do not end", left)
		code = exitBroken
	}
	s.load.end()
	if code == exitBroken {
		w.showLogs(os.Stderr)
	}
	return code, nil
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
