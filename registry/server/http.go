package server

import (
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"cleat/registry"
	"cleat/registry/access"
)

// The bounds of HTTP.
const (
	// headerWithin is how long a request's header may take.
	headerWithin = 5 * time.Second
	// requestWithin is how long a request may take to arrive, and its answer to
	// be read.
	requestWithin = 30 * time.Second
	// idleWithin is how long a connection may wait for its next request.
	idleWithin = time.Minute
	// maxHeader is the size of a request's header in bytes.
	maxHeader = 16 << 10
	// maxQuery is the size of a request's query in bytes.
	maxQuery = 4 << 10
	// maxRequests is the number of connections that are not sessions yet, or
	// never will be: room for a crowd of launchers that come back at once.
	maxRequests = 4096
	// spareConnections is by how much all connections together may exceed the
	// sessions that the server takes.
	spareConnections = 1024
)

// newHTTP returns the server's HTTP side.
func (s *Server) newHTTP() *http.Server {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.path, r)
	}
	mux.HandleFunc(loginPath, s.logIn)
	mux.HandleFunc(logoutPath, s.logOut)
	root := false
	for _, f := range s.faces {
		mux.Handle(f.pattern, f.handler)
		root = root || f.pattern == "/"
	}
	if !root {
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			problem(w, http.StatusNotFound, "there is nothing at this path", "see /api/v1/openapi.json")
		})
	}
	var requests atomic.Int64
	return &http.Server{
		Handler:           s.observe(s.rescue(s.guard(compact(mux)))),
		ReadHeaderTimeout: headerWithin,
		ReadTimeout:       requestWithin,
		WriteTimeout:      requestWithin,
		IdleTimeout:       idleWithin,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnState: func(conn net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				n := requests.Add(1)
				if n > maxRequests || n+s.sessions.Load() > int64(s.config.MaxSessions)+spareConnections {
					conn.Close() // the server notices, and reports it as closed
				}
			case http.StateHijacked, http.StateClosed:
				requests.Add(-1)
			}
		},
	}
}

// problem answers with an error.
func problem(w http.ResponseWriter, status int, message, hint string) {
	answerJSON(w, status, registry.Problem{Error: message, Hint: hint})
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic("server: internal error: an answer cannot be encoded: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // a client that is gone needs no answer
}

// healthy says that the server answers. It is ready while it is warming, too:
// launchers could not come back to a server that is not. The version is for those
// who may read something.
func (s *Server) healthy(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Status  string `json:"status"`
		Warming bool   `json:"warming"`
		Version string `json:"version,omitempty"`
		Keeping string `json:"keeping,omitempty"` // with -data: ok or failing
	}
	body.Status = "ok"
	if access.Of(r.Context()).Any(access.Read, "") {
		body.Version = s.config.Version
		body.Keeping = s.keepingState()
	}
	s.event(func(c *core) { body.Warming = c.warming.on })
	answerJSON(w, http.StatusOK, body)
}
