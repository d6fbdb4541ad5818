package templates

import (
	"strings"
	"testing"
	gotemplate "text/template"
)

func TestStandaloneTags(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"a\n{{if web}}\nb\n{{end}}\nc", "a\nb\nc"},
		{"a\n  {{if web}}  \n  b\n\t{{end}}\t\nc", "a\n  b\nc"},
		{"a\r\n{{if web}}\r\nb\r\n{{end}}\r\nc\r\n", "a\r\nb\r\nc\r\n"},
		{"{{if web}}\nb\n{{end}}", "b\n"},
		{"{{if web}}\nb\n  {{end}}  ", "b\n"},
		{"{{if cache}}\nb\n{{else}}\nc\n{{end}}\n", "c\n"},
		{"{{if cache}}\nb\n{{else if web}}\nc\n{{end}}\n", "c\n"},
		{"a\n {{! one\n two }} \nb", "a\nb"},
		{"a {{! one }}\nb", "a \nb"},
		{"a\n{{! one }}{{! two }}\nb", "a\n\nb"},
		{"a\n{{env.N}}\nb", "a\n7\nb"},
		{"a\n{{raw}}\n {{x}}\n{{endraw}}\nb", "a\n {{x}}\nb"},
		{"x{{if web}}\nb{{end}}\nc", "x\nb\nc"},
		{"{{if web}}\n\n{{end}}\n", "\n"},
		{"{\n{{{if web}}\nb{{end}}", "{\n{\nb"},
		{"{{delims [[ ]]}}\n[[if web]]\nb\n[[end]]\n{{x}}", "b\n{{x}}"},
		{"{{delims [[ ]]}}\r\n  [[if web]]\r\nb\r\n[[end]]\r\n", "b\r\n"},
		{" {{delims <!-- -->}} \n<x/><!-- env.N -->", "<x/>7"},
		{"{{delims ${ }}}\n${env.N} $HOME {}", "7 $HOME {}"},
		{"{{delims <% %>}}", ""},
		{"{{each web}}\n\n{{end}}\n", "\n\n\n"},
	} {
		if got := render(t, File, test.text); got != test.want {
			t.Errorf("%q\n got %q\nwant %q", test.text, got, test.want)
		}
	}
}

// TestTrimMarks holds {{- and -}} to what Go's templates make of them.
func TestTrimMarks(t *testing.T) {
	// The data of both: web has three endpoints.
	translate := strings.NewReplacer("each web", "range .Web", "else", "else", "host", ".Host", "if web", "if .Web", "if cache", "if .Cache", "!", "/* */")
	type endpoint struct{ Host string }
	peers := map[string]any{"Web": []endpoint{{"10.0.0.1"}, {"10.0.0.2"}, {"fd00::3"}}, "Cache": []endpoint{}}
	for _, text := range []string{
		"a {{- if web -}} b {{- end -}} c",
		"a \n\n {{- if web}} b {{end -}} \n\n c",
		"a\n{{- each web}}\n  {{host}}\n{{- end}}\nz",
		"[ {{each web -}} \n {{- host -}} \n , {{- end}} ]",
		"x {{- if cache}} a {{- else -}} b {{- end}} y",
		"x {{each web}} {{- host}}{{- end}} \t ",
		"{{- if web -}}{{- end -}}",
		"a\n {{- if web -}} \n {{- end -}} \n b",
	} {
		peer, err := gotemplate.New("").Parse(translate.Replace(text))
		if err != nil {
			t.Fatal(err)
		}
		var want strings.Builder
		if err := peer.Execute(&want, peers); err != nil {
			t.Fatal(err)
		}
		if got := render(t, File, text); got != want.String() {
			t.Errorf("%q\n got %q\nwant %q", text, got, want.String())
		}
	}
	for text, want := range map[string]string{
		"{{web.attr.a.b-c_d -}} x":                    "oddx",
		"a {{-env.N-}} b":                             "a7b",
		"a {{! x -}} b":                               "a b",
		"a {{!-- x --}} b":                            "a  b",
		"a {{env.N | default 'x'-}} b":                "a 7b",
		"{{web.attr.a- | default 'x'}} b":             "x b",
		"{{if web.attr.a-}}{{else}}x{{end}} b":        "x b",
		"a {{raw -}}  {{x}}  {{- endraw}} b":          "a {{x}} b",
		"a \n{{- env.N}}\n {{env.N -}}\n\n\t {{! }}b": "a7\n 7b",
	} {
		if got := render(t, File, text); got != want {
			t.Errorf("%q\n got %q\nwant %q", text, got, want)
		}
	}
}
