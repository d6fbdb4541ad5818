package settings

import (
	"strings"
	"testing"
)

func TestCheckTagAndAttribute(t *testing.T) {
	const secret = "hunter2"
	for _, test := range []struct {
		err  error
		want string // in the error; empty: none
	}{
		{CheckTag("primary"), ""},
		{CheckTag("http://bob:" + secret + "@db/"), "secret"},
		{CheckTag("a\nb"), "tag"},
		{CheckTag(strings.Repeat("x", 300)), "tag"},
		{CheckAttribute("role", "master"), ""},
		{CheckAttribute("api_key", secret), "smells of a secret"},
		{CheckAttribute("url", "http://bob:"+secret+"@db/"), "secret"},
		{CheckAttribute("a b", "x"), "attribute"},
		{CheckAttribute("role", strings.Repeat("x", 2000)), "attribute"},
	} {
		switch {
		case test.want == "" && test.err != nil:
			t.Errorf("unexpected: %v", test.err)
		case test.want != "" && (test.err == nil || !strings.Contains(test.err.Error(), test.want)):
			t.Errorf("got %v, expected something with %q", test.err, test.want)
		case test.err != nil && strings.Contains(test.err.Error(), secret):
			t.Errorf("the error repeats a secret: %v", test.err)
		}
	}
}
