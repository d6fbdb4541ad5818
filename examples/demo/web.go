//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// roleWeb is the first argument that makes this program a backend.
const roleWeb = "web"

const (
	// workTime is how long a backend takes for a request, so that there are
	// always some in it.
	workTime = 25 * time.Millisecond
	// lastRequests is how long a server that was told to stop waits for the
	// requests that it is working on.
	lastRequests = 2 * time.Second
)

// webMain is a backend: an HTTP server on a port that the kernel chooses. It
// knows nothing of cleat.
func webMain() int {
	return serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(workTime):
		case <-r.Context().Done():
			return
		}
		fmt.Fprintf(w, "hello from process %d\n", os.Getpid())
	}))
}

// serve serves on a free port of the loopback interface until SIGTERM, and
// finishes the requests that it has.
func serve(handler http.Handler) int {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		log.Error("cannot listen", "cause", err)
		return 1
	}
	log.Info("listening", "address", listener.Addr().String())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		log.Error("cannot serve", "cause", err)
		return 1
	case <-ctx.Done():
	}
	finish, cancel := context.WithTimeout(context.Background(), lastRequests)
	defer cancel()
	if err := server.Shutdown(finish); err != nil {
		log.Error("requests were cut off", "cause", err)
		return 1
	}
	log.Info("stopped, all requests answered")
	return 0
}
