package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"cleat/internal/logline"
	"cleat/internal/resident"
	"cleat/launcher"
	"cleat/launcher/address"
	"cleat/launcher/control"
	"cleat/launcher/listeners"
	"cleat/launcher/network"
	"cleat/launcher/pid1"
	"cleat/launcher/process/proctree"
	"cleat/launcher/settings"
	"cleat/launcher/volume"
	"cleat/registry/client"
)

// exitOwnFailure is the exit code of failures of cleat itself.
const exitOwnFailure = 125

const (
	// processors is how many processors the supervisor uses at most. It has next
	// to nothing to compute, and with more than one, each wake-up wakes a second
	// thread, which finds nothing to do: 14 context switches a second against 10.
	processors = 1
	// gcPercent is how much garbage the heap may hold, in percent of what is in
	// use: memory counts in every container, and the collector seldom runs.
	gcPercent = 50
	// startOver is when the memory is given back that only the start needs.
	startOver = 2 * time.Second
)

// runCommand is `cleat run`: the init stage, or the supervisor when the init
// stage has started this process.
func runCommand(args []string) int {
	link, supervisor := pid1.Attach()
	if !supervisor {
		return pid1.Run(os.Args, os.Environ())
	}
	code := supervise(link, args)
	_ = link.End() // without an init stage there is nobody to tell
	return code
}

// supervise leads the child's life from the settings to the exit code.
func supervise(link *pid1.Link, args []string) int {
	kernel := link.Kernel() // first: it takes note of the inherited descriptors
	runtime.GOMAXPROCS(processors)
	debug.SetGCPercent(gcPercent)
	defer time.AfterFunc(startOver, resident.Trim).Stop()
	fail := func(err error) int {
		_ = link.Record(exitOwnFailure, 0) // the init stage then sees the end of the pipe
		complain(err)
		return exitOwnFailure
	}
	command, err := commandOf("run", args)
	if err != nil {
		return fail(err)
	}
	s, err := parseSettings(command)
	if err != nil {
		return fail(err)
	}
	out := logline.NewBackground(os.Stderr) // who does not read it must not hold up the child
	defer out.Close(logTime)
	log := newLog(out, s)
	directory, err := newClient(s, log)
	if err != nil {
		return fail(err)
	}
	reader := listeners.New(link.InitPid(), os.Getpid())
	watcher := launcher.NewWatcher(log)
	ctx, cancel := context.WithCancel(context.Background())
	var aside sync.WaitGroup
	aside.Go(func() { _ = watcher.Run(ctx) })
	requests := make(chan control.Request)
	if socket := listenControl(s, link.InitPid(), log); socket != nil {
		aside.Go(func() { _ = socket.Serve(ctx, requests) })
	}
	ground := watchGround(ctx, s, &aside, log)
	code := launcher.Run(ctx, launcher.Config{
		Settings:     s,
		Kernel:       kernel,
		Client:       directory,
		Signals:      link.Signals(),
		Record:       link.Record,
		Listeners:    reader.Read,
		OwnNamespace: reader.OwnNamespace,
		Established:  reader.Established,
		Use:          proctree.UseOf,
		Address:      addressOf(s),
		Watch:        watcher.Watch,
		Changed:      watcher.Changed(),
		Ground:       ground,
		Requests:     requests,
		Version:      version(),
		Log:          log,
	})
	cancel()
	aside.Wait()
	return code
}

// watchGround returns how volumes and networks are seen, and watches them aside
// if there are any.
func watchGround(ctx context.Context, s *settings.Settings, aside *sync.WaitGroup, log *slog.Logger) launcher.Ground {
	changed := make(chan struct{}, 1)
	run := func(watch func(context.Context) error) {
		aside.Go(func() {
			if err := watch(ctx); err != nil {
				log.Warn("cannot watch volumes or networks; they are looked at now and then only", "cause", err)
			}
		})
	}
	volumes := volume.NewWatcher(changed, log)
	if len(s.Volumes) > 0 {
		run(volumes.Run)
	}
	if len(s.Networks) > 0 {
		run(network.NewWatcher(changed).Run)
	}
	return launcher.Ground{
		Look: func(ctx context.Context, v volume.Volume) error { return volume.Look(ctx, v, s.User) },
		Prepare: func(ctx context.Context, v volume.Volume) (volume.Prepared, error) {
			return volume.Prepare(ctx, v, s.User)
		},
		Up:      network.Look,
		Await:   volumes.Await,
		Changed: changed,
	}
}

