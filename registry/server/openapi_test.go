package server_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"cleat/registry"
)

type object = map[string]any

// follow returns what is at a path of members.
func follow(t *testing.T, in any, path ...string) any {
	t.Helper()
	for _, name := range path {
		members, ok := in.(object)
		if !ok || members[name] == nil {
			t.Fatalf("there is no %q of %v", name, path)
		}
		in = members[name]
	}
	return in
}

// fits reports how a value breaks a schema, as far as the description uses
// schemas.
func fits(all, schema object, value any, at string) error {
	if ref, ok := schema["$ref"].(string); ok {
		schema = all[strings.TrimPrefix(ref, "#/components/schemas/")].(object)
	}
	if allowed, ok := schema["enum"].([]any); ok && !slices.Contains(allowed, value) {
		return fmt.Errorf("%s is %v; expected one of %v", at, value, allowed)
	}
	kind := schema["type"]
	if kind == nil {
		return nil // anything
	}
	switch v := value.(type) {
	case object:
		if kind != "object" {
			return fmt.Errorf("%s is an object; expected a %v", at, kind)
		}
		properties, _ := schema["properties"].(object)
		for name, member := range v {
			described, found := properties[name].(object)
			if !found {
				if described, found = schema["additionalProperties"].(object); !found {
					return fmt.Errorf("%s.%s is not described", at, name)
				}
			}
			if err := fits(all, described, member, at+"."+name); err != nil {
				return err
			}
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, there := v[name.(string)]; !there {
				return fmt.Errorf("%s has no %s", at, name)
			}
		}
		return nil
	case []any:
		if kind != "array" {
			return fmt.Errorf("%s is an array; expected a %v", at, kind)
		}
		for n, element := range v {
			if err := fits(all, schema["items"].(object), element, fmt.Sprintf("%s[%d]", at, n)); err != nil {
				return err
			}
		}
		return nil
	case string:
		if kind != "string" {
			return fmt.Errorf("%s is text; expected a %v", at, kind)
		}
	case bool:
		if kind != "boolean" {
			return fmt.Errorf("%s is a boolean; expected a %v", at, kind)
		}
	case float64:
		if kind != "number" && (kind != "integer" || v != math.Trunc(v)) {
			return fmt.Errorf("%s is %v; expected a %v", at, v, kind)
		}
	case nil:
		return fmt.Errorf("%s is null", at)
	}
	return nil
}

// The description says what the server does: every operation that it has is
// answered, real answers fit their schemas, parameters are those that are taken,
// and what it does not have is refused.
func TestOpenAPI(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		var whole object
		w.get("/api/v1/openapi.json", &whole)
		if whole["openapi"] != "3.1.0" {
			t.Errorf("the version is %v", whole["openapi"])
		}
		schemas := follow(t, whole, "components", "schemas").(object)
		w.join(launcher("p").provides("p:1", "web", registry.Passing).requires("mysql?ns=default"))

		bodies := map[string]string{
			"/api/v1/instances/{id}": database, "/api/v1/instances/{id}/renew": `{"status":"warning","reason":"slow"}`, "/api/v1/instances/{id}/maintenance": `{"reason":"x"}`,
		}
		fill := strings.NewReplacer("{id}", "db-1", "{name}", "web")
		paths := follow(t, whole, "paths").(object)
		seen := 0
		// PUT first, so that there is something to read, and DELETE last.
		for _, method := range []string{"put", "get", "delete"} {
			for _, path := range []string{
				"/api/v1/instances/{id}", "/api/v1/instances/{id}/renew", "/api/v1/instances/{id}/drain", "/api/v1/instances/{id}/maintenance",
				"/api/v1/services", "/api/v1/services/{name}", "/api/v1/sessions", "/api/v1/graph", "/api/v1/prometheus", "/api/v1/openapi.json", "/healthz", "/readyz",
			} {
				described, found := paths[path].(object)[method].(object)
				if !found {
					status, _, header := w.ask(strings.ToUpper(method), fill.Replace(path), "", nil)
					if status != http.StatusMethodNotAllowed || header.Get("Allow") == "" {
						t.Errorf("%s %s is not described, and answered with %d", method, path, status)
					}
					continue
				}
				seen++
				if path == "/api/v1/instances/{id}" && method == "delete" {
					defer w.expect(204, "DELETE", fill.Replace(path), "", nil)
					continue
				}
				body := ""
				if described["requestBody"] != nil {
					body = bodies[path]
					schema := follow(t, described, "requestBody", "content", "application/json", "schema").(object)
					var value any
					if err := json.Unmarshal([]byte(body), &value); err != nil {
						t.Fatal(err)
					}
					if err := fits(schemas, schema, lowered(value), "the body"); err != nil {
						t.Errorf("%s %s: %v", method, path, err)
					}
				}
				status, data, _ := w.ask(strings.ToUpper(method), fill.Replace(path), body, nil)
				answer, found := follow(t, described, "responses").(object)[fmt.Sprint(status)].(object)
				if !found || status >= 300 {
					t.Errorf("%s %s: %d %s, which is not described", method, path, status, data)
					continue
				}
				if answer["content"] != nil {
					var value any
					if err := json.Unmarshal(data, &value); err != nil {
						t.Fatalf("%s %s: %v in %s", method, path, err, data)
					}
					if err := fits(schemas, follow(t, answer, "content", "application/json", "schema").(object), value, "the answer"); err != nil {
						t.Errorf("%s %s: %v in %.500s", method, path, err, data)
					}
				}
				// A parameter that is not described is refused, in a Problem.
				status, data, _ = w.ask(strings.ToUpper(method), fill.Replace(path)+"?nonsense=1", body, nil)
				if strings.HasPrefix(path, "/api") {
					var problem any
					if json.Unmarshal(data, &problem) != nil || status != 400 || fits(schemas, schemas["Problem"].(object), problem, "the problem") != nil {
						t.Errorf("%s %s?nonsense=1: %d %s", method, path, status, data)
					}
				}
				for _, p := range described["parameters"].([]any) {
					if p.(object)["in"] != "query" {
						continue
					}
					name := strings.Replace(p.(object)["name"].(string), "{name}", "x", 1)
					if status, data, _ := w.ask(strings.ToUpper(method), fill.Replace(path)+"?"+name+"=json", body, nil); status == 400 && strings.Contains(string(data), "there is no parameter") {
						t.Errorf("%s %s: the parameter %s is described and not taken", method, path, name)
					}
				}
			}
		}
		for _, streamed := range []string{"/api/v1/session", "/api/v1/events", "/debug/pprof/{name}"} {
			follow(t, paths, streamed, "get")
			seen++
		}
		described := 0
		for _, operations := range paths {
			described += len(operations.(object))
		}
		if described != seen {
			t.Errorf("%d operations are described, and %d were looked at", described, seen)
		}
	})
}

// lowered is a body as the server understands it: names in lower case.
func lowered(value any) any {
	if members, ok := value.(object); ok {
		if service, ok := members["service"].(string); ok {
			members["service"] = strings.ToLower(service)
		}
	}
	return value
}
