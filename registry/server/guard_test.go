package server_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cleat/registry"
	"cleat/registry/access"
	"cleat/registry/server"
)

// keys are the tokens of a test, by name.
type keys struct {
	t      *testing.T
	path   string
	secret map[string]string
	*access.Tokens
}

// tokens makes a file of tokens. Each line is NAME ROLE NAMESPACES SERVICES.
func tokens(t *testing.T, lines ...string) *keys {
	t.Helper()
	k := &keys{t: t, path: filepath.Join(t.TempDir(), "tokens"), secret: make(map[string]string)}
	k.save(lines...)
	var err error
	if k.Tokens, err = access.Open(k.path, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *keys) save(lines ...string) {
	k.t.Helper()
	var text strings.Builder
	for _, line := range lines {
		name, rest, _ := strings.Cut(line, " ")
		hash := "-"
		if name != "anonymous" {
			if k.secret[name] == "" {
				k.secret[name] = access.NewToken()
			}
			sum := sha256.Sum256([]byte(k.secret[name]))
			hash = "sha256:" + hex.EncodeToString(sum[:])
		}
		fmt.Fprintln(&text, name, hash, rest)
	}
	if err := os.WriteFile(k.path, []byte(text.String()), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// change replaces the file, and lets the server know.
func (k *keys) change(w *world, lines ...string) {
	k.t.Helper()
	k.save(lines...)
	if !k.Reload() {
		k.t.Fatal("the file says nothing new")
	}
	w.server.RenewGrants()
	synctest.Wait()
}

func (k *keys) bearer(name string) http.Header {
	return http.Header{"Authorization": {"Bearer " + k.secret[name]}}
}

func (k *keys) config() server.Config {
	config := cold()
	config.Tokens = k.Tokens
	return config
}

func TestWhereTokensMayBe(t *testing.T) {
	k := tokens(t, "ci read *", "none read nowhere")
	bubble(t, k.config(), func(t *testing.T, w *world) {
		token := k.secret["ci"]
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:"+token))
		tests := []struct {
			path   string
			header http.Header
			status int
		}{
			{"/api/v1/services", nil, 401},
			{"/api/v1/services", http.Header{"Authorization": {"Bearer " + token}}, 200},
			{"/api/v1/services", http.Header{"Authorization": {"bearer  " + token}}, 200},
			{"/api/v1/services", http.Header{"Authorization": {basic}}, 200},
			{"/api/v1/services", http.Header{"X-Consul-Token": {token}}, 200},
			{"/api/v1/services", http.Header{"Authorization": {"Bearer " + token}, "Host": {"cleatd.example.org:9640"}}, 200},
			{"/api/v1/services", http.Header{"Authorization": {"Bearer " + token}, "Origin": {"http://evil.example.org"}}, 403},
			{"/api/v1/services", http.Header{"Authorization": {"Digest " + token}}, 401},
			{"/api/v1/services", http.Header{"Authorization": {"Bearer " + token + "x"}}, 401},
			{"/api/v1/services", http.Header{"Authorization": {"Bearer " + access.NewToken()}, "X-Consul-Token": {token}}, 401},
			{"/api/v1/services", http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("a:"))}}, 401},
			{"/api/v1/services", http.Header{"Cookie": {"cleatd-9640=" + token}}, 401},
			{"/api/v1/services?token=" + token, nil, 400},
			{"/api/v1/services?token=" + token, http.Header{"Authorization": {"Bearer " + token}}, 400},
			{"/v1/nothing?token=" + token, nil, 404},
			{"/v1/nothing?token=" + token + "x", nil, 401},
			{"/v1/nothing", nil, 401},
			{"/healthz", nil, 200},
			{"/readyz", nil, 200},
			{"/healthz", http.Header{"Authorization": {"Bearer wrong"}}, 200},
			{"/api/v1/session", nil, 401},
			{"/api/v1/session", http.Header{"Authorization": {"Bearer " + token}}, 426},
			{"/debug/pprof/", http.Header{"Authorization": {"Bearer " + token}}, 403},
			{"/", nil, 401},
			{"/", http.Header{"Accept": {"text/html,*/*"}}, 303},
		}
		for _, test := range tests {
			status, body := w.request("GET", test.path, test.header)
			if status != test.status {
				t.Errorf("%s %v: got %d %s; want %d", test.path, test.header, status, body, test.status)
			}
			if strings.Contains(string(body), "cleat_") {
				t.Errorf("%s: the answer has a token: %s", test.path, body)
			}
			if status >= 400 && json.Unmarshal(body, new(registry.Problem)) != nil {
				t.Errorf("%s: the answer is %s", test.path, body)
			}
		}
		if strings.Contains(w.log.String(), "cleat_") {
			t.Error("the log has a token")
		}
	})
}

