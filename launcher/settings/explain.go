package settings

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"cleat/registry"
	"cleat/templates"
)

// Explain writes an account for a person: what is registered, required,
// rendered, set and run with these settings, which of them are not the
// default, and what somebody should know. Secrets are masked. It writes the
// same for the same settings; an error is w's.
func (s *Settings) Explain(w io.Writer) error {
	a := &account{w: w}
	s.explainIdentity(a)
	s.explainOffers(a)
	s.explainVolumes(a)
	s.explainNetworks(a)
	s.explainRequirements(a)
	s.explainTemplates(a)
	s.explainChild(a)
	s.explainHooks(a)
	s.explainCoprocesses(a)
	s.explainTasks(a)
	s.explainStop(a)
	s.explainGiven(a)
	if len(s.Warnings) > 0 {
		a.section("warnings")
		for _, warning := range s.Warnings {
			a.line(warning)
		}
	}
	return a.end()
}

func (s *Settings) explainIdentity(a *account) {
	a.section("identity")
	from := "CLEAT_ID"
	if s.given["CLEAT_ID"] == "" {
		from = "made of the hostname; CLEAT_ID sets it"
	}
	a.line("id", s.ID, "("+from+")")
	a.line("namespace", s.Namespace)
	a.line("zone", cmp.Or(s.Zone, "none"))
	if len(s.Servers) == 0 {
		a.line("server", "none", "(cleat is a plain PID 1: nothing is registered or found)")
	}
	for _, server := range s.Servers {
		a.line("server", server)
	}
}

func (s *Settings) explainOffers(a *account) {
	a.section("registers")
	if len(s.Servers) == 0 {
		a.line("nothing: CLEAT_SERVER is empty")
		return
	}
	for _, o := range s.Offers {
		at := fmt.Sprintf("port %d/%s", o.Port, o.Protocol)
		if o.Ignore {
			a.line("not", at, "(ignored)")
			continue
		}
		a.line(o.Service, at, "id "+cmp.Or(o.ID, InstanceID(s.ID, o.Port, o.Protocol)), o.details())
		if how := checkDetails(o.Check); how != "" {
			a.line("", how)
		}
	}
	switch {
	case s.AutoPorts:
		name := cmp.Or(s.Defaults.Service, s.commandName)
		a.line(fmt.Sprintf("the TCP ports that the child listens on, as %s, or %s-<port> when there are several", name, name))
		if details := s.Defaults.details(); details != "" {
			a.line("with " + details)
		}
		if how := checkDetails(s.Defaults.Check); how != "" {
			a.line(how)
		}
	case !slices.ContainsFunc(s.Offers, func(o Offer) bool { return !o.Ignore }):
		a.line("nothing: no port is named, and CLEAT_PORTS=none or SERVICE_IGNORE is set")
		return
	}
	specs := make([]string, len(s.Advertise))
	for i, spec := range s.Advertise {
		specs[i] = spec.String()
	}
	a.line("at the address of " + strings.Join(specs, ", else ") + " (CLEAT_ADVERTISE)")
}

// details are what an offer says beside its name and port.
func (o Offer) details() string {
	var parts []string
	if o.AdvertiseHost != "" {
		parts = append(parts, "advertised as "+registry.Endpoint{Address: o.AdvertiseHost, Port: o.AdvertisePort}.Addr())
	} else if o.AdvertisePort != 0 {
		parts = append(parts, fmt.Sprintf("advertised as port %d", o.AdvertisePort))
	}
	if len(o.Tags) > 0 {
		parts = append(parts, "tags "+strings.Join(o.Tags, " "))
	}
	for _, key := range slices.Sorted(maps.Keys(o.Attributes)) {
		parts = append(parts, key+"="+o.Attributes[key])
	}
	return strings.Join(parts, ", ")
}

func (s *Settings) explainRequirements(a *account) {
	a.section("requires")
	if len(s.Requirements) == 0 {
		a.line("nothing")
		return
	}
	set := make(map[string]bool)
	for _, entry := range s.ChildEnv {
		name, _, _ := strings.Cut(entry, "=")
		set[name] = true
	}
	for _, e := range s.Env {
		set[e.Name] = true
	}
	for _, r := range s.Requirements {
		text := masked(r.Filter.String())
		if r.Self {
			text = "its own service, " + r.Filter.Service
		}
		a.line(r.Alias, text, strings.Join(r.details(), ", "))
		var gives, stay []string
		for _, suffix := range []string{"_HOST", "_PORT", "_ADDR", "_ADDRS"} {
			if name := strings.ToUpper(r.Alias) + suffix; set[name] {
				stay = append(stay, name)
			} else {
				gives = append(gives, name)
			}
		}
		if len(gives) > 0 {
			a.line("", "the child gets "+strings.Join(gives, " "))
		}
		if len(stay) > 0 {
			a.line("", "set already, left alone: "+strings.Join(stay, " "))
		}
	}
}

