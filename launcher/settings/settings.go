package settings

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"time"

	"cleat/launcher/address"
	"cleat/launcher/network"
	"cleat/launcher/volume"
	"cleat/registry"
	"cleat/templates"
)

// Settings are everything that the environment and the command line say,
// checked. Immutable once parsed.
type Settings struct {
	// Discovery.
	Servers   []string // http(s)://host:port, at least one unless cleat is a plain PID 1
	Token     string
	TokenFile string
	CA        string // paths
	Cert      string
	Key       string
	Namespace string
	Zone      string
	ID        string

	// What the container offers.
	Advertise []address.Spec // never empty
	AutoPorts bool           // CLEAT_PORTS=auto and no port is named, other than to be ignored
	Offers    []Offer        // the ports that are named, sorted by port and protocol; ignored ones too
	Defaults  Offer          // what the port-less SERVICE_ variables say: for ports found by listening, see AutoOffer

	// What it needs.
	Requirements []Requirement     // sorted by alias
	Volumes      []volume.Volume   // sorted by name
	Networks     []network.Network // sorted by name

	// What is made of it.
	Templates    []TemplateFile // sorted by name
	TemplatesDir string         // laid over /
	TemplatesSet bool           // TemplatesDir was named, so that its absence is an error
	OnChange     Action
	Command      []*templates.Template // the command and its arguments, Mode Argument
	CommandText  []string              // as given
	Env          []EnvTemplate         // CLEAT_ENV_*, sorted by name
	ChildEnv     []string              // the environment of the child before anything is added: without cleat's secrets

	// What runs before, beside and after the child.
	Hooks       map[HookName]Hook // those that are set
	Coprocesses []Coprocess       // sorted by name
	Tasks       []Task            // sorted by name

	// How cleat behaves.
	QuietMin, QuietMax time.Duration
	Splay              time.Duration
	User               string // name or uid[:gid]; empty: cleat's own
	StopOn             []syscall.Signal
	StopSignal         syscall.Signal // 0: the one received
	StopTimeout        time.Duration
	Drain              time.Duration // at most StopTimeout
	Linger             time.Duration // at most Drain
	Afterwards         time.Duration // of StopTimeout, what is kept for what follows the child's end
	Releasing          time.Duration // of Afterwards, what is kept for the releases of volumes, all together
	KillGroup          bool
	Rewrite            map[syscall.Signal]syscall.Signal // to 0: dropped
	MapExit            map[int]int
	Restart            RestartPolicy
	Cache              string // a path; empty: nothing is kept
	Socket             string // a path, or NoSocket; empty: where sockets are made, see cleat/launcher/control
	Log                string // text or json
	LogChild           bool   // lines of the child and of coprocesses are prefixed
	LogLevel           slog.Level

	// Warnings are for the log: nothing is wrong, but somebody should know.
	Warnings []string

	given       map[string]string // what was said of the plain variables, by name; no empty values
	commandName string            // a service's name made of the command
}

// RestartPolicy says what happens when the child exits by itself.
type RestartPolicy string

// The restart policies.
const (
	RestartNever     RestartPolicy = "never"
	RestartOnFailure RestartPolicy = "on-failure"
	RestartAlways    RestartPolicy = "always"
)

// Host is what Parse asks of the machine; the command line fills it in.
type Host struct {
	Hostname string
	Random   func() string // a short random part for ids
}

// Parse checks environ and command. The error joins everything that is wrong
// (each one an *Error that names the variable, what was expected, and a hint).
func Parse(environ, command []string, host Host) (*Settings, error) {
	p := &parser{env: newEnviron(environ), host: host, s: &Settings{given: make(map[string]string)}}
	p.plain()
	p.id()
	p.hooks()
	p.coprocesses()
	p.tasks()
	p.volumes()
	p.stop()
	p.trust()
	if len(command) == 0 {
		p.fail("the command", "", wrong("there is none", "", "write it after cleat run, as in: cleat run -- nginx -g 'daemon off;'"))
	} else {
		p.s.CommandText = slices.Clone(command)
		p.s.commandName = serviceName(command[0])
	}
	p.offers()
	p.requirements()
	p.networks()
	p.templates()
	p.texts()
	p.unknown()
	p.s.ChildEnv = p.env.child()
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return p.s, nil
}

