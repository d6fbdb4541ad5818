package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"cleat/launcher"
)

const renderUsage = `usage: cleat render [-wait DURATION] FILE

Renders a template as cleat run would, with the requirements (CLEAT_REQUIRE_*)
and the server (CLEAT_SERVER) of the environment, and prints the result. Nothing
is registered, written or started.

  -wait DURATION   how long to wait for the requirements (default 5s)
`

// renderWait is how long `cleat render` waits for the requirements.
const renderWait = 5 * time.Second

// renderCommand is `cleat render FILE`.
func renderCommand(args []string) int {
	flags := flag.NewFlagSet("render", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, renderUsage) }
	wait := flags.Duration("wait", renderWait, "")
	switch err := flags.Parse(args); {
	case err == flag.ErrHelp:
		return 0
	case err != nil:
		return exitUsage
	case flags.NArg() != 1:
		fmt.Fprint(os.Stderr, renderUsage)
		return exitUsage
	}
	s, err := parseSettings([]string{"cleat"})
	if err != nil {
		complain(err)
		return exitOwnFailure
	}
	directory, err := newClient(s, newLog(os.Stderr, s))
	if err != nil {
		complain(err)
		return exitOwnFailure
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *wait)
	defer cancel()
	text, err := launcher.Render(ctx, s, directory, flags.Arg(0))
	if err != nil {
		complain(err)
		return 1
	}
	if _, err := os.Stdout.Write(text); err != nil {
		complain(err)
		return 1
	}
	return 0
}
