package templates

import (
	"slices"
	"strings"
	"testing"
)

func TestArguments(t *testing.T) {
	for _, test := range []struct {
		text, want string
		literals   []string
	}{
		{"--db={{db.addr}}", "--db=db.local:3306", nil},
		{"{{.Names}}", "{{.Names}}", []string{"{{.Names}}"}},
		{"{{ range .X }}{{.}}{{ end }}", "{{ range .X }}{{.}}{{ end }}", []string{"{{ range .X }}", "{{.}}", "{{ end }}"}},
		{"{{range .X}}{{db.port}}{{else}}-{{end}}", "{{range .X}}3306{{else}}-{{end}}", []string{"{{range .X}}", "{{else}}", "{{end}}"}},
		{"{{if .X}}{{if db}}a{{else}}b{{end}}{{else}}{{end}}", "{{if .X}}a{{else}}{{end}}", []string{"{{if .X}}", "{{else}}", "{{end}}"}},
		{"{{if not .X}}{{if not db}}a{{else}}b{{end}}{{end}}", "{{if not .X}}b{{end}}", []string{"{{if not .X}}", "{{end}}"}},
		{"{{end}}{{else}}{{raw}}{{endraw}}{{! c }}", "{{end}}{{else}}{{raw}}{{endraw}}{{! c }}",
			[]string{"{{end}}", "{{else}}", "{{raw}}", "{{endraw}}", "{{! c }}"}},
		{" {{- .A -}} \n {{db.port}}", " {{- .A -}} \n 3306", []string{"{{- .A -}}"}},
		{"{{- db.port -}} x", "3306x", nil},
		{"{{{db.port}}}", "{3306}", nil},
		{"{{{{db.port}}}}", "{{3306}}", nil},
		{"{{ a {{db.port}} }} {{", "{{ a 3306 }} {{", nil},
		{"{{ a {{ b }}", "{{ a {{ b }}", []string{"{{ a {{ b }}"}},
		{"{{dbx.host}} {{db-x}} {{$db}} {{(db)}}", "{{dbx.host}} {{db-x}} {{$db}} {{(db)}}", []string{"{{dbx.host}}", "{{db-x}}", "{{$db}}", "{{(db)}}"}},
		{"{{#each x}}{{#if db}}{{/if}}{{/each}}", "{{#each x}}{{#if db}}{{/if}}{{/each}}", []string{"{{#each x}}", "{{#if db}}", "{{/if}}", "{{/each}}"}},
		{"{{if db}}{{raw}}{{.X}}{{end}}{{endraw}}{{end}}", "{{.X}}{{end}}", nil},
		{"{{if db}}a{{end}}{{end}}", "a{{end}}", []string{"{{end}}"}},
		{"{{each web sep=,}}{{@index}}{{end}}", "0,1,2", nil},
		{"{{if env.HOME}}{{env.HOME}}{{end}}{{end .X}}", "/root{{end .X}}", []string{"{{end .X}}"}},
		{"{{delims <% %>}}\n<% db.port %>", "{{delims <% %>}}\n<% db.port %>", []string{"{{delims <% %>}}"}},
		{"{{if ring.first}}{{self.id}}{{end}}", "me", nil},
		{"", "", nil},
	} {
		template := parse(t, Argument, test.text)
		got, omit, err := template.RenderArgument(data())
		if err != nil || omit || got != test.want {
			t.Errorf("%s\n got %q, %v, %v\nwant %q", test.text, got, omit, err, test.want)
		}
		if got := template.Literals(); !slices.Equal(got, test.literals) {
			t.Errorf("%s: literals %q, want %q", test.text, got, test.literals)
		}
		if !template.Placeholders() && got != test.text {
			t.Errorf("%s: has no placeholder, and changed", test.text)
		}
	}
}

func TestArgumentIsLeftOut(t *testing.T) {
	for _, test := range []struct {
		text string
		omit bool
	}{
		{"{{if cache}}--x{{end}}", true},
		{"{{each cache}}{{host}}{{end}}", true},
		{"{{if cache}}--x{{else}}{{end}}", true},
		{"{{if env.EMPTY}}--x{{end}}", true},
		{"{{env.EMPTY}}", false},
		{"{{if web}}--x{{end}}", false},
		{"--x{{if cache}}y{{end}}", false},
		{"", false},
	} {
		if _, omit, err := parse(t, Argument, test.text).RenderArgument(data()); omit != test.omit || err != nil {
			t.Errorf("%s: omit is %v, %v", test.text, omit, err)
		}
	}
}

func TestArgumentMistakes(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"{{db}}", "db is an alias, not a value"},
		{"{{db.hots}}", "did you mean host?"},
		{"{{ env \"HOME\" }}", "write env.NAME"},
		{"{{if db}}{{.X}}{{end}}", "between {{raw}} and {{endraw}}"},
		{"{{if db}}{{range .X}}{{end}}{{end}}", "write each ALIAS"},
		{"{{if db}}", "if is never closed"},
		{"{{if db}} {{ x", "the tag is never closed"},
		{"{{each db}}{{hots}}{{end}}", "did you mean host?"},
	} {
		if _, err := Parse(test.text, Context{Mode: Argument, Aliases: declared}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.text, err, test.want)
		}
	}
}
