package registry_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"cleat/registry"
)

const testKey = "0123456789abcdef"

func declaration() registry.Declare {
	return registry.Declare{
		ID: "web-1", Key: testKey, Namespace: "prod", Zone: "eu-1", Provides: []registry.Instance{valid()},
		Requires: []registry.Require{{Alias: "db", Filter: "mysql?ns=prod", Min: 1}},
	}
}

func TestDeclareNormalize(t *testing.T) {
	d := declaration()
	d.Namespace, d.Zone = "Prod", "EU-1"
	got, filters, err := d.Normalize()
	if err != nil {
		t.Fatal(err)
	}
	if got.Namespace != "prod" || got.Zone != "eu-1" || got.Provides[0].Namespace != "prod" || got.Provides[0].Zone != "eu-1" {
		t.Errorf("got %+v", got)
	}
	if len(filters) != 1 || filters[0].String() != "mysql?ns=prod" {
		t.Errorf("the filters are %v", filters)
	}
	if d.Provides[0].Namespace != "" {
		t.Error("the argument was changed")
	}
}

// A view of another namespace may be required, and one filter by two aliases.
func TestDeclareNormalizeAllows(t *testing.T) {
	d := declaration()
	d.Provides = nil
	d.Requires = []registry.Require{{Alias: "a", Filter: "x?ns=other"}, {Alias: "b", Filter: "x?ns=other", Optional: true}}
	if _, filters, err := d.Normalize(); err != nil || len(filters) != 2 {
		t.Errorf("got %v, %v", filters, err)
	}
}

