package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cleat/registry/access"
)

// tokenCommand calls cleatd token.
func tokenCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(t.Context(), append([]string{"token"}, args...), nil, &out, &errs)
	return code, out.String(), errs.String()
}

func TestTokenCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	code, secret, says := tokenCommand(t, "new", "-tokens", file, "shop", "register", "prod", "shop-*")
	if code != exitOK || !regexp.MustCompile(`^cleat_[A-Za-z0-9_-]{43}\n$`).MatchString(secret) || !strings.Contains(says, file) || strings.Contains(says, "cleat_") {
		t.Fatalf("exit %d, %q, %q", code, secret, says)
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), "cleat_") {
		t.Errorf("the file is %q, %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	if err := os.WriteFile(file, append([]byte("# ours\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"new", "-tokens", file, "ann", "admin"},
		{"new", "-tokens", file, "-certificate", "edge.example.org", "edge", "read"},
		{"new", "-tokens", file, "anonymous", "read", "default"},
	} {
		if code, _, says := tokenCommand(t, args...); code != exitOK {
			t.Errorf("%v: exit %d, %q", args, code, says)
		}
	}
	code, list, _ := tokenCommand(t, "list", "-tokens", file)
	for _, line := range []string{`shop +register +prod +shop-\* +sha256:[0-9a-f]{8}\n`, `ann +admin +\* +\* `, `edge +read +\* +\* +cert:edge.example.org`, `anonymous +read +default +\* +-`} {
		if code != exitOK || !regexp.MustCompile(line).MatchString(list) {
			t.Errorf("exit %d; the list does not have %q:\n%s", code, line, list)
		}
	}
	if code, _, says := tokenCommand(t, "remove", "-tokens", file, "shop", "ann"); code != exitOK {
		t.Errorf("exit %d, %q", code, says)
	}
	text, _ = os.ReadFile(file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 || !strings.HasPrefix(string(text), "# ours\nedge cert:") {
		t.Errorf("got %v, %v, %q", info, err, text)
	}
	tokens, err := access.ReadFile(file)
	if err != nil || len(tokens) != 2 {
		t.Errorf("got %v, %v", tokens, err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestTokenCommandMistakes(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	if code, _, says := tokenCommand(t, "new", "-tokens", good, "ann", "admin"); code != exitOK {
		t.Fatal(says)
	}
	if err := os.WriteFile(bad, []byte("x y z\nann sha256:12 root\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(good)
	tests := []struct {
		args []string
		code int
		says string
	}{
		{[]string{"new", "x", "read"}, exitSettings, "CLEATD_TOKENS"},
		{[]string{"new", "-tokens", good}, exitSettings, "NAME ROLE"},
		{[]string{"new", "-tokens", good, "A B", "root", "X"}, exitSettings, "no role"},
		{[]string{"new", "-tokens", good, "ann", "read"}, exitFailed, "already"},
		{[]string{"new", "-tokens", bad, "bob", "read"}, exitFailed, "line 1"},
		{[]string{"new", "-tokens", filepath.Join(dir, "none", "x"), "bob", "read"}, exitFailed, "no such"},
		{[]string{"list", "-tokens", bad}, exitFailed, "line 2"},
		{[]string{"remove", "-tokens", good, "bob"}, exitFailed, "no token"},
		{[]string{"remove", "-tokens", good}, exitSettings, "NAME"},
		{[]string{"revoke", "-tokens", good}, exitSettings, "new, list or remove"},
		{[]string{"new", "-file", good}, exitSettings, "-help"},
	}
	for _, test := range tests {
		code, out, says := tokenCommand(t, test.args...)
		if code != test.code || !strings.Contains(says, test.says) || out != "" {
			t.Errorf("%v: exit %d, %q, %q; want %d, %q", test.args, code, out, says, test.code, test.says)
		}
	}
	if after, _ := os.ReadFile(good); string(after) != string(before) {
		t.Errorf("a mistake has changed the file:\n%s", after)
	}
	if err := os.WriteFile(filepath.Join(dir, ".good.cleatd-new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, says := tokenCommand(t, "remove", "-tokens", good, "ann"); code != exitFailed || !strings.Contains(says, "somebody else") {
		t.Errorf("two at the same time: exit %d, %q", code, says)
	}
	if code, out, _ := tokenCommand(t); code != exitOK || !strings.Contains(out, "cleatd token list") {
		t.Errorf("the manual: exit %d, %q", code, out)
	}
}

// TestBadFilesAtTheStart: all mistakes are told together, before anything is
// served.
func TestBadFilesAtTheStart(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "tokens")
	if err := os.WriteFile(bad, []byte("x y z\nann sha256:12 root\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	code := run(t.Context(), []string{"-listen", "127.0.0.1:0", "-tokens", bad, "-cert", bad, "-key", filepath.Join(dir, "none")}, nil, os.Stdout, &errs)
	if code != exitSettings || !strings.Contains(errs.String(), "line 1") || !strings.Contains(errs.String(), "line 2") || !strings.Contains(errs.String(), "certificate") {
		t.Errorf("exit %d, %q", code, errs.String())
	}
	errs.Reset()
	code = run(t.Context(), []string{"-listen", "127.0.0.1:0", "-tokens", filepath.Join(dir, "none")}, nil, os.Stdout, &errs)
	if code != exitSettings || !strings.Contains(errs.String(), "cleatd token new -tokens "+filepath.Join(dir, "none")) {
		t.Errorf("exit %d, %q", code, errs.String())
	}
}
