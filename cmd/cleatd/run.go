package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"

	"cleat/registry/engine"
	"cleat/registry/engine/bolt"
	"cleat/registry/metrics"
	"cleat/registry/server"
)

// The exit codes.
const (
	exitOK       = 0
	exitFailed   = 1 // it could not listen, or not go on
	exitSettings = 2 // a flag or a variable is wrong
)

// descriptorsKept is how many file descriptors are kept for other things than
// sessions: HTTP requests, the log, the runtime.
const descriptorsKept = 1280

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "token" {
		return token(args[1:], environ, stdout, stderr)
	}
	s, err := parse(args, environ, stdout)
	switch {
	case errors.Is(err, errHelp):
		return exitOK
	case err != nil:
		for _, line := range lines(err) {
			fmt.Fprintln(stderr, "cleatd:", line)
		}
		return exitSettings
	case s.version:
		fmt.Fprintln(stdout, "cleatd", version())
		return exitOK
	}
	log := newLog(stderr, s)
	guards, err := openGuards(log, s)
	if err != nil {
		for _, line := range lines(err) {
			fmt.Fprintln(stderr, "cleatd:", line)
		}
		return exitSettings
	}
	if err := serve(ctx, log, s, guards); err != nil {
		log.Error("cleatd ends", "error", err)
		return exitFailed
	}
	log.Info("cleatd ends")
	return exitOK
}

func serve(ctx context.Context, log *slog.Logger, s settings, g guards) error {
	if limit, err := raiseDescriptors(); err != nil {
		log.Warn("the limit on file descriptors stays as it is", "error", err)
	} else if fit := limit - descriptorsKept; fit < s.maxSessions {
		log.Warn("fewer sessions fit than -max-sessions allows; raise the limit on file descriptors (ulimit -n)", "max_sessions", s.maxSessions, "fit", max(fit, 1))
		s.maxSessions = max(fit, 1)
	}
	if s.name == "" {
		s.name, _ = os.Hostname() // without one, the server has a default
	}
	var kept engine.Engine // nil: nothing is
	if s.data != "" {
		file, err := bolt.Open(s.data)
		if err != nil {
			return err
		}
		defer file.Close()
		kept = file
		log.Info("the state is kept", "file", file.Path())
	}
	numbers := metrics.New()
	srv, err := server.New(server.Config{
		Name: s.name, Version: version(), Open: s.open, Tokens: g.tokens, Warming: s.warming, Shutdown: s.shutdown, MaxSessions: s.maxSessions,
		Engine: kept, Observe: numbers.Observe, Log: log,
	})
	if err != nil {
		return err
	}
	// The protocol has beats of its own; TCP's probes would only double them.
	config := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
	listener, err := config.Listen(ctx, "tcp", s.listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", s.listen, err)
	}
	named, err := newNameServer(ctx, log, srv, s.names, g.grant())
	if err != nil {
		listener.Close()
		return err
	}
	defer named.close()
	mount(srv, s.name, listener.Addr())
	show(srv, numbers, named, g.certificates)
	log.Info("cleatd listens", "address", listener.Addr().String(), "tls", g.certificates != nil, "tokens", g.tokens != nil, "version", version())
	named.say(log, s.names)
	g.warn(log, s)
	ctx, cancel := context.WithCancel(ctx)
	watched := g.watch(ctx, srv)
	err = serveBoth(ctx, srv, g.wrap(listener), named)
	cancel()
	watched.Wait()
	return err
}

func newLog(w io.Writer, s settings) *slog.Logger {
	options := &slog.HandlerOptions{Level: s.logLevel}
	if s.log == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// version is that of the module, as the Go toolchain recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}

// lines returns the errors that are joined in err, each on its own.
func lines(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
