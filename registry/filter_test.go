package registry_test

import (
	"fmt"
	"strings"
	"testing"

	"cleat/registry"
)

func TestFilterCanonicalText(t *testing.T) {
	for text, want := range map[string]string{
		"mysql":                              "mysql?ns=default",
		"MySQL?":                             "mysql?ns=default",
		"mysql?ns=Dev/Alice":                 "mysql?ns=dev%2Falice",
		"mysql?tag=b&tag=a&tag=b":            "mysql?ns=default&tag=a&tag=b",
		"mysql?zone=EU-1&attr.Role=~ma.*":    "mysql?attr.role=~ma.%2A&ns=default&zone=eu-1",
		"mysql?attr.x=":                      "mysql?attr.x=&ns=default",
		"mysql?attr.x=a+b%26c":               "mysql?attr.x=a+b%26c&ns=default",
		"mysql?self=true":                    "mysql?ns=default&self=true",
		"mysql?tag=ä":                        "mysql?ns=default&tag=%C3%A4",
		"mysql?attr.b=~x&attr.a=1&attr.c=~y": "mysql?attr.a=1&attr.b=~x&attr.c=~y&ns=default",
	} {
		f, err := registry.ParseFilter(text, registry.DefaultNamespace, nil)
		if err != nil {
			t.Errorf("ParseFilter(%q): %v", text, err)
			continue
		}
		if got := f.String(); got != want {
			t.Errorf("ParseFilter(%q).String() = %q, want %q", text, got, want)
		}
		again, err := registry.ParseFilter(want, "elsewhere", nil)
		if err != nil || again.String() != want {
			t.Errorf("the canonical text %q is read as %q, %v", want, again, err)
		}
	}
}

func TestFilterErrors(t *testing.T) {
	big := strings.Repeat("x", registry.MaxPatternLength+1)
	for text, part := range map[string]string{
		"":                                    "empty",
		"?tag=a":                              "empty",
		"my sql":                              "' '",
		"mysql?tag=":                          "tag",
		"mysql?tag=a%00":                      "printable",
		"mysql?tag=%ff":                       "printable",
		"mysql?zone=":                         "empty",
		"mysql?zone=a&zone=b":                 "more than once",
		"mysql?ns=":                           "namespace",
		"mysql?ns=a&ns=b":                     "more than once",
		"mysql?color=red":                     `no parameter "color"; expected ns, tag`,
		"mysql?min=2":                         `no parameter "min"`,
		"mysql?attr.=x":                       "empty name",
		"mysql?attr.a/b=x":                    "'/'",
		"mysql?attr.x=1&attr.X=2":             "different cases",
		"mysql?attr.x=1&attr.x=2":             "more than once",
		"mysql?attr.x=~(":                     "regular expression",
		"mysql?attr.x=~a)|(%3F:b":             "regular expression",
		"mysql?attr.x=~" + big:                "at most 256",
		"mysql?attr.x=~.{1000}{1000}":         "regular expression",
		"mysql?attr.x=~.{700}&attr.y=~.{700}": "too large",
		"mysql?self=false":                    "only be true",
		"mysql?tag=a;tag=b":                   "%3B",
		"mysql?tag=50%":                       "%25",
	} {
		_, err := registry.ParseFilter(text, "default", nil)
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("ParseFilter(%.60q) = %v; want an error with %q", text, err, part)
		}
	}
	_, err := registry.ParseFilter("My sql?zone=a b&color=red", "default", nil)
	for _, part := range []string{"my sql", "a b", "color"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("not everything wrong is said at once: %v", err)
		}
	}
}

func TestFilterLeavesOtherParametersToTheCaller(t *testing.T) {
	f, err := registry.ParseFilter("mysql?min=2&tag=a", "default", func(key string) bool { return key == "min" })
	if err != nil || f.String() != "mysql?ns=default&tag=a" {
		t.Errorf("got %q, %v", f, err)
	}
}

