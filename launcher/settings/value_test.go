package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/process"
)

func TestParseSignal(t *testing.T) {
	for text, want := range map[string]syscall.Signal{
		"TERM": 15, "term": 15, "SIGTERM": 15, "sigTerm": 15, "15": 15, "1": 1, "64": 64, "IOT": 6, "CLD": 17, "POLL": 29, "USR1": 10,
		"RTMIN": 34, "RTMIN+0": 34, "rtmin+3": 37, "SIGRTMIN+30": 64, "RTMAX": 64, "RTMAX-1": 63, "RTMAX-30": 34,
	} {
		if got, err := ParseSignal(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "65", "-1", "TERMS", "SIG", "SIGSIGTERM", "RTMIN+31", "RTMIN-1", "RTMAX-31", "RTMAX+1", "RTMIN+", "RTMIN+-1", "9.5", strings.Repeat("X", 1000)} {
		if got, err := ParseSignal(text); err == nil {
			t.Errorf("%q was taken as %d", text, got)
		} else if len(err.Error()) > 200 {
			t.Errorf("%q: the message is long: %s", text, err)
		}
	}
}

func TestSignalName(t *testing.T) {
	for s := syscall.Signal(1); s <= maxSignal; s++ {
		if back, err := ParseSignal(process.SignalName(s)); err != nil || back != s {
			t.Errorf("%d: %s is taken as %d, %v", s, process.SignalName(s), back, err)
		}
	}
	for s, want := range map[syscall.Signal]string{15: "SIGTERM", 34: "SIGRTMIN", 37: "SIGRTMIN+3", 32: "32", 0: "0"} {
		if got := process.SignalName(s); got != want {
			t.Errorf("%d: got %s, want %s", s, got, want)
		}
	}
}

func TestDurationForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 10 * time.Second: "10s", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", 24 * time.Hour: "24h",
		time.Hour + time.Second: "1h0m1s", 100 * time.Millisecond: "100ms", 90 * time.Minute: "1h30m",
	} {
		got := duration(d)
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if back, err := time.ParseDuration(got); err != nil || back != d {
			t.Errorf("%s is taken as %v, %v", got, back, err)
		}
	}
}

func TestSmells(t *testing.T) {
	for _, name := range []string{
		"key", "API_KEY", "apikey", "access-key", "SSHKEY", "token", "TOKENS", "password", "db_passwd", "pass", "MYSQL_PWD", "passphrase",
		"secret", "client.secret", "credentials", "creds", "private", "auth", "jwt", "dsn", "SecretName",
	} {
		if !smells(name) {
			t.Errorf("%s smells of nothing", name)
		}
	}
	for _, name := range []string{"", "weight", "version", "keyspace", "author", "compass", "bypass", "zone", "path", "url", "path_prefix"} {
		if smells(name) {
			t.Errorf("%s smells", name)
		}
	}
}

func TestMasked(t *testing.T) {
	for value, want := range map[string]string{
		"":                                 "",
		"plain":                            "plain",
		"http://host:80/users/@me":         "http://host:80/users/@me",
		"http://host:80/x,http://u:p@h":    "http://host:80/x,http://u:***@h",
		"http://bob@host/":                 "http://bob@host/",
		"http://bob:hunter2@host/":         "http://bob:***@host/",
		"http://bob:hun@ter2@host/":        "http://bob:***@host/",
		"http://bob:hun/ter2@host/":        "http://bob:***@host/",
		"amqp://:hunter2@host":             "amqp://:***@host",
		"a http://b:c@d e http://f:g@h":    "a http://b:***@d e http://f:***@h",
		"bob:hunter2@tcp(db:3306)/x":       "bob:***@tcp(db:3306)/x",
		"nginx:1.27@sha256:0123":           "nginx:1.27@sha256:0123",
		"http://h/?a=b&token=hunter2&c=d":  "http://h/?a=b&token=***&c=d",
		"host=db password=hunter2 port=1":  "host=db password=*** port=1",
		"mysql?attr.secret=hunter2":        "mysql?attr.secret=***",
		"-----BEGIN PRIVATE KEY-----\nabc": "***",
		"postgres://u:p@h/d?sslkey=/x/y":   "postgres://u:***@h/d?sslkey=***",
	} {
		if got := masked(value); got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
		if holdsSecret(value) != (value != want) {
			t.Errorf("%q: holdsSecret is wrong", value)
		}
	}
}

func TestMaskArguments(t *testing.T) {
	got := maskArguments([]string{"app", "--password=hunter2", "--token", "hunter2", "-key", "--verbose", "x", "http://u:hunter2@h/", "a=b", "--secret=", "--name=x", "PASSWORD=hunter2"})
	want := "app --password=*** --token *** -key --verbose x http://u:***@h/ a=b --secret= --name=x PASSWORD=***"
	if strings.Join(got, " ") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, " "), want)
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"ab", "ba", 1}, {"abc", "abd", 1}, {"abc", "ac", 1}, {"ac", "abc", 1}, {"abcd", "badc", 2},
		{"abc", "xyz", 3}, {"abcdef", "a", maxDistance + 1},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%q %q: got %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

// TestNoWildSuggestion: a hint that leads astray is worse than none.
func TestNoWildSuggestion(t *testing.T) {
	for _, name := range []string{"CLEAT_X", "CLEAT_A_B", "CLEAT_", "CLEAT_IT", "CLEAT_CB", "CLEAT_HOME", "CLEAT_" + strings.Repeat("REQUIRE_", 100)} {
		if got := nearestVariable(name); got != "" {
			t.Errorf("%s: suggests %s", shorten(name), got)
		}
	}
	for name, want := range map[string]string{
		"CLEAT_ADVERTISED": "CLEAT_ADVERTISE", "CLEAT_SPALY": "CLEAT_SPLAY", "CLEAT_STOPTIMEOUT": "CLEAT_STOP_TIMEOUT",
		"CLEAT_TEMPLATE": "CLEAT_TEMPLATE_<NAME>", "CLEAT_TEMPLTES": "CLEAT_TEMPLATES", "CLEAT_REQUIRE": "CLEAT_REQUIRE_<ALIAS>", "CLEAT_REQUIRED": "CLEAT_REQUIRE_<ALIAS>", "CLEAT_REQIRE_": "CLEAT_REQUIRE_<ALIAS>", "CLEAT_REQURIE_MY_DB": "CLEAT_REQUIRE_MY_DB", "CLEAT_template_web": "CLEAT_TEMPLATE_WEB",
		"CLEAT_REQUIRES_DB": "CLEAT_REQUIRE_DB", "CLEAT_ONCHANGE": "CLEAT_ON_CHANGE",
	} {
		if got := nearestVariable(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	a, b := &Error{Variable: "A", Problem: "bad"}, &Error{Variable: "B", Value: "x", Problem: "bad", Expected: "good", Hint: "try"}
	joined := fmt.Errorf("settings: %w", errors.Join(a, errors.Join(b, errors.New("other"))))
	if got := Errors(joined); !slices.Equal(got, []*Error{a, b}) {
		t.Errorf("got %v", got)
	}
	if got := Errors(nil); got != nil {
		t.Errorf("got %v", got)
	}
	if a.Error() != "A: bad" || b.Error() != `B="x": bad; expected good; try` {
		t.Errorf("%s, %s", a, b)
	}
}
