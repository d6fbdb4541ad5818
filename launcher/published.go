package launcher

import (
	"maps"
	"slices"

	"cleat/launcher/control"
	"cleat/registry"
)

// mostChanges is how many changes of what is registered are kept.
const mostChanges = 256

// published is a change of what is registered, by somebody who asked for it.
type published struct {
	port control.Port // the zero value: all
	control.Change
}

// changes are those in effect, in the order in which they were asked for. A
// value: with returns another one.
type changes []published

// with returns the changes with one more, in place of an earlier one of the same.
func (c changes) with(p published) changes {
	same := func(o published) bool { return o.port == p.port && o.Tag == p.Tag && o.Attribute == p.Attribute }
	return append(slices.DeleteFunc(slices.Clone(c), same), p)
}

// apply returns the tags and attributes of an offering as they are registered.
func (c changes) apply(of *offering) ([]string, map[string]string) {
	tags, attributes := of.Tags, of.Attributes
	for _, p := range c {
		if !reaches(p.port, of) {
			continue
		}
		if p.Tag != "" {
			tags = slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return tag == p.Tag })
			if !p.Remove {
				tags = append(tags, p.Tag)
				slices.Sort(tags)
			}
			continue
		}
		if attributes = maps.Clone(attributes); attributes == nil {
			attributes = make(map[string]string)
		}
		if p.Remove {
			delete(attributes, p.Attribute)
		} else {
			attributes[p.Attribute] = p.Value
		}
	}
	return tags, attributes
}

// texts returns the changes as they are said.
func (c changes) texts() []string {
	var all []string
	for _, p := range c {
		text := p.String()
		if port := p.port.String(); port != "" {
			text += " -port " + port
		}
		all = append(all, text)
	}
	return all
}

// reaches reports whether a change of the port is one of the offering.
func reaches(port control.Port, of *offering) bool {
	return port.Number == 0 || port == control.Port{Number: of.Port, Protocol: of.Protocol}
}

// instances returns what is to be declared: what is offered, with the changes
// that were asked for.
func (s *supervisor) instances() (instances []registry.Instance, missing bool) {
	instances, missing = s.offers.instances(s.addrs)
	if len(s.changes) == 0 {
		return instances, missing
	}
	for _, of := range s.offers.list {
		id := s.offers.id(of)
		for i := range instances {
			if instances[i].ID == id {
				instances[i].Tags, instances[i].Attributes = s.changes.apply(of)
			}
		}
	}
	return instances, missing
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
