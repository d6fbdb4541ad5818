package settings

import (
	"strings"
	"time"
)

// Coprocess is a command that is kept running beside the child.
type Coprocess struct {
	Name        string // lower case
	Args        []string
	User        string        // as process.Spec has it; empty: cleat's own
	StartBefore bool          // it is started before the child, else after it
	StopBefore  bool          // it is ended before the child, else after it
	Timeout     time.Duration // between TERM and KILL
}

const coprocessPrefix = "CLEAT_COPROCESS_"

// coprocessTimeout is how long a coprocess has to end where nothing is said, if
// the stop is long enough.
const coprocessTimeout = time.Second

// endSpan: what is shorter is no time to end in.
var endSpan = span{10 * time.Millisecond, 24 * time.Hour}

var coprocessFamilies = []Variable{
	{
		Name: "CLEAT_COPROCESS_<NAME>", Example: "CLEAT_COPROCESS_EXPORTER=mysqld_exporter --web.listen-address=:9104",
		Accepts: "a command, at most 64 of them; `<NAME>` does not end with `_START`, `_STOP`, `_TIMEOUT` or `_USER`",
		Means:   "A command that is kept running beside the child, from the child's first start until the container ends.",
	},
	{
		Name: "CLEAT_COPROCESS_<NAME>_START", Default: "after", Example: "CLEAT_COPROCESS_EXPORTER_START=before",
		Accepts: "`before` or `after`",
		Means:   "Whether it is started before the child, once PRE_START has succeeded, or after it.",
	},
	{
		Name: "CLEAT_COPROCESS_<NAME>_STOP", Default: "after", Example: "CLEAT_COPROCESS_EXPORTER_STOP=before",
		Accepts: "`before` or `after`",
		Means:   "Whether it is ended before the child is told to end, once PRE_STOP is over, or after the child has ended.",
	},
	{
		Name: "CLEAT_COPROCESS_<NAME>_TIMEOUT", Default: "1s", Example: "CLEAT_COPROCESS_EXPORTER_TIMEOUT=3s",
		Accepts: "a duration from 10ms to half of CLEAT_STOP_TIMEOUT",
		Means:   "How long it has between TERM and KILL. The slowest one's is kept of CLEAT_STOP_TIMEOUT when it stops after the child. The default is an eighth of CLEAT_STOP_TIMEOUT where that is less.",
	},
	{
		Name: "CLEAT_COPROCESS_<NAME>_USER", Example: "CLEAT_COPROCESS_EXPORTER_USER=nobody",
		Accepts: "a user's name or number, and after a `:` a group's name or number",
		Means:   "The user that it runs as. Without it: as CLEAT_USER says.",
	},
}

// coprocesses reads the CLEAT_COPROCESS_ variables.
func (p *parser) coprocesses() {
	for _, n := range p.family(coprocessPrefix, "COMMAND", "_START", "_STOP", "_TIMEOUT", "_USER") {
		c := Coprocess{Name: n.name, User: p.s.User, Timeout: min(coprocessTimeout, p.s.StopTimeout/8)}
		c.Args = p.command(n.variable, n.text)
		for _, o := range n.options {
			var bad *Error
			switch o.kind {
			case "_START":
				bad = putBefore(&c.StartBefore, o.text)
			case "_STOP":
				bad = putBefore(&c.StopBefore, o.text)
			case "_USER":
				bad = putUser(&c.User, o.text)
			case "_TIMEOUT":
				within := endSpan
				within.most = max(p.s.StopTimeout/2, within.least)
				bad = within.put(&c.Timeout, o.text)
			}
			if bad != nil {
				p.fail(o.variable, o.text, bad)
			}
		}
		p.s.Coprocesses = append(p.s.Coprocesses, c)
	}
}

// putBefore parses before or after.
func putBefore(place *bool, text string) *Error {
	switch strings.ToLower(text) {
	case "before", "after":
		*place = strings.EqualFold(text, "before")
		return nil
	}
	return choice(text, "before", "after")
}

// explainCoprocesses tells what runs beside the child.
func (s *Settings) explainCoprocesses(a *account) {
	if len(s.Coprocesses) == 0 {
		return
	}
	a.section("keeps running beside it")
	for _, c := range s.Coprocesses {
		parts := []string{"started " + when(c.StartBefore), "ended " + when(c.StopBefore) + " the child, in " + duration(c.Timeout)}
		if c.User != s.User {
			parts = append(parts, "as the user "+c.User)
		}
		a.line(c.Name, explainCommand(c.Args))
		a.line("", strings.Join(parts, ", "))
	}
}

func when(before bool) string {
	if before {
		return "before"
	}
	return "after"
}
