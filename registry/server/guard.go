package server

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"cleat/registry/access"
)

// Where a token may be in a request, beside Authorization.
const (
	consulHeader    = "X-Consul-Token"
	consulParameter = "token" // of a query, below consulPrefix
	consulPrefix    = "/v1/"
)

// maxBody is the size in bytes of the largest body of a request; what is mounted
// on the server has lower bounds of its own.
const maxBody = 1 << 20

// maxCredential is the size in bytes of the longest text that is looked at as a
// token.
const maxCredential = 4 << 10

// guard stands before everything that the server answers.
//
//	request --too long a query, another site's page,
//	   |      a host that is not this machine---------> refused
//	   |
//	   +--no tokens, or a path for everybody----------> served, with everything
//	   |                                                or nothing granted
//	   +--a token that is known-----------------------> served, with its grant
//	   +--a token that is not-------------------------> 401
//	   +--a login's cookie, a certificate-------------> served, with its grant
//	   +--none of these, and anonymous may read-------> served, with that
//	   +--none of these: a browser--------------------> to the login page
//	   +--none of these-------------------------------> 401
//
// It takes the token out of the request, so that nothing behind it can show one.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// Not "no-referrer": browsers would say of our own forms that their origin
		// is null, which is that of nobody.
		h.Set("Referrer-Policy", "same-origin")
		switch {
		case len(r.URL.RawQuery) > maxQuery:
			problem(w, http.StatusRequestURITooLong, fmt.Sprintf("the query is longer than %d bytes", maxQuery), "")
			return
		case s.config.Tokens == nil && !s.config.Open && !isLoopback(r.Host):
			problem(w, http.StatusForbidden, fmt.Sprintf("the host %.100q is not this machine", r.Host), "ask for localhost or 127.0.0.1, or start cleatd with -tokens or -open")
			return
		case !sameOrigin(r):
			problem(w, http.StatusForbidden, "the request comes from another site's page", "")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		token, given, misplaced := takeToken(r)
		if s.config.Tokens == nil {
			next.ServeHTTP(w, r.WithContext(access.With(r.Context(), access.Everything())))
			return
		}
		if misplaced {
			problem(w, http.StatusBadRequest, "a token has no place in this URL", "send it as Authorization: Bearer")
			return
		}
		grant, known := s.identify(r, token, given)
		takeLogin(r)
		switch {
		case known:
			granted, end := s.asked.begin(r, grant, s.config.Tokens)
			defer end()
			next.ServeHTTP(w, granted)
		case isForEverybody(r.URL.Path):
			next.ServeHTTP(w, r)
		case given:
			unauthorized(w, "the token is not known", "it may have been revoked; cleatd token list shows those that are known")
		case wantsPage(r):
			http.Redirect(w, r, loginPath+"?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		default:
			unauthorized(w, "this server asks for a token, and the request has none", "send it as Authorization: Bearer; cleat has CLEAT_TOKEN_FILE for it")
		}
	})
}

// identify returns what whoever sent the request may do. known is false when
// that cannot be said, or is nothing.
func (s *Server) identify(r *http.Request, token string, given bool) (grant access.Grant, known bool) {
	if given {
		return s.config.Tokens.Find(token)
	}
	if grant, known = s.logins.find(r); known {
		return grant, true
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		if grant, known = s.config.Tokens.FindCertificate(r.TLS.VerifiedChains[0][0]); known {
			return grant, true
		}
	}
	grant = s.config.Tokens.Anonymous()
	return grant, grant.Any(access.Read, "")
}

// takeToken takes the token out of a request. misplaced says that one is in the
// URL where none may be.
func takeToken(r *http.Request) (token string, given, misplaced bool) {
	authorization, consul := r.Header.Get("Authorization"), r.Header.Get(consulHeader)
	_, password, basic := r.BasicAuth()
	r.Header.Del("Authorization")
	r.Header.Del(consulHeader)
	parameter := ""
	if strings.Contains(r.URL.RawQuery, consulParameter) {
		parameter, misplaced = takeParameter(r)
	}
	scheme, bearer, _ := strings.Cut(authorization, " ")
	switch {
	case basic:
		token = password // of Eureka's clients, which have a user in their URL
	case strings.EqualFold(scheme, "Bearer"):
		token = strings.TrimSpace(bearer)
	case authorization != "":
		return "", true, misplaced // some other scheme: known to nobody
	case consul != "":
		token = consul
	default:
		token = parameter
	}
	if len(token) > maxCredential {
		token = ""
		return token, true, misplaced
	}
	return token, token != "" || basic, misplaced
}

// takeParameter takes a token out of the query.
func takeParameter(r *http.Request) (token string, misplaced bool) {
	query := r.URL.Query()
	token = query.Get(consulParameter)
	if !query.Has(consulParameter) {
		return "", false
	}
	query.Del(consulParameter)
	u := *r.URL
	u.RawQuery = query.Encode()
	r.URL, r.RequestURI = &u, u.RequestURI()
	return token, !strings.HasPrefix(u.Path, consulPrefix)
}

// isForEverybody reports whether a path is served without a grant: it says
// nothing of what the registry holds.
func isForEverybody(path string) bool {
	switch path {
	case "/healthz", "/readyz", loginPath, logoutPath:
		return true
	}
	return false
}

// wantsPage reports whether a person asks, with a browser.
func wantsPage(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// unauthorized refuses a request because nobody knows whose it is.
func unauthorized(w http.ResponseWriter, message, hint string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="cleatd"`)
	problem(w, http.StatusUnauthorized, message, hint)
}

// forbidden refuses what the grant of a request does not allow.
func forbidden(w http.ResponseWriter, r *http.Request, what string) {
	if access.Of(r.Context()).Name() == "" {
		unauthorized(w, "nobody may "+what+" without a token", "send one as Authorization: Bearer")
		return
	}
	problem(w, http.StatusForbidden, "the token does not allow to "+what, "cleatd token list shows what each token allows")
}

// isLoopback reports whether a Host header names this machine, whoever resolves
// it.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// sameOrigin reports whether a request comes from no web page, or from one of
// the server's own.
func sameOrigin(r *http.Request) bool {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return true
	}
	origin, err := url.Parse(origins[0])
	return len(origins) == 1 && err == nil && strings.EqualFold(origin.Host, r.Host)
}
