package settings

import (
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cleat/registry"
	"cleat/templates"
)

// parse parses an environment that must be right.
func parse(t *testing.T, environ []string, command ...string) *Settings {
	t.Helper()
	if len(command) == 0 {
		command = []string{"/usr/sbin/app"}
	}
	s, err := Parse(environ, command, testHost)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDefaults(t *testing.T) {
	s := parse(t, nil)
	if len(s.Servers) != 0 || s.Namespace != "default" || s.Zone != "" || s.ID != "box-r4nd0m" {
		t.Errorf("identity: %q %q %q %q", s.Servers, s.Namespace, s.Zone, s.ID)
	}
	if len(s.Advertise) != 1 || s.Advertise[0].String() != "route" || !s.AutoPorts {
		t.Errorf("offers: %v %v", s.Advertise, s.AutoPorts)
	}
	if s.TemplatesDir != "/etc/cleat/templates" || s.TemplatesSet || s.OnChange != (Action{Kind: ActionRestart}) {
		t.Errorf("templates: %v %v %v", s.TemplatesDir, s.TemplatesSet, s.OnChange)
	}
	if s.QuietMin != 100*time.Millisecond || s.QuietMax != 2*time.Second || s.Splay != 0 {
		t.Errorf("quiet: %v %v %v", s.QuietMin, s.QuietMax, s.Splay)
	}
	if !slices.Equal(s.StopOn, []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}) || s.StopSignal != 0 {
		t.Errorf("stop: %v %v", s.StopOn, s.StopSignal)
	}
	if s.StopTimeout != 9*time.Second || s.Drain != 4*time.Second || s.Linger != time.Second {
		t.Errorf("stop: %v %v %v", s.StopTimeout, s.Drain, s.Linger)
	}
	if s.KillGroup || s.Rewrite != nil || s.MapExit != nil || s.Restart != RestartNever || s.User != "" {
		t.Errorf("child: %v %v %v %v %v", s.KillGroup, s.Rewrite, s.MapExit, s.Restart, s.User)
	}
	if s.Log != "text" || s.LogLevel != slog.LevelInfo || len(s.Warnings) != 0 {
		t.Errorf("log: %v %v %v", s.Log, s.LogLevel, s.Warnings)
	}
}

