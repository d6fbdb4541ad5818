package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cleat/registry"
)

// vault is a directory with certificates and tokens.
type vault struct {
	t   *testing.T
	dir string
}

func (v *vault) path(name string) string { return filepath.Join(v.dir, name) }

// put replaces a file as a whole.
func (v *vault) put(name string, data []byte) {
	v.t.Helper()
	if err := os.WriteFile(v.path(name+".new"), data, 0o600); err != nil {
		v.t.Fatal(err)
	}
	if err := os.Rename(v.path(name+".new"), v.path(name)); err != nil {
		v.t.Fatal(err)
	}
}

// renew makes a new authority, and certificates for the server and for a client: ca, server.pem, server.key,
// client.pem, client.key.
func (v *vault) renew() {
	v.t.Helper()
	var authority *x509.Certificate
	var signer *ecdsa.PrivateKey
	for n, name := range []string{"ca", "server", "client"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			v.t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IsCA: n == 0, BasicConstraintsValid: true,
			NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(30 * 24 * time.Hour),
			KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		}
		if n == 0 {
			authority, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, authority, &key.PublicKey, signer)
		if err != nil {
			v.t.Fatal(err)
		}
		if n == 0 {
			if authority, err = x509.ParseCertificate(der); err != nil {
				v.t.Fatal(err)
			}
		}
		secret, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			v.t.Fatal(err)
		}
		v.put(name+".key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}))
		v.put(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
}

// token makes one with cleatd token.
func (v *vault) token(args ...string) string {
	v.t.Helper()
	out, err := exec.Command(built(v.t).cleatd, append([]string{"token", "new", "-tokens", v.path("tokens")}, args...)...).Output()
	if err != nil {
		v.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// instances asks the server for those of the service web.
func (v *vault) instances(address, token string) (int, error) {
	pair, err := tls.LoadX509KeyPair(v.path("client.pem"), v.path("client.key"))
	if err != nil {
		return 0, err
	}
	authority, err := os.ReadFile(v.path("ca.pem"))
	if err != nil {
		return 0, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	client := &http.Client{Timeout: httpTimeout, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}},
	}}
	r, err := http.NewRequest(http.MethodGet, "https://"+address+"/api/v1/services/web", nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	var detail registry.ServiceDetail
	if err := json.NewDecoder(answer.Body).Decode(&detail); err != nil || answer.StatusCode != http.StatusOK {
		return 0, errors.Join(err, fmt.Errorf("the server answers %d", answer.StatusCode))
	}
	return len(detail.Instances), nil
}

// TestLauncherWithTokenOverTLS: a launcher proves who it is and checks who the server is; every certificate and the
// authority itself are replaced under it, and its token is revoked and replaced. The child never notices.
func TestLauncherWithTokenOverTLS(t *testing.T) {
	t.Parallel()
	v := &vault{t: t, dir: t.TempDir()}
	v.renew()
	ann := v.token("ann", "read")
	v.put("token", []byte(v.token("web", "register", "default", "web")))
	s := &site{t: t, address: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	serve := func() *process {
		return startProcess(t, "cleatd", nil, built(t).cleatd, "-listen", s.address, "-dns", "off", "-warming", "0",
			"-tokens", v.path("tokens"), "-cert", v.path("server.pem"), "-key", v.path("server.key"), "-client-ca", v.path("ca.pem"))
	}
	server := serve()
	p, _ := s.web("web-1", "CLEAT_SERVER=https://"+s.address, "CLEAT_TOKEN_FILE="+v.path("token"),
		"CLEAT_CA="+v.path("ca.pem"), "CLEAT_CERT="+v.path("client.pem"), "CLEAT_KEY="+v.path("client.key"))
	await := func(want int) {
		t.Helper()
		WaitFor(t, 20*time.Second, func() error {
			n, err := v.instances(s.address, ann)
			if err == nil && n != want {
				err = fmt.Errorf("there are %d instances, expected %d", n, want)
			}
			return err
		})
	}
	await(1)
	pid, err := p.childPid()
	if err != nil {
		t.Fatal(err)
	}

	v.renew()
	server.waitLog(10*time.Second, "the certificates have changed")
	await(1) // over a connection with the new ones; the session goes on over its own
	if strings.Contains(p.out.String(), "no discovery server") {
		t.Error("new certificates have cost the session")
	}
	server.kill()
	server.wait(5 * time.Second)
	server = serve()
	await(1) // the launcher trusts the new authority

	if out, err := exec.Command(built(t).cleatd, "token", "remove", "-tokens", v.path("tokens"), "web").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	await(0)
	p.waitLog(10*time.Second, "revoked")
	v.put("token", []byte(v.token("web-again", "register", "default", "web")))
	await(1)

	if now, err := p.childPid(); err != nil || now != pid {
		t.Errorf("the child is %d, %v; it was %d", now, err, pid)
	}
	for _, out := range []string{p.out.String(), server.out.String()} {
		if strings.Contains(out, "cleat_") {
			t.Errorf("a token is in the log:\n%s", out)
		}
	}
}
