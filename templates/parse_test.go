package templates

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestMistakes(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string // "line:column part of the message"
	}{
		{"{{nope.host}}", []string{`1:3 no alias "nope"; declared: cache, db, ring, web`}},
		{"a\nbb {{ DB.host }}", []string{`2:7 no alias "DB"; did you mean db?`}},
		{"äöü{{x}}", []string{"1:6 no alias"}},
		{"{{web.hst}}{{web.first.prt}}{{self.nam}}{{each web}}{{hots}}{{@indx}}{{end}}", []string{
			"1:3 did you mean host?", "1:14 did you mean port?", "1:31 self has no field", `1:55 did you mean host?`, "1:63 did you mean @index?"}},
		{"{{web.}}{{web.attr}}{{web.attr.}}{{web.attr.Big}}{{web.attr.a/b}}", []string{
			"1:3 no field", "1:11 no field", "1:23 name of an attribute", "1:36 name of an attribute", `1:62 unexpected "/"`}},
		{"{{}}{{ }}{{-}}{{- -}}", []string{"1:3 empty", "1:7 empty", "1:13 empty", "1:18 empty"}},
		{"{{web}}{{web.first}}{{if web == 'x'}}{{end}}", []string{"1:3 web is an alias", "1:10 needs a field", "1:30 cannot be compared"}},
		{"{{web | upper}}{{each web.first}}{{end}}", []string{"1:9 not a value", "1:23 needs a field"}},
		{"{{each web.host}}{{end}}{{each}}{{end}}{{each 'x'}}{{end}}", []string{"1:8 a list", "1:31 value is missing", "1:47 cannot begin"}},
		{"{{each web sep}}{{end}}{{each web sep=}}{{end}}{{each web sep='a}}{{end}}{{each web x}}{{end}}", []string{
			"1:12 sep needs", "1:39 no text behind it", "1:63 quote is not closed", `1:85 unexpected "x"`}},
		{"{{else}}{{end}}", []string{"1:3 else has no block", "1:11 end has no block"}},
		{"{{if web}}{{else}}{{else}}{{end x}}{{each web}}{{else if db}}{{end}}", []string{
			"1:21 if has an else already", `1:33 unexpected "x" behind end`, "1:55 else if belongs to if"}},
		{"{{if web}}\n{{each db}}", []string{"1:3 if is never closed; add {{end}}", "2:3 each is never closed"}},
		{"{{raw}} {{x}}", []string{"1:3 raw is never closed; add {{endraw}}"}},
		{"{{endraw}}", []string{"1:3 endraw has no raw"}},
		{"x\n {{delims <% %>}}", []string{"2:4 first line"}},
		{"{{delims <%}}\nx", []string{"1:3 two different delimiters"}},
		{"{{delims aa bb}}\nx", []string{"1:3 two different delimiters"}},
		{"{{delims <% %>}}\n<% nope.host %>\n<%if web%>", []string{"2:4 no alias", "3:3 never closed; add <%end%>"}},
		{"{{web.host", []string{"1:1 never closed"}},
		{"{{web.host\nx {{db.prt}}", []string{"1:1 not closed before the next {{", "2:5 did you mean port?"}},
		{"{{! a {{b}} c }}", []string{"1:1 comment ends at the first }}"}},
		{"{{web.host | default '}}'}}", []string{"1:22 quote is not closed"}},
		{"{{web.host | uper | default}}", []string{"1:14 no filter \"uper\"; did you mean upper?"}},
		{"{{nope.host | uper}}", []string{"1:3 no alias", "1:15 did you mean upper?"}},
		{"{{web.host | }}{{web.host | 'x'}}", []string{"1:14 name of a filter is missing", "1:29 name of a filter is missing"}},
		{"{{web.host | upper 'x'}}{{web.host | replace 'a'}}{{web.host | trim 'a' 'b'}}", []string{
			"1:14 upper takes no argument, not 1", "1:38 replace takes 2 arguments, not 1", "1:64 trim takes at most 1 argument, not 2"}},
		{"{{web.host | default env.X}}", []string{"1:22 neither in quotes nor a whole number"}},
		{"{{web.host | replace '' 'x'}}{{env.X | indent 'x'}}{{env.X | indent 101}}{{env.X | div 0}}{{env.X | hostport 65536}}", []string{
			"1:22 empty argument", "1:47 whole number", "1:62 from 0 to 100", "1:84 divide by 0", "1:101 port from 1"}},
		{"{{env.X | match '('}}{{env.X | regexreplace 'a**' 'b'}}", []string{"1:17 missing closing )", "1:45 invalid nested repetition operator"}},
		{"{{web.host | join ','}}{{web.tags | split ','}}{{web.tags | add 1}}", []string{"1:14 join needs a list", "1:37 cannot take a list", "1:61 cannot take a list"}},
		{"{{if web.tags == 'x'}}{{end}}{{if not web.host == 'x'}}{{end}}{{if web.host == x}}{{end}}{{if web.count > 1}}{{end}}", []string{
			"1:15 list cannot be compared", "1:48 not cannot stand", "1:80 quotes or a whole number", `1:105 unexpected ">"; comparisons are == and !=`}},
		{"{{if web.host == 'x' | upper}}{{end}}{{each web sep=',' | upper}}{{end}}", []string{`1:22 unexpected "|" behind the condition`, `1:57 unexpected "|" behind each`}},
		{"{{if}}{{end}}{{if not}}{{end}}{{if web.host 'x'}}{{end}}", []string{"1:5 value is missing", "1:22 value is missing", "1:45 unexpected literal"}},
		{"{{web.host == 'x'}}{{web.host 'x'}}{{web.host x}}", []string{"1:12 belongs into an if", "1:31 arguments belong to a filter", `1:47 unexpected "x"`}},
		{"{{host}}{{attr.x}}{{@index}}{{@value}}{{each web}}{{@value}}{{end}}{{each web.tags}}{{host}}{{end}}", []string{
			"1:3 inside {{each ALIAS}}", "1:11 write ALIAS.attr.x", "1:21 inside each", "1:31 each over a list", "1:53 each over a list", "1:87 inside {{each ALIAS}}"}},
		{"{{each web}}{{else}}{{host}}{{end}}", []string{"1:23 known only inside"}},
		{"{{file}}{{file 'x'}}{{file env.X}}{{file '/x}}{{env.}}{{env}}{{self}}", []string{
			"1:7 path in quotes", "1:16 absolute path", "1:28 path in quotes", "1:42 quote is not closed", "1:49 name of a variable", "1:57 name of a variable", "1:64 self has no field"}},
		{"{{range web}}{{#each web}}{{/each}}{{getv \"/x\"}}{{.Address}}{{endif}}", []string{
			"1:3 write each ALIAS", "1:16 write each ALIAS", "1:29 ends with end", "1:38 write env.NAME", "1:51 between {{raw}} and {{endraw}}", "1:63 ends with end"}},
		{nested(MaxDepth+1, "{{if web}}", "", "{{end}}"), []string{"1:323 more than 32 blocks"}},
		{"{{env.X" + strings.Repeat("|upper", MaxFilters+1) + "}}", []string{"1:201 more than 32 filters"}},
		{"{{" + strings.Repeat("x", 300) + "}}", []string{`1:3 "` + strings.Repeat("x", maxQuoted) + `…"`}},
	} {
		_, err := Parse(test.text, Context{Name: "f", Aliases: declared})
		got := messages(err)
		if len(got) != len(test.want) {
			t.Errorf("%s\n%d mistakes, want %d:\n%v", test.text, len(got), len(test.want), err)
			continue
		}
		for i, want := range test.want {
			at, part, _ := strings.Cut(want, " ")
			if position(got[i]) != at || !strings.Contains(got[i].Error(), part) {
				t.Errorf("%s\n got %v\nwant %s", test.text, got[i], want)
			}
		}
	}
}