func TestPlain(t *testing.T) {
	s := parse(t, []string{
		"CLEAT_SERVER=http://localhost:1/, HTTPS://b:2,http://[::1]:3,http://localhost:1", "CLEAT_TOKEN_FILE=/run/t",
		"CLEAT_CA=/ca", "CLEAT_CERT=/cert", "CLEAT_KEY=/key", "CLEAT_NAMESPACE=Dev/Alice", "CLEAT_ZONE=EU-1", "CLEAT_ID=Web.1",
		"CLEAT_ADVERTISE=eth0.100,inet6", "CLEAT_PORTS=none", "CLEAT_TEMPLATES=/t", "CLEAT_ON_CHANGE=sighup",
		"CLEAT_QUIET=0s:10m", "CLEAT_SPLAY=1h", "CLEAT_USER=www-data:33", "CLEAT_STOP_ON=term, RTMIN+3,term", "CLEAT_STOP_SIGNAL=9",
		"CLEAT_STOP_TIMEOUT=1m30s", "CLEAT_DRAIN=1m", "CLEAT_LINGER=0s", "CLEAT_KILL_GROUP=Yes", "CLEAT_REWRITE=TERM:QUIT, hup:0",
		"CLEAT_MAP_EXIT=143:0, 0:255", "CLEAT_RESTART=always", "CLEAT_LOG=json", "CLEAT_LOG_LEVEL=error",
		"CLEAT_SOCKET=/run/app.sock",
	})
	if want := []string{"http://localhost:1", "https://b:2", "http://[::1]:3"}; !slices.Equal(s.Servers, want) {
		t.Errorf("servers: %q", s.Servers)
	}
	if s.TokenFile != "/run/t" || s.CA != "/ca" || s.Cert != "/cert" || s.Key != "/key" {
		t.Errorf("paths: %q %q %q %q", s.TokenFile, s.CA, s.Cert, s.Key)
	}
	if s.Namespace != "dev/alice" || s.Zone != "eu-1" || s.ID != "Web.1" || len(s.Advertise) != 2 || s.AutoPorts {
		t.Errorf("identity: %q %q %q %v %v", s.Namespace, s.Zone, s.ID, s.Advertise, s.AutoPorts)
	}
	if s.TemplatesDir != "/t" || !s.TemplatesSet || s.OnChange != (Action{Kind: ActionSignal, Signal: syscall.SIGHUP}) {
		t.Errorf("templates: %v %v %v", s.TemplatesDir, s.TemplatesSet, s.OnChange)
	}
	if s.QuietMin != 0 || s.QuietMax != 10*time.Minute || s.Splay != time.Hour || s.User != "www-data:33" {
		t.Errorf("behaviour: %v %v %v %v", s.QuietMin, s.QuietMax, s.Splay, s.User)
	}
	if !slices.Equal(s.StopOn, []syscall.Signal{syscall.SIGTERM, 37}) || s.StopSignal != syscall.SIGKILL {
		t.Errorf("stop: %v %v", s.StopOn, s.StopSignal)
	}
	if s.StopTimeout != 90*time.Second || s.Drain != time.Minute || s.Linger != 0 || !s.KillGroup {
		t.Errorf("stop: %v %v %v %v", s.StopTimeout, s.Drain, s.Linger, s.KillGroup)
	}
	if !maps.Equal(s.Rewrite, map[syscall.Signal]syscall.Signal{syscall.SIGTERM: syscall.SIGQUIT, syscall.SIGHUP: 0}) {
		t.Errorf("rewrite: %v", s.Rewrite)
	}
	if !maps.Equal(s.MapExit, map[int]int{143: 0, 0: 255}) || s.Restart != RestartAlways || s.Log != "json" || s.LogLevel != slog.LevelError {
		t.Errorf("rest: %v %v %v %v", s.MapExit, s.Restart, s.Log, s.LogLevel)
	}
	if s.Socket != "/run/app.sock" || parse(t, []string{"CLEAT_SOCKET=none"}).Socket != NoSocket || parse(t, nil).Socket != "" {
		t.Errorf("socket: %q", s.Socket)
	}
	if len(s.Warnings) != 0 {
		t.Errorf("warnings: %q", s.Warnings)
	}
}

// TestEmptyIsAbsent sets every plain variable to nothing.
func TestEmptyIsAbsent(t *testing.T) {
	var environ []string
	for _, v := range plainVariables {
		environ = append(environ, v.Name+"=")
	}
	environ = append(environ, "SERVICE_80_NAME=", "SERVICE_IGNORE=", "CLEAT_TEMPLATE_WEB=")
	empty, absent := parse(t, environ), parse(t, nil)
	empty.ChildEnv, absent.ChildEnv = nil, nil
	empty.Command, absent.Command = nil, nil
	if !reflect.DeepEqual(empty, absent) {
		t.Errorf("got\n%+v\nwant\n%+v", empty, absent)
	}
}

func TestStopFitsTogether(t *testing.T) {
	for _, test := range []struct {
		environ       []string
		drain, linger time.Duration
	}{
		{[]string{"CLEAT_STOP_TIMEOUT=2s"}, time.Second, 250 * time.Millisecond},
		{[]string{"CLEAT_STOP_TIMEOUT=0s"}, 0, 0},
		{[]string{"CLEAT_STOP_TIMEOUT=1m"}, 4 * time.Second, time.Second},
		{[]string{"CLEAT_DRAIN=9s"}, 9 * time.Second, time.Second},
		{[]string{"CLEAT_DRAIN=400ms"}, 400 * time.Millisecond, 100 * time.Millisecond},
		{[]string{"CLEAT_LINGER=4s"}, 4 * time.Second, 4 * time.Second},
	} {
		s := parse(t, test.environ)
		if s.Drain != test.drain || s.Linger != test.linger {
			t.Errorf("%q: drain %v, linger %v; want %v, %v", test.environ, s.Drain, s.Linger, test.drain, test.linger)
		}
	}
}

