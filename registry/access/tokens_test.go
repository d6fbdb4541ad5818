package access

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// soon is how long a test waits for what must come.
const soon = 10 * time.Second

// journal is a log that can be read.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
	line chan struct{}
}

func newJournal() (*journal, *slog.Logger) {
	j := &journal{line: make(chan struct{}, 100)}
	return j, slog.New(slog.NewTextHandler(j, nil))
}

func (j *journal) Write(data []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Write(data)
	j.line <- struct{}{}
	return len(data), nil
}

// await returns what has been logged when a line of it has the text.
func (j *journal) await(t *testing.T, text string) string {
	t.Helper()
	limit := time.After(soon)
	for {
		j.mu.Lock()
		all := j.text.String()
		j.mu.Unlock()
		if strings.Contains(all, text) {
			return all
		}
		select {
		case <-j.line:
		case <-limit:
			t.Fatalf("%q is not logged:\n%s", text, all)
		}
	}
}

func save(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTokensFollowTheirFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	old, next := NewToken(), NewToken()
	save(t, path, "ci "+hashOf(old)+" read\n")
	j, log := newJournal()
	tokens, err := Open(path, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changed, ended := make(chan struct{}, 10), make(chan struct{})
	go func() {
		defer close(ended)
		tokens.Run(ctx, func() { changed <- struct{}{} })
	}()
	defer func() {
		cancel()
		<-ended
	}()
	grant, ok := tokens.Find(old)
	if !ok || grant.Name() != "ci" {
		t.Fatalf("got %v, %v", grant, ok)
	}
	if _, ok := tokens.Find(next); ok {
		t.Error("a token is known that is not in the file")
	}

	save(t, path, "ci "+hashOf(old)+" register\nnext "+hashOf(next)+" read\n")
	await(t, changed)
	if now, ok := tokens.Renew(grant); !ok || !now.Allows(Register, "", "") || grant.Allows(Register, "", "") {
		t.Errorf("renewed to %v, %v; the old grant must not change", now, ok)
	}

	save(t, path, "ci "+hashOf(old)+" register\nnext oops\n") // a mistake
	all := j.await(t, "what it said before goes on to count")
	if !strings.Contains(all, "line 2") || !strings.Contains(all, "level=ERROR") {
		t.Errorf("the log does not say where the mistake is:\n%s", all)
	}
	if _, ok := tokens.Find(next); !ok {
		t.Error("a bad file has taken a token away")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	j.await(t, "no such file")
	if _, ok := tokens.Find(next); !ok {
		t.Error("a file that is gone has taken a token away")
	}

	// As Kubernetes does it: a link that leads elsewhere.
	dir := filepath.Dir(path)
	save(t, filepath.Join(dir, "v2"), "next "+hashOf(next)+" read\n")
	if err := os.Symlink("v2", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "link"), path); err != nil {
		t.Fatal(err)
	}
	await(t, changed)
	if _, ok := tokens.Find(old); ok {
		t.Error("a token is known that has been revoked")
	}
	if now, ok := tokens.Renew(grant); ok {
		t.Errorf("a revoked token is renewed to %v", now)
	}
	if strings.Contains(j.await(t, "the tokens have changed"), "cleat_") {
		t.Error("the log has a token")
	}
}

func await(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(soon):
		t.Fatal("nothing comes")
	}
}

func TestCertificateNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	save(t, path, "edge cert:edge.example.org read\nci cert:pipeline register\n")
	tokens, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		certificate x509.Certificate
		name        string
	}{
		{x509.Certificate{DNSNames: []string{"other", "EDGE.example.org"}, Subject: pkix.Name{CommonName: "pipeline"}}, "edge"},
		{x509.Certificate{DNSNames: []string{"other"}, Subject: pkix.Name{CommonName: "pipeline"}}, "ci"},
		{x509.Certificate{Subject: pkix.Name{CommonName: "ci"}}, ""},
		{x509.Certificate{}, ""},
	}
	for _, test := range tests {
		g, ok := tokens.FindCertificate(&test.certificate)
		if ok != (test.name != "") || g.Name() != test.name {
			t.Errorf("%v: got %q, %v", test.certificate.Subject, g.Name(), ok)
		}
		if _, again := tokens.Renew(g); ok && !again {
			t.Errorf("%q is not renewed", g.Name())
		}
	}
	if tokens.Anonymous().Any(Read, "") {
		t.Error("who shows nothing may do something")
	}
}

func TestFileThatOthersMayWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	save(t, path, "ci "+hashOf("x")+" read\n")
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	j, log := newJournal()
	if _, err := Open(path, log); err != nil {
		t.Fatal(err)
	}
	j.await(t, "others may write the file of tokens")
}
