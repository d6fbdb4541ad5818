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
	"strings"
	"syscall"
)

// floorRole is what the first argument says when this program has started itself
// to be what the server is compared with.
const floorRole = "floor"

// part is one thing to measure.
type part struct {
	name    string
	measure func(context.Context, *config, *report) error
}

var parts = []part{
	{"sessions", measureSessions},
	{"fanout", measureFanOut},
	{"declares", measureDeclares},
	{"beats", measureBeats},
	{"dns", measureDNS},
	{"waits", measureWaits},
	{"growth", measureGrowth},
	{"storm", measureStorm},
}

type config struct {
	bin      string // directory of the binary
	sessions int    // the largest number of sessions
	audience int    // of a change
	waits    int    // blocking queries
	rounds   int
	storm    int // requests, messages and packets
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == floorRole {
		runtime.GOMAXPROCS(1)
		if err := floor(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c config
	flag.StringVar(&c.bin, "bin", "", "directory with a cleatd to measure, in place of building it")
	flag.IntVar(&c.sessions, "sessions", 15000, "the largest number of sessions; 2 and 200 files more are open in each process")
	flag.IntVar(&c.audience, "audience", 10000, "sessions that hear of a change")
	flag.IntVar(&c.waits, "waits", 4000, "blocking queries that wait for a change; a server has room for 4,096 connections that are no sessions")
	flag.IntVar(&c.rounds, "rounds", 15, "how often each fan-out is measured")
	flag.IntVar(&c.storm, "storm", 10_000_000, "how many random requests, messages and packets the server is sent")
	only := flag.String("only", "", "what to measure, with commas between: "+names())
	check := flag.Bool("check", false, "exit code 1 when something is over its budget")
	flag.Parse()
	over, err := c.run(ctx, *only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	if over && *check {
		os.Exit(1)
	}
}

func names() string {
	var list []string
	for _, p := range parts {
		list = append(list, p.name)
	}
	return strings.Join(list, ",")
}

func (c *config) run(ctx context.Context, only string) (over bool, err error) {
	chosen := parts
	if only != "" {
		chosen = nil
		for name := range strings.SplitSeq(only, ",") {
			n := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
			if n < 0 {
				return false, fmt.Errorf("there is nothing to measure that is called %q; expected some of %s", name, names())
			}
			chosen = append(chosen, parts[n])
		}
	}
	if runtime.GOOS != "linux" {
		return false, errors.New("it measures processes as Linux accounts them")
	}
	if c.bin == "" {
		if c.bin, err = os.MkdirTemp("", "load"); err != nil {
			return false, err
		}
		defer func() { _ = os.RemoveAll(c.bin) }()
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(c.bin, "cleatd"), "cleat/cmd/cleatd")
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return false, fmt.Errorf("build cleatd: %w\n%s", err, out)
		}
	}
	r := &report{to: os.Stdout}
	for _, p := range chosen {
		r.section(p.name)
		if err := p.measure(ctx, c, r); err != nil {
			return false, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return r.over, nil
}

// median returns the middle one of the numbers, of which there is at least one.
func median(numbers []float64) float64 {
	sorted := slices.Sorted(slices.Values(numbers))
	return sorted[len(sorted)/2]
}
