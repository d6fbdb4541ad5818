package access

import (
	"context"
	"crypto/subtle"
	"crypto/x509"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"cleat/internal/filewatch"
)

// settleTime is how long a file of tokens must have been left alone before it is
// read again: who writes it in place is not to lock out those whose lines are
// still to come.
const settleTime = 200 * time.Millisecond

// Tokens are the tokens that a server knows, from a file that it watches.
//
//	read at the start --changed, left alone for 200 ms--> read again
//	                                  |         |
//	                              good: used   bad, gone or empty: the last
//	                                           good one stays, an error is logged
//
// Its methods may be called by any goroutine.
type Tokens struct {
	path    string
	log     *slog.Logger
	current atomic.Pointer[table]
}

// Open reads a file of tokens. The error joins everything that is wrong with it,
// with line numbers.
func Open(path string, log *slog.Logger) (*Tokens, error) {
	table, err := read(path)
	if err != nil {
		return nil, err
	}
	t := &Tokens{path: path, log: log}
	t.current.Store(table)
	const othersWrite = 0o022
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&othersWrite != 0 {
		log.Warn("others may write the file of tokens, and so give themselves any role", "file", path, "mode", info.Mode().Perm().String())
	}
	return t, nil
}

// Run reads the file again whenever it changes, until ctx ends. After each change
// it calls changed.
func (t *Tokens) Run(ctx context.Context, changed func()) {
	watcher := filewatch.New("", t.log)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = watcher.Run(ctx) // only ever ends with ctx
	}()
	defer func() { <-done }()
	watcher.Watch([]string{t.path})
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-watcher.Changed():
			settled = time.After(settleTime)
		case <-settled:
			settled = nil
			if t.Reload() {
				changed()
			}
		}
	}
}

// Reload reads the file again, as Run does by itself. It reports whether it says something else.
func (t *Tokens) Reload() bool {
	next, err := read(t.path)
	if err != nil {
		t.log.Error("the file of tokens cannot be used; what it said before goes on to count", "file", t.path, "error", oneLine(err))
		return false
	}
	if next.equal(t.current.Load()) {
		return false
	}
	t.current.Store(next)
	t.log.Info("the tokens have changed", "file", t.path, "tokens", len(next.tokens), "certificates", len(next.certificates))
	return true
}

// Find returns what somebody may do who shows the token. The token is never
// compared itself: it is found by its hash, so that the time that this takes
// says nothing about any token.
func (t *Tokens) Find(token string) (Grant, bool) {
	d, ok := digestOf(token)
	if !ok {
		return Grant{}, false
	}
	h := t.current.Load().tokens[d]
	if h == nil || subtle.ConstantTimeCompare(h.token[:], d[:]) != 1 {
		return Grant{}, false
	}
	return Grant{h}, true
}

// FindCertificate returns what somebody may do who shows the certificate, which
// has been verified: by its first DNS name that has a line, or by its common
// name.
func (t *Tokens) FindCertificate(c *x509.Certificate) (Grant, bool) {
	known := t.current.Load().certificates
	if len(known) == 0 {
		return Grant{}, false
	}
	for _, name := range append(c.DNSNames[:len(c.DNSNames):len(c.DNSNames)], c.Subject.CommonName) {
		if h := known[strings.ToLower(name)]; name != "" && h != nil {
			return Grant{h}, true
		}
	}
	return Grant{}, false
}

// Anonymous returns what somebody may do who shows nothing.
func (t *Tokens) Anonymous() Grant { return Grant{t.current.Load().anonymous} }

// Renew returns what the holder of an earlier grant may do now; ok is false when
// the token, or the certificate's name, is not known any more.
func (t *Tokens) Renew(g Grant) (renewed Grant, ok bool) {
	table := t.current.Load()
	switch h := g.holder; {
	case h == nil || h.name == "":
		return Grant{table.anonymous}, true
	case h.certificate != "":
		h = table.certificates[h.certificate]
		return Grant{h}, h != nil
	default:
		h = table.tokens[h.token]
		return Grant{h}, h != nil
	}
}

// equal reports whether two files say the same, in the same order.
func (t *table) equal(other *table) bool {
	if len(t.lines) != len(other.lines) {
		return false
	}
	for n, l := range t.lines {
		if l.String() != other.lines[n].String() {
			return false
		}
	}
	return true
}