func TestID(t *testing.T) {
	for hostname, want := range map[string]string{
		"0123456789ab":            "0123456789ab",
		strings.Repeat("0f", 32):  strings.Repeat("0f", 32),
		"0123456789aB":            "0123456789aB-r4nd0m",
		"0123456789abc":           "0123456789abc-r4nd0m",
		"web-1.example.org":       "web-1.example.org-r4nd0m",
		"":                        "host-r4nd0m",
		"-ü/":                     "host-r4nd0m",
		strings.Repeat("x", 1000): strings.Repeat("x", 64) + "-r4nd0m",
	} {
		s, err := Parse(nil, []string{"app"}, Host{Hostname: hostname, Random: testHost.Random})
		if err != nil {
			t.Fatal(err)
		}
		if s.ID != want {
			t.Errorf("%q: got %q, want %q", hostname, s.ID, want)
		}
		if err := registry.CheckID(s.ID); err != nil {
			t.Error(err)
		}
	}
}

func TestChildEnv(t *testing.T) {
	s := parse(t, []string{
		"A=1", "CLEAT_TOKEN=x", "CLEAT_KEY=", "B=2", "noequals", "A=3=4", "CLEAT_ZONE=z", "=odd=x", "", "CLEAT_TOKEN_FILE=", "CLEAT_TOKEN",
	})
	want := []string{"B=2", "noequals", "A=3=4", "CLEAT_ZONE=z", "=odd=x"}
	if !slices.Equal(s.ChildEnv, want) {
		t.Errorf("got %q, want %q", s.ChildEnv, want)
	}
	if s.Token != "x" || s.Zone != "z" {
		t.Errorf("%q %q", s.Token, s.Zone)
	}
	last := parse(t, []string{"CLEAT_ZONE=a", "CLEAT_ZONE=b"})
	if last.Zone != "b" {
		t.Errorf("the last of two values does not count: %q", last.Zone)
	}
}

func TestLinksAreIgnored(t *testing.T) {
	kubernetes := []string{
		"CLEAT_SERVICE_HOST=10.0.0.1", "CLEAT_SERVICE_PORT=9640", "CLEAT_SERVICE_PORT_HTTP=9640", "CLEAT_PORT=tcp://10.0.0.1:9640",
		"CLEAT_PORT_9640_TCP=tcp://10.0.0.1:9640", "CLEAT_PORT_9640_TCP_PROTO=tcp", "CLEAT_PORT_9640_TCP_PORT=9640", "CLEAT_PORT_9640_TCP_ADDR=10.0.0.1",
	}
	if s := parse(t, kubernetes); len(s.Warnings) != len(kubernetes) {
		t.Errorf("warnings: %q", s.Warnings)
	}
}

func TestRequirements(t *testing.T) {
	s := parse(t, []string{
		server, "CLEAT_ZONE=eu",
		"CLEAT_REQUIRE_DB=MySQL?tag=primary&tag=a&attr.role=~ma.*&zone=EU&ns=prod",
		"CLEAT_REQUIRE_cache_2=redis?min=3&limit=5&prefer=zone&wait=30s&on-loss=stop",
		"CLEAT_REQUIRE_LOGS=syslog?optional=true&on-loss=empty",
		"CLEAT_REQUIRE_QUEUE=amqp?fallback=mq.example.org:5672,[fd00::1]:5672,mq.example.org:5672",
	})
	if len(s.Requirements) != 4 || len(s.Warnings) != 0 {
		t.Fatalf("%+v %q", s.Requirements, s.Warnings)
	}
	cache, db, logs, queue := s.Requirements[0], s.Requirements[1], s.Requirements[2], s.Requirements[3]
	if db.Alias != "db" || db.Filter.String() != "mysql?attr.role=~ma.%2A&ns=prod&tag=a&tag=primary&zone=eu" ||
		db.Min != 1 || db.OnLoss != Hold || db.Wait != 0 || db.Optional || db.Limit != 0 || db.PreferZone {
		t.Errorf("db: %+v %s", db, db.Filter)
	}
	if cache.Alias != "cache_2" || cache.Filter.String() != "redis?ns=default" || cache.Min != 3 || cache.Limit != 5 ||
		!cache.PreferZone || cache.Wait != 30*time.Second || cache.OnLoss != Stop {
		t.Errorf("cache: %+v", cache)
	}
	if !logs.Optional || logs.OnLoss != Empty {
		t.Errorf("logs: %+v", logs)
	}
	ids := []string{queue.Fallback[0].ID, queue.Fallback[1].ID}
	if len(queue.Fallback) != 2 || !slices.Equal(ids, []string{"mq.example.org:5672", "[fd00::1]:5672"}) || queue.Fallback[1].Address != "fd00::1" {
		t.Errorf("queue: %+v", queue)
	}
	want := map[string]templates.Alias{"cache_2": {}, "db": {}, "logs": {Absent: true}, "queue": {}}
	if !maps.Equal(s.Aliases(), want) {
		t.Errorf("aliases: %v", s.Aliases())
	}
}

