package registry_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"cleat/registry"
)

func valid() registry.Instance {
	return registry.Instance{ID: "web-1:80", Service: "web", Address: "192.0.2.1", Port: 80, Status: registry.Passing}
}

func TestInstanceNormalize(t *testing.T) {
	i := valid()
	i.Service, i.Tags, i.Attributes, i.Address = "WEB", []string{"b", "a", "b"}, map[string]string{"Role": "x"}, "2001:DB8:0::1"
	got, err := i.Normalize("prod", "eu-1")
	if err != nil {
		t.Fatal(err)
	}
	want := registry.Instance{
		ID: "web-1:80", Service: "web", Namespace: "prod", Address: "2001:db8::1", Port: 80, Protocol: registry.TCP,
		Tags: []string{"a", "b"}, Attributes: map[string]string{"role": "x"}, Zone: "eu-1", Status: registry.Passing,
	}
	if !got.Equal(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if i.Tags[0] != "b" {
		t.Error("the argument's tags were sorted in place")
	}
	got.Attributes["role"] = "y"
	if i.Attributes["Role"] != "x" {
		t.Error("the result shares memory with the argument")
	}
	again, err := got.Normalize("elsewhere", "elsewhere")
	if err != nil || !again.Equal(got) {
		t.Errorf("once more it is %+v, %v", again, err)
	}
}

func TestInstanceNormalizeRefuses(t *testing.T) {
	for part, change := range map[string]func(*registry.Instance){
		"the id is empty":           func(i *registry.Instance) { i.ID = "" },
		"\"a b\"":                   func(i *registry.Instance) { i.Service = "a b" },
		"the namespace":             func(i *registry.Instance) { i.Namespace = "a//b" },
		"neither an IP address":     func(i *registry.Instance) { i.Address = "http://x" },
		"anybody could connect":     func(i *registry.Instance) { i.Address = "0.0.0.0" },
		"the port is 0":             func(i *registry.Instance) { i.Port = 0 },
		"expected tcp or udp":       func(i *registry.Instance) { i.Protocol = "sctp" },
		"the name \"z z\"":          func(i *registry.Instance) { i.Zone = "z z" },
		"is no status":              func(i *registry.Instance) { i.Status = "up" },
		"since is":                  func(i *registry.Instance) { i.Since = math.MaxUint64 },
		"the tag":                   func(i *registry.Instance) { i.Tags = []string{""} },
		"65 tags":                   func(i *registry.Instance) { i.Tags = many(65) },
		"65 attributes":             func(i *registry.Instance) { i.Attributes = manyAttributes(65) },
		"1025 bytes":                func(i *registry.Instance) { i.Attributes = map[string]string{"x": strings.Repeat("v", 1025)} },
		"not UTF-8":                 func(i *registry.Instance) { i.Attributes = map[string]string{"x": "\xff"} },
		"twice, in different cases": func(i *registry.Instance) { i.Attributes = map[string]string{"X": "1", "x": "2"} },
	} {
		i := valid()
		change(&i)
		_, err := i.Normalize("prod", "")
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v; want an error with %q", err, part)
		}
	}
	i := valid()
	i.Port, i.Service, i.Status = 0, "", "up"
	_, err := i.Normalize("prod", "")
	for _, part := range []string{"web-1:80", "port", "name", "status"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("not everything wrong is said at once: %v", err)
		}
	}
}

func many(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint("x", i))
	}
	return list
}

func manyAttributes(n int) map[string]string {
	m := make(map[string]string)
	for _, key := range many(n) {
		m[key] = ""
	}
	return m
}

func TestAddr(t *testing.T) {
	for address, want := range map[string]string{"192.0.2.1": "192.0.2.1:80", "2001:db8::1": "[2001:db8::1]:80", "db": "db:80"} {
		if got := (registry.Endpoint{Address: address, Port: 80}).Addr(); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	if got := registry.Cut("short"); got != "short" {
		t.Errorf("got %q", got)
	}
	got := registry.Cut(strings.Repeat("ä", registry.MaxReasonLength))
	if len(got) > registry.MaxReasonLength || !strings.HasSuffix(got, "ä...") {
		t.Errorf("got %d bytes that end in %q", len(got), got[len(got)-8:])
	}
}

func TestStatuses(t *testing.T) {
	for status, want := range map[registry.Status][2]bool{ // serving, peering
		registry.Passing: {true, true}, registry.Warning: {true, true}, registry.Critical: {false, true},
		registry.Starting: {false, true}, registry.Draining: {false, false}, registry.Maintenance: {false, false},
	} {
		if status.Serving() != want[0] || status.Peering() != want[1] {
			t.Errorf("%s: serving %t, peering %t", status, status.Serving(), status.Peering())
		}
		if got, err := registry.ParseStatus(string(status)); err != nil || got != status {
			t.Errorf("%s is read as %q, %v", status, got, err)
		}
	}
	if _, err := registry.ParseStatus("PASSING"); err == nil {
		t.Error("PASSING is taken for a status")
	}
}

// Revisions are numbers that every language's JSON can hold.
func TestRevisionsFitIntoFloats(t *testing.T) {
	first := registry.FirstRevision(time.Date(2250, 1, 1, 0, 0, 0, 0, time.UTC))
	if uint64(first) != uint64(float64(first)) || first > 1<<53 {
		t.Errorf("%d is no exact float", first)
	}
	if registry.MaxSince+first > 1<<53+1<<52 || registry.MaxSince >= 1<<53 {
		t.Error("a launcher could use up all revisions")
	}
}

func TestMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]registry.Milliseconds{
		0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, 3 * time.Second: 3000, -time.Second: -1000,
	} {
		if got := registry.InMilliseconds(d); got != want {
			t.Errorf("%v is %d, want %d", d, got, want)
		}
	}
	for m, want := range map[registry.Milliseconds]time.Duration{1500: 1500 * time.Millisecond, -1: -time.Millisecond} {
		if got := m.Duration(); got != want {
			t.Errorf("%d is %v, want %v", m, got, want)
		}
	}
	if d := registry.Milliseconds(math.MaxInt64).Duration(); d < 290*365*24*time.Hour {
		t.Errorf("the longest is %v", d)
	}
	if d := registry.Milliseconds(math.MinInt64).Duration(); d > 0 {
		t.Errorf("the most negative is %v", d)
	}
}
