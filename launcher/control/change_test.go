package control

import (
	"strings"
	"testing"

	"cleat/registry"
)

func TestParseChange(t *testing.T) {
	for text, want := range map[string]Change{
		"tag+=primary":     {Tag: "primary"},
		"tag-=primary":     {Tag: "primary", Remove: true},
		"tag+=a=b":         {Tag: "a=b"},
		"attr.role=master": {Attribute: "role", Value: "master"},
		"attr.Role=":       {Attribute: "role", Remove: true},
		"attr.a.b-c_d=x=y": {Attribute: "a.b-c_d", Value: "x=y"},
	} {
		if got, err := ParseChange(text); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; expected %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                              "has no '='",
		"primary":                       "has no '='",
		"tag=primary":                   `there is no change "tag="`,
		"role=x":                        `there is no change "role="`,
		"tag+=":                         "names no tag",
		"attr.=x":                       "no attribute can have the name",
		"attr.a b=x":                    "no attribute can have the name",
		strings.Repeat("x", 1000) + "=": "there is no change",
	} {
		if got, err := ParseChange(text); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("%q: got %+v, %v; expected an error with %q", text, got, err, want)
		}
	}
}

func TestParsePort(t *testing.T) {
	for text, want := range map[string]Port{
		"": {}, "3306": {3306, registry.TCP}, "53/udp": {53, registry.UDP}, "80/TCP": {80, registry.TCP},
	} {
		if got, err := ParsePort(text); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; expected %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"0", "65536", "-1", "x", "80/sctp", "80/", "/udp", "80 "} {
		if got, err := ParsePort(text); err == nil {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}

// Whatever is taken can be said again, and means the same.
func FuzzParseChange(f *testing.F) {
	for _, seed := range []string{"tag+=primary", "tag-=x", "attr.role=master", "attr.role=", "x", "=", "attr.=", "tag+="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		change, err := ParseChange(text)
		if err != nil {
			return
		}
		again, err := ParseChange(change.String())
		if err != nil || again != change {
			t.Errorf("%q is %+v, and %q is %+v, %v", text, change, change.String(), again, err)
		}
	})
}