func TestRequirementsWithoutServer(t *testing.T) {
	s := parse(t, []string{"CLEAT_REQUIRE_DB=mysql?fallback=db:3306"})
	if len(s.Requirements) != 1 {
		t.Errorf("%+v", s.Requirements)
	}
}

func TestSelf(t *testing.T) {
	s := parse(t, []string{server, "CLEAT_ZONE=eu", "SERVICE_80_NAME=a", "SERVICE_81_NAME=b", "SERVICE_81_TAGS=x",
		"CLEAT_REQUIRE_RING=Self?service=B&tag=x&zone=eu&wait=1m"})
	r := s.Requirements[0]
	if !r.Self || r.Filter.String() != "b?ns=default&self=true&tag=x&zone=eu" || r.Wait != time.Minute || !s.Aliases()["ring"].Self {
		t.Errorf("%+v %s", r, r.Filter)
	}
	// Two ports of one service are one service.
	s = parse(t, []string{server, "SERVICE_80_NAME=a", "SERVICE_81_NAME=a", "CLEAT_REQUIRE_RING=self"})
	if got := s.Requirements[0].Filter.String(); got != "a?ns=default&self=true" {
		t.Error(got)
	}
}

func TestTemplates(t *testing.T) {
	s := parse(t, []string{
		"CLEAT_TEMPLATE_WEB=/a/../b:/c//d:nginx -s reload -c a:b", "CLEAT_TEMPLATE_WEB_CHECK=nginx -t -c {{staged}}",
		"CLEAT_TEMPLATE_WEB_MODE=640", "CLEAT_TEMPLATE_WEB_OWNER=www-data:33", "CLEAT_TEMPLATE_WEB_SETTLE=2s",
		"CLEAT_TEMPLATE_app=/a:/app", "CLEAT_TEMPLATE_APP_MODE=0600", "CLEAT_TEMPLATE_HEALTH_CHECK=/a:/health:RTMIN+1",
		"CLEAT_TEMPLATE_HEALTH_CHECK_MODE=0600", "CLEAT_TEMPLATE_OTHER=/a:/other:NONE",
	})
	mode := func(m uint32) *uint32 { return &m }
	want := []TemplateFile{
		{Name: "app", Source: "/a", Destination: "/app", Mode: mode(0o600), Settle: 500 * time.Millisecond},
		{Name: "health_check", Source: "/a", Destination: "/health", Mode: mode(0o600), Settle: 500 * time.Millisecond,
			Action: &Action{Kind: ActionSignal, Signal: 35}},
		{Name: "other", Source: "/a", Destination: "/other", Settle: 500 * time.Millisecond, Action: &Action{Kind: ActionNone}},
		{Name: "web", Source: "/b", Destination: "/c/d", Mode: mode(0o640), Owner: "www-data:33", Settle: 2 * time.Second,
			Check: "nginx -t -c {{staged}}", Action: &Action{Kind: ActionCommand, Command: "nginx -s reload -c a:b"}},
	}
	if !reflect.DeepEqual(s.Templates, want) {
		t.Errorf("got\n%+v\nwant\n%+v", s.Templates, want)
	}
}

