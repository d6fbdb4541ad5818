package server

import (
	"cmp"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"cleat/registry"
)

// describe answers GET /api/v1/openapi.json: the description of the native
// interface (OpenAPI 3.1), made from the routes and the types of their bodies.
func (s *Server) describe(w http.ResponseWriter, r *http.Request) {
	if _, ok := parameters(w, r); ok {
		answerJSON(w, http.StatusOK, s.openAPI())
	}
}

// object is one of JSON.
type object = map[string]any

func (s *Server) openAPI() object {
	d := description{schemas: object{}}
	paths := object{}
	for _, r := range s.routes() {
		operations := object{}
		for method, o := range r.operations {
			operations[strings.ToLower(method)] = d.operation(r.path, o)
		}
		paths[strings.Replace(r.path, "...}", "}", 1)] = operations
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "cleatd", "version": cmp.Or(s.config.Version, "unknown"),
			"description": "The native interface of the discovery server. Every answer with an error has a Problem. Consul's and Eureka's interfaces are described by their own documentation.",
		},
		"paths":    paths,
		"security": []object{{}, {"token": []string{}}},
		"components": object{
			"schemas":         d.schemas,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}},
		},
	}
}

// description collects the schemas that it refers to.
type description struct{ schemas object }

// inPath finds the parameters of a path.
var inPath = regexp.MustCompile(`\{(\w+)(\.\.\.)?\}`)

func (d description) operation(path string, o operation) object {
	parameters := []object{}
	for _, name := range inPath.FindAllStringSubmatch(path, -1) {
		parameters = append(parameters, object{"name": name[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, p := range o.parameters {
		parameters = append(parameters, object{"name": p.name, "in": "query", "description": p.description, "schema": object{"type": "string"}})
	}
	answers := object{}
	success := object{"description": "It is done."}
	status := http.StatusOK
	switch {
	case o.kind == "websocket":
		status = http.StatusSwitchingProtocols
	case o.kind != "":
		success["content"] = object{o.kind: object{}}
	case o.answer != nil:
		success["content"] = object{"application/json": object{"schema": d.schema(reflect.TypeOf(o.answer))}}
	default:
		status = http.StatusNoContent
	}
	answers[strconv.Itoa(status)] = success
	for _, status := range append([]int{400, 401, 403, 405}, o.refusals...) {
		answers[strconv.Itoa(status)] = object{
			"description": http.StatusText(status),
			"content":     object{"application/json": object{"schema": d.schema(reflect.TypeFor[registry.Problem]())}},
		}
	}
	operation := object{"summary": o.summary, "parameters": parameters, "responses": answers}
	if o.body != nil {
		operation["requestBody"] = object{
			"required": !o.optional,
			"content":  object{"application/json": object{"schema": d.schema(reflect.TypeOf(o.body))}},
		}
	}
	return operation
}

// schema returns the JSON schema of what encoding/json makes of a type. Structs
// with a name are described once.
func (d description) schema(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[registry.Status]():
		return object{"type": "string", "enum": registry.Statuses()}
	case t == reflect.TypeFor[registry.Protocol]():
		return object{"type": "string", "enum": []registry.Protocol{registry.TCP, registry.UDP}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Uint16:
		return object{"type": "integer", "minimum": 0, "maximum": 65535}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		return object{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Interface:
		return object{}
	case reflect.Struct:
		if t.Name() == "" {
			return d.structure(t)
		}
		if d.schemas[t.Name()] == nil {
			d.schemas[t.Name()] = object{} // it may refer to itself
			d.schemas[t.Name()] = d.structure(t)
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	}
	panic("server: internal error: there is no schema for a " + t.String())
}

func (d description) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	var add func(reflect.Type)
	add = func(t reflect.Type) {
		for field := range t.Fields() {
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous && name == "" {
				add(field.Type)
				continue
			}
			properties[name] = d.schema(field.Type)
			if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
				required = append(required, name)
			}
		}
	}
	add(t)
	return object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}
