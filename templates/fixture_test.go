package templates

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

// secret is in every value of the fixture that no error may show.
const secret = "s3cr3t-value"

// declared are the aliases of the tests: web and db always have endpoints,
// cache may have none, ring is a self requirement.
var declared = map[string]Alias{"web": {}, "db": {}, "cache": {Absent: true}, "ring": {Self: true}}

// data returns the fixture: web has three endpoints, db one, cache and ring
// none (this container founded the ring).
func data() Data {
	web := []Endpoint{
		{ID: "w1", Host: "10.0.0.1", Port: 8001, Zone: "a", Tags: []string{"x", "y"}, Attr: map[string]string{"weight": "5", "secret": secret}},
		{ID: "w2", Host: "10.0.0.2", Port: 8002, Tags: []string{}, Attr: map[string]string{"a.b-c_d": "odd"}},
		{ID: "w3", Host: "fd00::3", Port: 8003, Zone: "b", Tags: []string{"z"}},
	}
	db := []Endpoint{{ID: "d1", Host: "db.local", Port: 3306, Attr: map[string]string{"empty": ""}}}
	me := &Endpoint{ID: "me", Host: "10.0.0.9", Port: 7000}
	return Data{
		Views: map[string]View{
			"web":  {Endpoints: web, Chosen: &web[1], First: &web[0]},
			"db":   {Endpoints: db, Chosen: &db[0], First: &db[0]},
			"ring": {First: me},
		},
		Self: Self{Host: "10.0.0.9", Port: 7000, ID: "me", Namespace: "default", Service: "ring", First: true},
		Env:  map[string]string{"HOME": "/root", "EMPTY": "", "SECRET": secret, "N": "7", "LIST": "a,b"},
		ReadFile: func(path string) ([]byte, error) {
			switch path {
			case "/secret":
				return []byte(secret + "\n"), nil
			case "/denied":
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
			case "/huge":
				return make([]byte, MaxFileSize+1), nil
			}
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		},
	}
}

func parse(t testing.TB, mode Mode, text string) *Template {
	t.Helper()
	template, err := Parse(text, Context{Name: "t", Mode: mode, Aliases: declared})
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return template
}

func render(t testing.TB, mode Mode, text string) string {
	t.Helper()
	out, err := parse(t, mode, text).Render(data())
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return string(out)
}

// nested returns text inside n times opening and closing.
func nested(n int, opening, text, closing string) string {
	return strings.Repeat(opening, n) + text + strings.Repeat(closing, n)
}

// messages returns the errors that are joined in err.
func messages(err error) []*Error {
	var all []*Error
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			all = append(all, e.(*Error))
		}
	}
	return all
}

func position(e *Error) string { return fmt.Sprintf("%d:%d", e.Line, e.Column) }