func TestTexts(t *testing.T) {
	s := parse(t, []string{server, "CLEAT_REQUIRE_DB=mysql", "CLEAT_ENV_URL=mysql://{{db.addr}}/x", "CLEAT_ENV_Empty="},
		"app", "--db={{db.host}}", "{{other}}")
	if len(s.Env) != 2 || s.Env[0].Name != "Empty" || s.Env[1].Name != "URL" || !slices.Equal(s.Env[1].Text.Aliases(), []string{"db"}) {
		t.Errorf("%+v", s.Env)
	}
	if len(s.Command) != 3 || !s.Command[1].Placeholders() || !slices.Equal(s.Command[2].Literals(), []string{"{{other}}"}) {
		t.Errorf("%+v", s.Command)
	}
}

func TestWarnings(t *testing.T) {
	for _, test := range []struct{ environ, want string }{
		{"CLEAT_REQUIRE_DB=", "CLEAT_REQUIRE_DB is empty: nothing is required"},
		{"CLEAT_REQUIRE_DB=mysql?prefer=zone", "CLEAT_REQUIRE_DB: prefer=zone does nothing without CLEAT_ZONE"},
		{"CLEAT_TEMPLATE_WEB=\nCLEAT_TEMPLATE_WEB_MODE=0640", "CLEAT_TEMPLATE_WEB_MODE is ignored: CLEAT_TEMPLATE_WEB is empty"},
		{"CLEAT_REWRITE=TERM:0", "CLEAT_REWRITE drops SIGTERM, which begins a stop: the child will not be asked to stop, only killed when CLEAT_STOP_TIMEOUT is over"},
		{"CLEAT_CA=/ca", "CLEAT_CA, CLEAT_CERT and CLEAT_KEY do nothing: no server in CLEAT_SERVER begins with https://"},
		{"alone\nCLEAT_SERVER=http://192.0.2.1:9640\nCLEAT_TOKEN=hunter2", "the token goes to http://192.0.2.1:9640 as plain text; use https"},
		{"SERVICE_API_KEY=hunter2", "SERVICE_API_KEY is not published: its name smells of a secret"},
		{"SERVICE_80_URL=http://bob:hunter2@db/", "SERVICE_80_URL is not published: its value holds a password or another secret"},
		{"SERVICE_80_DSN_X=bob:hunter2@tcp(db:3306)/x", "SERVICE_80_DSN_X is not published: its name smells of a secret"},
		{"SERVICE_80_SOURCE=bob:hunter2@tcp(db:3306)/x", "SERVICE_80_SOURCE is not published: its value holds a password or another secret"},
		{"SERVICE_80_JDBC=jdbc:mysql://db/x?user=bob&password=hunter2", "SERVICE_80_JDBC is not published: its value holds a password or another secret"},
		{"SERVICE_TAGS=a,http://bob:hunter2@db/", "SERVICE_TAGS: a tag that holds a password or another secret is not published"},
		{"SERVICE_80_CHECK_INTERVAL=5s", "SERVICE_80_CHECK_INTERVAL does nothing: no check uses it"},
		{"SERVICE_80_CHECK_TCP=true\nSERVICE_80_CHECK_HTTP=/", "SERVICE_80_CHECK_TCP does nothing: no check uses it"},
		{"SERVICE_80_CHECK_HTPP=/", "SERVICE_80_CHECK_HTPP does nothing: there is no such setting of a check; did you mean ...CHECK_HTTP?"},
		{"SERVICE_CHECK_WHATEVER=/", "SERVICE_CHECK_WHATEVER does nothing: there is no such setting of a check"},
		{"SERVICE_CHECK_TCP=true\nSERVICE_53_UDP_NAME=x\nSERVICE_53_UDP_CHECK_FALL=2", "SERVICE_53_UDP_CHECK_FALL does nothing: no check uses it"},
		{"SERVICE_CONFIG=" + strings.Repeat("x", 1025), `SERVICE_CONFIG is not published: the attribute "config" is 1025 bytes long; at most 1024 are allowed`},
		{"alone\nSERVICE_80_NAME=my service", `SERVICE_80_NAME="my service": the name "my service" has ' ' in it; expected letters, digits, '-' and '_' (without CLEAT_SERVER nothing is registered)`},
	} {
		t.Run(shorten(test.want), func(t *testing.T) {
			s := parse(t, environOf(test.environ))
			if !slices.Equal(s.Warnings, []string{test.want}) {
				t.Errorf("got\n%q\nwant\n%q", s.Warnings, test.want)
			}
		})
	}
}
