package launcher

import (
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"cleat/templates"
)

// variables returns the child's whole environment, and which endpoints it gives
// to the child in no other way than <ALIAS>_HOST and the like.
func (s *supervisor) variables(rendered []string) (environ []string, given map[string]string) {
	environ = append(slices.Clone(s.set.ChildEnv), rendered...)
	taken := make(map[string]bool, len(environ))
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		taken[name] = true
	}
	given = make(map[string]string)
	for _, n := range s.needs {
		var all []string
		for _, e := range s.effective.child.Views[n.Alias].Endpoints {
			all = append(all, joined(e))
		}
		values := []struct{ suffix, value string }{{"_ADDRS", strings.Join(all, ",")}}
		chosen := s.effective.child.Views[n.Alias].Chosen
		if chosen != nil {
			values = append(values, struct{ suffix, value string }{"_HOST", chosen.Host},
				struct{ suffix, value string }{"_PORT", strconv.Itoa(int(chosen.Port))},
				struct{ suffix, value string }{"_ADDR", joined(*chosen)})
		}
		for _, v := range values {
			name := strings.ToUpper(n.Alias) + v.suffix
			if taken[name] {
				s.say("variable "+name, slog.LevelInfo, "a variable is set already and stays as it is", "variable", name)
				continue
			}
			environ = append(environ, name+"="+v.value)
			if v.suffix != "_ADDRS" && !n.Self && !s.uses.anywhere[n.Alias] {
				given[n.Alias] = joined(*chosen)
			}
		}
	}
	return environ, given
}

// ownViews returns the views of self requirements, whose change never restarts
// the child.
func (s *supervisor) ownViews() map[string]templates.View {
	views := make(map[string]templates.View)
	for _, n := range s.needs {
		if n.Self {
			views[n.Alias] = s.effective.child.Views[n.Alias]
		}
	}
	return views
}

// joined returns host:port.
func joined(e templates.Endpoint) string {
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}
