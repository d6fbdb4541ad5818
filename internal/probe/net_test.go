package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cleat/registry"
)

// address is where a test's server listens.
func address(t *testing.T, l net.Listener) netip.AddrPort {
	t.Helper()
	return netip.MustParseAddrPort(l.Addr().String())
}

// once runs one probe against an address, with a timeout.
func once(t *testing.T, c Probe, at netip.AddrPort) Outcome {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Method == "" {
		c.Method = "GET"
	}
	ctx, cancel := context.WithTimeout(t.Context(), c.Timeout)
	defer cancel()
	return c.Run(ctx, Reachable(at))
}

// check compares an outcome with "status reason".
func (o Outcome) expect(t *testing.T, want string) {
	t.Helper()
	if got := string(o.Status) + " " + o.Reason; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// quiet keeps what a server says of broken handshakes out of the tests' output.
func quiet(s *httptest.Server) *httptest.Server {
	s.Config.ErrorLog = discard
	return s
}

func TestHTTP(t *testing.T) {
	var asked atomic.Pointer[http.Request]
	mux := http.NewServeMux()
	answer := func(path string, code int, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			asked.Store(r)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		})
	}
	answer("/ok", 200, "")
	answer("/none", 204, "")
	answer("/busy", 429, "too\nmany \x1b[1m")
	answer("/down", 503, strings.Repeat("x", 3*MaxOutput))
	answer("/odd", 599, "")
	mux.Handle("/there", http.RedirectHandler("/ok", http.StatusFound))
	mux.Handle("/away", http.RedirectHandler("http://192.0.2.1/", http.StatusMovedPermanently))
	mux.Handle("/tls", http.RedirectHandler("https://127.0.0.1/", http.StatusMovedPermanently))
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := httptest.NewServer(mux)
	defer server.Close()
	at := address(t, server.Listener)
	for _, test := range []struct {
		path, want, output string
	}{
		{"/ok", "passing GET /ok: 200 OK", ""},
		{"/ok?token=hunter2", "passing GET /ok: 200 OK", ""},
		{"/none", "passing GET /none: 204 No Content", ""},
		{"/endless", "passing GET /endless: 200 OK", ""},
		{"/there", "passing GET /there: 200 OK", ""},
		{"/busy", "warning GET /busy: 429 Too Many Requests", "too\nmany  [1m"},
		{"/down", "critical GET /down: 503 Service Unavailable", strings.Repeat("x", MaxOutput)},
		{"/odd", "critical GET /odd: 599", ""},
		{"/missing", "critical GET /missing: 404 Not Found", "404 page not found"},
		{"/away", "critical GET /away: 301 Moved Permanently (redirects to other addresses are not followed)", "<a href=\"http://192.0.2.1/\">Moved Permanently</a>."},
		{"/tls", "critical GET /tls: 301 Moved Permanently (redirects to other addresses are not followed)", "<a href=\"https://127.0.0.1/\">Moved Permanently</a>."},
		{"/loop", "critical GET /loop: 302 Found (redirects to other addresses are not followed)", "<a href=\"/loop\">Found</a>."},
	} {
		begin := time.Now()
		o := once(t, Probe{Kind: HTTP, Path: test.path}, at)
		o.expect(t, test.want)
		if o.Output != test.output {
			t.Errorf("%s: the output is %q", test.path, o.Output)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s took %v", test.path, took)
		}
	}
	o := once(t, Probe{Kind: HTTP, Path: "/slow", Timeout: 50 * time.Millisecond}, at)
	o.expect(t, "critical GET /slow: no answer within 50ms")

	once(t, Probe{Kind: HTTP, Path: "/ok?a=b", Method: "HEAD"}, at).expect(t, "passing HEAD /ok: 200 OK")
	r := asked.Load()
	if r.Method != "HEAD" || r.URL.RawQuery != "a=b" || r.Host != at.String() || r.UserAgent() != userAgent {
		t.Errorf("asked %s %s, host %s, by %s", r.Method, r.URL, r.Host, r.UserAgent())
	}
}

func TestHTTPWithoutServer(t *testing.T) {
	once(t, Probe{Kind: HTTP, Path: "/"}, unused(t)).expect(t, "critical GET /: connection refused")
}

// unused is an address where nobody listens.
func unused(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return address(t, l)
}

