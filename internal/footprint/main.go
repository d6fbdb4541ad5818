package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// What the first argument says that this program is, when it has started itself.
const (
	childRole = "listen" // the child at idle
	idleRole  = "idle"   // what measures at idle, in a network of its own
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == childRole {
		listen(os.Args[2])
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c config
	if len(os.Args) == 4 && os.Args[1] == idleRole {
		var err error
		c.bin = os.Args[2]
		if c.span, err = time.ParseDuration(os.Args[3]); err == nil {
			err = c.measureIdle(ctx)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "footprint:", err)
			os.Exit(1)
		}
		return
	}
	flag.StringVar(&c.bin, "bin", "", "directory with a cleat and a cleatd to measure, in place of building them")
	flag.IntVar(&c.rounds, "rounds", 60, "how often each start and end is measured")
	flag.DurationVar(&c.span, "span", 10*time.Second, "how long context switches of each of three launchers are counted")
	check := flag.Bool("check", false, "exit code 1 when something is over its budget")
	flag.Parse()
	over, err := c.measure(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "footprint:", err)
		os.Exit(1)
	}
	if over && *check {
		os.Exit(1)
	}
}

type config struct {
	bin    string // directory of the binaries; empty: build them
	rounds int    // of starts and ends
	span   time.Duration
}

// measure prints everything, and reports whether anything is over its budget.
func (c config) measure(ctx context.Context) (over bool, err error) {
	switch {
	case runtime.GOOS != "linux":
		return false, errors.New("cleat run is for Linux, and so is what measures it")
	case c.rounds < 1 || c.span < time.Second:
		return false, errors.New("expected at least one round, and a span of at least 1s")
	}
	if c.bin == "" {
		if c.bin, err = os.MkdirTemp("", "footprint"); err != nil {
			return false, err
		}
		defer os.RemoveAll(c.bin)
		if err := build(ctx, c.bin); err != nil {
			return false, err
		}
	}
	cleat := filepath.Join(c.bin, "cleat")
	info, err := os.Stat(cleat)
	if err != nil {
		return false, err
	}
	r := newReport(os.Stdout)
	r.row("binary, stripped", float64(info.Size())/1e6, budgetSize, "MB")
	if err := c.idle(ctx, r); err != nil {
		return false, err
	}
	r.section()
	if err := c.times(ctx, "", nil, cleat, r); err != nil {
		return false, err
	}
	if namespace := unshare(ctx, "--pid", "--fork", "--mount-proc", "--kill-child"); namespace != nil {
		r.section()
		err = c.times(ctx, "as PID 1: ", namespace, cleat, r)
	} else {
		r.note("not measured as PID 1: unshare is missing, or may make no namespaces here")
	}
	return r.over, errors.Join(err, r.flush())
}

// build builds the binaries as they are shipped.
func build(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags=nethttpomithttp2", "-ldflags=-s -w", "-o", dir+"/", "cleat/cmd/cleat", "cleat/cmd/cleatd")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build cleat: %w\n%s", err, out)
	}
	return nil
}

// median returns the middle one of the numbers, of which there is at least one.
func median(numbers []float64) float64 {
	sorted := slices.Sorted(slices.Values(numbers))
	return sorted[len(sorted)/2]
}
