package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"cleat/registry/access"
)

const tokenManual = `cleatd token makes, lists and takes away the tokens of a server.

	cleatd token new [-tokens FILE] NAME ROLE [NAMESPACES [SERVICES]]
	cleatd token list [-tokens FILE]
	cleatd token remove [-tokens FILE] NAME...

FILE is what cleatd is given as -tokens; the default is CLEATD_TOKENS. A server
that runs sees at once what has changed. new prints the token, once: the file
has only its hash.

The roles: read sees instances and requires them; register offers them as well;
admin also does what operators do. NAMESPACES and SERVICES are lists with commas
between them, in which * stands for any characters; without them the token is
for everything.

	cleatd token new ann admin                          an operator
	cleatd token new shop register prod 'shop-*' > shop.token
	cleatd token new prometheus read
	cleatd token new anonymous read default             who shows no token, and DNS
	cleatd token new -certificate edge.example.org edge read
	                                                    a client certificate

`

// token is the program cleatd token; it returns the exit code.
func token(args, environ []string, stdout, stderr io.Writer) int {
	var file, certificate string
	for _, entry := range environ {
		if value, found := strings.CutPrefix(entry, variableOf("tokens")+"="); found {
			file = value
		}
	}
	verb := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("cleatd token", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&file, "tokens", file, "")
	if verb == "new" {
		flags.StringVar(&certificate, "certificate", "", "")
	}
	fail := func(code int, err error) int {
		for _, line := range lines(err) {
			fmt.Fprintln(stderr, "cleatd token:", line)
		}
		return code
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp), verb == "" && err == nil && flags.NArg() == 0:
		fmt.Fprint(stdout, tokenManual)
		return exitOK
	case err != nil:
		return fail(exitSettings, fmt.Errorf("%w; see cleatd token -help", err))
	case file == "":
		return fail(exitSettings, errors.New("there is no file; add -tokens FILE, or set CLEATD_TOKENS"))
	}
	var err error
	switch verb {
	case "new":
		err = newToken(file, certificate, flags.Args(), stdout, stderr)
	case "list":
		err = listTokens(file, flags.Args(), stdout)
	case "remove":
		err = removeTokens(file, flags.Args())
	default:
		err = usage("there is no cleatd token %q; expected new, list or remove", verb)
	}
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(usageError)):
		return fail(exitSettings, err)
	}
	return fail(exitFailed, err)
}

// usageError is a mistake of whoever called the program.
type usageError struct{ error }

func usage(format string, values ...any) error {
	return usageError{fmt.Errorf(format, values...)}
}

// newToken adds a line to the file, and prints the token of it.
func newToken(file, certificate string, args []string, stdout, stderr io.Writer) error {
	const least, most = 2, 4
	if len(args) < least || len(args) > most {
		return usage("expected NAME ROLE [NAMESPACES [SERVICES]], got %d words; see cleatd token -help", len(args))
	}
	args = append(args, "", "")
	secret := access.NewToken()
	line, err := access.NewLine(args[0], secret, certificate, args[1], args[2], args[3])
	if err != nil {
		return usageError{err}
	}
	if err := edit(file, true, func(text []byte) ([]byte, error) { return access.Add(text, line) }); err != nil {
		return err
	}
	if !line.HasToken() {
		fmt.Fprintf(stderr, "%s may %s now; see %s\n", line.Name, line.Role, file)
		return nil
	}
	fmt.Fprintln(stdout, secret)
	fmt.Fprintf(stderr, "This is the token of %s. It is shown only now: %s has its hash.\n", line.Name, file)
	return nil
}

func listTokens(file string, args []string, stdout io.Writer) error {
	if len(args) > 0 {
		return usage("there is an argument %q; expected none", args[0])
	}
	found, err := access.ReadFile(file)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tNAMESPACES\tSERVICES\tHASH")
	for _, l := range found {
		fmt.Fprintf(w, "%s\t%v\t%s\t%s\t%s\n", l.Name, l.Role, strings.Join(l.Namespaces, ","), strings.Join(l.Services, ","), l.Shown())
	}
	return w.Flush()
}

func removeTokens(file string, args []string) error {
	if len(args) == 0 {
		return usage("expected the NAME of a token; cleatd token list has them")
	}
	return edit(file, false, func(text []byte) ([]byte, error) {
		for _, name := range args {
			var err error
			if text, err = access.Remove(text, name); err != nil {
				return nil, err
			}
		}
		return text, nil
	})
}

// edit replaces a file by another version of it, as a whole: a server that
// watches it never reads half a file. Of two that edit at the same time, one
// fails.
func edit(path string, create bool, change func([]byte) ([]byte, error)) (err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link stays a link
	}
	mode := fs.FileMode(0o600)
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		mode = info.Mode().Perm()
	case !create || !errors.Is(err, fs.ErrNotExist):
		return err
	}
	staged := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".cleatd-new")
	file, err := os.OpenFile(staged, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("somebody else changes the file, or was interrupted doing so; if nobody does, remove %s", staged)
	case err != nil:
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(staged) // the first error counts
		}
	}()
	defer func() { err = errors.Join(err, file.Close()) }()
	if now, err := os.ReadFile(path); err == nil && !bytes.Equal(now, text) {
		return fmt.Errorf("%s was changed by somebody else just now; try again", path)
	}
	if text, err = change(text); err != nil {
		return fmt.Errorf("%s stays as it is: %w", path, err)
	}
	if err := keepOwner(path, file, mode); err != nil {
		return err
	}
	if _, err := file.Write(text); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return os.Rename(staged, path)
}
