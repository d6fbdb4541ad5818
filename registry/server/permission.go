package server

import (
	"fmt"
	"slices"
	"strings"

	"cleat/registry"
	"cleat/registry/access"
)

// mayDeclare returns what of a normalized statement the grant does not allow: a
// session needs to read what it requires, to register what it provides, and to
// read anything at all where it lives. Everything that is refused is named.
func mayDeclare(g access.Grant, d registry.Declare, filters []registry.Filter) error {
	var refused []string
	add := func(format string, values ...any) {
		if text := fmt.Sprintf(format, values...); !slices.Contains(refused, text) {
			refused = append(refused, text)
		}
	}
	if !g.Any(access.Read, d.Namespace) {
		add("to be in the namespace %q", d.Namespace)
	}
	for _, i := range d.Provides {
		if !g.Allows(access.Register, i.Namespace, i.Service) {
			add("to register %q in the namespace %q", i.Service, i.Namespace)
		}
	}
	for _, f := range filters {
		if !g.Allows(access.Read, f.Namespace, f.Service) {
			add("to read %q in the namespace %q", f.Service, f.Namespace)
		}
	}
	if len(refused) == 0 {
		return nil
	}
	return fmt.Errorf("the token does not allow %s", strings.Join(refused, ", nor "))
}