// details are what a requirement says beside its filter.
func (r Requirement) details() []string {
	var parts []string
	switch {
	case r.Optional:
		parts = append(parts, "optional")
	case r.Wait > 0:
		parts = append(parts, "waits for "+duration(r.Wait))
	default:
		parts = append(parts, "waits for ever")
	}
	if r.Self {
		return parts
	}
	parts = append(parts, fmt.Sprintf("at least %d", r.Min))
	if r.Limit > 0 {
		parts = append(parts, fmt.Sprintf("at most %d", r.Limit))
	}
	if r.PreferZone {
		parts = append(parts, "its own zone first")
	}
	if len(r.Fallback) == 0 {
		return append(parts, "on loss: "+string(r.OnLoss))
	}
	ids := make([]string, len(r.Fallback))
	for i, e := range r.Fallback {
		ids[i] = e.ID
	}
	return append(parts, "else "+strings.Join(ids, ","))
}

func (s *Settings) explainTemplates(a *account) {
	a.section("renders")
	standard := maskCommand(s.OnChange.String())
	for _, t := range s.Templates {
		action := standard + " (CLEAT_ON_CHANGE)"
		if t.Action != nil {
			action = maskCommand(t.Action.String())
		}
		a.line(t.Name, t.Source+" -> "+t.Destination, "then "+action)
		var options []string
		if t.Check != "" {
			options = append(options, "checked by "+maskCommand(t.Check))
		}
		if t.Mode != nil {
			options = append(options, fmt.Sprintf("mode %04o", *t.Mode))
		}
		if t.Owner != "" {
			options = append(options, "owner "+t.Owner)
		}
		if t.Settle != DefaultSettle {
			options = append(options, "settles in "+duration(t.Settle))
		}
		if len(options) > 0 {
			a.line("", strings.Join(options, ", "))
		}
	}
	there := " (if it is there)"
	if s.TemplatesSet {
		there = ""
	}
	a.line("overlay", s.TemplatesDir+"/... -> /..."+there, "then "+standard+" (CLEAT_ON_CHANGE)")
	if slices.ContainsFunc(s.Requirements, func(r Requirement) bool { return r.Self }) {
		a.line("a template without an action of its own that uses no other alias than self ones: then none")
	}
}

func (s *Settings) explainChild(a *account) {
	if len(s.Env) > 0 {
		a.section("sets")
		for _, e := range s.Env {
			a.line(e.Name, "from "+envPrefix+e.Name+uses(e.Text))
		}
	}
	a.section("runs")
	words := maskArguments(s.CommandText)
	for i, word := range words {
		words[i] = quoteWord(word)
	}
	a.line(strings.Join(words, " "))
	if s.User != "" {
		a.line("as the user " + s.User)
	}
	for i, t := range s.Command {
		name := argumentName(i)
		if t.Placeholders() {
			a.line(name + " is filled in" + uses(t))
		}
		if len(t.Files()) > 0 {
			a.line(name + " shows the contents of a file to everybody who can run ps")
		}
		for _, literal := range t.Literals() {
			a.line(name + ": " + shorten(masked(literal)) + " is no placeholder of a declared alias, self, env or file: it stays as it is")
		}
	}
}

// uses tells which aliases and files a text needs.
func uses(t *templates.Template) string {
	var parts []string
	if aliases := t.Aliases(); len(aliases) > 0 {
		parts = append(parts, strings.Join(aliases, ", "))
	}
	parts = append(parts, t.Files()...)
	if len(parts) == 0 {
		return ""
	}
	return ", with " + strings.Join(parts, ", ")
}

// explainGiven lists the plain settings that are not the default.
func (s *Settings) explainGiven(a *account) {
	a.section("settings from the environment that are not the default")
	none := true
	for _, v := range plainVariables {
		text, given := s.given[v.Name]
		if !given || text == v.Default {
			continue
		}
		none = false
		standard := "(default " + cmp.Or(v.Default, "none") + ")"
		switch {
		case v.Secret:
			text = "(set, not shown)"
		case !strings.HasPrefix(text, "/"):
			text = maskCommand(text)
		}
		a.line(v.Name, text, standard)
	}
	if s.given["CLEAT_DRAIN"] == "" && duration(s.Drain) != defaultOf("CLEAT_DRAIN") {
		none = false
		a.line("CLEAT_DRAIN", duration(s.Drain), "(made to fit CLEAT_STOP_TIMEOUT)")
	}
	if s.given["CLEAT_LINGER"] == "" && duration(s.Linger) != defaultOf("CLEAT_LINGER") {
		none = false
		a.line("CLEAT_LINGER", duration(s.Linger), "(made to fit CLEAT_DRAIN)")
	}
	if none {
		a.line("none")
	}
}

func defaultOf(name string) string {
	for _, v := range plainVariables {
		if v.Name == name {
			return v.Default
		}
	}
	return ""
}

// argumentName names a word of the command, for people.
func argumentName(i int) string {
	if i == 0 {
		return "the command"
	}
	return fmt.Sprintf("argument %d", i)
}

// plainWord is a word that a shell takes as it is.
var plainWord = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`) })

// quoteWord writes a word as it could be typed into a shell.
func quoteWord(word string) string {
	if plainWord().MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
