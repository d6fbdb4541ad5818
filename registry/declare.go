package registry

import (
	"errors"
	"fmt"
	"strings"
)

// Normalize checks the statement and brings it into one form: names in lower
// case, instances with their namespace and zone. It returns the filters of
// Requires, in order. The error joins everything that is wrong; then nothing of
// the statement may be used.
func (d Declare) Normalize() (Declare, []Filter, error) {
	var errs []error
	check := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	d.Namespace = strings.ToLower(d.Namespace)
	d.Zone = strings.ToLower(d.Zone)
	check(CheckID(d.ID))
	check(CheckNamespace(d.Namespace))
	if d.Zone != "" {
		check(CheckName(d.Zone))
	}
	if len(d.Key) < MinKey || len(d.Key) > MaxKey {
		check(fmt.Errorf("the key is %d bytes long; expected %d to %d", len(d.Key), MinKey, MaxKey))
	}
	if d.Known != nil && *d.Known < 0 {
		check(errors.New("known is negative"))
	}
	if len(d.Provides) > MaxProvides {
		check(fmt.Errorf("the session provides %d instances; at most %d are allowed", len(d.Provides), MaxProvides))
		d.Provides = nil
	}
	if len(d.Requires) > MaxRequires {
		check(fmt.Errorf("the session requires %d views; at most %d are allowed", len(d.Requires), MaxRequires))
		d.Requires = nil
	}
	provides := make([]Instance, 0, len(d.Provides))
	seen := make(map[string]bool, len(d.Provides))
	for _, instance := range d.Provides {
		normal, err := instance.Normalize(d.Namespace, d.Zone)
		check(err)
		if err == nil && normal.Namespace != d.Namespace {
			check(fmt.Errorf("the instance %s is in the namespace %s, its session in %s", quote(normal.ID), quote(normal.Namespace), quote(d.Namespace)))
		}
		if seen[normal.ID] && err == nil {
			check(fmt.Errorf("the instance %s is there twice", quote(normal.ID)))
		}
		seen[normal.ID] = true
		provides = append(provides, normal)
	}
	d.Provides = provides
	filters := make([]Filter, 0, len(d.Requires))
	aliases := make(map[string]bool, len(d.Requires))
	for _, require := range d.Requires {
		check(CheckAlias(require.Alias))
		if aliases[require.Alias] {
			check(fmt.Errorf("the alias %s is there twice", quote(require.Alias)))
		}
		aliases[require.Alias] = true
		if require.Min < 0 {
			check(fmt.Errorf("min of %s is negative", quote(require.Alias)))
		}
		f, err := ParseFilter(require.Filter, d.Namespace, nil)
		if err != nil {
			check(fmt.Errorf("the filter %s cannot be used: %w", quote(require.Filter), err))
			continue
		}
		if canonical := f.String(); canonical != require.Filter {
			check(fmt.Errorf("the filter %s is not in its canonical form, which is %s", quote(require.Filter), quote(canonical)))
		}
		filters = append(filters, f)
	}
	if len(errs) > 0 {
		return Declare{}, nil, errors.Join(errs...)
	}
	return d, filters, nil
}
