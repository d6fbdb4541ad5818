//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
)

// roleFront is the first argument that makes this program a front proxy; the
// next one is its configuration file.
const roleFront = "front"

// upstreamsTemplate is the front's configuration as its author wrote it. cleat
// fills it in.
const upstreamsTemplate = `# {{web.count}} backends
{{each web}}
backend {{id}} {{addr}}
{{end}}
`

// retriedHeader is in an answer that the first backend did not give: why not.
const (
	retriedHeader  = "X-Front-Retried"
	retriedRefused = "refused" // it did not take the connection
	retriedBroken  = "broken"  // it went away with the request
)

// frontMain is a front proxy: it reads a file of backends, spreads requests over
// them, and reads the file again at SIGHUP. It knows nothing of cleat.
func frontMain(args []string) int {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	if len(args) != 1 {
		log.Error("usage: front FILE")
		return 1
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	f := &front{transport: &http.Transport{DisableKeepAlives: true}} // a connection for every request, as nginx
	if err := f.reload(args[0], log); err != nil {
		log.Error("cannot use the configuration", "cause", err)
		return 1
	}
	go func() {
		for range hangups {
			if err := f.reload(args[0], log); err != nil {
				log.Error("cannot use the new configuration; keeping the old one", "cause", err)
			}
		}
	}()
	return serve(&httputil.ReverseProxy{
		Rewrite:   func(*httputil.ProxyRequest) {}, // RoundTrip says where to
		Transport: f,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	})
}

// front sends each request to the next backend, and to the one after that when
// it fails before an answer.
type front struct {
	backends  atomic.Pointer[[]backend]
	requests  atomic.Uint64
	transport *http.Transport
}

type backend struct{ id, address string }

// reload reads the configuration. Requests that are under way keep the one that
// they began with.
func (f *front) reload(path string, log *slog.Logger) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	backends, err := parseBackends(file)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f.backends.Store(&backends)
	ids := make([]string, 0, len(backends))
	for _, b := range backends {
		ids = append(ids, b.id)
	}
	log.Info(reloadedMessage, "backends", ids)
	return nil
}

// reloadedMessage is what the front says once a configuration is in use.
const reloadedMessage = "configuration in use"

// parseBackends reads lines of the form "backend ID ADDRESS".
func parseBackends(r io.Reader) ([]backend, error) {
	var backends []backend
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case len(words) == 3 && words[0] == "backend":
			backends = append(backends, backend{words[1], words[2]})
		default:
			return nil, fmt.Errorf("line %d is not of the form: backend ID ADDRESS", n)
		}
	}
	return backends, lines.Err()
}

// RoundTrip implements [http.RoundTripper].
func (f *front) RoundTrip(r *http.Request) (*http.Response, error) {
	backends := *f.backends.Load()
	if len(backends) == 0 {
		return nil, errors.New("there is no backend")
	}
	again := r.Method == http.MethodGet || r.Method == http.MethodHead
	first := f.requests.Add(1)
	var why string
	var failure error
	for i := range uint64(len(backends)) {
		b := backends[(first+i)%uint64(len(backends))]
		try := r.Clone(r.Context())
		try.URL = &url.URL{Scheme: "http", Host: b.address, Path: r.URL.Path, RawQuery: r.URL.RawQuery}
		answer, err := f.transport.RoundTrip(try)
		if err == nil {
			if why != "" {
				answer.Header.Set(retriedHeader, why)
			}
			return answer, nil
		}
		failure = fmt.Errorf("%s: %w", b.id, err)
		if !again || r.Context().Err() != nil {
			break
		}
		if why == "" {
			why = retriedBroken
			if errors.Is(err, syscall.ECONNREFUSED) {
				why = retriedRefused
			}
		}
	}
	return nil, failure
}
