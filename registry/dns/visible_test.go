package dns

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"

	"cleat/registry"
	"cleat/registry/access"
)

// TestWhatAnonymousMaySee: in DNS nobody can show a token.
func TestWhatAnonymousMaySee(t *testing.T) {
	reg := newTable()
	reg.add(
		registry.Instance{ID: "w", Service: "web", Address: "192.0.2.1"},
		registry.Instance{ID: "d", Service: "db", Address: "192.0.2.1"},
		registry.Instance{ID: "a", Service: "web", Namespace: "dev/alice", Address: "192.0.2.2"},
		registry.Instance{ID: "p", Service: "web", Namespace: "prod", Address: "192.0.2.3"},
	)
	path := filepath.Join(t.TempDir(), "tokens")
	sum := sha256.Sum256([]byte("x"))
	text := "anonymous - read default web\nanonymous - read dev/*\nother sha256:" + hex.EncodeToString(sum[:]) + " admin\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := access.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(t, reg, Config{Grant: tokens.Anonymous})
	tests := []struct {
		name    string
		kind    uint16
		rcode   int
		answers int
	}{
		{"web.cleat.", dns.TypeA, dns.RcodeSuccess, 1},
		{"web.alice.dev.cleat.", dns.TypeA, dns.RcodeSuccess, 1},
		{"db.cleat.", dns.TypeA, dns.RcodeNameError, 0},
		{"_db._tcp.cleat.", dns.TypeSRV, dns.RcodeNameError, 0},
		{"web.prod.cleat.", dns.TypeA, dns.RcodeNameError, 0},
		{"prod.cleat.", dns.TypeA, dns.RcodeNameError, 0},
		{"dev.cleat.", dns.TypeA, dns.RcodeSuccess, 0},
		{"1.2.0.192.in-addr.arpa.", dns.TypePTR, dns.RcodeSuccess, 1},
	}
	for _, test := range tests {
		m := ask(t, w, question(test.name, test.kind), here)
		if m.Rcode != test.rcode || len(m.Answer) != test.answers {
			t.Errorf("%s: got %v", test.name, m)
		}
	}
}