func TestGrants(t *testing.T) {
	k := tokens(t, "prod read prod", "web register default web*", "web read default db", "anonymous read default web")
	bubble(t, k.config(), func(t *testing.T, w *world) {
		p := w.dialAs(k.secret["web"]).declare(launcher("p").provides("p:1", "web", registry.Passing)).beats()
		if p.welcome().Session == "" {
			t.Fatal("a session that may declare is not welcome")
		}
		refused := func(token string, s *statement, says string) {
			t.Helper()
			q := w.dialAs(token).declare(s)
			got := q.errors()
			if len(got) != 1 || got[0].Code != registry.CodeUnauthorized || !got[0].Fatal || !strings.Contains(got[0].Message, says) {
				t.Errorf("got %+v; want unauthorized, fatal: %q", got, says)
			}
		}
		refused(k.secret["web"], launcher("q").provides("q:1", "db", registry.Passing).provides("q:2", "web", registry.Passing).requires("cache?ns=default"),
			`to register "db" in the namespace "default", nor to read "cache" in the namespace "default"`)
		refused(k.secret["prod"], launcher("q"), `to be in the namespace "default"`)
		refused("", launcher("q").provides("q:1", "web", registry.Passing), `to register "web"`)

		// Later on, what is not allowed changes nothing, and ends nothing.
		p.declare(launcher("p").provides("p:1", "db", registry.Passing))
		if got := p.errors(); len(got) != 1 || got[0].Code != registry.CodeUnauthorized || got[0].Fatal {
			t.Errorf("got %+v; want unauthorized, not fatal", got)
		}
		w.dialAs(k.secret["web"]).declare(launcher("d").requires("db?ns=default", web)).beats()

		count := func(path string, header http.Header, field string) int {
			t.Helper()
			var body map[string]json.RawMessage
			var list []json.RawMessage
			_, data := w.request("GET", path, header)
			if err := json.Unmarshal(data, &body); err != nil {
				t.Fatal(err)
			}
			_ = json.Unmarshal(body[field], &list)
			return len(list)
		}
		if got := count("/api/v1/services", nil, "services"); got != 1 {
			t.Errorf("who shows nothing sees %d services", got)
		}
		if got := count("/api/v1/services", k.bearer("prod"), "services"); got != 0 {
			t.Errorf("prod sees %d services of another namespace", got)
		}
		for header, want := range map[string]int{"prod": 0, "web": 0} {
			if got := count("/api/v1/sessions", k.bearer(header), "sessions"); got != want {
				t.Errorf("%s sees %d sessions", header, got)
			}
		}
		for _, test := range []struct {
			path   string
			header http.Header
			status int
		}{
			{"/api/v1/services/web", nil, 200}, {"/api/v1/services/db", nil, 401}, {"/api/v1/services/db", k.bearer("web"), 200},
			{"/api/v1/services/cache", k.bearer("web"), 403}, {"/api/v1/services/web?namespace=prod", k.bearer("web"), 403},
		} {
			if status, body := w.request("GET", test.path, test.header); status != test.status {
				t.Errorf("%s: got %d %s; want %d", test.path, status, body, test.status)
			}
		}
	})
}

func TestRevocation(t *testing.T) {
	all := []string{"web register default web", "db register default db", "reader read default"}
	k := tokens(t, all...)
	bubble(t, k.config(), func(t *testing.T, w *world) {
		reader := w.dialAs(k.secret["reader"]).declare(launcher("c").requires(web, "db?ns=default")).beats()
		provider := w.dialAs(k.secret["web"]).declare(launcher("p").provides("p:1", "web", registry.Passing)).beats()
		database := w.dialAs(k.secret["db"]).declare(launcher("d").provides("d:1", "db", registry.Passing)).beats()
		reader.messages()
		provider.messages()
		k.change(w, append(all, "more read prod")...) // concerns nobody
		if got := append(provider.messages(), reader.messages()...); len(got) != 0 {
			t.Fatalf("got %+v", got)
		}

		k.change(w, all[1:]...)
		got := provider.errors()
		if len(got) != 1 || got[0].Code != registry.CodeUnauthorized || !got[0].Fatal || !strings.Contains(got[0].Message, "revoked") {
			t.Errorf("got %+v", got)
		}
		if views := reader.viewed(); len(views) != 1 || whys(views[0]) != "p:1:left" {
			t.Errorf("the consumer got %+v; what was provided must be gone at once", views)
		}
		if status, _ := w.request("GET", "/api/v1/services", k.bearer("web")); status != http.StatusUnauthorized {
			t.Errorf("a revoked token still gets %d", status)
		}

		k.change(w, "db register default other", "reader read default") // less than was declared
		if got := database.errors(); len(got) != 1 || !strings.Contains(got[0].Message, `"db"`) {
			t.Errorf("got %+v", got)
		}
		if got := reader.errors(); len(got) != 0 {
			t.Errorf("got %+v", got)
		}
		if !w.logged("a session ends: its token does not allow it any more") || strings.Contains(w.log.String(), "cleat_") {
			t.Error("the log does not say it, or too much")
		}
	})
}

