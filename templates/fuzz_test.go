package templates

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzTemplate parses and renders whatever comes, in every mode. Nothing may
// panic, every error has a place in the text and no value, and what renders
// does so twice alike.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{
		"", "{{", "}}", "{{}}", "{{{", "{{-", "{{- -}}", "{{web.host}}", "{{ web.first.attr.weight | default 1 }}",
		"{{each web sep=', '}}{{addr}}{{else}}x{{end}}", "{{if not web}}a{{else if db.port == 3306}}b{{end}}",
		"{{raw}}{{x}}{{endraw}}", "{{! c }}", "{{delims <% %>}}\n<% web.host %>", "{{delims [ ]}}\n[web.host]",
		"{{file '/secret' | trim | quote}}", `{{env.SECRET | replace 's' "\"" | shell}}`,
		"{{each web.tags | sort sep=,}}{{@value}}{{@index}}{{end}}", "{{env.LIST | split ',' | join ';' | regexreplace '(a)|b' '$1x'}}",
		"{{.Names}} {{range .X}}{{db.port}}{{end}} {{ {{db.addr}}", "{{if cache}}{{cache.host}}{{end}}", "{{ring.host}}",
		"{{env.N | add 1 | mul 2 | div 3 | mod 4}}", "{{env.SECRET | get 'a.b' | default 'x'}}", "{{web.host | indent 3 | xml | urlquery}}",
		"a\r\n {{if web}} \r\n b\r\n {{end}}", "\xff{{\xfe}}", "{{web.host | default '}}'}}",
		"{{each web}}{{each web}}{{each web}}{{host}}{{end}}{{end}}{{end}}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, mode := range []Mode{File, Env, Argument} {
			c := Context{Name: "f", Mode: mode, Aliases: declared}
			template, err := Parse(text, c)
			if err != nil {
				for _, e := range messages(err) {
					checkPlace(t, text, e)
				}
				continue
			}
			d := data()
			out, err := template.Render(d)
			if err != nil {
				e, ok := errors.AsType[*Error](err)
				if !ok {
					t.Fatalf("%q: the error has no place: %v", text, err)
				}
				checkPlace(t, text, e)
				continue
			}
			again, err := template.Render(d)
			if err != nil || !bytes.Equal(out, again) {
				t.Fatalf("%q: rendered %q, then %q, %v", text, out, again, err)
			}
			if len(out) > MaxOutputSize {
				t.Fatalf("%q: %d bytes", text, len(out))
			}
			if !template.Placeholders() && string(out) != text {
				t.Fatalf("%q has no placeholders and became %q", text, out)
			}
			if !strings.Contains(text, defaultStart) && string(out) != text {
				t.Fatalf("%q has no tag and became %q", text, out)
			}
		}
	})
}

func checkPlace(t *testing.T, text string, e *Error) {
	t.Helper()
	lines := strings.Split(text, "\n")
	if e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > utf8.RuneCountInString(lines[e.Line-1])+1 {
		t.Fatalf("%q: no such place: %v", text, e)
	}
	if e.Message == "" || strings.Contains(e.Error(), secret) && !strings.Contains(text, secret) {
		t.Fatalf("%q: bad message: %v", text, e)
	}
}

// FuzzForeignArgument gives arguments in which nothing can be ours: they must
// stay as they are.
func FuzzForeignArgument(f *testing.F) {
	for _, text := range []string{"{{.Names}}", "{{range .X}}{{end}}", "{{ {{ }}", "{{if not x}}", "{{each y}}{{else}}", "{{raw}}", "{{- x -}} ", "{{{{"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, word := range []string{"self", "env", "file"} {
			if strings.Contains(text, word) {
				t.Skip()
			}
		}
		template, err := Parse(text, Context{Mode: Argument})
		if len(text) > MaxTemplateSize {
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got, omit, err := template.RenderArgument(Data{})
		if got != text || omit || err != nil {
			t.Fatalf("%q became %q, %v, %v", text, got, omit, err)
		}
	})
}
