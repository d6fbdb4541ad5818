// Command cleat is the launcher: the small PID 1 inside a container that tells a
// discovery server what its child offers, finds what the child needs, writes the
// child's configuration from the answer, and keeps all of that true.
//
// Its other commands ask the server, for people and scripts. This package is the
// only one of cleat that reads the environment, the arguments and the flags.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// The exit codes of the commands that ask. `cleat run` has others: see
// exitOwnFailure.
const (
	exitFound   = 0
	exitNothing = 1 // nothing was found, or it could not be asked
	exitUsage   = 2 // the command line is wrong
)

const usage = `usage: cleat COMMAND [ARG...]

Inside a container:

  cleat run [--] COMMAND [ARG...]      run COMMAND: register what it offers, wait for
                                       what it needs, write its files, follow changes
  cleat explain [--] COMMAND [ARG...]  say what run would do, and every mistake in the
                                       settings, without starting anything
  cleat render FILE                    print a template as run would write it

  cleat status [-check | -json]        how the launcher and its child are; -check is an
                                       exit code for HEALTHCHECK
  cleat drain, cleat undrain           hide what the container offers, and show it again
  cleat reload                         read the templates again and render
  cleat restart                        restart the child
  cleat set [-port PORT] CHANGE...     change what is registered: tag+=primary, tag-=x,
                                       attr.role=master, attr.role=
  cleat report STATUS [TEXT...]        say how the child is, for a port with a TTL check

From anywhere that reaches a server:

  cleat services                       list the services of a namespace
  cleat resolve REQUIREMENT            print host:port of what a requirement finds now,
                                       such as 'mysql?tag=primary'
  cleat watch SERVICE                  print every change of a service as it happens
  cleat graph                          print who requires whom, and what is unmet;
                                       -dot and -svg make a picture of it

  cleat version                        print the version
  cleat help                           print this text

run, explain and render are set by the environment alone (docs/environment.md). The
commands that ask take -server, -namespace and -token, which default to CLEAT_SERVER,
CLEAT_NAMESPACE and CLEAT_TOKEN or CLEAT_TOKEN_FILE; see "cleat services -h".

Exit codes: of run, the child's own, 128+n when signal n ended it, 126 not executable,
127 not found, 125 cleat's own failure. Of the others: 0 found or done, 1 nothing found
or not done, 2 wrong usage.
`

func main() { os.Exit(dispatch(os.Args[1:])) }

// dispatch runs the command that is named first. Nothing comes before `run`: its
// first statement is to listen for signals.
func dispatch(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return exitUsage
	}
	switch name, rest := args[0], args[1:]; name {
	case "run":
		return runCommand(rest)
	case "explain":
		return explainCommand(rest)
	case "render":
		return renderCommand(rest)
	case "status", "drain", "undrain", "reload", "restart", "set", "report":
		return tell{out: os.Stdout, errs: os.Stderr, getenv: os.Getenv}.command(name, rest)
	case "services", "resolve", "watch", "graph":
		return ask{out: os.Stdout, errs: os.Stderr, getenv: os.Getenv}.command(name, rest)
	case "version", "-version", "--version":
		return show(os.Stdout, "cleat "+version()+" "+runtime.Version()+"\n")
	case "help", "-h", "-help", "--help":
		return show(os.Stdout, usage)
	default:
		fmt.Fprintf(os.Stderr, "cleat: there is no command %q%s; see cleat help\n", name, meant(name))
		return exitUsage
	}
}

func show(w io.Writer, text string) int {
	if _, err := io.WriteString(w, text); err != nil {
		return exitNothing
	}
	return exitFound
}

// meant guesses what somebody meant who forgot "run": a path is a command to run.
func meant(name string) string {
	if strings.ContainsRune(name, '/') {
		return "; did you mean cleat run " + name + "?"
	}
	return ""
}

// version returns the version of the module that the binary was built from, or
// the revision of its source.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(len(s.Value), shortRevision)]
		}
	}
	return "devel"
}

// shortRevision is how many characters of a source revision tell it from others.
const shortRevision = 12
