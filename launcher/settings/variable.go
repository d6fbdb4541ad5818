package settings

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cleat/launcher/address"
	"cleat/registry"
)

// Variable describes one variable that cleat understands, or a family of them.
type Variable struct {
	Name    string // a family has its changing part in angle brackets: CLEAT_REQUIRE_<ALIAS>
	Default string // as text; empty: none
	Accepts string // values, units, range
	Example string // NAME=value
	Means   string // one sentence
	Secret  bool   // its value is never shown
}

// Variables returns the plain variables and then the families.
func Variables() []Variable {
	var all []Variable
	for _, v := range plainVariables {
		v.Example = v.Name + "=" + v.Example
		all = append(all, v.Variable)
	}
	return append(all, families...)
}

// plain is a variable with one value. parse puts a text that is not empty into
// the settings, or says what is wrong with it and changes nothing.
type plain struct {
	Variable // its Example is the value alone
	parse    func(p *parser, text string) *Error
}

// plainVariables are all of them, in the order of the documentation. Later ones
// may rely on earlier ones.
var plainVariables = []plain{
	{Variable{
		Name: "CLEAT_SERVER", Example: "http://cleatd:9640,http://cleatd2:9640",
		Accepts: "a comma-separated list of `http://host:port` or `https://host:port`, at most 32",
		Means:   "The discovery servers, tried in this order. Empty: cleat is a plain PID 1, and nothing is registered or found.",
	}, parseServers},
	{Variable{
		Name: "CLEAT_TOKEN", Example: "s3cr3t", Secret: true,
		Accepts: "letters, digits and other printable ASCII without spaces, at most 4096 bytes",
		Means:   "The token shown to the server. CLEAT_TOKEN_FILE is the better one: a variable stays readable in /proc. Never passed to the child.",
	}, parseToken},
	{Variable{
		Name: "CLEAT_TOKEN_FILE", Example: "/run/secrets/cleat",
		Accepts: "an absolute path",
		Means:   "A file that holds the token. Not together with CLEAT_TOKEN. Never passed to the child.",
	}, path(func(p *parser) *string { return &p.s.TokenFile })},
	{Variable{
		Name: "CLEAT_CA", Example: "/etc/cleat/ca.pem",
		Accepts: "an absolute path",
		Means:   "The certificates (PEM) that the server's must be signed by, in place of the system's.",
	}, path(func(p *parser) *string { return &p.s.CA })},
	{Variable{
		Name: "CLEAT_CERT", Example: "/etc/cleat/cert.pem",
		Accepts: "an absolute path",
		Means:   "The certificate (PEM) shown to the server. Only together with CLEAT_KEY.",
	}, path(func(p *parser) *string { return &p.s.Cert })},
	{Variable{
		Name: "CLEAT_KEY", Example: "/etc/cleat/key.pem",
		Accepts: "an absolute path",
		Means:   "The key (PEM) of CLEAT_CERT. Never passed to the child.",
	}, path(func(p *parser) *string { return &p.s.Key })},
	{Variable{
		Name: "CLEAT_NAMESPACE", Default: registry.DefaultNamespace, Example: "dev/alice",
		Accepts: "one to four names joined by `/`",
		Means:   "The namespace that this container registers in and looks into.",
	}, func(p *parser, text string) *Error {
		namespace := strings.ToLower(text)
		if err := registry.CheckNamespace(namespace); err != nil {
			return wrong(err.Error(), "", "")
		}
		p.s.Namespace = namespace
		return nil
	}},
	{Variable{
		Name: "CLEAT_ZONE", Example: "eu-1",
		Accepts: "a name",
		Means:   "The zone that this container runs in, for `zone=` and `prefer=zone`.",
	}, func(p *parser, text string) (err *Error) {
		p.s.Zone, err = registryName(text)
		return err
	}},
	{Variable{
		Name: "CLEAT_ID", Example: "web-1",
		Accepts: "letters, digits and any of `. _ : @ -` after the first, at most 245 bytes",
		Means:   "This launcher's id, unique in its namespace. Without it: the hostname when that is a container's id (12 or 64 hexadecimal digits), else the hostname and a random part.",
	}, func(p *parser, text string) *Error {
		if err := registry.CheckID(text); err != nil {
			return wrong(err.Error(), "", "")
		}
		if len(text) > maxID {
			return wrong("the id is too long", "at most "+strconv.Itoa(maxID)+" bytes", "")
		}
		p.s.ID = text
		return nil
	}},
	{Variable{
		Name: "CLEAT_ADVERTISE", Default: "route", Example: "eth1,10.0.0.0/8,route",
		Accepts: "a comma-separated list of `route`, an interface such as `eth0`, `eth0:inet6` or `eth0[1]`, a network such as `10.0.0.0/8`, `inet`, `inet6`, `static:192.0.2.12`, `env:HOST_IP`, `docker`, `docker:static:192.0.2.1`",
		Means:   "The address that others reach this container by: the first of these that there is.",
	}, func(p *parser, text string) *Error {
		specs, err := address.ParseSpecs(text)
		if err != nil {
			return wrong(flatten(err), "", "")
		}
		p.s.Advertise = specs
		return nil
	}},
	{Variable{
		Name: "CLEAT_PORTS", Default: "auto", Example: "none",
		Accepts: "`auto` or `none`",
		Means:   "Whether the TCP ports that the child listens on are found and registered when no `SERVICE_<port>_` variable names one.",
	}, func(p *parser, text string) *Error {
		if text != "auto" && text != "none" {
			return wrong("there is no such choice", "auto or none", "ports are named by variables such as SERVICE_80_NAME")
		}
		p.s.AutoPorts = text == "auto"
		return nil
	}},
	{Variable{
		Name: "CLEAT_TEMPLATES", Default: "/etc/cleat/templates", Example: "/opt/overlay",
		Accepts: "an absolute path",
		Means:   "A directory of templates laid over `/`: `<dir>/etc/x.conf` becomes `/etc/x.conf`. The default is skipped when it is not there.",
	}, func(p *parser, text string) *Error {
		wrong := path(func(p *parser) *string { return &p.s.TemplatesDir })(p, text)
		p.s.TemplatesSet = p.given("CLEAT_TEMPLATES")
		return wrong
	}},
	{Variable{
		Name: "CLEAT_ON_CHANGE", Default: "restart", Example: "HUP",
		Accepts: "`restart`, `none`, a signal, or a command",
		Means:   "What happens when the bytes of a template change that names no action of its own.",
	}, func(p *parser, text string) *Error {
		action, wrong := parseAction(text)
		if wrong == nil {
			p.s.OnChange = action
		}
		return wrong
	}},
	{Variable{
		Name: "CLEAT_QUIET", Default: "100ms:2s", Example: "500ms:10s",
		Accepts: "`min:max`, durations from 0s to 10m",
		Means:   "The quiet period: changes are gathered until none has come for `min`, at most for `max`.",
	}, parseQuiet},
	{Variable{
		Name: "CLEAT_SPLAY", Default: "0s", Example: "30s",
		Accepts: "a duration from 0s to 1h",
		Means:   "Changes are applied after a random part of this, so that a fleet does not act all at once.",
	}, func(p *parser, text string) *Error {
		d, wrong := splaySpan.parse(text)
		if wrong == nil {
			p.s.Splay = d
		}
		return wrong
	}},
	{Variable{
		Name: "CLEAT_USER", Example: "1000:1000",
		Accepts: "a user's name or number, and after a `:` a group's name or number",
		Means:   "The user that the child and all other commands run as. Without it: cleat's own.",
	}, func(p *parser, text string) *Error {
		return putUser(&p.s.User, text)
	}},
	{Variable{
		Name: "CLEAT_STOP_ON", Default: "TERM,INT,QUIT", Example: "TERM,RTMIN+3",
		Accepts: "a comma-separated list of signals",
		Means:   "The signals that begin a stop.",
	}, parseStopOn},
	{Variable{
		Name: "CLEAT_STOP_SIGNAL", Example: "QUIT",
		Accepts: "a signal",
		Means:   "What the child is sent to stop it. Without it: the signal received.",
	}, func(p *parser, text string) *Error {
		s, err := ParseSignal(text)
		if err != nil {
			return wrong(err.Error(), "", "")
		}
		if s == unix.SIGSTOP {
			return wrong("STOP freezes the child and never ends it", "a signal that ends the child", "such as TERM")
		}
		p.s.StopSignal = s
		return nil
	}},
	{Variable{
		Name: "CLEAT_STOP_TIMEOUT", Default: "9s", Example: "55s",
		Accepts: "a duration from 0s to 24h",
		Means:   "How long the whole stop may take, draining included; then the child is killed. Keep it under what stops the container (Docker: 10 s).",
	}, func(p *parser, text string) *Error {
		d, wrong := stopSpan.parse(text)
		if wrong == nil {
			p.s.StopTimeout = d
		}
		return wrong
	}},
	{Variable{
		Name: "CLEAT_DRAIN", Default: "4s", Example: "20s",
		Accepts: "a duration from 0s to CLEAT_STOP_TIMEOUT",
		Means:   "How much of the stop may go to draining. The default is half of CLEAT_STOP_TIMEOUT where that is less.",
	}, func(p *parser, text string) *Error {
		d, wrong := stopSpan.parse(text)
		if wrong == nil {
			p.s.Drain = d
		}
		return wrong
	}},
	{Variable{
		Name: "CLEAT_LINGER", Default: "1s", Example: "5s",
		Accepts: "a duration from 0s to CLEAT_DRAIN",
		Means:   "How much of the draining may go to waiting for established connections to end. The default is a quarter of CLEAT_DRAIN where that is less.",
	}, func(p *parser, text string) *Error {
		d, wrong := stopSpan.parse(text)
		if wrong == nil {
			p.s.Linger = d
		}
		return wrong
	}},
	{Variable{
		Name: "CLEAT_KILL_GROUP", Default: "false", Example: "true",
		Accepts: "`true` or `false`",
		Means:   "Whether signals go to the child's whole process group.",
	}, func(p *parser, text string) *Error {
		b, wrong := parseBool(text)
		if wrong == nil {
			p.s.KillGroup = b
		}
		return wrong
	}},
	{Variable{
		Name: "CLEAT_REWRITE", Example: "TERM:QUIT,HUP:0",
		Accepts: "a comma-separated list of `from:to`, signals; `to` may be `0`: the signal is dropped",
		Means:   "Changes what the child is sent.",
	}, parseRewrite},
	{Variable{
		Name: "CLEAT_MAP_EXIT", Example: "143:0",
		Accepts: "a comma-separated list of `from:to`, exit codes from 0 to 255",
		Means:   "Changes the exit code of the container.",
	}, parseMapExit},
	{Variable{
		Name: "CLEAT_RESTART", Default: string(RestartNever), Example: "on-failure",
		Accepts: "`never`, `on-failure` or `always`",
		Means:   "What happens when the child exits by itself.",
	}, func(p *parser, text string) *Error {
		switch policy := RestartPolicy(text); policy {
		case RestartNever, RestartOnFailure, RestartAlways:
			p.s.Restart = policy
			return nil
		}
		return choice(text, string(RestartNever), string(RestartOnFailure), string(RestartAlways))
	}},
	{Variable{
		Name: "CLEAT_SOCKET", Example: "/run/app/cleat.sock",
		Accepts: "an absolute path of at most 107 bytes, or `none`",
		Means:   "The unix socket over which this launcher is asked (`cleat status` and its like). Without it: `/run/cleat.sock` as PID 1, else below the user's runtime directory.",
	}, parseSocket},
	{Variable{
		Name: "CLEAT_CACHE", Example: "/var/lib/cleat/cache",
		Accepts: "an absolute path",
		Means:   "A file that keeps the launcher's key, since when its instances exist, and the last good views, over restarts of the container. Never passed to the child.",
	}, path(func(p *parser) *string { return &p.s.Cache })},
	{Variable{
		Name: "CLEAT_LOG", Default: "text", Example: "json",
		Accepts: "`text` or `json`",
		Means:   "How cleat's own log, on stderr, is written.",
	}, func(p *parser, text string) *Error {
		if text != "text" && text != "json" {
			return choice(text, "text", "json")
		}
		p.s.Log = text
		return nil
	}},
	{Variable{
		Name: "CLEAT_LOG_CHILD", Default: "raw", Example: "prefix",
		Accepts: "`raw` or `prefix`",
		Means:   "Whether each line that the child and the coprocesses write is preceded by who wrote it.",
	}, func(p *parser, text string) *Error {
		if text != "raw" && text != "prefix" {
			return choice(text, "raw", "prefix")
		}
		p.s.LogChild = text == "prefix"
		return nil
	}},
	{Variable{
		Name: "CLEAT_LOG_LEVEL", Default: "info", Example: "debug",
		Accepts: "`debug`, `info`, `warn` or `error`",
		Means:   "What is left out of the log: everything below this level.",
	}, func(p *parser, text string) *Error {
		level, ok := logLevels[text]
		if !ok {
			return choice(text, "debug", "info", "warn", "error")
		}
		p.s.LogLevel = level
		return nil
	}},
}
