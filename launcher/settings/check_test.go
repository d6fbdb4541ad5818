package settings

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cleat/launcher/health"
	"cleat/registry"
)

// checked is a check with what holds where nothing is said.
func checked(c health.Check) *health.Check {
	if c.Interval == 0 {
		c.Interval = health.DefaultInterval
	}
	if c.Timeout == 0 {
		c.Timeout = health.DefaultTimeout
	}
	c.Rise, c.Fall = max(c.Rise, 1), max(c.Fall, 1)
	return &c
}

func TestChecks(t *testing.T) {
	for _, test := range []struct {
		name    string
		environ []string
		want    *health.Check
	}{
		{"none", []string{"SERVICE_80_NAME=x"}, nil},
		{"http", []string{"SERVICE_80_CHECK_HTTP=/h?a=b", "SERVICE_80_CHECK_HTTP_METHOD=head"}, checked(health.Check{Kind: health.HTTP, Path: "/h?a=b", Method: "HEAD"})},
		{"https", []string{"SERVICE_80_CHECK_HTTPS=/", "SERVICE_80_CHECK_HTTPS_METHOD=POST", "SERVICE_80_CHECK_TLS_SKIP_VERIFY=yes", "SERVICE_80_CHECK_TLS_SERVER_NAME=example.org"},
			checked(health.Check{Kind: health.HTTPS, Path: "/", Method: "POST", SkipVerify: true, ServerName: "example.org"})},
		{"command", []string{`SERVICE_80_CHECK_CMD=check "a b"`}, checked(health.Check{Kind: health.Command, Command: `check "a b"`})},
		{"script", []string{"SERVICE_80_CHECK_SCRIPT=a | b 'c"}, checked(health.Check{Kind: health.Script, Command: "a | b 'c"})},
		{"ttl", []string{"SERVICE_80_CHECK_TTL=90s"}, checked(health.Check{Kind: health.TTL, TTL: 90 * time.Second})},
		{"tcp", []string{"SERVICE_80_CHECK_TCP=true"}, checked(health.Check{Kind: health.TCP})},
		{"any value is yes", []string{"SERVICE_80_CHECK_TCP=tcp"}, checked(health.Check{Kind: health.TCP})},
		{"but for no", []string{"SERVICE_80_CHECK_TCP=False"}, nil},
		{"grpc", []string{"SERVICE_80_CHECK_GRPC=1", "SERVICE_80_CHECK_GRPC_SERVICE=a.B"}, checked(health.Check{Kind: health.GRPC, Service: "a.B"})},
		{"grpc by tls", []string{"SERVICE_80_CHECK_GRPC=1", "SERVICE_80_CHECK_GRPC_USE_TLS=true", "SERVICE_80_CHECK_TLS_SKIP_VERIFY=true"},
			checked(health.Check{Kind: health.GRPC, TLS: true, SkipVerify: true})},
		{"everything else", []string{"SERVICE_80_CHECK_TCP=true", "SERVICE_80_CHECK_INTERVAL=1m", "SERVICE_80_CHECK_TIMEOUT=5s", "SERVICE_80_CHECK_RISE=2",
			"SERVICE_80_CHECK_FALL=100", "SERVICE_80_CHECK_INITIAL_STATUS=warning", "SERVICE_80_CHECK_DEREGISTER_AFTER=72h"},
			&health.Check{Kind: health.TCP, Interval: time.Minute, Timeout: 5 * time.Second, Rise: 2, Fall: 100, Initial: registry.Warning, DeregisterAfter: 72 * time.Hour}},
		{"for all ports", []string{"SERVICE_CHECK_HTTP=/", "SERVICE_80_NAME=x"}, checked(health.Check{Kind: health.HTTP, Path: "/"})},
		{"options for all ports", []string{"SERVICE_CHECK_INTERVAL=1s", "SERVICE_CHECK_FALL=3", "SERVICE_80_CHECK_TCP=true", "SERVICE_80_CHECK_FALL=2"},
			checked(health.Check{Kind: health.TCP, Interval: time.Second, Fall: 2})},
		{"its own beats the one for all", []string{"SERVICE_CHECK_HTTP=/", "SERVICE_80_CHECK_TTL=1m"}, checked(health.Check{Kind: health.TTL, TTL: time.Minute})},
		{"it has none", []string{"SERVICE_CHECK_TCP=true", "SERVICE_80_CHECK_TCP=false"}, nil},
		{"any case", []string{"SERVICE_80_check_tcp=true"}, checked(health.Check{Kind: health.TCP})},
		{"not even a broken one for an ignored port", []string{"SERVICE_80_IGNORE=1", "SERVICE_80_CHECK_HTTP=x"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := parse(t, append(test.environ, server))
			if len(s.Offers) != 1 || !reflect.DeepEqual(s.Offers[0].Check, test.want) {
				t.Errorf("got\n%+v\nwant\n%+v", s.Offers[0].Check, test.want)
			}
			if len(s.Warnings) > 0 {
				t.Errorf("warnings: %q", s.Warnings)
			}
			if len(s.Offers[0].Attributes) > 0 {
				t.Errorf("published: %v", s.Offers[0].Attributes)
			}
		})
	}
}

