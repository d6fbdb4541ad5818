package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"cleat/launcher/control"
	"cleat/launcher/settings"
	"cleat/registry"
)

// listenControl makes the socket over which this launcher is asked; nil where it
// cannot be made, which is a warning, or must not.
func listenControl(s *settings.Settings, initPid int, log *slog.Logger) *control.Socket {
	if s.Socket == settings.NoSocket {
		return nil
	}
	around := surroundings(os.Getenv)
	places := around.Places(initPid)
	if s.Socket != "" {
		places = []control.Place{{Path: s.Socket}}
	}
	socket, err := control.Listen(places, around)
	if err != nil {
		log.Warn("no socket to be asked over (CLEAT_SOCKET); cleat status and its like will not reach this launcher", "cause", strings.ReplaceAll(err.Error(), "\n", "; "))
		return nil
	}
	log.Debug("listening for those who ask", "socket", socket.Path())
	return socket
}

// surroundings are what decides where sockets are.
func surroundings(getenv func(string) string) control.Surroundings {
	temp := getenv("TMPDIR")
	if temp == "" {
		temp = "/tmp"
	}
	return control.Surroundings{UID: os.Geteuid(), Runtime: getenv("XDG_RUNTIME_DIR"), Temp: temp}
}

// tell is one of the commands that ask the launcher in this container.
type tell struct {
	out, errs io.Writer
	getenv    func(string) string

	socket string
	port   string
	check  bool
	json   bool
}

// telling is what is to be known about each of them.
var telling = map[string]struct{ line, about string }{
	"status": {"status [-check | -json]", `Shows how the launcher, its child, and all that it cares for are. Anybody may ask.

  -check   one line and an exit code, for HEALTHCHECK: 0 when the child runs and all
           that it offers passes. A server that is away, or none, makes nobody ill.
  -json    everything, for scripts`},
	"drain": {"drain", `Hides all that the container offers, until "cleat undrain", and waits until everybody
who used it has been told so, at most for CLEAT_DRAIN. The child runs on.`},
	"undrain": {"undrain", `Ends a drain, or a maintenance: the container offers what the child listens on.`},
	"reload": {"reload", `Reads every template again, renders, and waits for that. Actions run as after any
change: for the files whose bytes differ. Where nothing differs, nothing happens.`},
	"restart": {"restart", `Restarts the child as after a change: first its instances are drained in place. It does
not wait for the distance that restarts by change keep. Returns at once.`},
	"set": {"set [-port PORT] CHANGE...", `Changes what is registered, until the container ends. Each change is one of

  tag+=TAG          the tag is there
  tag-=TAG          the tag is not there
  attr.NAME=VALUE   the attribute has that value
  attr.NAME=        the attribute is not there

  -port PORT   of this port of the child only, such as 3306 or 53/udp`},
	"report": {"report [-port PORT] passing|warning|critical [TEXT...]", `Says how the child is, for its ports with a TTL check (SERVICE_<port>_CHECK_TTL). It
holds for that long: report more often. Anybody may.

  -port PORT   of this port of the child only, such as 3306 or 53/udp`},
}

const tellUsage = `
  -socket PATH   the launcher's socket (default: CLEAT_SOCKET, else where launchers make
                 theirs)

%s may ask. Exit codes: 0 done, 1 not done, 2 wrong usage.
`

func (t tell) command(name string, args []string) int {
	words, err := t.parse(name, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitFound
	case err != nil:
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	client, err := t.client(ctx)
	if err != nil {
		return t.fail(name, exitNothing, err)
	}
	if name == "status" {
		return t.status(ctx, client)
	}
	body := control.Body{Changes: words, Port: t.port}
	if name == "report" {
		body = control.Body{Status: registry.Status(words[0]), Text: strings.Join(words[1:], " "), Port: t.port}
	}
	done, err := client.Do(ctx, control.Do(name), body)
	if refused, ok := errors.AsType[*control.RefusedError](err); ok && refused.Wrong {
		return t.fail(name, exitUsage, err)
	}
	if err != nil {
		return t.fail(name, exitNothing, err)
	}
	for line := range strings.SplitSeq(done, "\n") {
		if _, err := fmt.Fprintln(t.out, printable(line)); err != nil {
			return exitNothing
		}
	}
	return exitFound
}

// parse reads the flags, wherever they stand, and returns the other words.
func (t *tell) parse(name string, args []string) ([]string, error) {
	about := telling[name]
	flags := flag.NewFlagSet("cleat "+name, flag.ContinueOnError)
	flags.SetOutput(t.errs)
	flags.Usage = func() {
		who := "Root and the user that cleat runs as"
		if name == "status" || name == "report" {
			who = "Anybody"
		}
		fmt.Fprintf(t.errs, "usage: cleat %s\n\n%s\n"+tellUsage, about.line, about.about, who)
	}
	flags.StringVar(&t.socket, "socket", "", "")
	switch name {
	case "status":
		flags.BoolVar(&t.check, "check", false, "")
		flags.BoolVar(&t.json, "json", false, "")
	case "set", "report":
		flags.StringVar(&t.port, "port", "", "")
	}
	var words []string
	for {
		if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, errUsage // flag has said what is wrong
		}
		if flags.NArg() == 0 {
			break
		}
		words, args = append(words, flags.Arg(0)), flags.Args()[1:]
	}
	if (name == "set" || name == "report") != (len(words) > 0) || t.check && t.json {
		flags.Usage()
		return nil, errUsage
	}
	if err := checkWords(name, words); err != nil {
		t.fail(name, exitUsage, err)
		return nil, errUsage
	}
	if _, err := control.ParsePort(t.port); err != nil {
		t.fail(name, exitUsage, err)
		return nil, errUsage
	}
	return words, nil
}

// checkWords looks whether the words can be what the command takes.
func checkWords(name string, words []string) error {
	if name == "report" {
		_, err := control.ParseReport(words[0])
		return err
	}
	for _, word := range words {
		if _, err := control.ParseChange(word); err != nil {
			return err
		}
	}
	return nil
}

// client returns the client of the launcher that is meant.
func (t *tell) client(ctx context.Context) (*control.Client, error) {
	path := t.socket
	if path == "" {
		path = t.getenv("CLEAT_SOCKET")
	}
	switch path {
	case "":
		return control.Find(ctx, surroundings(t.getenv))
	case settings.NoSocket:
		return nil, errors.New("this container's launcher cannot be asked: CLEAT_SOCKET is none")
	}
	return control.NewClient(path), nil
}

func (t *tell) fail(name string, code int, err error) int {
	fmt.Fprintf(t.errs, "cleat %s: %s\n", name, printable(err.Error()))
	return code
}