func TestFilterMatch(t *testing.T) {
	instance := func(change func(*registry.Instance)) registry.Instance {
		i := registry.Instance{
			ID: "db-1", Service: "mysql", Namespace: "prod", Address: "192.0.2.1", Port: 3306, Protocol: registry.TCP,
			Tags: []string{"blue", "primary"}, Attributes: map[string]string{"role": "master", "empty": ""}, Zone: "eu-1",
			Status: registry.Passing,
		}
		if change != nil {
			change(&i)
		}
		return i
	}
	status := func(s registry.Status) func(*registry.Instance) {
		return func(i *registry.Instance) { i.Status = s }
	}
	for _, test := range []struct {
		filter string
		change func(*registry.Instance)
		want   bool
	}{
		{"mysql", nil, true},
		{"mysql?ns=default", nil, false},
		{"mysql2", nil, false},
		{"mysql?tag=primary", nil, true},
		{"mysql?tag=primary&tag=blue", nil, true},
		{"mysql?tag=primary&tag=green", nil, false},
		{"mysql?zone=eu-1", nil, true},
		{"mysql?zone=eu-2", nil, false},
		{"mysql?attr.role=master", nil, true},
		{"mysql?attr.role=mast", nil, false},
		{"mysql?attr.empty=", nil, true},
		{"mysql?attr.absent=", nil, false},
		{"mysql?attr.role=~mas.*", nil, true},
		{"mysql?attr.role=~mas", nil, false},     // anchored at the end
		{"mysql?attr.role=~ster", nil, false},    // and at the beginning
		{"mysql?attr.role=~x|master", nil, true}, // around all alternatives
		{"mysql?attr.role=~x|mas", nil, false},   //
		{"mysql?attr.role=~(?m)master$", func(i *registry.Instance) { i.Attributes["role"] = "master\nx" }, false}, // flags do not loosen it
		{"mysql?attr.role=~(?i)MASTER", nil, true},
		{`mysql?attr.role=~\Qmaster`, nil, true},
		{"mysql?attr.absent=~.*", nil, false},
		{"mysql", status(registry.Warning), true},
		{"mysql", status(registry.Starting), false},
		{"mysql", status(registry.Critical), false},
		{"mysql", status(registry.Draining), false},
		{"mysql", status(registry.Maintenance), false},
		{"mysql?self=true", status(registry.Starting), true},
		{"mysql?self=true", status(registry.Critical), true},
		{"mysql?self=true", status(registry.Draining), false},
		{"mysql?self=true", status(registry.Maintenance), false},
	} {
		f, err := registry.ParseFilter(test.filter, "prod", nil)
		if err != nil {
			t.Fatal(err)
		}
		if i := instance(test.change); f.Match(i) != test.want {
			t.Errorf("%s matches %+v: %t, want %t", f, i, !test.want, test.want)
		}
	}
}

// Whatever the text, a filter that is accepted has one canonical text, which is
// its own canonical text.
func FuzzParseFilter(f *testing.F) {
	for _, seed := range []string{
		"mysql", "mysql?ns=prod&tag=primary&attr.role=~ma.*&zone=eu-1", "WEB?self=true", "a?tag=%C3%A4&tag=b", "a?attr.x=~a)|(?:b",
		"a?attr.x=~.{1000}", `a?attr.x=~\Qx`, "a?attr.x=%ff", "a?tag=a;b", "a?%zz", "??", "a?attr.x=~(?i)[a-z]+$",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := registry.ParseFilter(text, "default", nil)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a text")
			}
			return
		}
		canonical := filter.String()
		again, err := registry.ParseFilter(canonical, "other", nil)
		if err != nil {
			t.Fatalf("%q became %q, which is refused: %v", text, canonical, err)
		}
		if again.String() != canonical {
			t.Fatalf("%q became %q and then %q", text, canonical, again)
		}
		filter.Match(registry.Instance{
			Service: filter.Service, Namespace: filter.Namespace, Status: registry.Passing,
			Attributes: filter.Attributes, Tags: filter.Tags, Zone: filter.Zone,
		})
		for key, value := range filter.Attributes {
			one := registry.Instance{
				Service: filter.Service, Namespace: filter.Namespace, Status: registry.Passing,
				Attributes: filter.Attributes, Tags: filter.Tags, Zone: filter.Zone,
			}
			if value == "" || value[0] != '~' {
				one.Attributes = map[string]string{key: value + "x"}
				if filter.Match(one) {
					t.Fatalf("%q matches another value of %s", canonical, key)
				}
			}
		}
	})
}

func ExampleParseFilter() {
	f, _ := registry.ParseFilter("MySQL?tag=primary&attr.role=~ma.*", "dev/alice", nil)
	fmt.Println(f)
	// Output: mysql?attr.role=~ma.%2A&ns=dev%2Falice&tag=primary
}
