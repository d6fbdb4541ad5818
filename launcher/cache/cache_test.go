package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cleat/registry"
)

var (
	mine = Owner{ID: "web-1", Namespace: "default", Servers: []string{"http://a:1", "http://b:1"}}
	beat = registry.Milliseconds(9000)
)

func content(endpoints int) Content {
	v := View{Filter: "db?ns=default", Revision: 7, At: time.Unix(1000, 0).UTC(), Chosen: "db-0:1"}
	for n := range endpoints {
		v.Endpoints = append(v.Endpoints, registry.Endpoint{
			ID: fmt.Sprintf("db-%d:1", n), Address: "192.0.2.1", Port: uint16(1 + n%65535), Protocol: registry.TCP,
			Tags: []string{"primary"}, Status: registry.Passing, Since: registry.Revision(n),
		})
	}
	return Content{
		Key: "0123456789abcdef", Known: &beat, Since: map[string]registry.Revision{"web-1:80": 5}, Views: map[string]View{"db": v},
	}
}

// What is written is read, by its owner only.
func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "cache")
	want := content(3)
	data, left := encode(mine, want)
	if len(left) > 0 {
		t.Fatalf("left out: %v", left)
	}
	for range 2 { // it is made, and replaced
		if err := write(path, data); err != nil {
			t.Fatal(err)
		}
	}
	got, usable, err := Load(path, mine)
	if err != nil || !usable || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, %v", got, usable, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

func TestWhatIsNotUsed(t *testing.T) {
	whole, _ := encode(mine, content(1))
	for name, c := range map[string]struct {
		data   string
		usable bool
		want   string
	}{
		"nothing":           {"", true, ""},
		"another's file":    {"user=root\n", false, "no cache of cleat"},
		"a newer version":   {"cleat cache 12\n{}", true, `version "12"; expected 1`},
		"cut off":           {string(whole[:len(whole)-9]), true, "damaged"},
		"without a body":    {"cleat cache 1\n", true, "damaged"},
		"a list":            {"cleat cache 1\n[]", true, "damaged"},
		"another id":        {strings.Replace(string(whole), `"id":"web-1"`, `"id":"web-2"`, 1), true, `of the launcher "web-2"; this one is "web-1"`},
		"another namespace": {strings.Replace(string(whole), `"namespace":"default"`, `"namespace":"x"`, 1), true, "namespace"},
		"other servers":     {strings.Replace(string(whole), `"http://b:1"`, `"http://c:1"`, 1), true, "other discovery servers"},
		"no key":            {strings.Replace(string(whole), "0123456789abcdef", "", 1), true, "no key"},
		"a wrong endpoint":  {strings.Replace(string(whole), `"port":1`, `"port":0`, 1), true, `endpoint of "db"`},
		"a wrong since":     {strings.Replace(string(whole), `"web-1:80":5`, `"web-1:80":9007199254740993`, 1), true, "since"},
		"negative":          {strings.Replace(string(whole), `"known":9000`, `"known":-1`, 1), true, "known"},
		"long":              {magic + strings.Repeat("x", MaxSize), false, "longer"},
	} {
		path := filepath.Join(t.TempDir(), "cache")
		if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
			t.Fatal(err)
		}
		got, usable, err := Load(path, mine)
		if !reflect.DeepEqual(got, Content{}) || usable != c.usable || (err != nil) != (c.want != "") {
			t.Errorf("%s: got %+v, %v, %v", name, got, usable, err)
		}
		if err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, expected something about %q", name, err, c.want)
		}
	}
}

func TestWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Symlink("/etc/passwd", link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe, link} {
		if _, usable, err := Load(path, mine); usable || err == nil {
			t.Errorf("%s can be used: %v", path, err)
		}
	}
	if _, usable, err := Load(filepath.Join(dir, "none"), mine); !usable || err != nil {
		t.Errorf("none at all: %v, %v", usable, err)
	}
	if os.Geteuid() != 0 {
		return // only root can give a file away
	}
	foreign := filepath.Join(dir, "foreign")
	data, _ := encode(mine, content(1))
	if err := errors.Join(os.WriteFile(foreign, data, 0o600), os.Chown(foreign, 12345, 12345)); err != nil {
		t.Fatal(err)
	}
	if c, usable, err := Load(foreign, mine); !usable || err == nil || c.Key != "" {
		t.Errorf("another user's: %+v, %v, %v", c, usable, err)
	}
}

// The file has a largest size; the longest view is left out first.
func TestSizeIsBounded(t *testing.T) {
	c := content(60000)
	c.Views["small"] = content(2).Views["db"]
	data, left := encode(mine, c)
	if len(data) > MaxSize || len(left) != 1 || left[0] != "db" {
		t.Fatalf("%d bytes, left out %v", len(data), left)
	}
	got, err := decode(data, mine)
	if err != nil || len(got.Views) != 1 || len(got.Views["small"].Endpoints) != 2 {
		t.Errorf("got %d views, %v", len(got.Views), err)
	}
	if len(c.Views) != 2 {
		t.Error("what was given was changed")
	}
}

// A burst of changes is written at most once a second, the last one at the end;
// failures are told, and tried again.
func TestWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "cache")
		var told []error
		w := NewWriter(path, mine, func(err error) { told = append(told, err) })
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.Run(ctx)
		}()
		for n := range 1000 {
			w.Put(content(n % 7))
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if len(told) > 11 || len(told) < 8 {
			t.Errorf("10 s of changes were written %d times", len(told))
		}
		w.Put(content(5))
		cancel()
		<-done
		if c, _, err := Load(path, mine); err != nil || len(c.Views["db"].Endpoints) != 5 {
			t.Errorf("at the end there are %d endpoints, %v", len(c.Views["db"].Endpoints), err)
		}
	})
}

func TestWriterTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "cache")
		if err := os.Mkdir(path, 0o700); err != nil { // in the way
			t.Fatal(err)
		}
		failures := 0
		w := NewWriter(path, mine, func(err error) {
			if err != nil {
				failures++
			}
		})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.Run(ctx)
		}()
		w.Put(content(1))
		time.Sleep(time.Second)
		synctest.Wait()
		if failures != 1 {
			t.Errorf("%d failures", failures)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if c, _, err := Load(path, mine); err != nil || c.Key == "" {
			t.Errorf("it was not written after the failure: %v", err)
		}
		cancel()
		<-done
		if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
			t.Errorf("something is left behind: %v", entries)
		}
	})
}

func FuzzDecode(f *testing.F) {
	whole, _ := encode(mine, content(2))
	f.Add(whole)
	f.Add([]byte("cleat cache 1\n{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decode(data, mine)
		if err == nil && len(data) > 0 && c.Key == "" {
			t.Error("it was taken without a key")
		}
	})
}
