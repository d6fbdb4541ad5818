package templates

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestRender(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"no tag } { }}", "no tag } { }}"},
		{"{{web.id}} {{web.first.id}} {{ring.first.addr}} {{ring.count}}", "w2 w1 10.0.0.9:7000 0"},
		{"{{each web sep=','}}{{@index}}{{@first}}{{@last}}{{end}}", "0truefalse,1falsefalse,2falsetrue"},
		{"{{each web sep=', '}}{{addr}}{{end}}", "10.0.0.1:8001, 10.0.0.2:8002, [fd00::3]:8003"},
		{"{{each web}}{{zone | default '-'}}{{end}}", "a-b"},
		{"{{each web}}{{tags}};{{end}}", "x,y;;z;"},
		{"{{each web}}{{attr.a.b-c_d | default '.'}}{{end}}", ".odd."},
		{"{{each web}}{{if attr.a.b-c_d}}{{id}}{{end}}{{end}}", "w2"},
		{"{{web.attr.a.b-c_d}}", "odd"},
		{"{{each web}}{{if tags}}{{each tags sep='/'}}{{@value}}{{@index}}{{end}}@{{host}}{{@index}} {{end}}{{end}}", "x0/y1@10.0.0.10 z0@fd00::32 "},
		{"{{each db}}{{each web sep=' '}}{{id}}{{end}} {{id}} {{@last}}{{end}}", "w1 w2 w3 d1 true"},
		{"{{each web}}{{each cache}}x{{else}}{{id}}{{end}}{{end}}", "w1w2w3"},
		{"{{each env.EMPTY | split ','}}x{{else}}none{{end}}", "none"},
		{"{{if cache}}a{{else if ring}}b{{else if web}}c{{else}}d{{end}}", "c"},
		{"{{if cache}}a{{else if ring}}b{{end}}", ""},
		{"{{if not cache.host}}x{{end}}{{if env.NOPE == ''}}y{{end}}{{if env.NOPE != 'a'}}z{{end}}", "xyz"},
		{"{{if self.first}}1{{end}}{{if self.first == 'true'}}2{{end}}{{if web.port == 8002}}3{{end}}{{if self.zone}}4{{end}}", "123"},
		{"{{each web}}{{if @index}},{{end}}{{id}}{{end}}", "w1,w2,w3"},
		{"{{if env.EMPTY}}a{{else}}b{{end}}{{if db.attr.empty}}a{{else}}b{{end}}{{if web.tags}}a{{else}}b{{end}}{{if web.count}}a{{end}}", "bbba"},
		{"{{env.NOPE | default 'x'}}{{env.EMPTY | default 'y'}}{{env.N | default 'z'}}{{self.zone | default 0}}", "xy70"},
		{"{{env.NOPE | upper | default 'x'}}{{env.NOPE | default 'x' | upper}}", "xX"},
		{"{{web.tags | default 'none'}} {{web.tags | first | default 'none'}} {{web.tags | default 'a' | join '+'}}", "none none a"},
		{"{{file '/nope' | default ''}}{{file '/secret' | trim}}", secret},
		{"{{if file '/nope'}}a{{else}}b{{end}}", "b"},
		{"{{self.host}} {{self.port}} {{self.addr}} {{self.id}} {{self.namespace}} {{self.service}} {{self.first}}", "10.0.0.9 7000 10.0.0.9:7000 me default ring true"},
		{`{{env.N | replace "7" 'it\'s "\t\\'}}`, "it's \"\t\\"},
		{`{{env.N | replace '7' "}"}}{{env.N|add 1}}{{ env.N|add +1|add -2 }}`, "}86"},
		{"{{{env.N}}}{{! x }}{{- ! y -}} {{!}}", "{7}"},
		{"{{raw}}{{a}}{{{{end}}{{- endraw}}{{raw}} {{ {{endraw}}|{{raw}}{{{endraw}}", "{{a}}{{{{end}} {{ |{"},
	} {
		if got := render(t, File, test.text); got != test.want {
			t.Errorf("%s\n got %q\nwant %q", test.text, got, test.want)
		}
	}
}

func TestRenderErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"a\n {{env.NOPE}}", `t:2:4: the variable "NOPE" is not set; add | default '...'`},
		{"{{each web}}{{zone}}{{end}}", "t:1:15: zone has no value; add | default '...'"},
		{"{{each web}}{{attr.secret}}{{end}}", "t:1:15: attr.secret has no value; add | default '...'"},
		{"{{self.zone}}", "t:1:3: self.zone has no value; add | default '...'"},
		{"{{web.tags | first}}", "t:1:3: web.tags has no value; add | default '...'"},
		{"{{file '/nope'}}", `t:1:3: the file "/nope" does not exist; add | default '...'`},
		{"{{file '/denied' | default 'x'}}", `t:1:3: the file "/denied" cannot be read: permission denied`},
		{"{{if file '/denied'}}{{end}}", `t:1:6: the file "/denied" cannot be read: permission denied`},
		{"{{file '/huge'}}", `t:1:3: the file "/huge" cannot be read: it is larger than 1048576 bytes`},
		{"{{env.SECRET | add 1}}", "t:1:16: add: env.SECRET is not a whole number"},
		{"{{file '/secret' | add 1}}", `t:1:20: add: file "/secret" is not a whole number`},
		{"{{env.SECRET | get 'x'}}", "t:1:16: get: env.SECRET is not JSON"},
		{"{{env.SECRET | upper | base64decode}}", "t:1:24: base64decode: env.SECRET is not base64"},
		{"{{env.N | mul 9223372036854775807}}", "t:1:11: mul: env.N gives a number that is too large"},
		{"{{env.N | add 9223372036854775807}}", "t:1:11: add: env.N gives a number that is too large"},
		{"{{each env.NOPE | split ','}}{{end}}", `t:1:8: the variable "NOPE" is not set; add | default '...'`},
	} {
		out, err := parse(t, File, test.text).Render(data())
		if err == nil || err.Error() != test.want || out != nil {
			t.Errorf("%s\n got %v\nwant %s", test.text, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error holds a value: %v", test.text, err)
		}
	}
	_, err := parse(t, File, "{{file '/denied'}}").Render(data())
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("the cause is lost: %v", err)
	}
	// A view that the caller does not give at all is an empty one.
	_, err = parse(t, File, "{{web.host}}").Render(Data{})
	if absent, ok := errors.AsType[*AbsentError](err); !ok || absent.Alias != "web" {
		t.Errorf("got %v", err)
	}
}

func TestLimits(t *testing.T) {
	big := strings.Repeat("x", MaxFileSize)
	d := data()
	d.Env["BIG"] = big
	d.Env["COMMAS"] = strings.Repeat(",", MaxFileSize)
	endpoints := make([]Endpoint, 2000)
	d.Views["db"] = View{Endpoints: endpoints}
	for _, test := range []struct{ text, want string }{
		{strings.Repeat("{{env.BIG}}", 17), "larger than 16777216 bytes"},
		{"{{each db}}{{env.BIG}}{{end}}", "larger than 16777216 bytes"},
		{"{{each db sep='" + big[:MaxTemplateSize/2] + "'}}{{end}}", "larger than 16777216 bytes"},
		{"{{env.BIG | replace 'x' 'yyyyy'}}", "gives more than 4194304 bytes"},
		{"{{env.BIG | regexreplace '^x' '$0' | regexreplace '^x+$' '$0$0$0$0$0'}}", "gives more than 4194304 bytes"},
		{"{{env.BIG | regexreplace 'x' 'y'}}", "matches 65536 times or more"},
		{"{{env.COMMAS | split ','}}", "gives more than 65536 items"},
		{"{{env.COMMAS | replace ',' '\\n' | indent 100}}", "gives more than 4194304 bytes"},
		{"{{env.COMMAS | quote | base64 | xml | base64 | base64 | base64 | base64}}", "gives more than 4194304 bytes"},
		{nested(5, "{{each db}}", "{{if env.NOPE}}{{end}}", "{{end}}"), "rendering takes too long"},
	} {
		_, err := parse(t, File, test.text).Render(d)
		if err == nil || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 200 {
			t.Errorf("%.60s\n got %.200v\nwant %s", test.text, err, test.want)
		}
	}
	if got := render(t, File, nested(MaxDepth, "{{if web}}", "x", "{{end}}")); got != "x" {
		t.Errorf("the deepest blocks gave %q", got)
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	good, large := filepath.Join(dir, "good"), filepath.Join(dir, "large")
	for path, content := range map[string][]byte{good: []byte("text"), large: make([]byte, MaxFileSize+1)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := parse(t, File, "{{file '"+good+"'}}").Render(Data{})
	if err != nil || string(out) != "text" {
		t.Errorf("got %q, %v", out, err)
	}
	for path, want := range map[string]string{
		large:                      "it is larger than 1048576 bytes",
		dir:                        "it is not a regular file",
		"/dev/zero":                "it is not a regular file",
		filepath.Join(dir, "nope"): "does not exist",
	} {
		if _, err := parse(t, File, "{{file '"+path+"'}}").Render(Data{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}

func TestFileIsReadOnce(t *testing.T) {
	reads := 0
	d := data()
	d.ReadFile = func(string) ([]byte, error) {
		reads++
		return []byte{byte('0' + reads)}, nil
	}
	template := parse(t, File, "{{each web}}{{file '/a'}}{{end}}")
	for _, want := range []string{"111", "222"} {
		if out, err := template.Render(d); err != nil || string(out) != want {
			t.Errorf("got %q, %v", out, err)
		}
	}
}

// TestConcurrentRendering renders one template from many goroutines, each with
// its own data.
func TestConcurrentRendering(t *testing.T) {
	template := parse(t, File, "{{each web sep=','}}{{addr}}:{{tags | join '+' | upper}}{{end}} {{env.N | add 1}} {{file '/secret' | sha256}}")
	want, err := template.Render(data())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if out, err := template.Render(data()); err != nil || !bytes.Equal(out, want) {
					t.Errorf("got %q, %v", out, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
