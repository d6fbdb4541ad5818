package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// upstreams is what a proxy passes requests on to.
type upstreams struct {
	file      string
	addresses atomic.Pointer[[]string]
	next      atomic.Uint64
	reloads   atomic.Uint64
}

func (u *upstreams) load() error {
	text, err := os.ReadFile(u.file)
	if err != nil {
		return err
	}
	list := strings.Fields(string(text))
	u.addresses.Store(&list)
	return nil
}

// pick takes turns.
func (u *upstreams) pick() (string, bool) {
	list := *u.addresses.Load()
	if len(list) == 0 {
		return "", false
	}
	return list[u.next.Add(1)%uint64(len(list))], true
}

// proxy is the simplest front that reloads at a signal. It never tries a second upstream, so that a client sees every
// request that went to one that was not there.
func proxy(args []string) error {
	flags := flag.NewFlagSet("proxy", flag.ContinueOnError)
	address := flags.String("listen", ":8000", "address")
	if err := flags.Parse(args); err != nil {
		return err
	}
	u := &upstreams{file: flags.Arg(0)}
	if err := u.load(); err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	go func() {
		for range hup {
			if err := u.load(); err != nil {
				fail(err)
			}
			fmt.Println("reloaded", u.reloads.Add(1), strings.Join(*u.addresses.Load(), " "))
		}
	}()
	// No connection is kept for later, or a request could be sent down one that the upstream closes.
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /reloads", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, u.reloads.Load())
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		to, ok := u.pick()
		if !ok {
			http.Error(w, "no upstream", http.StatusServiceUnavailable)
			return
		}
		answer, err := client.Get("http://" + to + r.URL.Path)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = answer.Body.Close() }()
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	})
	server := &http.Server{Addr: *address, ReadHeaderTimeout: time.Minute, Handler: mux}
	return server.ListenAndServe()
}
