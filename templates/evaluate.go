package templates

import (
	"errors"
	"fmt"
	"io/fs"
)

// state is how a value was found.
type state uint8

const (
	found   state = iota
	missing       // default helps; if takes it as empty
	absent        // as missing: its alias has no endpoint
	broken        // the failure says why
)

// endpointOf returns the endpoint that the source is about, or nil.
func (r *renderer) endpointOf(s source) *Endpoint {
	switch s.kind {
	case fromItem:
		return r.endpoint
	case fromChosen:
		return r.views[s.slot].Chosen
	case fromFirst:
		return r.views[s.slot].First
	}
	return nil
}

// value evaluates an expression. The failure is only set when it is broken.
func (r *renderer) value(e *expression) (value, state, *failure) {
	v, state, err := r.find(&e.source)
	if state == broken {
		f := failure{at: e.source.at, message: fmt.Sprintf("the file %s cannot be read: %s", quoted(e.source.key), reason(err)), cause: err}
		return v, state, &f
	}
	for i := range e.calls {
		c := &e.calls[i]
		if state != found {
			if c.name != "default" {
				continue
			}
			v, state = c.fallback(), found
			continue
		}
		r.work += v.size()
		next, err := c.run(v)
		switch {
		case err == errMissing:
			state = missing
		case err != nil:
			f := failure{at: c.at, message: fmt.Sprintf("%s: %s %s", c.name, e.source.shown(), err)}
			return v, broken, &f
		}
		v = next
	}
	return v, state, nil
}

// find returns the value of a source; the error is that of a file.
func (r *renderer) find(s *source) (value, state, error) {
	switch s.kind {
	case fromChosen, fromFirst, fromItem:
		e := r.endpointOf(*s)
		if e == nil {
			return value{}, absent, nil
		}
		v, state := e.field(s)
		return v, state, nil
	case fromSelf:
		v, state := r.data.Self.field(s.field)
		return v, state, nil
	case fromEnv:
		text, set := r.data.Env[s.key]
		if !set {
			return value{}, missing, nil
		}
		return textValue(text), found, nil
	case fromFile:
		result := r.file(s.key)
		switch {
		case errors.Is(result.err, fs.ErrNotExist):
			return value{}, missing, nil
		case result.err != nil:
			return value{}, broken, result.err
		}
		return textValue(result.text), found, nil
	case fromCount:
		return numberValue(int64(len(r.views[s.slot].Endpoints))), found, nil
	case fromIndex:
		return numberValue(int64(r.index)), found, nil
	case fromIsFirst:
		return truthValue(r.index == 0), found, nil
	case fromIsLast:
		return truthValue(r.index == r.count-1), found, nil
	default:
		return textValue(r.item), found, nil
	}
}

// filled makes a state of a text that is missing when it is empty.
func filled(text string) (value, state) {
	if text == "" {
		return value{}, missing
	}
	return textValue(text), found
}

func (e *Endpoint) field(s *source) (value, state) {
	switch s.field {
	case hostField:
		return filled(e.Host)
	case portField:
		return numberValue(int64(e.Port)), stateOfPort(e.Port)
	case addrField:
		return addrValue(e.Host, e.Port)
	case idField:
		return filled(e.ID)
	case zoneField:
		return filled(e.Zone)
	case tagsField:
		return listValue(e.Tags), found
	default:
		text, set := e.Attr[s.key]
		if !set {
			return value{}, missing
		}
		return textValue(text), found
	}
}

func (s Self) field(f field) (value, state) {
	switch f {
	case hostField:
		return filled(s.Host)
	case portField:
		return numberValue(int64(s.Port)), stateOfPort(s.Port)
	case addrField:
		return addrValue(s.Host, s.Port)
	case idField:
		return filled(s.ID)
	case zoneField:
		return filled(s.Zone)
	case namespaceField:
		return filled(s.Namespace)
	case serviceField:
		return filled(s.Service)
	default:
		return truthValue(s.First), found
	}
}

func stateOfPort(port uint16) state {
	if port == 0 {
		return missing
	}
	return found
}

func addrValue(host string, port uint16) (value, state) {
	if host == "" || port == 0 {
		return value{}, missing
	}
	return textValue(string(appendAddr(nil, host, port))), found
}

// fallback is what default gives for a missing value.
func (c *call) fallback() value {
	if c.list {
		return listValue(c.texts[:1])
	}
	return textValue(c.texts[0])
}

// explain says why there is no value.
func (r *renderer) explain(e *expression, state state, f *failure) *failure {
	if state == broken {
		return f
	}
	s := e.source
	f = &failure{at: s.at, hint: "add | default '...'"}
	switch {
	case state == absent && s.kind != fromItem:
		alias := r.template.aliases[s.slot]
		f.message = fmt.Sprintf("%s has no value: %s has no endpoint", s.shown(), alias)
		f.cause = &AbsentError{Alias: alias}
	case s.kind == fromEnv:
		f.message = fmt.Sprintf("the variable %s is not set", quoted(s.key))
	case s.kind == fromFile:
		f.message = fmt.Sprintf("the file %s does not exist", quoted(s.key))
		f.cause = fs.ErrNotExist
	default:
		f.message = s.shown() + " has no value"
	}
	return f
}
