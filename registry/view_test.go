package registry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"cleat/registry"
)

// endpoints reads "id@host" words; since is the order of the letters in id.
func endpoints(text string) []registry.Endpoint {
	var list []registry.Endpoint
	for word := range strings.FieldsSeq(text) {
		id, host, _ := strings.Cut(word, "@")
		if host == "" {
			host = "host-" + id
		}
		list = append(list, registry.Endpoint{
			ID: id, Address: host, Port: 80, Protocol: registry.TCP, Status: registry.Passing, Since: registry.Revision(id[0]),
		})
	}
	return list
}

func ids(v registry.View) string {
	var words []string
	for _, e := range v.Endpoints {
		words = append(words, e.ID)
	}
	return strings.Join(words, " ")
}

func TestViewApply(t *testing.T) {
	known := registry.View{Revision: 5, Endpoints: endpoints("a b c")}
	drop := func(ids string) (drops []registry.Drop) {
		for id := range strings.FieldsSeq(ids) {
			drops = append(drops, registry.Drop{ID: id, Why: registry.WhyLost})
		}
		return drops
	}
	for name, test := range map[string]struct {
		message registry.ViewMessage
		want    string
	}{
		"complete is what there is":                     {registry.ViewMessage{Complete: true, Add: endpoints("d a")}, "a d"},
		"complete and empty":                            {registry.ViewMessage{Complete: true}, ""},
		"a difference adds":                             {registry.ViewMessage{Add: endpoints("d")}, "a b c d"},
		"a difference drops":                            {registry.ViewMessage{Drop: drop("b")}, "a c"},
		"a difference replaces by id":                   {registry.ViewMessage{Add: endpoints("b@elsewhere")}, "a b c"},
		"a difference adds beside the same address":     {registry.ViewMessage{Add: endpoints("d@host-b")}, "a b c d"},
		"a drop of what was never there":                {registry.ViewMessage{Drop: drop("x")}, "a b c"},
		"warming: from absence nothing follows":         {registry.ViewMessage{Complete: true, Warming: true}, "a b c"},
		"warming: what is there is added":               {registry.ViewMessage{Complete: true, Warming: true, Add: endpoints("d")}, "a b c d"},
		"warming: an explicit drop goes":                {registry.ViewMessage{Complete: true, Warming: true, Drop: drop("a")}, "b c"},
		"warming: the same address is the same process": {registry.ViewMessage{Complete: true, Warming: true, Add: endpoints("d@host-b")}, "a c d"},
		"warming: in a difference too":                  {registry.ViewMessage{Warming: true, Add: endpoints("d@host-b")}, "a c d"},
		"warming: two that come at one address stay":    {registry.ViewMessage{Warming: true, Add: endpoints("d@x e@x")}, "a b c d e"},
	} {
		t.Run(name, func(t *testing.T) {
			before := slices.Clone(known.Endpoints)
			test.message.Revision = 6
			got := known.Apply(test.message)
			if ids(got) != test.want {
				t.Errorf("the view holds %q, want %q", ids(got), test.want)
			}
			if got.Revision != 6 || got.Warming != test.message.Warming || !got.Known() {
				t.Errorf("the view is %+v", got)
			}
			if !slices.EqualFunc(before, known.Endpoints, registry.Endpoint.Equal) {
				t.Error("the old view was changed")
			}
		})
	}
	if (registry.View{}).Known() {
		t.Error("the zero view is known")
	}
}

// A replaced endpoint has the new one's address.
func TestViewApplyReplaces(t *testing.T) {
	v := registry.View{Endpoints: endpoints("a")}.Apply(registry.ViewMessage{Add: endpoints("a@elsewhere")})
	if len(v.Endpoints) != 1 || v.Endpoints[0].Address != "elsewhere" {
		t.Errorf("got %+v", v.Endpoints)
	}
}

func TestViewsAreSortedBySinceAndID(t *testing.T) {
	add := []registry.Endpoint{{ID: "b", Since: 2}, {ID: "a", Since: 2}, {ID: "z", Since: 1}, {ID: "c", Since: 3}}
	for _, complete := range []bool{true, false} {
		v := registry.View{}.Apply(registry.ViewMessage{Complete: complete, Add: add})
		if ids(v) != "z a b c" {
			t.Errorf("complete=%t: the order is %q", complete, ids(v))
		}
	}
	if ids(registry.View{Endpoints: add}) != "b a z c" {
		t.Error("the message was changed")
	}
}

func TestViewEqual(t *testing.T) {
	a, b := registry.View{Revision: 1, Endpoints: endpoints("a b")}, registry.View{Revision: 2, Endpoints: endpoints("a b")}
	if !a.Equal(b) {
		t.Error("the revision alone makes a difference")
	}
	for i, change := range []func(*registry.Endpoint){
		func(e *registry.Endpoint) { e.ID = "x" },
		func(e *registry.Endpoint) { e.Address = "x" },
		func(e *registry.Endpoint) { e.Port++ },
		func(e *registry.Endpoint) { e.Protocol = registry.UDP },
		func(e *registry.Endpoint) { e.Tags = []string{"x"} },
		func(e *registry.Endpoint) { e.Attributes = map[string]string{"x": ""} },
		func(e *registry.Endpoint) { e.Zone = "x" },
		func(e *registry.Endpoint) { e.Status = registry.Warning },
		func(e *registry.Endpoint) { e.Since++ },
	} {
		c := registry.View{Endpoints: endpoints("a b")}
		change(&c.Endpoints[0])
		if a.Equal(c) {
			t.Errorf("change %d is not seen", i)
		}
	}
}

func ExampleView_Apply() {
	var v registry.View
	v = v.Apply(registry.ViewMessage{Revision: 1, Complete: true, Add: []registry.Endpoint{{ID: "a", Since: 1}, {ID: "b", Since: 1}}})
	v = v.Apply(registry.ViewMessage{Revision: 2, Drop: []registry.Drop{{ID: "a", Why: registry.WhyDraining}}})
	// The server restarts, and does not know b yet.
	v = v.Apply(registry.ViewMessage{Revision: 3, Complete: true, Warming: true})
	fmt.Println(v.Revision, v.Warming, v.Endpoints[0].ID)
	// Output: 3 true b
}