func TestDeclareNormalizeRefuses(t *testing.T) {
	negative := registry.Milliseconds(-1)
	for part, change := range map[string]func(*registry.Declare){
		"the id is empty":         func(d *registry.Declare) { d.ID = "" },
		"the key is 3 bytes long": func(d *registry.Declare) { d.Key = "abc" },
		"the key is 129 bytes":    func(d *registry.Declare) { d.Key = strings.Repeat("k", 129) },
		"known is negative":       func(d *registry.Declare) { d.Known = &negative },
		"the namespace":           func(d *registry.Declare) { d.Namespace = "" },
		"in the namespace":        func(d *registry.Declare) { d.Provides[0].Namespace = "other" },
		"is there twice":          func(d *registry.Declare) { d.Provides = append(d.Provides, valid()) },
		"257 instances":           func(d *registry.Declare) { d.Provides = make([]registry.Instance, 257) },
		"257 views":               func(d *registry.Declare) { d.Requires = make([]registry.Require, 257) },
		"canonical form, which is \"mysql?ns=prod\"": func(d *registry.Declare) { d.Requires[0].Filter = "mysql" },
		"cannot be used":           func(d *registry.Declare) { d.Requires[0].Filter = "?" },
		"min of \"db\"":            func(d *registry.Declare) { d.Requires[0].Min = -1 },
		"the alias \"\"":           func(d *registry.Declare) { d.Requires[0].Alias = "" },
		"the alias \"db\" is ther": func(d *registry.Declare) { d.Requires = append(d.Requires, d.Requires[0]) },
		"the port is 0":            func(d *registry.Declare) { d.Provides[0].Port = 0 },
	} {
		d := declaration()
		change(&d)
		_, filters, err := d.Normalize()
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v; want an error with %q", err, part)
		}
		if filters != nil {
			t.Errorf("%s: there are filters beside the error", part)
		}
		if err != nil && strings.Contains(err.Error(), testKey) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

func TestDecodeClient(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"report":{"state":"running"}}`:                              true,
		`{"report":{"state":"running","news":1},"x":[]}`:              true, // a newer launcher's
		`{"declare":{}}`:                                              true,
		`{"applied":{"filter":"a?ns=b","revision":9007199254740991}}`: true,
		`{"drain":{"ids":["a"],"wait":1}}`:                            true,
		``:                                                            false,
		`{}`:                                                          false,
		`null`:                                                        false,
		`[]`:                                                          false,
		`{"declare":null}`:                                            false,
		`{"report":{},"drain":{"ids":["a"],"wait":1}}`: false,
		`{"report":{}} {}`:                  false,
		`{"report":{}`:                      false,
		`{"applied":{"revision":-1}}`:       false,
		`{"applied":{"revision":1.5}}`:      false,
		`{"drain":{"ids":[],"wait":1}}`:     false,
		`{"drain":{"ids":["a"],"wait":-1}}`: false,
		`{"welcome":{}}`:                    false,
	} {
		if m, err := registry.DecodeClient([]byte(text)); (err == nil) != ok {
			t.Errorf("%s: %+v, %v", text, m, err)
		}
	}
}

func TestDecodeClientBounds(t *testing.T) {
	for name, text := range map[string]string{
		"many zeros":     `{"declare":{"provides":[` + strings.Repeat("0,", registry.MaxElements) + `0]}}`,
		"many instances": `{"drain":{"wait":1,"ids":[` + strings.Repeat(`"a",`, registry.MaxProvides) + `"a"]}}`,
		"too long":       `{"report":{"state":"` + strings.Repeat("x", registry.MaxClientMessage) + `"}}`,
		"deep":           strings.Repeat("[", 1<<19) + strings.Repeat("]", 1<<19),
	} {
		if _, err := registry.DecodeClient([]byte(text)); err == nil || len(err.Error()) > 1000 {
			t.Errorf("%s: %.200v", name, err)
		}
	}
	// Commas in texts are no values, whatever quotes stand around them.
	text := `{"report":{"state":"` + strings.Repeat(`,\"`, registry.MaxElements) + `"}}`
	m, err := registry.DecodeClient([]byte(text))
	if err != nil {
		t.Fatalf("%.200v", err)
	}
	if len(m.Report.State) > registry.MaxReasonLength {
		t.Error("a long state is kept whole")
	}
	m, err = registry.DecodeClient([]byte(`{"report":{"restarts":-1,"unmet":[` + strings.Repeat(`"a",`, 1000) + `"a"]}}`))
	if err != nil || len(m.Report.Unmet) != registry.MaxRequires || m.Report.Restarts != 0 {
		t.Errorf("got %d aliases, %d restarts, %v", len(m.Report.Unmet), m.Report.Restarts, err)
	}
}

// The largest statement that the limits allow is not refused for its number of
// values.
func TestMaxElementsIsAboveTheOtherLimits(t *testing.T) {
	d := declaration()
	d.Provides, d.Requires = nil, nil
	for _, id := range many(registry.MaxProvides) {
		i := valid()
		i.ID, i.Tags, i.Attributes = id, many(registry.MaxTags), manyAttributes(registry.MaxAttributes)
		i.Zone, i.Namespace, i.Reason, i.Since, i.Protocol = "z", "prod", "r", 1, registry.TCP
		d.Provides = append(d.Provides, i)
		d.Requires = append(d.Requires, registry.Require{Alias: id, Filter: "mysql?ns=prod", Optional: true})
	}
	m, err := registry.DecodeClient(registry.ClientMessage{Declare: &d}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Declare.Normalize(); err != nil {
		t.Fatal(err)
	}
}

func TestDecodeServer(t *testing.T) {
	m, err := registry.DecodeServer([]byte(`{"novelty":{"x":1}}`))
	if err != nil || m != (registry.ServerMessage{}) {
		t.Errorf("a message of a later version: %+v, %v", m, err)
	}
	if _, err := registry.DecodeServer([]byte(`{"view":`)); err == nil {
		t.Error("half a message is taken")
	}
}

// What goes over the wire, byte for byte: lists are never null, nothing is
// escaped that need not be, and what is absent costs nothing.
func TestEncode(t *testing.T) {
	since := map[string]registry.Revision{"b": 2, "a": 1}
	known := registry.Milliseconds(9000)
	for want, m := range map[string]interface{ Encode() []byte }{
		`{"declare":{"id":"a","key":"k","known":9000,"namespace":"prod","provides":[],"requires":[]}}`: registry.ClientMessage{Declare: &registry.Declare{ID: "a", Key: "k", Known: &known, Namespace: "prod"}},
		`{"declare":{"id":"a","key":"k","namespace":"prod","provides":[{"id":"i","service":"s","address":"h","port":80,"status":"passing"}],"requires":[{"alias":"db","filter":"a?ns=b&tag=c","min":1}]}}`: registry.ClientMessage{Declare: &registry.Declare{ID: "a", Key: "k", Namespace: "prod",
			Provides: []registry.Instance{{ID: "i", Service: "s", Address: "h", Port: 80, Status: registry.Passing}},
			Requires: []registry.Require{{Alias: "db", Filter: "a?ns=b&tag=c", Min: 1}}}},
		`{"applied":{"filter":"a?ns=b&tag=c","revision":7}}`:                                      registry.ClientMessage{Applied: &registry.Applied{Filter: "a?ns=b&tag=c", Revision: 7}},
		`{"report":{"state":"running","restarts":0,"renders":0}}`:                                 registry.ClientMessage{Report: &registry.Report{State: "running"}},
		`{"drain":{"ids":[],"wait":4000,"in_place":true}}`:                                        registry.ClientMessage{Drain: &registry.Drain{Wait: 4000, InPlace: true}},
		`{"view":{"filter":"f","revision":7,"complete":true,"warming":false,"add":[],"drop":[]}}`: registry.ServerMessage{View: &registry.ViewMessage{Filter: "f", Revision: 7, Complete: true}},
		`{"welcome":{"session":"s","server":"n","beat_every":3000,"expire_after":9000,"warming":false,"peer":"p","since":{"a":1,"b":2}}}`: registry.ServerMessage{Welcome: &registry.Welcome{
			Session: "s", Server: "n", BeatEvery: 3000, ExpireAfter: 9000, Peer: "p", Since: since}},
		`{"drained":{"ids":[],"applied":2,"pending":[],"blind":false}}`:            registry.ServerMessage{Drained: &registry.Drained{Applied: 2}},
		`{"command":{"do":"drain"}}`:                                               registry.ServerMessage{Command: &registry.Command{Do: "drain"}},
		`{"bye":{"within":1000,"keep":false}}`:                                     registry.ServerMessage{Bye: &registry.Bye{Within: 1000}},
		`{"error":{"code":"conflict","message":"<taken>","fatal":false,"id":"a"}}`: registry.ServerMessage{Error: &registry.Error{Code: registry.CodeConflict, Message: "<taken>", ID: "a"}},
	} {
		if got := string(m.Encode()); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	d := registry.Declare{}
	registry.ClientMessage{Declare: &d}.Encode()
	if d.Provides != nil {
		t.Error("encoding changed the message")
	}
}

// Whatever comes, the decoder neither panics nor lets anything through that is
// beyond the limits; what it accepts survives the wire.
func FuzzDecodeClient(f *testing.F) {
	d := declaration()
	for _, m := range []registry.ClientMessage{
		{Declare: &d},
		{Report: &registry.Report{State: "running", Unmet: []string{"db"}}},
		{Applied: &registry.Applied{Filter: "mysql?ns=prod", Revision: 7, Error: "x"}},
		{Drain: &registry.Drain{IDs: []string{"a"}, Wait: 4000}},
	} {
		f.Add(m.Encode())
	}
	for _, text := range []string{`{}`, `null`, `{"declare":{"provides":[{"port":-1}]}}`, `{"declare":{"provides":[0,0]}}`, `{"report":{"state":"\ud800"}}`, `"`, `{"a":"\`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := registry.DecodeClient(data)
		if err != nil {
			return
		}
		encoded := m.Encode()
		again, err := registry.DecodeClient(encoded)
		if err != nil {
			t.Fatalf("%q became %q, which is refused: %v", data, encoded, err)
		}
		if second := again.Encode(); string(second) != string(encoded) {
			t.Fatalf("%q became %q and then %q", data, encoded, second)
		}
		if m.Declare == nil {
			return
		}
		normal, filters, err := m.Declare.Normalize()
		if err != nil {
			return
		}
		if len(filters) != len(normal.Requires) || len(normal.Provides) > registry.MaxProvides {
			t.Fatalf("%q: %d filters for %d requires, %d instances", data, len(filters), len(normal.Requires), len(normal.Provides))
		}
		twice, _, err := normal.Normalize()
		if err != nil || !reflect.DeepEqual(twice, normal) {
			t.Fatalf("%q: once more it is %+v, %v; not %+v", data, twice, err, normal)
		}
		for _, i := range normal.Provides {
			if !json.Valid(registry.ServerMessage{View: &registry.ViewMessage{Add: []registry.Endpoint{i.Endpoint()}}}.Encode()) {
				t.Fatalf("%q: the endpoint of %+v is not JSON", data, i)
			}
		}
	})
}
