package access

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestGlob(t *testing.T) {
	tests := []struct {
		pattern glob
		name    string
		covers  bool
	}{
		{"*", "", true}, {"*", "a", true}, {"*", "a/b", true},
		{"a", "a", true}, {"a", "", false}, {"a", "ab", false}, {"a", "b", false},
		{"a*", "a", true}, {"a*", "a/b", true}, {"a*", "b", false}, {"a*", "", false},
		{"*a", "ba", true}, {"*a", "ab", false},
		{"dev/*", "dev/alice", true}, {"dev/*", "dev/alice/x", true}, {"dev/*", "dev", false}, {"dev/*", "devs/a", false},
		{"a*b*c", "abc", true}, {"a*b*c", "axxbxxbc", true}, {"a*b*c", "acb", false}, {"a**", "a", true},
	}
	for _, test := range tests {
		if got := test.pattern.covers(test.name); got != test.covers {
			t.Errorf("%q covers %q: got %v", test.pattern, test.name, got)
		}
	}
	begin := time.Now()
	if glob(strings.Repeat("*a", 100)).covers(strings.Repeat("a", 400)) == glob(strings.Repeat("a*", 500)).covers(strings.Repeat("a", 400)) {
		t.Error("a long pattern is wrong")
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a bad pattern takes %v", took)
	}
}

func TestGrant(t *testing.T) {
	var nothing Grant
	for _, role := range []Role{None, Read, Register, Admin} {
		if nothing.Allows(role, "default", "web") || nothing.Any(role, "") {
			t.Errorf("the zero value allows to %v", role)
		}
		if Everything().Allows(role, "", "") != (role != None) {
			t.Errorf("everything: wrong about %v", role)
		}
	}
	g := Grant{&holder{name: "ci", rules: []rule{{Register, []glob{"prod"}, []glob{"web*"}}, {Read, []glob{"prod"}, []glob{"*"}}}}}
	tests := []struct {
		role               Role
		namespace, service string
		allows             bool
	}{
		{Read, "prod", "db", true}, {Read, "prod", "", true}, {Read, "dev", "db", false}, {Read, "", "", false},
		{Register, "prod", "web-1", true}, {Register, "prod", "db", false}, {Register, "prod", "", false},
		{Admin, "prod", "web-1", false}, {None, "prod", "web-1", false},
	}
	for _, test := range tests {
		if got := g.Allows(test.role, test.namespace, test.service); got != test.allows {
			t.Errorf("%v %q %q: got %v", test.role, test.namespace, test.service, got)
		}
	}
	if !g.Any(Register, "prod") || g.Any(Register, "dev") || !g.Any(Read, "") || g.Any(Admin, "") {
		t.Error("wrong about any")
	}
	if g.Namespace() != "prod" || g.Name() != "ci" {
		t.Errorf("got %q, %q", g.Namespace(), g.Name())
	}
	all := []glob{"*"}
	for _, many := range []Grant{
		{}, Everything(),
		{&holder{rules: []rule{{Read, []glob{"a"}, all}, {Read, []glob{"b"}, all}}}},
		{&holder{rules: []rule{{Read, []glob{"a", "b"}, all}}}},
		{&holder{rules: []rule{{Read, []glob{"a/*"}, all}}}},
	} {
		if many.Namespace() != "default" {
			t.Errorf("got %q", many.Namespace())
		}
	}
}

func TestAnyBelow(t *testing.T) {
	for pattern, want := range map[glob]bool{"*": true, "dev/*": true, "dev/alice": true, "d*": true, "dev/a*": true, "dev": false, "prod/*": false, "dev/": false, "develop/*": false, "*/x": true} {
		g := Grant{&holder{rules: []rule{{Read, []glob{pattern}, []glob{"*"}}}}}
		if got := g.AnyBelow(Read, "dev"); got != want {
			t.Errorf("%q: got %v", pattern, got)
		}
		if g.AnyBelow(Register, "dev") {
			t.Errorf("%q: another role", pattern)
		}
	}
}

func TestContext(t *testing.T) {
	if Of(context.Background()).Allows(Read, "default", "web") {
		t.Error("a context without a grant allows something")
	}
	if !Of(With(t.Context(), Everything())).Allows(Admin, "", "") {
		t.Error("the grant was lost")
	}
}

func TestRoles(t *testing.T) {
	for _, role := range []Role{Read, Register, Admin} {
		if got, err := ParseRole(role.String()); err != nil || got != role {
			t.Errorf("%v: got %v, %v", role, got, err)
		}
	}
	for _, bad := range []string{"", "none", "Read", "root"} {
		if role, err := ParseRole(bad); err == nil {
			t.Errorf("%q is %v", bad, role)
		}
	}
}
