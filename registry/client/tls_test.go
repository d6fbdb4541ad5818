package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cleat/registry"
	"cleat/registry/client"
)

// certificate returns one for the host a, and the pool that trusts it; it is
// valid now, which in a bubble is in the year 2000.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a"}, DNSNames: []string{"a"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		certificate, pool := certificate(t)
		plain, config := network(t, 1)
		p := plain[0]
		p.wrap = func(conn net.Conn) net.Conn {
			return tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
		}
		config.Servers = []string{"https://a:1"}
		asked := 0
		config.TLS = func() (*tls.Config, error) {
			asked++
			return &tls.Config{RootCAs: pool}, nil
		}
		c := client.New(config)
		finish := run(t, c)
		c.Declare(statement())
		s, _ := p.welcome()
		if e := event[client.Connected](t, c); e.Server != "https://a:1" {
			t.Errorf("got %+v", e)
		}
		s.send(view(100, true, false, "a"))
		sameIDs(t, event[client.Viewed](t, c).View, "a")
		before := time.Now()
		event[client.Disconnected](t, c) // silence is found through TLS as well
		if took := time.Since(before); took != 9*time.Second {
			t.Errorf("the session ended after %v", took)
		}
		time.Sleep(registry.ReconnectCap) // it tries again
		finish()
		if asked < 2 {
			t.Errorf("the client asked %d times how to trust; want it at every attempt", asked)
		}
	})
}

func TestTLSWithACertificateNobodyKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		certificate, _ := certificate(t)
		plain, config := network(t, 1)
		config.Servers = []string{"https://a:1"}
		config.TLS = func() (*tls.Config, error) { return &tls.Config{RootCAs: x509.NewCertPool()}, nil }
		c := client.New(config)
		run(t, c)
		c.Declare(statement())
		conn, err := plain[0].Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}}).Handshake(); err == nil {
			t.Error("the client trusts anybody")
		}
		conn.Close()
		if e := event[client.Disconnected](t, c); !strings.Contains(e.Err.Error(), "certificate") {
			t.Errorf("got %v", e.Err)
		}
	})
}