// raw is a server that answers every connection with the same bytes and closes.
func raw(t *testing.T, answer string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = bufio.NewReader(conn).ReadString('\n')
				_, _ = io.WriteString(conn, answer)
			}()
		}
	}()
	return address(t, l)
}

func TestHTTPOfSomethingElse(t *testing.T) {
	for _, answer := range []string{"", "SSH-2.0-x\r\n", "HTTP/1.1 200", "HTTP/1.1 x\r\n\r\n", "HTTP/1.1 200 OK\r\nx x x\r\n\r\n", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 100) + "\r\n"} {
		o := once(t, Probe{Kind: HTTP, Path: "/"}, raw(t, answer))
		if o.Status != registry.Critical || !strings.HasPrefix(o.Reason, "GET /: ") || len(o.Reason) > registry.MaxReasonLength {
			t.Errorf("%.20q: %+v", answer, o)
		}
		if strings.ContainsAny(o.Reason, "\"") || strings.Contains(o.Reason, "SSH") || strings.Contains(o.Reason, "x x") {
			t.Errorf("%.20q: the reason quotes it: %s", answer, o.Reason)
		}
		// The same again, from another port of this side.
		if again := once(t, Probe{Kind: HTTP, Path: "/"}, raw(t, answer)); again.Reason != o.Reason {
			t.Errorf("the reasons differ: %q, %q", o.Reason, again.Reason)
		}
	}
}

func TestHTTPS(t *testing.T) {
	var host atomic.Value
	server := quiet(httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host.Store(r.Host) })))
	server.StartTLS()
	defer server.Close()
	at := address(t, server.Listener)
	c := Probe{Kind: HTTPS, Path: "/h"}
	once(t, c, at).expect(t, "critical GET /h: tls: failed to verify certificate: x509: certificate signed by unknown authority")
	c.SkipVerify = true
	once(t, c, at).expect(t, "passing GET /h: 200 OK")
	c.ServerName = "example.com"
	once(t, c, at).expect(t, "passing GET /h: 200 OK")
	if host.Load() != "example.com" {
		t.Errorf("the host is %q", host.Load())
	}
	// One that speaks HTTP/2.
	two := quiet(httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			w.WriteHeader(http.StatusHTTPVersionNotSupported)
		}
	})))
	two.EnableHTTP2 = true
	two.StartTLS()
	defer two.Close()
	once(t, c, address(t, two.Listener)).expect(t, "passing GET /h: 200 OK")
	// The other way round.
	c = Probe{Kind: HTTPS, Path: "/h"}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	o := once(t, c, address(t, plain.Listener))
	if o.Status != registry.Critical {
		t.Errorf("%+v", o)
	}
	once(t, Probe{Kind: HTTP, Path: "/h"}, at).expect(t, "critical GET /h: 400 Bad Request")
}

// TestVerified shows that a certificate is looked at, with the test server's
// authority in place of the system's.
func TestVerified(t *testing.T) {
	server := quiet(httptest.NewUnstartedServer(http.NotFoundHandler()))
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for name, want := range map[string]bool{"": true, "example.com": true, "example.org": false} {
		config := Probe{ServerName: name}.tls()
		config.RootCAs = roots
		if name == "" {
			config.ServerName = "127.0.0.1"
		}
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), config)
		if (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := address(t, l)
	once(t, Probe{Kind: TCP}, at).expect(t, "passing connected")
	once(t, Probe{Kind: TCP}, netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())).expect(t, "passing connected")
	l.Close()
	once(t, Probe{Kind: TCP}, at).expect(t, "critical connection refused")
}

func TestTCPWithoutAnswer(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	checkTCP(ctx, Probe{Timeout: time.Second}, netip.MustParseAddrPort("127.0.0.1:80")).expect(t, "critical no answer within 1s")
}

func TestIPv6(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("needs IPv6 on loopback:", err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) }))
	server.Listener.Close()
	server.Listener = l
	server.Start()
	defer server.Close()
	at := netip.AddrPortFrom(netip.IPv6Unspecified(), address(t, l).Port())
	once(t, Probe{Kind: TCP}, at).expect(t, "passing connected")
	once(t, Probe{Kind: HTTP, Path: "/"}, at).expect(t, "passing GET /: 200 OK")
}
