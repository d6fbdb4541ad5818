package server

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"html/template"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"cleat/registry/access"
)

// Where people log in with a browser, and out.
const (
	loginPath  = "/login"
	logoutPath = "/logout"
)

// The bounds of logins.
const (
	// maxLogins is the number of browsers that are logged in at the same time.
	// One more, and the oldest must log in again.
	maxLogins = 1024
	// loginFor is how long a login lasts: a day at work.
	loginFor = 12 * time.Hour
	// maxForm is the size of a login's form in bytes.
	maxForm = 8 << 10
)

// loginHTML is the page with the form. It needs nothing but itself.
//
//go:embed login.html
var loginHTML string

var loginPage = template.Must(template.New("login").Parse(loginHTML))

// logins are the browsers that have shown a token. Each has a cookie with a
// random name for it; the token itself stays out of the browser. They are kept
// in memory: after a restart everybody logs in again.
//
//	none --the form, with a good token--> logged in --12 h, logout, revoked,
//	                                                  1,024 others since--> none
type logins struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]login // by the hash of the cookie
}

type login struct {
	grant access.Grant
	began time.Time
}

// begin returns the cookie of a new login.
func (l *logins) begin(grant access.Grant, now time.Time) string {
	cookie := rand.Text()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = make(map[[sha256.Size]byte]login)
	}
	if len(l.all) >= maxLogins {
		l.makeRoom(now)
	}
	l.all[sha256.Sum256([]byte(cookie))] = login{grant, now}
	return cookie
}

// makeRoom forgets the logins that are over; if none is, the oldest.
func (l *logins) makeRoom(now time.Time) {
	var oldest [sha256.Size]byte
	began := now
	for key, login := range l.all {
		if now.Sub(login.began) >= loginFor {
			delete(l.all, key)
		} else if !login.began.After(began) {
			oldest, began = key, login.began
		}
	}
	if len(l.all) >= maxLogins {
		delete(l.all, oldest)
	}
}

// find returns the grant of the login that the request's cookie names.
func (l *logins) find(r *http.Request) (access.Grant, bool) {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil || len(cookie.Value) > maxCredential {
		return access.Grant{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	login, ok := l.all[sha256.Sum256([]byte(cookie.Value))]
	return login.grant, ok && time.Since(login.began) < loginFor
}

// end forgets the login that the request's cookie names.
func (l *logins) end(cookie string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, sha256.Sum256([]byte(cookie)))
}

// renew gives every login what its token allows now, and forgets those whose
// token has been revoked.
func (l *logins) renew(tokens *access.Tokens) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, login := range l.all {
		grant, ok := tokens.Renew(login.grant)
		if !ok {
			delete(l.all, key)
			continue
		}
		login.grant = grant
		l.all[key] = login
	}
}

// cookieName returns that of the login's cookie. A browser has one jar for all
// ports of a host, so the port is in it; and under TLS the prefix that makes
// browsers refuse one that somebody else has set.
func cookieName(r *http.Request) string {
	name := "cleatd"
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		name += "-" + port
	}
	if r.TLS != nil {
		name = "__Host-" + name
	}
	return name
}

// takeLogin takes the login's cookie out of the request: who has it is logged in.
func takeLogin(r *http.Request) {
	if r.URL.Path == logoutPath || len(r.Header["Cookie"]) == 0 {
		return
	}
	cookies := r.Cookies()
	r.Header.Del("Cookie")
	for _, c := range cookies {
		if c.Name != cookieName(r) {
			r.AddCookie(c)
		}
	}
}

// setCookie gives the browser its cookie; an empty one takes it away.
func setCookie(w http.ResponseWriter, r *http.Request, value string) {
	age := int(loginFor / time.Second)
	if value == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
}

// logIn shows the form, and takes it.
func (s *Server) logIn(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.URL.Query().Get("next"))
	switch {
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		s.showLogin(w, http.StatusOK, next, "")
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, HEAD, POST")
		problem(w, http.StatusMethodNotAllowed, "the method is not allowed here", "use GET or POST")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		s.showLogin(w, http.StatusBadRequest, next, "The form cannot be read.")
		return
	}
	next = localPath(r.PostForm.Get("next"))
	if s.config.Tokens == nil {
		http.Redirect(w, r, next, http.StatusSeeOther) // nobody needs to
		return
	}
	grant, ok := s.config.Tokens.Find(strings.TrimSpace(r.PostForm.Get("token")))
	if !ok {
		s.showLogin(w, http.StatusUnauthorized, next, "This token is not known here.")
		return
	}
	setCookie(w, r, s.logins.begin(grant, time.Now()))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// logOut ends the login. Only a form of the server's own pages can ask for it.
func (s *Server) logOut(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		problem(w, http.StatusMethodNotAllowed, "the method is not allowed here", "use POST")
		return
	}
	if cookie, err := r.Cookie(cookieName(r)); err == nil {
		s.logins.end(cookie.Value)
	}
	setCookie(w, r, "")
	http.Redirect(w, r, loginPath, http.StatusSeeOther)
}

func (s *Server) showLogin(w http.ResponseWriter, status int, next, wrong string) {
	var page bytes.Buffer
	if err := loginPage.Execute(&page, struct{ Next, Wrong, Name string }{next, wrong, s.config.Name}); err != nil {
		panic("server: internal error: the login page cannot be made: " + err.Error())
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // a browser that is gone needs no page
}

// localPath returns where to go after the login, if it is on this server; else
// its first page.
func localPath(next string) string {
	const first = "/"
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || len(next) > maxQuery || strings.ContainsAny(next, "\\\r\n\t") {
		return first
	}
	return next
}
