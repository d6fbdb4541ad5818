package registry_test

import (
	"strings"
	"testing"

	"cleat/registry"
)

func TestNames(t *testing.T) {
	long := strings.Repeat("a", registry.MaxNameLength)
	for name, ok := range map[string]bool{
		"a": true, "mysql": true, "web-http": true, "a_b": true, "0": true, long: true,
		"": false, long + "a": false, "Web": false, "-a": false, "a-": false, "_a": false,
		"a.b": false, "a b": false, "a/b": false, "é": false, "a\x00": false, "\xff": false,
	} {
		if err := registry.CheckName(name); (err == nil) != ok {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
}

func TestNamespaces(t *testing.T) {
	for namespace, ok := range map[string]bool{
		"default": true, "dev/alice": true, "a/b/c/d": true,
		"": false, "/": false, "a/": false, "/a": false, "a//b": false, "a/b/c/d/e": false, "dev/Alice": false,
	} {
		if err := registry.CheckNamespace(namespace); (err == nil) != ok {
			t.Errorf("CheckNamespace(%q) = %v", namespace, err)
		}
	}
}

func TestIDs(t *testing.T) {
	long := strings.Repeat("i", registry.MaxIDLength)
	for id, ok := range map[string]bool{
		"web-1": true, "A1:80:udp": true, "host.example@2_x": true, long: true,
		"": false, long + "i": false, ":80": false, "a b": false, "a/b": false, "ä": false, "a\n": false,
	} {
		if err := registry.CheckID(id); (err == nil) != ok {
			t.Errorf("CheckID(%q) = %v", id, err)
		}
	}
}

func TestAliases(t *testing.T) {
	for alias, ok := range map[string]bool{
		"db": true, "_db_": true, "cache-2": true,
		"": false, "DB": false, "a b": false, "a.b": false, strings.Repeat("a", 64): false,
	} {
		if err := registry.CheckAlias(alias); (err == nil) != ok {
			t.Errorf("CheckAlias(%q) = %v", alias, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"192.0.2.1": true, "2001:db8::1": true, "::ffff:192.0.2.1": true, "db": true, "db_1.example.com": true, "DB": true,
		"4d5e": true, "127.0.0.1": true, "123456789012": true,
		"": false, "0.0.0.0": false, "::": false, "fe80::1%eth0": false, "192.0.2.300": false, "1.2.3": false,
		"a..b": false, "-a": false, "a b": false, "a:80": false, "[::1]": false, strings.Repeat("a.", 126) + "a": true,
		strings.Repeat("a.", 127) + "a": false,
	} {
		if err := registry.CheckAddress(address); (err == nil) != ok {
			t.Errorf("CheckAddress(%q) = %v", address, err)
		}
	}
}

// Errors name the culprit, but never print a whole megabyte of it, nor what
// would move a terminal's cursor.
func TestErrorsShowTextSafely(t *testing.T) {
	err := registry.CheckName(strings.Repeat("\x1b[2J", 100000))
	if text := err.Error(); len(text) > 1000 || strings.Contains(text, "\x1b") {
		t.Errorf("the error is %d bytes long: %.200q", len(text), text)
	}
}
