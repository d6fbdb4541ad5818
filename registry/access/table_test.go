package access

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hashOf returns how a token is written in a file.
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func TestNewToken(t *testing.T) {
	token := NewToken()
	if len(token) != 49 || !strings.HasPrefix(token, "cleat_") || token == NewToken() {
		t.Errorf("got %q", token)
	}
	if d, ok := digestOf(token); !ok || "sha256:"+d.String() != hashOf(token) {
		t.Errorf("the hash of %q is %v, %v", token, d, ok)
	}
	for _, bad := range []string{"", "cleat_", "secret", token + "x", token[:48], "CLEAT_" + token[6:], token[:48] + "!", strings.Repeat("x", 49)} {
		if _, ok := digestOf(bad); ok {
			t.Errorf("%q is taken for a token", bad)
		}
	}
}

func TestFile(t *testing.T) {
	ci, db := NewToken(), NewToken()
	table, err := parse([]byte("# tokens\n\n" +
		"ci " + hashOf(ci) + " register prod web*,db # the pipeline\r\n" +
		"ci " + hashOf(ci) + " read *\n" +
		"\tdb\t" + hashOf(db) + "  admin\n" +
		"edge cert:Edge.Example.org read prod,dev/*\n" +
		"anonymous - read default web"))
	if err != nil {
		t.Fatal(err)
	}
	find := func(token string) Grant {
		d, _ := digestOf(token)
		return Grant{table.tokens[d]}
	}
	if g := find(ci); g.Name() != "ci" || !g.Allows(Register, "prod", "web-1") || g.Allows(Register, "prod", "cache") || !g.Allows(Read, "dev", "x") || g.Namespace() != "default" {
		t.Errorf("ci: got %+v", g.holder)
	}
	if g := find(db); !g.Allows(Admin, "", "") {
		t.Errorf("db: got %+v", g.holder)
	}
	if g := (Grant{table.certificates["edge.example.org"]}); g.Name() != "edge" || !g.Allows(Read, "dev/alice", "x") || g.Allows(Read, "dev", "x") {
		t.Errorf("edge: got %+v", g.holder)
	}
	if g := (Grant{table.anonymous}); g.Name() != "" || !g.Allows(Read, "default", "web") || g.Allows(Read, "default", "db") {
		t.Errorf("anonymous: got %+v", g.holder)
	}
}

func TestMistakesInAFile(t *testing.T) {
	token := NewToken()
	hash := hashOf(token)
	tests := []struct {
		line string
		says string
	}{
		{"ci", "line 2: there are 1 fields; expected NAME HASH ROLE"},
		{"ci " + hash + " read a b c", "there are 6 fields"},
		{"CI " + hash + " read", "capital letter"},
		{"ci " + hash + " root", `no role "root"; expected read, register or admin`},
		{"ci sha256:abc read", "64 hexadecimal digits; cleatd token new makes it"},
		{"ci " + token + " read", "a token in place of its hash"},
		{"ci - read", "expected - for anonymous"},
		{"anonymous " + hash + " read", "expected - for anonymous"},
		{"anonymous - register", "may only read"},
		{"ci " + hash + " read Prod", `the pattern "Prod" has 'P'`},
		{"ci " + hash + " read prod,", "empty pattern"},
		{"ci " + hash + " read prod a/b", `has '/'`},
		{"ci " + hash + " read *a*a*a*a*a*a*a*a*", "more than 8 stars"},
		{"ci " + hash + " read " + strings.Repeat("a", 300), "at most 255"},
		{"ci " + hash + " read " + strings.Repeat("a,", 40) + "a", "at most 32"},
		{"ci cert: read", "certificate"},
		{"first " + hashOf("other") + " read", "that of another token in line 1"},
		{"ci " + hashOf("first") + " read", `the name "first" already`},
		{"ci cert:first.example.org read\nother cert:FIRST.example.org read", `the name "ci" already`},
		{"CI x root", "names are in lower case; the hash is not sha256: and 64 hexadecimal digits; cleatd token new makes it; there is no role"},
		{strings.Repeat("x", 5000), "line 2: it is longer than 4096 bytes"},
		{strings.Repeat("x\n", 100), "there may be more mistakes"},
	}
	for _, test := range tests {
		_, err := parse([]byte("first " + hashOf("first") + " read\n" + test.line + "\n"))
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%.60q: got %v; want %q", test.line, err, test.says)
		}
		if err != nil && strings.Contains(err.Error(), token) {
			t.Errorf("%.60q: the error shows the token: %v", test.line, err)
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "tokens")
	for text, says := range map[string]string{"": "no token in it", "# nothing\n": "no token in it", "a b c\nd e f\n": path + ": line 2:", strings.Repeat("#\n", maxFile): "larger"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.20q: got %v", text, err)
		}
	}
	if _, err := ReadFile(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there has been read")
	}
}

func TestAddAndRemove(t *testing.T) {
	file := []byte("# mine\nci " + hashOf("ci") + " read") // without an end
	line, err := NewLine("web", NewToken(), "", "register", "prod", "")
	if err != nil {
		t.Fatal(err)
	}
	file, err = Add(file, line)
	if err != nil || !strings.HasPrefix(string(file), "# mine\nci "+hashOf("ci")+" read\nweb sha256:") || !strings.HasSuffix(string(file), " register prod *\n") {
		t.Fatalf("got %v\n%s", err, file)
	}
	if _, err := Add(file, line); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("the same name again: got %v", err)
	}
	if _, err := Add([]byte("garbage"), line); err == nil {
		t.Error("a bad file got one more line")
	}
	if _, err := NewLine("X", NewToken(), "", "root", "A", "B"); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("four mistakes: got %v", err)
	}
	if _, err := NewLine("x", "mine", "", "read", "", ""); err == nil {
		t.Error("a token of somebody's own was taken")
	}
	file, err = Remove(file, "ci")
	if err != nil || strings.Contains(string(file), "ci ") || !strings.HasPrefix(string(file), "# mine\nweb ") {
		t.Errorf("got %v\n%s", err, file)
	}
	if _, err := Remove(file, "ci"); err == nil {
		t.Error("removed twice")
	}
}

// FuzzFile: whatever is in a file, reading it ends, keeps within its bounds, and
// what it says, written again, says the same.
func FuzzFile(f *testing.F) {
	f.Add("ci " + hashOf("a") + " register prod web*,db\nanonymous - read default *\n")
	f.Add("edge cert:edge read # x\r\n\x00")
	f.Add("a sha256: admin")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := parse([]byte(text))
		if err != nil {
			return
		}
		var again strings.Builder
		for _, l := range table.lines {
			fmt.Fprintln(&again, l)
		}
		second, err := parse([]byte(again.String()))
		if err != nil || !second.equal(table) {
			t.Fatalf("%q\nis written as\n%q: %v", text, again.String(), err)
		}
		for _, h := range table.tokens {
			if len(h.rules) > maxRules || h.name == "" {
				t.Errorf("got %+v", h)
			}
		}
		if table.anonymous != nil && (Grant{table.anonymous}).Any(Register, "") {
			t.Errorf("%q: anonymous may register", text)
		}
		if i := slices.IndexFunc(table.lines, func(l Line) bool { return l.Role == None }); i >= 0 {
			t.Errorf("%q: a line without a role", text)
		}
	})
}
