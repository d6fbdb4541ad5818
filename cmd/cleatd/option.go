package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// option is one setting: a flag, and a variable of the environment.
type option struct {
	name   string // of the flag
	value  string // what it takes, for -help; empty: a switch
	preset string
	help   string // lines of it
	set    func(text string) error
}

// group is a set of options that belong together, in the order of -help.
type group struct {
	title   string
	options []option
}

// errHelp says that the manual was asked for, and printed.
var errHelp = errors.New("help")

// given is the text of an option, and where it comes from.
type given struct {
	text   string
	source string // as errors name it; empty: it is the preset
	flag   bool
	toggle bool
}

// Set makes it a flag.
func (g *given) Set(text string) error {
	g.text, g.flag = text, true
	return nil
}

func (g *given) String() string   { return g.text }
func (g *given) IsBoolFlag() bool { return g.toggle }

// prefix begins the names of all variables that are meant for cleatd.
const prefix = "CLEATD_"

// variableOf returns the variable that says the same as a flag.
func variableOf(flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// read sets the options from flags and variables; a flag wins over its variable,
// which counts when it is not empty. It returns what is left of the arguments,
// and which options somebody has set. The error joins everything that is wrong.
func read(groups []group, args, environ []string) (rest []string, sources map[string]string, err error) {
	flags := flag.NewFlagSet("cleatd", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	texts := make(map[string]*given)
	for _, o := range all(groups) {
		texts[o.name] = &given{toggle: o.value == ""}
		flags.Var(texts[o.name], o.name, "")
	}
	var errs []error
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, nil, errHelp
	case err != nil:
		errs = append(errs, fmt.Errorf("%w; cleatd -help lists the flags", err))
	}
	variables, err := ownVariables(environ, groups)
	if err != nil {
		errs = append(errs, err)
	}
	sources = make(map[string]string)
	for _, o := range all(groups) {
		g := texts[o.name]
		switch variable := variableOf(o.name); {
		case g.flag:
			g.source = "-" + o.name
		case variables[variable] != "":
			g.text, g.source = variables[variable], variable
		default:
			g.text = o.preset
		}
		if g.source != "" {
			sources[o.name] = g.source
		}
		if err := o.set(g.text); err != nil {
			errs = append(errs, fmt.Errorf("%s is %q: %w", cmp.Or(g.source, "-"+o.name), g.text, err))
		}
	}
	return flags.Args(), sources, errors.Join(errs...)
}

// all returns the options of all groups.
func all(groups []group) []option {
	var options []option
	for _, g := range groups {
		options = append(options, g.options...)
	}
	return options
}

// ownVariables returns what the environment says to cleatd. One that is misspelt
// is an error, but not those that Kubernetes makes for a service of that name.
func ownVariables(environ []string, groups []group) (map[string]string, error) {
	var known []string
	for _, o := range all(groups) {
		if o.name != versionFlag {
			known = append(known, variableOf(o.name))
		}
	}
	slices.Sort(known)
	variables := make(map[string]string)
	var errs []error
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case !strings.HasPrefix(name, prefix):
		case slices.Contains(known, name):
			variables[name] = value
		case strings.HasPrefix(name, prefix+"SERVICE_"), strings.HasPrefix(name, prefix+"PORT"):
		default:
			errs = append(errs, fmt.Errorf("cleatd knows no variable %s; expected one of %s", name, strings.Join(known, ", ")))
		}
	}
	return variables, errors.Join(errs...)
}

// printOptions writes what -help has on the options.
func printOptions(w io.Writer, groups []group) {
	for _, g := range groups {
		fmt.Fprintf(w, "\n%s:\n\n", g.title)
		for _, o := range g.options {
			head := strings.TrimSpace("-" + o.name + " " + o.value)
			help := o.help
			if o.preset != "" {
				help += " (default " + o.preset + ")"
			}
			lines := strings.Split(help, "\n")
			const column = 22 // where the help begins
			if len(head) >= column {
				fmt.Fprintf(w, "  %s\n", head)
				head = ""
			}
			fmt.Fprintf(w, "  %-*s %s\n", column, head, lines[0])
			for _, line := range lines[1:] {
				fmt.Fprintf(w, "  %-*s %s\n", column, "", line)
			}
		}
	}
}

// What options are made of.

func text(to *string) func(string) error {
	return func(text string) error {
		*to = text
		return nil
	}
}

func toggle(to *bool) func(string) error {
	return func(text string) error {
		if text == "" {
			return nil
		}
		on, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("expected true or false")
		}
		*to = on
		return nil
	}
}

func oneOf(to *string, choices ...string) func(string) error {
	return func(text string) error {
		if !slices.Contains(choices, text) {
			return fmt.Errorf("expected %s", strings.Join(choices, " or "))
		}
		*to = text
		return nil
	}
}