// TestRevocationEndsWhatLasts: a request that waits for changes ends with its
// grant.
func TestRevocationEndsWhatLasts(t *testing.T) {
	k := tokens(t, "ann read *", "bob read *")
	waits := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(20 * time.Second):
		}
		fmt.Fprint(w, access.Of(r.Context()).Name())
	}
	bubbleWith(t, k.config(), func(s *server.Server) { s.Handle("/wait", http.HandlerFunc(waits)) }, func(t *testing.T, w *world) {
		ended := make(chan time.Duration, 2)
		ask := func(name string) {
			begin := time.Now()
			r, err := http.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:9640/wait", nil)
			if err != nil {
				t.Error(err)
			}
			r.Header = k.bearer(name)
			answer, err := (&http.Transport{DialContext: w.listener.Dial, DisableKeepAlives: true}).RoundTrip(r)
			if err != nil {
				t.Error(err)
			} else if data, _ := io.ReadAll(answer.Body); string(data) != name {
				t.Errorf("the request was %q's", data)
			}
			ended <- time.Since(begin)
		}
		go ask("ann")
		go ask("bob")
		time.Sleep(time.Second)
		k.change(w, "ann read *")
		if took := <-ended; took != time.Second {
			t.Errorf("the revoked one's took %v; want it to end at once", took)
		}
		if took := <-ended; took != 20*time.Second {
			t.Errorf("the other one's took %v", took)
		}
	})
}

func TestTakingOver(t *testing.T) {
	k := tokens(t, "web register default web", "all register *", "reader read *")
	bubble(t, k.config(), func(t *testing.T, w *world) {
		reader := w.dialAs(k.secret["reader"]).declare(launcher("r").requires("db?ns=default")).beats()
		var lost []*peer
		for _, id := range []string{"d:1", "d:2", "d:3"} { // so many that they are held
			lost = append(lost, w.dialAs(k.secret["all"]).declare(launcher("l-"+id[2:]).provides(id, "db", registry.Passing)).beats())
		}
		for _, p := range lost {
			p.conn.Close()
		}
		time.Sleep(time.Second)
		if got := reader.view("db?ns=default"); got != "d:1 d:2 d:3" {
			t.Fatalf("not held: %q", got)
		}
		thief := w.dialAs(k.secret["web"]).declare(launcher("w").provides("d:1", "web", registry.Passing).provides("w:1", "web", registry.Passing, func(i *registry.Instance) {
			i.Port = portOf("d:2") // and d:2's address and port
		})).beats()
		if got := thief.errors(); len(got) != 1 || got[0].Code != registry.CodeConflict || got[0].ID != "d:1" {
			t.Errorf("got %+v; want a conflict", got)
		}
		if got := reader.view("db?ns=default"); got != "d:1 d:2 d:3" {
			t.Errorf("after the theft: %q", got)
		}
	})
}

