package consul

import (
	"net/http"
	"slices"
	"strings"

	"cleat/registry/server"
)

// serviceView returns a function that looks at one service, for somebody who
// routes by it; or who only shows it. shared has the bodies that many ask for,
// select makes others from the instances.
func (f *face) serviceView(q query, name string, look func() *server.Listing,
	shared func(*listed) *body, choose func([]instance) (*body, error)) func() view {
	if !q.reads(name) {
		return func() view { return view{revision: 1, body: emptyList, hidden: true} }
	}
	return func() view {
		l := look()
		return view{revision: l.Revision, changed: l.Changed(), body: func() (*body, error) {
			made := f.listedOf(l)
			if q.plain() {
				if b := shared(made); b != nil {
					return b, nil
				}
			}
			var chosen []instance
			for n := range made.instances {
				if q.matches(&made.instances[n]) {
					chosen = append(chosen, made.instances[n])
				}
			}
			return choose(chosen)
		}}
	}
}

func emptyList() (*body, error) { return noElements, nil }

var noElements = encode([]int{})

// selected encodes those elements that the filter lets pass.
func selected[T any](q query, elements []T) (*body, error) {
	chosen := make([]T, 0, len(elements))
	for _, e := range elements {
		ok, err := q.selects(e)
		if err != nil {
			return nil, err
		}
		if ok {
			chosen = append(chosen, e)
		}
	}
	return encode(chosen), nil
}

// routed looks at a service for somebody who routes traffic by it.
func (f *face) routed(namespace, name string) func() *server.Listing {
	space, service := []byte(namespace), []byte(name)
	return func() *server.Listing { return f.server.Lookup(space, service) }
}

// shown looks at a service for somebody who does not.
func (f *face) shown(namespace, name string) func() *server.Listing {
	return func() *server.Listing { return f.server.Look(namespace, name) }
}

// listHealthService answers GET health/service/<service>.
func (f *face) listHealthService(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	name := strings.ToLower(r.PathValue("service"))
	f.list(w, r, q, f.serviceView(q, name, f.routed(q.namespace, name),
		func(l *listed) *body {
			if q.passing {
				return l.passing()
			}
			return l.entries()
		},
		func(chosen []instance) (*body, error) { return selected(q, chosen) }))
	return nil
}

// listProxies answers GET health/connect/<service>: there are none.
func (f *face) listProxies(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	f.list(w, r, q, func() view { return view{revision: 1, body: emptyList} })
	return nil
}

// listServiceChecks answers GET health/checks/<service>.
func (f *face) listServiceChecks(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	q.passing = false
	name := strings.ToLower(r.PathValue("service"))
	f.list(w, r, q, f.serviceView(q, name, f.shown(q.namespace, name), func(l *listed) *body { return l.checks() },
		func(chosen []instance) (*body, error) { return selected(q, checksOf(chosen)) }))
	return nil
}

// listCatalogService answers GET catalog/service/<service>.
func (f *face) listCatalogService(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	q.passing = false // the catalog knows no health
	name := strings.ToLower(r.PathValue("service"))
	f.list(w, r, q, f.serviceView(q, name, f.routed(q.namespace, name), func(l *listed) *body { return l.flat() },
		func(chosen []instance) (*body, error) { return selected(q, flatten(chosen)) }))
	return nil
}

// listNodeChecks answers GET health/node/<node>.
func (f *face) listNodeChecks(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	q.passing = false
	name := r.PathValue("node")
	f.list(w, r, q, f.censusView(q, nil, func(all []instance) (*body, error) {
		all = slices.DeleteFunc(all, func(i instance) bool { return !sameNode(i.Node.Node, name) })
		return selected(q, checksOf(all))
	}))
	return nil
}

// listStateChecks answers GET health/state/<state>.
func (f *face) listStateChecks(w http.ResponseWriter, r *http.Request) error {
	q, err := f.parseQuery(r)
	if err != nil {
		return err
	}
	q.passing = false
	state := r.PathValue("state")
	if !slices.Contains([]string{"any", passing, warning, critical}, state) {
		return refuse(http.StatusBadRequest, "Invalid check state %.80q; expected any, passing, warning or critical", state)
	}
	shared := func(c *census) *body { return c.states[state]() }
	f.list(w, r, q, f.censusView(q, shared, func(all []instance) (*body, error) {
		return selected(q, inState(checksOf(all), state))
	}))
	return nil
}

// inState returns the checks of a state.
func inState(checks []check, state string) []check {
	return slices.DeleteFunc(checks, func(c check) bool { return state != "any" && c.Status != state })
}
