package main

import (
	"fmt"
	"os"

	"cleat/launcher"
)

// explainCommand is `cleat explain`: what `cleat run` would do, and every
// mistake in the settings at once, without starting anything.
func explainCommand(args []string) int {
	command, err := commandOf("explain", args)
	if err != nil {
		complain(err)
		return exitOwnFailure
	}
	s, err := parseSettings(command)
	if err != nil {
		complain(err)
		return exitOwnFailure
	}
	if err := s.Explain(os.Stdout); err != nil {
		complain(fmt.Errorf("cannot write the account: %w", err))
		return exitOwnFailure
	}
	mistakes := launcher.Check(s)
	if _, err := newClient(s, newLog(os.Stderr, s)); err != nil {
		mistakes = append(mistakes, err)
	}
	if len(mistakes) == 0 {
		return 0
	}
	fmt.Println()
	for _, mistake := range mistakes {
		complain(mistake)
	}
	return exitOwnFailure
}
