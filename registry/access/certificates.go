package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"cleat/internal/filewatch"
)

const (
	// expiresSoon is how long before its end a certificate is warned about.
	expiresSoon = 7 * 24 * time.Hour
	// lookAgain is how often it is looked at for that.
	lookAgain = 24 * time.Hour
)

// CertificateFiles are where a server's certificates are, as PEM.
type CertificateFiles struct {
	Cert     string // the server's, with those that lead to a root
	Key      string
	ClientCA string // who signs the clients' certificates; empty: clients need none
}

// Certificates are the server's side of TLS, from files that it watches.
//
//	read at the start --changed, left alone for 200 ms--> read again
//	                                  |         |
//	                          good: for new    bad, or gone: the last good
//	                          connections      ones stay, an error is logged
//
// Connections that are open go on with what they began with.
type Certificates struct {
	files   CertificateFiles
	log     *slog.Logger
	current atomic.Pointer[tls.Config]
}

// OpenCertificates reads the files. The error says which of them cannot be used.
func OpenCertificates(files CertificateFiles, log *slog.Logger) (*Certificates, error) {
	c := &Certificates{files: files, log: log}
	config, err := c.read()
	if err != nil {
		return nil, err
	}
	c.current.Store(config)
	return c, nil
}

// Config returns how a listener speaks TLS: version 1.2 and later, and HTTP/1.1
// over it, so that a connection carries one request at a time. Every connection
// gets the certificates of its moment; none is resumed past them.
func (c *Certificates) Config() *tls.Config {
	config := base()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil }
	return config
}

func base() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true}
}

// Expiry returns when the server's certificate expires. It may be called by any
// goroutine.
func (c *Certificates) Expiry() time.Time { return c.current.Load().Certificates[0].Leaf.NotAfter }

// Run reads the files again whenever one changes, until ctx ends.
func (c *Certificates) Run(ctx context.Context) {
	watcher := filewatch.New("", c.log)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = watcher.Run(ctx) // only ever ends with ctx
	}()
	defer func() { <-done }()
	paths := []string{c.files.Cert, c.files.Key}
	if c.files.ClientCA != "" {
		paths = append(paths, c.files.ClientCA)
	}
	watcher.Watch(paths)
	daily := time.NewTicker(lookAgain)
	defer daily.Stop()
	c.warnOfEnd()
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-daily.C:
			c.warnOfEnd()
		case <-watcher.Changed():
			settled = time.After(settleTime)
		case <-settled:
			settled = nil
			c.reload()
		}
	}
}

func (c *Certificates) reload() {
	next, err := c.read()
	if err != nil {
		c.log.Error("the certificates cannot be used; the earlier ones stay in use", "error", err)
		return
	}
	was := c.current.Load()
	if next.Certificates[0].Leaf.Equal(was.Certificates[0].Leaf) && (next.ClientCAs == nil || next.ClientCAs.Equal(was.ClientCAs)) {
		return
	}
	c.current.Store(next)
	leaf := next.Certificates[0].Leaf
	c.log.Info("the certificates have changed", "file", c.files.Cert, "subject", leaf.Subject.String(), "not_after", leaf.NotAfter)
	c.warnOfEnd()
}

// warnOfEnd warns when the certificate is about to expire, or has.
func (c *Certificates) warnOfEnd() {
	if end := c.Expiry(); time.Until(end) < expiresSoon {
		c.log.Warn("the server's certificate expires soon, or has: clients will refuse it", "file", c.files.Cert, "not_after", end)
	}
}

// read reads the files.
func (c *Certificates) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return nil, fmt.Errorf("the certificate %s and the key %s cannot be used: %w", c.files.Cert, c.files.Key, err)
	}
	config := base()
	config.Certificates = []tls.Certificate{pair}
	if c.files.ClientCA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(c.files.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("who signs the clients' certificates cannot be read: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate; expected those who sign the clients' certificates, as PEM", c.files.ClientCA)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	return config, nil
}
