package process

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

const (
	passwdExample = `root:x:0:0:root:/root:/bin/bash
# a comment
www:x:33:33:www:/var/www:/usr/sbin/nologin
+::::::
1000:x:5000:5000:a name of digits:/:/bin/sh
app:x:1000:1001:app:/home/app:/bin/sh
broken:x:abc:1:::
short:x:1
`
	groupExample = `root:x:0:
www:x:33:
app:x:1001:
media:x:50:www,app
audio:x:51:app
`
)

func TestLookupUser(t *testing.T) {
	for spec, want := range map[string]User{
		"root":      {Name: "root", Home: "/root", Groups: []uint32{0}},
		"app":       {Name: "app", Home: "/home/app", UID: 1000, GID: 1001, Groups: []uint32{50, 51, 1001}},
		"33":        {Name: "www", Home: "/var/www", UID: 33, GID: 33, Groups: []uint32{50, 33}},
		"1000":      {Name: "1000", Home: "/", UID: 5000, GID: 5000, Groups: []uint32{5000}}, // a name goes before a number
		"777":       {UID: 777, GID: 0},
		"777:888":   {UID: 777, GID: 888, Groups: []uint32{888}},
		"app:media": {Name: "app", Home: "/home/app", UID: 1000, GID: 50, Groups: []uint32{50}},
	} {
		got, err := lookupUser(spec, strings.NewReader(passwdExample), strings.NewReader(groupExample))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %+v, %v, want %+v", spec, got, err, want)
		}
	}
	for _, spec := range []string{"", ":", "app:", ":app", "nobody", "broken", "short", "app:nogroup", "-1", "4294967295", "4294967296", "1:-1"} {
		if got, err := lookupUser(spec, strings.NewReader(passwdExample), strings.NewReader(groupExample)); !errors.Is(err, ErrUser) {
			t.Errorf("%q = %+v, %v, want an error", spec, got, err)
		}
	}
	// An image FROM scratch has neither file.
	if got, err := lookupUser("1000", strings.NewReader(""), strings.NewReader("")); err != nil || got.UID != 1000 {
		t.Errorf("1000 = %+v, %v", got, err)
	}
}

func FuzzLookupUser(f *testing.F) {
	f.Add("app", passwdExample, groupExample)
	f.Add("1000:media", passwdExample, groupExample)
	f.Add("0:0", "root:x:0:0:::\x00", ":::\n::::")
	f.Fuzz(func(t *testing.T, spec, passwd, groups string) {
		user, err := lookupUser(spec, strings.NewReader(passwd), strings.NewReader(groups))
		if (err != nil) != errors.Is(err, ErrUser) {
			t.Errorf("%v does not wrap ErrUser", err)
		}
		if user.UID == 1<<32-1 || user.GID == 1<<32-1 {
			t.Errorf("%q = %+v: that number means unchanged", spec, user)
		}
	})
}