func TestMistakesAreBounded(t *testing.T) {
	_, err := Parse(strings.Repeat("{{x}}", 3*MaxMistakes), Context{})
	got := messages(err)
	if len(got) != MaxMistakes+1 || !strings.Contains(got[MaxMistakes].Message, "more may follow") {
		t.Errorf("%d errors, the last is %v", len(got), got[len(got)-1])
	}
	_, err = Parse(strings.Repeat("x", MaxTemplateSize+1), Context{Name: "big"})
	if err == nil || !strings.HasPrefix(err.Error(), "big:1:1: the text is 1048577 bytes long") {
		t.Errorf("got %v", err)
	}
	if _, err := Parse(strings.Repeat("x", MaxTemplateSize), Context{}); err != nil {
		t.Error(err)
	}
}

func TestErrorNeverHoldsTheSource(t *testing.T) {
	for _, text := range []string{
		"password " + secret + " {{ never closed " + secret,
		secret + "{{nope.host}}" + secret,
		"{{web.host | nope '" + secret + "'}}",
		"{{web.host | default '" + secret + "}}",
		"{{if web.host == " + secret + "." + secret + "." + secret + "." + secret + "}}",
	} {
		_, err := Parse(text, Context{Aliases: declared})
		if err == nil || strings.Contains(err.Error(), "password") || strings.Count(err.Error(), secret) > 0 && !strings.Contains(text, "== "+secret) {
			t.Errorf("%s\n%v", text, err)
		}
	}
}