func TestLogin(t *testing.T) {
	k := tokens(t, "ann read *")
	bubble(t, k.config(), func(t *testing.T, w *world) {
		browser := &http.Client{
			Transport:     &http.Transport{DialContext: w.listener.Dial, DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		ask := func(method, path, form string, cookie *http.Cookie, origin string) (*http.Response, string) {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:9640"+path, strings.NewReader(form))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", "text/html")
			if form != "" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			if cookie != nil {
				r.AddCookie(cookie)
			}
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			response, err := browser.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, _ := io.ReadAll(response.Body)
			return response, string(body)
		}
		form := func(token, next string) string {
			return url.Values{"token": {token}, "next": {next}}.Encode()
		}
		response, _ := ask("GET", "/services/web?ns=a", "", nil, "")
		if to := response.Header.Get("Location"); response.StatusCode != 303 || to != "/login?next=%2Fservices%2Fweb%3Fns%3Da" {
			t.Errorf("got %d %q", response.StatusCode, to)
		}
		response, body := ask("GET", "/login?next=%2Fservices%3Fa%22b", "", nil, "")
		if response.StatusCode != 200 || !strings.Contains(body, `value="/services?a&#34;b"`) || response.Header.Get("Content-Security-Policy") == "" || response.Header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("got %d %v %s", response.StatusCode, response.Header, body)
		}
		response, body = ask("POST", "/login", form("wrong", "/"), nil, "")
		if response.StatusCode != 401 || len(response.Cookies()) > 0 || !strings.Contains(body, "not known") {
			t.Errorf("got %d %s", response.StatusCode, body)
		}
		if response, _ = ask("POST", "/login", form(k.secret["ann"], "/"), nil, "http://evil.example.org"); response.StatusCode != 403 || len(response.Cookies()) > 0 {
			t.Errorf("from another site: got %d", response.StatusCode)
		}
		if response, _ = ask("POST", "/login", "token="+strings.Repeat("x", 10000), nil, ""); response.StatusCode != 400 {
			t.Errorf("a large form: got %d", response.StatusCode)
		}
		for next, to := range map[string]string{"/api/v1/services": "/api/v1/services", "//evil.example.org": "/", "https://evil.example.org": "/", "/\\evil.example.org": "/", "": "/"} {
			response, _ = ask("POST", "/login", form(k.secret["ann"], next), nil, "http://127.0.0.1:9640")
			if got := response.Header.Get("Location"); response.StatusCode != 303 || got != to {
				t.Errorf("next=%q: got %d %q", next, response.StatusCode, got)
			}
		}
		cookie := response.Cookies()[0]
		if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Secure || cookie.Path != "/" || strings.Contains(cookie.Value, "cleat_") {
			t.Errorf("got %v", cookie)
		}
		if response, _ = ask("GET", "/api/v1/services", "", cookie, ""); response.StatusCode != 200 {
			t.Errorf("logged in: got %d", response.StatusCode)
		}
		if response, _ = ask("GET", "/logout", "", cookie, ""); response.StatusCode != 405 {
			t.Errorf("a link logs out: got %d", response.StatusCode)
		}

		time.Sleep(12 * time.Hour)
		if response, _ = ask("GET", "/api/v1/services", "", cookie, ""); response.StatusCode != 303 {
			t.Errorf("after 12 h: got %d", response.StatusCode)
		}
		logIn := func() *http.Cookie {
			response, _ := ask("POST", "/login", form(k.secret["ann"], "/"), nil, "")
			return response.Cookies()[0]
		}
		cookie = logIn()
		response, _ = ask("POST", "/logout", "", cookie, "http://127.0.0.1:9640")
		if gone := response.Cookies(); response.StatusCode != 303 || len(gone) != 1 || gone[0].MaxAge >= 0 {
			t.Errorf("got %d %v", response.StatusCode, gone)
		}
		if response, _ = ask("GET", "/api/v1/services", "", cookie, ""); response.StatusCode != 303 {
			t.Errorf("logged out: got %d", response.StatusCode)
		}
		first := logIn()
		time.Sleep(time.Second)
		for range 1024 {
			cookie = logIn()
		}
		if response, _ = ask("GET", "/api/v1/services", "", first, ""); response.StatusCode != 303 {
			t.Errorf("the oldest of too many: got %d", response.StatusCode)
		}
		if response, _ = ask("GET", "/api/v1/services", "", cookie, ""); response.StatusCode != 200 {
			t.Errorf("the newest of too many: got %d", response.StatusCode)
		}
		k.change(w, "bob read *")
		if response, _ = ask("GET", "/api/v1/services", "", cookie, ""); response.StatusCode != 303 {
			t.Errorf("a revoked token's login: got %d", response.StatusCode)
		}
	})
}

func TestProfiles(t *testing.T) {
	k := tokens(t, "root admin", "some admin default")
	bubble(t, k.config(), func(t *testing.T, w *world) {
		for _, test := range []struct {
			header http.Header
			status int
		}{{nil, 401}, {k.bearer("some"), 403}, {k.bearer("root"), 200}} {
			for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline"} {
				if status, body := w.request("GET", path, test.header); status != test.status {
					t.Errorf("%s: got %d %.100s; want %d", path, status, body, test.status)
				}
			}
		}
	})
	open := cold()
	open.Open = true
	for _, config := range []server.Config{cold(), open} {
		bubble(t, config, func(t *testing.T, w *world) {
			if status, _ := w.request("GET", "/debug/pprof/heap", nil); status != http.StatusForbidden {
				t.Errorf("without tokens: got %d", status)
			}
			// Who has a token for another server is no stranger here.
			if status, _ := w.request("GET", "/v1/nothing?token=x", http.Header{"Authorization": {"Bearer x"}}); status != http.StatusNotFound {
				t.Errorf("got %d", status)
			}
		})
	}
}
