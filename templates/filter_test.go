package templates

import (
	"encoding/json"
	"html"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzEncodings holds the encodings to their inverses: what is written into a
// file or a shell's word must be read back as it was.
func FuzzEncodings(f *testing.F) {
	for _, text := range []string{"", "a b", "it's", `"\n<&>`, "ä€😀", "\x00\x1f\u2028", "%+/?=", "\xff"} {
		f.Add(text)
	}
	inverses := map[string]func(string) (string, error){
		"base64 | base64decode": func(s string) (string, error) { return s, nil },
		"urlquery":              url.QueryUnescape,
		"xml":                   func(s string) (string, error) { return html.UnescapeString(s), nil },
		"quote": func(s string) (text string, err error) {
			err = json.Unmarshal([]byte(s), &text)
			return text, err
		},
		"shell": func(s string) (string, error) {
			inside := strings.TrimSuffix(strings.TrimPrefix(s, "'"), "'")
			return strings.ReplaceAll(inside, `'\''`, "'"), nil
		},
	}
	templates := make(map[string]*Template)
	for filters := range inverses {
		templates[filters] = parse(f, File, "{{env.X | "+filters+"}}")
	}
	f.Fuzz(func(t *testing.T, text string) {
		for filters, inverse := range inverses {
			out, err := templates[filters].Render(Data{Env: map[string]string{"X": text}})
			switch {
			case filters == "quote" && !utf8.ValidString(text):
				continue // JSON has no other texts
			case filters == "xml" && strings.Contains(text, "&"):
				// html.UnescapeString knows more names than were written.
				if strings.Count(string(out), "&amp;") < strings.Count(text, "&") {
					t.Errorf("%s: %q became %q", filters, text, out)
				}
				continue
			case filters == "shell" && strings.Contains(text, "\x00"):
				if err == nil {
					t.Errorf("%s took a zero byte", filters)
				}
				continue
			case err != nil:
				t.Errorf("%s: %q: %v", filters, text, err)
				continue
			}
			if back, err := inverse(string(out)); err != nil || back != text {
				t.Errorf("%s: %q became %q, which reads %q, %v", filters, text, out, back, err)
			}
		}
	})
}

func TestFilterCorners(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"{{env.EMPTY | split ','}}|{{env.EMPTY | split ',' | count}}|{{env.LIST | split ',' | count}}", "|0|2"},
		{"{{env.X | split '' | default 'x'}}", ""},
		{"{{env.EMPTY | indent 2}}|{{env.N | indent 0}}|{{env.LINES | indent 2}}", "|7|  a\n\n  b\n"},
		{"{{env.N | default 'x' | replace '7' '$1'}}", "$1"},
		{"{{env.LIST | regexreplace '(?P<c>[a-z])' '<${c}>'}}", "<a>,<b>"},
		{"{{env.LIST | regexreplace '^' '>'}}{{env.LIST | regexreplace 'x*' '-'}}", ">a,b-a-,-b-"},
		{"{{env.JSON | get 'a.0'}} {{env.JSON | get 'a'}} {{env.JSON | get 'n' | default 'none'}} {{env.JSON | get 'a.9' | default '-'}} {{env.JSON | get 'a.0.x' | default '-'}}", `1.50 [1.50,{"b":true}] none - -`},
		{"{{env.JSON | get 'a.1.b'}} {{env.JSON | get 'a.1' | get 'b'}}", "true true"},
		{"{{web.first.tags | json}}{{env.EMPTY | split ',' | json}}{{self.first | json}}{{env.N | json}}", `["x","y"][]true"7"`},
		{"{{env.N | hostport 80}} {{env.LIST | split ',' | hostport 1 | join ' '}}", "7:80 a:1 b:1"},
		{"{{env.N | sub 1}}", ""},
		{"{{env.NEG | div 2}} {{env.NEG | mod 2}} {{env.NEG | mul -1}}", "-3 -1 7"},
		{"{{env.PAD | base64decode}}{{env.LIST | base64 | base64decode}}", "aa,b"},
		{"{{env.NBSP | trim}}|{{env.LIST | trim 'ab'}}", "x|,"},
	} {
		template, err := Parse(test.text, Context{Aliases: declared})
		if (err != nil) != (test.want == "") {
			t.Errorf("%s: %v", test.text, err)
		}
		if err != nil {
			continue
		}
		d := data()
		d.Env["LINES"] = "a\n\nb\n"
		d.Env["JSON"] = `{"a":[1.50,{"b":true}],"n":null}`
		d.Env["NEG"] = "-7"
		d.Env["PAD"] = " YQ== \n"
		d.Env["NBSP"] = "\u00a0 x\t"
		if out, err := template.Render(d); err != nil || string(out) != test.want {
			t.Errorf("%s\n got %q, %v\nwant %q", test.text, out, err, test.want)
		}
	}
}