// TestAbsent is the rule about views that may be empty: in a file their fields
// need a guard, which is checked when parsing.
func TestAbsent(t *testing.T) {
	for _, test := range []struct {
		text string
		good bool
	}{
		{"{{cache.host}}", false},
		{"{{cache.first.host}}", false},
		{"{{cache.count}}", true},
		{"{{cache.host | default 'x'}}", true},
		{"{{cache.host | upper | default 'x'}}", true},
		{"{{if cache}}{{cache.host}}{{cache.first.host}}{{end}}", true},
		{"{{if cache}}{{each web}}{{cache.host}}{{end}}{{end}}", true},
		{"{{if cache}}{{else}}{{cache.host}}{{end}}", false},
		{"{{if cache}}{{end}}{{cache.host}}", false},
		{"{{if not cache}}{{cache.host}}{{end}}", false},
		{"{{if not cache}}{{else}}{{cache.host}}{{end}}", true},
		{"{{if not cache}}{{else if web}}{{cache.host}}{{else}}{{cache.host}}{{end}}", true},
		{"{{if web}}{{else if cache}}{{cache.host}}{{end}}", true},
		{"{{if cache}}{{else if web}}{{cache.host}}{{end}}", false},
		{"{{if web}}{{cache.host}}{{end}}", false},
		{"{{each cache}}{{cache.host}}{{end}}", true},
		{"{{each cache}}{{else}}{{cache.host}}{{end}}", false},
		{"{{each cache.tags}}{{@value}}{{end}}", false},
		{"{{if cache}}{{each cache.tags}}{{@value}}{{end}}{{end}}", true},
		{"{{each cache.tags | default 'x'}}{{cache.host}}{{end}}", false},
		{"{{if cache.host}}{{cache.addr}}{{end}}", true},
		{"{{if cache.host | default 'x'}}{{cache.addr}}{{end}}", false},
		{"{{if cache.zone == 'a'}}{{cache.addr}}{{end}}", true},
		{"{{if cache.zone != 'a'}}{{cache.addr}}{{end}}", false},
		{"{{if cache.zone != 'a'}}{{else}}{{cache.addr}}{{end}}", true},
		{"{{if cache.zone == ''}}{{cache.addr}}{{end}}", false},
		{"{{if cache.zone == ''}}{{else}}{{cache.addr}}{{end}}", true},
		{"{{if cache.zone != ''}}{{cache.addr}}{{end}}", true},
		{"{{if cache.tags | contains 'x'}}{{cache.addr}}{{end}}", true},
		{"{{if cache.count}}{{cache.addr}}{{end}}", true},
		{"{{if cache.count == 0}}{{cache.addr}}{{end}}", false},
		{"{{if cache.count == 0}}{{else}}{{cache.addr}}{{end}}", true},
		{"{{if cache.count == 2}}{{cache.addr}}{{end}}", true},
		{"{{if cache.count != 2}}{{cache.addr}}{{end}}", false},
		{"{{if cache.count | add 1}}{{cache.addr}}{{end}}", false},
		{"{{if cache.first}}{{cache.first.addr}}{{end}}", true},
		{"{{if cache.first}}{{cache.addr}}{{end}}", true},
		{"{{ring.host}}", false},
		{"{{ring.first.host}}", true},
		{"{{if ring.first}}{{ring.host}}{{end}}", false},
		{"{{if ring}}{{ring.host}}{{end}}", true},
		{"{{web.host}}", true},
	} {
		template, err := Parse(test.text, Context{Name: "f", Aliases: declared})
		if (err == nil) != test.good {
			t.Errorf("%s: good is %v, want %v: %v", test.text, err == nil, test.good, err)
			continue
		}
		if err == nil {
			// What the parser lets through renders with an empty view too.
			if _, err := template.Render(data()); err != nil {
				t.Errorf("%s: %v", test.text, err)
			}
		}
		for _, mode := range []Mode{Env, Argument} {
			template, err := Parse(test.text, Context{Name: "X", Mode: mode, Aliases: declared})
			if err != nil {
				t.Errorf("%s in mode %d: %v", test.text, mode, err)
				continue
			}
			_, err = template.Render(data())
			if absent, ok := errors.AsType[*AbsentError](err); err != nil && (!ok || absent.Alias != "cache" && absent.Alias != "ring") {
				t.Errorf("%s in mode %d: %v", test.text, mode, err)
			}
		}
	}
	template := parse(t, Env, "x{{cache.addr}}")
	_, err := template.Render(data())
	if err == nil || err.Error() != "t:1:4: cache.addr has no value: cache has no endpoint; add | default '...'" {
		t.Errorf("got %v", err)
	}
}

func TestAccessors(t *testing.T) {
	template := parse(t, File, "{{web.host}}{{each db}}{{host}}{{end}}{{if cache}}{{end}}{{file '/b'}}{{file '/a'}}{{file '/b'}}{{self.first}}")
	if got := template.Aliases(); !slices.Equal(got, []string{"cache", "db", "web"}) {
		t.Errorf("aliases %q", got)
	}
	if got := template.Chosen(); !slices.Equal(got, []string{"web"}) {
		t.Errorf("chosen %q", got)
	}
	if got := template.Files(); !slices.Equal(got, []string{"/a", "/b"}) {
		t.Errorf("files %q", got)
	}
	if !template.Placeholders() || parse(t, File, "no braces { }").Placeholders() {
		t.Error("placeholders are wrong")
	}
	withSelf, err := Parse("{{self.first}}", Context{Aliases: map[string]Alias{"self": {Self: true}}})
	if err != nil || !slices.Equal(withSelf.Aliases(), []string{"self"}) {
		t.Errorf("a declared self is not counted: %v", err)
	}
}
