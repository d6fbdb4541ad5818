package server

import (
	"net/http"
	"net/http/pprof"

	"cleat/registry/access"
)

// profile serves the Go runtime's profiles to administrators. A profile shows
// what is in the server's memory and costs it time, so it takes a token: a server
// that asks nobody for one shows none, not even to its own machine.
func (s *Server) profile(w http.ResponseWriter, r *http.Request) {
	if s.config.Tokens == nil {
		problem(w, http.StatusForbidden, "profiles are for tokens with the role admin, and this server has no tokens", "start cleatd with -tokens")
		return
	}
	if !access.Of(r.Context()).Allows(access.Admin, "", "") {
		forbidden(w, r, "take profiles")
		return
	}
	switch r.PathValue("name") {
	case "":
		pprof.Index(w, r)
	case "cmdline":
		pprof.Cmdline(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Handler(r.PathValue("name")).ServeHTTP(w, r)
	}
}
