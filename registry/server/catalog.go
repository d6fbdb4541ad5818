package server

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"cleat/registry"
)

// Catalog is the list of services in a namespace, or in all of them, at one
// moment. It never changes.
type Catalog struct {
	Namespace string            // empty: all
	Revision  registry.Revision // never goes back
	Services  []*Summary        // those with instances, sorted by namespace and name

	changed signal
}

// Changed returns a channel that is closed when the catalog says no longer what
// there is. It may also be closed when nothing has changed.
func (c *Catalog) Changed() <-chan struct{} { return c.changed.wait() }

// Summary is what a catalog says of a service. It never changes; as long as the
// service does not, every catalog has the same one.
type Summary struct {
	Namespace, Service string
	Revision           registry.Revision       // of the last change
	Instances          map[registry.Status]int // by what they are, which may not be what they are shown as
	Serving            int                     // shown as passing or warning
	Held               int                     // shown although their session is lost, or although they are critical
	Tags               []string                // of any of them; sorted
}

// noServices is every catalog before the server serves.
var noServices = &Catalog{}

// Catalog returns the services of a namespace; of all, if it is empty. It is made
// once for everybody who asks, and again only when something has changed.
func (s *Server) Catalog(namespace string) *Catalog {
	catalog := noServices
	s.inspect(func(c *core) { catalog = c.catalog(namespace) })
	return catalog
}

func (c *core) catalog(namespace string) *Catalog {
	if made := c.catalogs[namespace]; made != nil {
		return made
	}
	catalog := &Catalog{Namespace: namespace, Revision: c.revision}
	list := func(services map[string]*service) {
		for _, s := range services {
			if len(s.instances) > 0 {
				catalog.Services = append(catalog.Services, s.summarize())
			}
		}
	}
	if namespace != "" {
		list(c.namespaces[namespace])
	} else {
		for _, services := range c.namespaces {
			list(services)
		}
	}
	if namespace != "" && len(catalog.Services) == 0 {
		// There are as many namespaces without services as there are names:
		// they share what tells them that there is one.
		if c.noCatalog == nil {
			c.noCatalog = &Catalog{Revision: c.revision}
		}
		return c.noCatalog
	}
	slices.SortFunc(catalog.Services, func(a, b *Summary) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Service, b.Service))
	})
	c.catalogs[namespace] = catalog
	return catalog
}

// summarize returns the service's summary, made if it is not there.
func (s *service) summarize() *Summary {
	if s.summary != nil {
		return s.summary
	}
	m := &Summary{
		Namespace: s.namespace, Service: s.name, Revision: s.revision,
		Instances: make(map[registry.Status]int, 1), Serving: s.serving, Held: s.heldNow,
	}
	tags := make(map[string]bool)
	for _, i := range s.instances {
		m.Instances[i.actual()]++
		for _, tag := range i.shown.Tags {
			tags[tag] = true
		}
	}
	m.Tags = slices.Sorted(maps.Keys(tags))
	s.summary = m
	return m
}

// expireCatalogs ends the catalogs that list the namespace.
func (c *core) expireCatalogs(namespace string) {
	if c.noCatalog != nil && c.catalogs[namespace] == nil {
		c.noCatalog.changed.end()
		c.noCatalog = nil
	}
	if len(c.catalogs) == 0 {
		return
	}
	for _, name := range [...]string{namespace, ""} {
		if catalog := c.catalogs[name]; catalog != nil {
			delete(c.catalogs, name)
			catalog.changed.end()
		}
	}
}
