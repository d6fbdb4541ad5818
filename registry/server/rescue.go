package server

import (
	"errors"
	"net/http"
	"runtime/debug"
)

// broken is what a request is answered that the server could not cope with.
const broken = "there is a mistake in the server; its log says more"

// rescue logs what goes wrong inside the server while it answers a request, which
// must never happen, and keeps it to that request.
func (s *Server) rescue(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			failure := recover()
			if failure == nil {
				return
			}
			if err, ok := failure.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(http.ErrAbortHandler) // a handler's way to end the connection
			}
			s.log.Error("a request met a mistake in the server", "method", r.Method, "path", r.URL.Path, "error", failure, "stack", string(debug.Stack()))
			problem(w, http.StatusInternalServerError, broken, "please report it")
		}()
		next.ServeHTTP(w, r)
	})
}