// parseSettings reads the environment for the command.
func parseSettings(command []string) (*settings.Settings, error) {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = ""
	}
	return settings.Parse(os.Environ(), command, settings.Host{
		Hostname: hostname,
		Random:   func() string { return strings.ToLower(rand.Text()[:randomPart]) },
	})
}

// randomPart is the number of characters, of 32 kinds, that tell two launchers
// on one host apart.
const randomPart = 6

// commandOf returns the command in the arguments of a subcommand.
func commandOf(subcommand string, args []string) ([]string, error) {
	if len(args) > 0 && args[0] == "--" {
		return args[1:], nil
	}
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		return nil, fmt.Errorf("cleat %s has no option %s; everything is set by the environment (docs/environment.md). For a command of that name, write cleat %s -- %s",
			subcommand, args[0], subcommand, args[0])
	}
	return args, nil
}

// complain prints every error that err joins, one line each.
func complain(err error) {
	log := logline.New(os.Stderr, "cleat", slog.LevelInfo, false)
	for _, e := range flatten(err) {
		log.Error(e.Error())
	}
}

// flatten returns the errors that err joins.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

// logTime is how long the last lines of the log may take at the end.
const logTime = 100 * time.Millisecond

func newLog(w io.Writer, s *settings.Settings) *slog.Logger {
	return logline.New(w, "cleat", s.LogLevel, s.Log == "json")
}

// newClient returns the client of the discovery servers; nil when there are
// none.
func newClient(s *settings.Settings, log *slog.Logger) (*client.Client, error) {
	if len(s.Servers) == 0 {
		return nil, nil
	}
	trust, err := newTLS(s.CA, s.Cert, s.Key)
	if err != nil {
		return nil, err
	}
	token, err := tokenOf(s.Token, s.TokenFile, func(err error) { log.Warn("cannot read the token", "cause", err) })
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Servers: s.Servers, Token: token, TLS: trust, Log: log}), nil
}

// mostToken is the size in bytes of the largest token file.
const mostToken = 16 << 10

// tokenOf returns what gives the token at every connection: the token, or what
// is in the file then, because it may have been renewed. A file that cannot be
// read is an error now, and told later.
func tokenOf(token, file string, tell func(error)) (func() string, error) {
	if token != "" || file == "" {
		return func() string { return token }, nil
	}
	if _, err := readToken(file); err != nil {
		return nil, fmt.Errorf("CLEAT_TOKEN_FILE: %w", err)
	}
	return func() string {
		token, err := readToken(file)
		if err != nil {
			tell(err)
		}
		return token
	}, nil
}

func readToken(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > mostToken {
		return "", fmt.Errorf("%s has %d bytes; at most %d are expected of a token", path, info.Size(), mostToken)
	}
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

// newTLS returns how servers are trusted, and how the client proves itself, at
// every attempt anew: certificates are renewed. The error says what is wrong with
// the files now.
func newTLS(ca, cert, key string) (func() (*tls.Config, error), error) {
	load := func() (*tls.Config, error) {
		trust := &tls.Config{MinVersion: tls.VersionTLS12}
		if ca != "" {
			pem, err := os.ReadFile(ca)
			if err != nil {
				return nil, fmt.Errorf("CLEAT_CA: %w", err)
			}
			trust.RootCAs = x509.NewCertPool()
			if !trust.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("CLEAT_CA: %s holds no certificate; expected PEM", ca)
			}
		}
		if cert != "" {
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				return nil, fmt.Errorf("CLEAT_CERT and CLEAT_KEY: %w", err)
			}
			trust.Certificates = []tls.Certificate{pair}
		}
		return trust, nil
	}
	_, err := load()
	return load, err
}

// addressOf returns how the addresses to advertise are found.
func addressOf(s *settings.Settings) func(peer netip.Addr) address.Answer {
	var servers []string
	for _, server := range s.Servers {
		if u, err := url.Parse(server); err == nil {
			servers = append(servers, u.Host)
		}
	}
	return func(peer netip.Addr) address.Answer {
		return address.Find(s.Advertise, address.Query{Servers: servers, Env: os.LookupEnv, Peer: peer})
	}
}
