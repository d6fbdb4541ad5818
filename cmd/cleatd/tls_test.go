package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.pem, _, a.cert, a.key = a.sign("authority", true)
	return a
}

// sign returns a certificate and its key, as PEM and as they are.
func (a *authority) sign(name string, ca bool) (cert, key []byte, parsed *x509.Certificate, private *ecdsa.PrivateKey) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, IsCA: ca, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	parsed, err = x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded}), parsed, private
}

// place writes files and puts them into place by a rename.
func place(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name+".new"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// client returns one that trusts the authority, and shows the pair if there is
// one.
func (a *authority) client(pair ...tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: pair}, DisableKeepAlives: true}}
}

func (a *authority) pair(name string) tls.Certificate {
	a.t.Helper()
	cert, key, _, _ := a.sign(name, false)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

// awaitLog reads the log until it says the text.
func awaitLog(t *testing.T, log *bufio.Reader, text string) {
	t.Helper()
	for {
		line, err := log.ReadString('\n')
		if err != nil {
			t.Fatalf("the log ends without %q: %v", text, err)
		}
		if strings.Contains(line, text) {
			return
		}
	}
}

// TestTLS: the certificate is replaced while a connection is open, which goes on.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	first, second := newAuthority(t), newAuthority(t)
	cert, key, _, _ := first.sign("server", false)
	place(t, dir, map[string][]byte{"cert": cert, "key": key})
	d := start(t, "-cert", filepath.Join(dir, "cert"), "-key", filepath.Join(dir, "key"), "-dns", "off")
	get := func(c *http.Client) error {
		answer, err := c.Get("https://" + d.address + "/healthz")
		if err == nil {
			answer.Body.Close()
		}
		return err
	}
	if err := get(first.client()); err != nil {
		t.Fatal(err)
	}
	lasting, err := tls.Dial("tcp", d.address, first.client().Transport.(*http.Transport).TLSClientConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer lasting.Close()
	replies := bufio.NewReader(lasting)
	ask := func() {
		t.Helper()
		fmt.Fprintf(lasting, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", d.address)
		answer, err := http.ReadResponse(replies, nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("the open connection: %v, %v", answer, err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
	}
	ask()

	place(t, dir, map[string][]byte{"cert": []byte("half of it")})
	awaitLog(t, d.log, "the earlier ones stay in use")
	if err := get(first.client()); err != nil {
		t.Errorf("a bad file has taken the certificate away: %v", err)
	}
	cert, key, _, _ = second.sign("server", false)
	place(t, dir, map[string][]byte{"cert": cert, "key": key})
	awaitLog(t, d.log, "the certificates have changed")
	if err := get(second.client()); err != nil {
		t.Errorf("the new certificate: %v", err)
	}
	if err := get(first.client()); err == nil {
		t.Error("the old certificate is still shown")
	}
	ask()

	old := second.client()
	old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS11
	if err := get(old); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("TLS 1.1: got %v", err)
	}
	answer, err := http.Get("http://" + d.address + "/healthz")
	if err != nil || answer.StatusCode != http.StatusBadRequest {
		t.Errorf("plain text: got %v, %v", answer, err)
	}
}

// TestMutualTLS: who has no certificate is not let in, and one may stand for a
// token.
func TestMutualTLS(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := newAuthority(t), newAuthority(t)
	cert, key, _, _ := ours.sign("server", false)
	place(t, dir, map[string][]byte{"cert": cert, "key": key, "ca": ours.pem})
	file := filepath.Join(dir, "tokens")
	if code, _, says := tokenCommand(t, "new", "-tokens", file, "-certificate", "ann", "ann", "admin"); code != exitOK {
		t.Fatal(says)
	}
	code, secret, says := tokenCommand(t, "new", "-tokens", file, "ci", "read", "prod")
	if code != exitOK {
		t.Fatal(says)
	}
	d := start(t, "-cert", filepath.Join(dir, "cert"), "-key", filepath.Join(dir, "key"), "-client-ca", filepath.Join(dir, "ca"), "-tokens", file, "-dns", "off")
	go io.Copy(io.Discard, d.log)
	status := func(c *http.Client, path, token string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+d.address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := c.Do(r)
		if err != nil {
			return 0
		}
		defer answer.Body.Close()
		if body, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK && !json.Valid(body) {
			t.Errorf("%s: got %s", path, body)
		}
		return answer.StatusCode
	}
	secret = strings.TrimSpace(secret)
	for _, test := range []struct {
		name   string
		client *http.Client
		path   string
		token  string
		status int // 0: no connection
	}{
		{"none", ours.client(), "/healthz", secret, 0},
		{"another authority's", ours.client(theirs.pair("ann")), "/healthz", secret, 0},
		{"ours", ours.client(ours.pair("bob")), "/healthz", "", 200},
		{"ours, and no token", ours.client(ours.pair("bob")), "/api/v1/services", "", 401},
		{"ours, and a token", ours.client(ours.pair("bob")), "/api/v1/services", secret, 200},
		{"in place of a token", ours.client(ours.pair("ann")), "/debug/pprof/cmdline", "", 200},
		{"and a token, which counts", ours.client(ours.pair("ann")), "/debug/pprof/cmdline", secret, 403},
	} {
		if got := status(test.client, test.path, test.token); got != test.status {
			t.Errorf("%s: got %d; want %d", test.name, got, test.status)
		}
	}
}