// Aliases returns what the parser of templates must know of the requirements.
func (s *Settings) Aliases() map[string]templates.Alias {
	aliases := make(map[string]templates.Alias, len(s.Requirements))
	for _, r := range s.Requirements {
		aliases[r.Alias] = templates.Alias{Absent: r.Optional || r.OnLoss == Empty, Self: r.Self}
	}
	return aliases
}

// parser gathers the settings, and everything that is wrong with them.
type parser struct {
	env  environ
	host Host
	s    *Settings
	errs []error
	// known are the variables of families that have been looked at.
	known map[string]bool
}

// fail notes what is wrong with a variable.
func (p *parser) fail(variable, value string, e *Error) {
	// Names and values may hold anything; what is printed must not drive a
	// terminal or break a line.
	e.Variable = printable(shorten(variable))
	e.Value = shown(variable, value)
	e.Problem, e.Expected, e.Hint = printable(e.Problem), printable(e.Expected), printable(e.Hint)
	p.errs = append(p.errs, e)
}

func (p *parser) warn(text string) { p.s.Warnings = append(p.s.Warnings, printable(text)) }

// know notes that a variable has been looked at, and returns its value.
func (p *parser) know(variable string) string {
	if p.known == nil {
		p.known = make(map[string]bool)
	}
	p.known[variable] = true
	return p.env.values[variable]
}

// given reports whether a plain variable was set to something.
func (p *parser) given(variable string) bool { return p.s.given[variable] != "" }

// plain parses the plain variables: what is given, and where that is nothing
// or wrong, the default, so that later errors are not followed ones.
func (p *parser) plain() {
	for _, v := range plainVariables {
		text := p.know(v.Name)
		if text != "" {
			p.s.given[v.Name] = text
			if wrong := v.parse(p, text); wrong == nil {
				continue
			} else {
				p.fail(v.Name, text, wrong)
				if v.Secret {
					p.errs[len(p.errs)-1].(*Error).Value = ""
				}
			}
		}
		if v.Default != "" {
			if wrong := v.parse(p, v.Default); wrong != nil {
				panic("settings: the default of " + v.Name + " is wrong: " + wrong.Error())
			}
		}
	}
}

// unknown finds the CLEAT_ variables that nobody has looked at.
func (p *parser) unknown() {
	for _, name := range p.env.names("CLEAT_") {
		value := p.env.values[name]
		if p.known[name] || told[name] {
			continue
		}
		if fromLinks(name, value) {
			p.warn(shorten(name) + " is what Kubernetes or Docker says of a service named cleat; it is no setting and is ignored")
			continue
		}
		e := wrong("there is no such variable", "", "docs/environment.md lists them all")
		if meant := nearestVariable(name); meant != "" {
			e.Hint = "did you mean " + meant + "?"
		}
		p.fail(name, "", e)
	}
}

// fromLinks reports whether a variable comes from a Kubernetes service, or a
// Docker link, that has the name cleat: no container must fail for that.
func fromLinks(name, value string) bool {
	rest := strings.TrimPrefix(name, "CLEAT_")
	address := strings.HasPrefix(value, "tcp://") || strings.HasPrefix(value, "udp://") || strings.HasPrefix(value, "sctp://")
	return rest == "SERVICE_HOST" || rest == "SERVICE_PORT" || strings.HasPrefix(rest, "SERVICE_PORT_") ||
		rest == "PORT" && address ||
		strings.HasPrefix(rest, "PORT_") && (address || strings.HasSuffix(rest, "_ADDR") || strings.HasSuffix(rest, "_PROTO") || strings.HasSuffix(rest, "_PORT"))
}

// registryName returns the name in lower case, checked.
func registryName(text string) (string, *Error) {
	name := strings.ToLower(text)
	if err := registry.CheckName(name); err != nil {
		return "", wrong(err.Error(), "", "")
	}
	return name, nil
}
