package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"sync"

	"cleat/registry/access"
	"cleat/registry/server"
)

// guards are what stands between the server and the network.
type guards struct {
	tokens       *access.Tokens       // nil: nobody is asked
	certificates *access.Certificates // nil: plain text
}

// openGuards reads the files that say who may do what. The error joins everything
// that is wrong.
func openGuards(log *slog.Logger, s settings) (guards, error) {
	var g guards
	var errs []error
	var err error
	if s.tokens != "" {
		if g.tokens, err = access.Open(s.tokens, log); errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; cleatd token new -tokens %s NAME ROLE makes it", err, s.tokens)
		}
		if err != nil {
			errs = append(errs, lines(err)...)
		}
	}
	if s.tls.Cert != "" {
		if g.certificates, err = access.OpenCertificates(s.tls, log); err != nil {
			errs = append(errs, err)
		}
	}
	return g, errors.Join(errs...)
}

// warn says aloud what the operator may not have meant.
func (g guards) warn(log *slog.Logger, s settings) {
	host, _, _ := net.SplitHostPort(s.listen)
	switch {
	case s.open && s.tls.ClientCA != "":
		log.Warn("cleatd is open: whoever has a certificate of the clients' may do everything; -tokens asks them for more")
	case s.open:
		log.Warn("cleatd is open: whoever reaches it may do everything, and nobody is asked who they are; -tokens changes that")
	case g.tokens != nil && g.certificates == nil && !isLocal(host):
		log.Warn("tokens cross the network as plain text; -cert and -key change that")
	}
}

// watch follows the files until ctx ends.
func (g guards) watch(ctx context.Context, srv *server.Server) *sync.WaitGroup {
	var work sync.WaitGroup
	if g.tokens != nil {
		work.Go(func() { g.tokens.Run(ctx, srv.RenewGrants) })
	}
	if g.certificates != nil {
		work.Go(func() { g.certificates.Run(ctx) })
	}
	return &work
}

// wrap makes the listener speak TLS, if there are certificates.
func (g guards) wrap(listener net.Listener) net.Listener {
	if g.certificates == nil {
		return listener
	}
	return tls.NewListener(listener, g.certificates.Config())
}

// grant returns what those may see who can show no token, as in DNS; nil:
// everything.
func (g guards) grant() func() access.Grant {
	if g.tokens == nil {
		return nil
	}
	return g.tokens.Anonymous
}