// TestPrecedenceOfChecks asks for all of them, and takes one away after the other.
func TestPrecedenceOfChecks(t *testing.T) {
	all := []string{
		"SERVICE_80_CHECK_HTTP=/", "SERVICE_80_CHECK_HTTPS=/", "SERVICE_80_CHECK_CMD=c", "SERVICE_80_CHECK_SCRIPT=s",
		"SERVICE_80_CHECK_TTL=1m", "SERVICE_80_CHECK_TCP=true", "SERVICE_80_CHECK_GRPC=true",
	}
	want := []health.Kind{health.HTTP, health.HTTPS, health.Command, health.Script, health.TTL, health.TCP, health.GRPC}
	for i, kind := range want {
		environ := append(slices.Clone(all[i:]), server)
		slices.Reverse(environ)
		s := parse(t, environ)
		if got := s.Offers[0].Check.Kind; got != kind {
			t.Errorf("%q: %s, want %s", environ, got, kind)
		}
		if len(s.Warnings) != len(all)-i-1 {
			t.Errorf("%q: warnings %q", environ, s.Warnings)
		}
	}
}

func TestChecksOfUDP(t *testing.T) {
	s := parse(t, []string{server, "SERVICE_CHECK_TCP=true", "SERVICE_53_NAME=dns", "SERVICE_53_UDP_NAME=dns", "SERVICE_54_UDP_CHECK_TCP=true"})
	if len(s.Offers) != 3 || s.Offers[0].Check == nil || s.Offers[1].Check != nil || s.Offers[2].Check == nil {
		t.Errorf("%+v", s.Offers)
	}
	s = parse(t, []string{server, "SERVICE_CHECK_CMD=dig", "SERVICE_53_UDP_NAME=dns"})
	if s.Offers[0].Check == nil {
		t.Error("a command is not for TCP alone")
	}
}

func TestChecksOfPortsThatAreFound(t *testing.T) {
	s := parse(t, []string{server, "SERVICE_CHECK_HTTP=/"})
	if got := s.AutoOffer(8080, false).Check; got == nil || got.Path != "/" {
		t.Errorf("got %+v", got)
	}
}

func TestExplainChecks(t *testing.T) {
	for environ, want := range map[string]string{
		"SERVICE_80_CHECK_HTTP=/h?token=hunter2&a=b":                      "checked by GET /h?token=*** by HTTP, every 10s, for at most 10s\n",
		"SERVICE_80_CHECK_CMD=mysqladmin --password=hunter2 ping":         "checked by mysqladmin --password=*** ping, every 10s",
		"SERVICE_80_CHECK_SCRIPT=curl http://bob:hunter2@localhost":       "checked by sh -c 'curl http://bob:***@localhost', every",
		"SERVICE_80_CHECK_TTL=1m":                                         "checked by the child's own reports, at least every 1m\n",
		"SERVICE_CHECK_TCP=true":                                          "\n  checked by connecting by TCP, every 10s",
		"SERVICE_80_CHECK_HTTPS=/\nSERVICE_80_CHECK_TLS_SERVER_NAME=a.b":  "checked by GET / by HTTPS, every 10s, for at most 10s, for a.b\n",
		"SERVICE_80_CHECK_HTTPS=/\nSERVICE_80_CHECK_TLS_SKIP_VERIFY=true": "with any certificate\n",
		"SERVICE_80_CHECK_TCP=1\nSERVICE_80_CHECK_RISE=2\nSERVICE_80_CHECK_FALL=3\nSERVICE_80_CHECK_INITIAL_STATUS=passing\nSERVICE_80_CHECK_DEREGISTER_AFTER=1h": ", up after 2, down after 3, at first passing, withdrawn after 1h\n",
	} {
		got := explain(t, parse(t, environOf(environ)))
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
		if strings.Contains(got, "hunter2") {
			t.Errorf("a secret is shown:\n%s", got)
		}
	}
}

func TestCheckVariables(t *testing.T) {
	for _, v := range checkVariables {
		if v.Name != "SERVICE_<port>_"+strings.ToUpper(v.key) || !strings.HasPrefix(v.key, checkPrefix) {
			t.Errorf("%s has the key %s", v.Name, v.key)
		}
		if v.kind != "" && v.of != nil || v.kind == "" && v.set == nil {
			t.Errorf("%s is neither a check nor an option of one", v.Name)
		}
	}
}
