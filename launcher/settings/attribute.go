package settings

import (
	"errors"
	"fmt"
	"strings"

	"cleat/registry"
)

// tags splits a list of tags. A comma after a backslash belongs to its tag.
func (p *parser) tags(variable, value string) ([]string, *Error) {
	var tags []string
	var tag strings.Builder
	end := func() {
		switch text := strings.TrimSpace(tag.String()); {
		case text == "":
		case holdsSecret(text):
			p.warn(shorten(variable) + ": a tag that holds a password or another secret is not published")
		default:
			tags = append(tags, text)
		}
		tag.Reset()
	}
	for i := 0; i < len(value); i++ {
		switch {
		case value[i] == '\\' && i+1 < len(value) && value[i+1] == ',':
			i++
			tag.WriteByte(',')
		case value[i] == ',':
			end()
		default:
			tag.WriteByte(value[i])
		}
	}
	end()
	if len(tags) > registry.MaxTags-1 {
		// One place is kept for the tag udp.
		return nil, wrong(fmt.Sprintf("there are %d tags", len(tags)), fmt.Sprintf("at most %d", registry.MaxTags-1), "")
	}
	probe, err := probe(func(i *registry.Instance) { i.Tags = tags })
	if err != nil {
		return nil, wrong(err.Error(), "", "")
	}
	return probe.Tags, nil
}

// attribute adds an attribute, unless it must not be published.
func (p *parser) attribute(o *Offer, key, variable, value string) {
	warn := func(why string) { p.warn(shorten(variable) + " is not published: " + why) }
	switch {
	case smells(key):
		warn("its name smells of a secret")
		return
	case holdsSecret(value):
		warn("its value holds a password or another secret")
		return
	}
	if _, err := probe(func(i *registry.Instance) { i.Attributes = map[string]string{key: value} }); err != nil {
		// It may well be an application's own variable: that must not keep
		// anything from starting.
		warn(masked(err.Error()))
		return
	}
	if o.Attributes == nil {
		o.Attributes = make(map[string]string)
	}
	o.Attributes[key] = value
}

// probe lets the registry check a part of an instance.
func probe(set func(*registry.Instance)) (registry.Instance, error) {
	i := registry.Instance{ID: "probe", Service: "probe", Address: "192.0.2.1", Port: 1, Status: registry.Starting}
	set(&i)
	normal, err := i.Normalize(registry.DefaultNamespace, "")
	if inner := errors.Unwrap(err); inner != nil {
		err = inner // without the made-up instance's name
	}
	return normal, err
}
