package server

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"cleat/registry"
)

// waitedFor is the longest that a request can take that waits for nothing: one
// that takes longer is a stream, or a query that blocks until something changes.
const waitedFor = requestWithin

// observe tells of requests that were answered.
func (s *Server) observe(next http.Handler) http.Handler {
	if s.config.Observe == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == registry.SessionPath {
			next.ServeHTTP(w, r)
			return
		}
		face := faceOf(r.URL.Path)
		waits := r.URL.Query().Has("index") // a blocking query of Consul's
		began := time.Now()
		seen := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(seen, r)
		if took := time.Since(began); !waits && !seen.streams && took < waitedFor {
			s.config.Observe(face, cmp.Or(seen.status, http.StatusOK), took)
		}
	})
}

// faceOf returns the interface that a path belongs to.
func faceOf(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "api":
		return "native"
	case "v1":
		return "consul"
	case "eureka", "metrics", "debug":
		return first
	case "healthz", "readyz":
		return "health"
	}
	return "dashboard"
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status  int
	streams bool
}

// Unwrap is for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		w.streams = w.Header().Get("Content-Type") == eventStream
	}
	w.ResponseWriter.WriteHeader(status)
}
