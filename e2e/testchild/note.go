package main

import (
	"errors"
	"flag"
	"os"
	"os/signal"
	"syscall"
)

// takeNote writes lines to the end of a file that several processes write to, so that their order can be seen.
func takeNote(args []string) error {
	flags := flag.NewFlagSet("note", flag.ContinueOnError)
	stays := flags.Bool("stay", false, "stay until TERM")
	deaf := flags.Bool("deaf", false, "stay at TERM, too")
	code := flags.Int("exit", 0, "exit code")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 2 {
		return errors.New("note: expected a file and a text")
	}
	line := func(text string) error {
		file, err := os.OpenFile(flags.Arg(0), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = file.WriteString(text + "\n")
		return errors.Join(err, file.Close())
	}
	if !*stays {
		if err := line(flags.Arg(1)); err != nil {
			return err
		}
		os.Exit(*code)
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	if err := line(flags.Arg(1) + " begins"); err != nil {
		return err
	}
	<-asked
	if *deaf {
		stay()
	}
	if err := line(flags.Arg(1) + " ends"); err != nil {
		return err
	}
	os.Exit(*code)
	return nil
}
