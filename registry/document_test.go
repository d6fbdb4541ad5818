package registry_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"cleat/registry"
)

// docs/protocol.md names every message, every member and every word that goes
// over the wire.
func TestTheProtocolIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	page, _, _ := strings.Cut(string(text), "\n## A conversation\n")
	words := map[string]bool{
		registry.Subprotocol: true, registry.SessionPath: true,
		"passing": true, "warning": true, "critical": true, "starting": true, "draining": true, "maintenance": true,
		"restarting": true, "lost": true, "left": true,
		"bad_message": true, "bad_declare": true, "conflict": true, "fenced": true, "unauthorized": true, "too_many": true, "unknown": true,
	}
	members(reflect.TypeFor[registry.ClientMessage](), words)
	members(reflect.TypeFor[registry.ServerMessage](), words)
	if len(words) < 50 {
		t.Fatalf("only %d words were found", len(words))
	}
	for word := range words {
		if !strings.Contains(page, "`"+word+"`") && !strings.Contains(page, " "+word+"`") {
			t.Errorf("docs/protocol.md does not say what %s is", word)
		}
	}
}

// members collects the names of all members of a message.
func members(t reflect.Type, into map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		into[name] = true
		members(field.Type, into)
	}
}
