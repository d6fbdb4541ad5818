package settings

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func explain(t *testing.T, s *Settings) string {
	t.Helper()
	var out bytes.Buffer
	if err := s.Explain(&out); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if strings.TrimRight(line, " \n") != strings.TrimSuffix(line, "\n") {
			t.Errorf("spaces at the end of %q", line)
		}
	}
	return out.String()
}

func TestExplain(t *testing.T) {
	s := parse(t, []string{
		"CLEAT_SERVER=http://10.0.0.1:9640", "CLEAT_TOKEN=hunter2", "CLEAT_STOP_TIMEOUT=2s", "CLEAT_USER=www-data", "CLEAT_ON_CHANGE=HUP",
		"CLEAT_REQUIRE_DB=mysql?tag=primary&min=2&fallback=[::1]:33,db:44", "CLEAT_REQUIRE_RING=self?service=web",
		"CLEAT_REQUIRE_LOGS=syslog?optional=true&attr.token=hunter2", "DB_HOST=x",
		"SERVICE_80_NAME=web", "SERVICE_443_WEIGHT=3", `SERVICE_TAGS=a,b\,c`, "SERVICE_53_UDP_ADVERTISE=[::1]:53", "SERVICE_9000_IGNORE=1",
		"SERVICE_URL=http://a:hunter2@c/",
		"CLEAT_TEMPLATE_WEB=/a:/b:mysql --password=hunter2", "CLEAT_TEMPLATE_WEB_CHECK=nginx -t -c {{staged}}", "CLEAT_TEMPLATE_WEB_MODE=640",
		"CLEAT_TEMPLATE_APP=/c:/d", "CLEAT_ENV_URL=mysql://x:hunter2@{{db.addr}}",
	}, "/usr/sbin/nginx", "-g", "daemon off;", "{{foo}}", "{{db.host}}", "--token=hunter2", "{{file '/run/secret'}}")
	const want = `identity
  id         box-r4nd0m  (made of the hostname; CLEAT_ID sets it)
  namespace  default
  zone       none
  server     http://10.0.0.1:9640

registers
  nginx-53   port 53/udp    id box-r4nd0m:53:udp  advertised as [::1]:53, tags a b,c udp
  web        port 80/tcp    id box-r4nd0m:80      tags a b,c
  nginx-443  port 443/tcp   id box-r4nd0m:443     tags a b,c, weight=3
  not        port 9000/tcp  (ignored)
  at the address of route (CLEAT_ADVERTISE)

requires
  db    mysql?ns=default&tag=primary      waits for ever, at least 2, else [::1]:33,db:44
        the child gets DB_PORT DB_ADDR DB_ADDRS
        set already, left alone: DB_HOST
  logs  syslog?attr.token=***&ns=default  optional, at least 1, on loss: hold
        the child gets LOGS_HOST LOGS_PORT LOGS_ADDR LOGS_ADDRS
  ring  its own service, web              waits for ever
        the child gets RING_HOST RING_PORT RING_ADDR RING_ADDRS

renders
  app      /c -> /d                                           then SIGHUP (CLEAT_ON_CHANGE)
  web      /a -> /b                                           then mysql --password=***
           checked by nginx -t -c {{staged}}, mode 0640
  overlay  /etc/cleat/templates/... -> /... (if it is there)  then SIGHUP (CLEAT_ON_CHANGE)
  a template without an action of its own that uses no other alias than self ones: then none

sets
  URL  from CLEAT_ENV_URL, with db

runs
  /usr/sbin/nginx -g 'daemon off;' '{{foo}}' '{{db.host}}' '--token=***' '{{file '\''/run/secret'\''}}'
  as the user www-data
  argument 3: {{foo}} is no placeholder of a declared alias, self, env or file: it stays as it is
  argument 4 is filled in, with db
  argument 6 is filled in, with /run/secret
  argument 6 shows the contents of a file to everybody who can run ps

settings from the environment that are not the default
  CLEAT_SERVER        http://10.0.0.1:9640  (default none)
  CLEAT_TOKEN         (set, not shown)      (default none)
  CLEAT_ON_CHANGE     HUP                   (default restart)
  CLEAT_USER          www-data              (default none)
  CLEAT_STOP_TIMEOUT  2s                    (default 9s)
  CLEAT_DRAIN         1s                    (made to fit CLEAT_STOP_TIMEOUT)
  CLEAT_LINGER        250ms                 (made to fit CLEAT_DRAIN)

warnings
  the token goes to http://10.0.0.1:9640 as plain text; use https
  SERVICE_URL is not published: its value holds a password or another secret
`
	got := explain(t, s)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if strings.Contains(got, "hunter2") {
		t.Error("a secret is shown")
	}
}

func TestExplainNothing(t *testing.T) {
	const want = `identity
  id         box-r4nd0m  (made of the hostname; CLEAT_ID sets it)
  namespace  default
  zone       none
  server     none        (cleat is a plain PID 1: nothing is registered or found)

registers
  nothing: CLEAT_SERVER is empty

requires
  nothing

renders
  overlay  /etc/cleat/templates/... -> /... (if it is there)  then restart (CLEAT_ON_CHANGE)

runs
  app

settings from the environment that are not the default
  none
`
	if got := explain(t, parse(t, nil, "app")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestExplainParts(t *testing.T) {
	for _, test := range []struct{ environ, want string }{
		{server, "the TCP ports that the child listens on, as app, or app-<port> when there are several"},
		{"SERVICE_NAME=web\nSERVICE_X=1", "as web, or web-<port> when there are several\n  with x=1\n"},
		{"CLEAT_PORTS=none", "nothing: no port is named, and CLEAT_PORTS=none or SERVICE_IGNORE is set"},
		{"SERVICE_80_ADVERTISE=8080", "advertised as port 8080"},
		{"CLEAT_TEMPLATES=/t", "overlay  /t/... -> /...  then"},
		{"CLEAT_ID=me", "id         me  (CLEAT_ID)"},
		{"CLEAT_ADVERTISE=eth0,route", "at the address of eth0, else route (CLEAT_ADVERTISE)"},
		{"CLEAT_REQUIRE_DB=mysql?wait=1m&limit=3&prefer=zone\nCLEAT_ZONE=eu", "waits for 1m, at least 1, at most 3, its own zone first, on loss: hold"},
		{"CLEAT_TEMPLATE_A=/a:/b:none\nCLEAT_TEMPLATE_A_OWNER=me\nCLEAT_TEMPLATE_A_SETTLE=1s", "owner me, settles in 1s"},
		{"CLEAT_TOKEN_FILE=/run/secrets/cleat", "CLEAT_TOKEN_FILE  /run/secrets/cleat"},
		{"SERVICE_X=a\x1b[31m\tb", "with x=a?[31m?b"},
	} {
		if got := explain(t, parse(t, environOf(test.environ))); !strings.Contains(got, test.want) {
			t.Errorf("%q is missing in\n%s", test.want, got)
		}
	}
}

func TestExplainTo(t *testing.T) {
	if err := parse(t, nil).Explain(broken{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

var errBroken = errors.New("broken")

// broken is a writer that takes nothing.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }
