package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// web is a backend that does nothing to leave well: at TERM it is gone, with whatever requests it has. That none is
// lost is the launcher's work.
func web(args []string) error {
	flags := flag.NewFlagSet("web", flag.ContinueOnError)
	address := flags.String("listen", ":8080", "address")
	name := flags.String("name", "", "what to answer")
	work := flags.Duration("work", 2*time.Millisecond, "how long an answer takes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		os.Exit(0)
	}()
	server := &http.Server{
		Addr:              *address,
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(*work)
			_, _ = fmt.Fprintln(w, *name)
		}),
	}
	return server.ListenAndServe()
}
