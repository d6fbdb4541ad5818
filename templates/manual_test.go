package templates

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

// manual is docs/templates.md, whose examples are tests: a fenced block of the
// kind data says what there is, and the others say what becomes of it.
type manual struct {
	context Context
	data    Data
	cases   []manualCase
}

type manualCase struct {
	line       int
	kind       string // template, examples, mistakes, arguments
	text, want string
}

func readManual(t *testing.T) manual {
	t.Helper()
	content, err := os.ReadFile("../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	m := manual{}
	var kind, template string
	var block []string
	for i, line := range strings.Split(string(content), "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && kind == "":
			kind, block = fence, nil
			if kind == "" {
				t.Fatalf("line %d: a fenced block says what it is", i+1)
			}
			continue
		case !isFence && kind != "":
			block = append(block, line)
			continue
		case !isFence:
			continue
		}
		whole := strings.Join(block, "\n") + "\n"
		switch kind {
		case "data":
			m.readData(t, block)
		case "template":
			template = whole
		case "result":
			m.cases = append(m.cases, manualCase{i, "template", template, whole})
		case "examples", "mistakes", "arguments":
			for j, example := range block {
				text, want, ok := strings.Cut(example, "=>")
				if !ok {
					t.Fatalf("line %d: the example has no =>", i-len(block)+j+1)
				}
				m.cases = append(m.cases, manualCase{i - len(block) + j + 1, kind, strings.TrimRight(text, " "), strings.TrimPrefix(want, " ")})
			}
		case "sh":
		default:
			t.Fatalf("line %d: unknown kind of block %q", i+1, kind)
		}
		kind = ""
	}
	return m
}

// readData reads the lines of a data block.
func (m *manual) readData(t *testing.T, lines []string) {
	t.Helper()
	m.context.Aliases = make(map[string]Alias)
	m.data = Data{Views: make(map[string]View), Env: make(map[string]string)}
	files := make(map[string]string)
	unescape := strings.NewReplacer(`\n`, "\n")
	for _, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		switch word {
		case "optional":
			m.context.Aliases[rest] = Alias{Absent: true}
		case "env":
			name, text, _ := strings.Cut(rest, "=")
			m.data.Env[name] = text
		case "file":
			path, text, _ := strings.Cut(rest, " ")
			files[path] = unescape.Replace(strings.TrimSpace(text))
		case "self":
			e, flags := readEndpoint(t, strings.Fields(rest))
			m.data.Self = Self{Host: flags["host"], Port: e.Port, ID: e.ID, Zone: e.Zone,
				Namespace: flags["namespace"], Service: flags["service"], First: flags["first"] == "true"}
		default:
			fields := strings.Fields(rest)
			at := netip.MustParseAddrPort(fields[0])
			e, flags := readEndpoint(t, fields[1:])
			e.Host, e.Port = at.Addr().String(), at.Port()
			v := m.data.Views[word]
			v.Endpoints = append(v.Endpoints, e)
			if _, chosen := flags["chosen"]; chosen {
				v.Chosen = &e
			}
			if v.First == nil {
				v.First = &e
			}
			m.data.Views[word] = v
			m.context.Aliases[word] = Alias{Self: word == "ring"}
		}
	}
	m.data.ReadFile = func(path string) ([]byte, error) {
		text, ok := files[path]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}
}

func readEndpoint(t *testing.T, fields []string) (e Endpoint, flags map[string]string) {
	t.Helper()
	flags = make(map[string]string)
	for _, field := range fields {
		key, text, _ := strings.Cut(field, "=")
		attribute, isAttribute := strings.CutPrefix(key, "attr.")
		switch {
		case isAttribute:
			if e.Attr == nil {
				e.Attr = make(map[string]string)
			}
			e.Attr[attribute] = text
		case key == "id":
			e.ID = text
		case key == "zone":
			e.Zone = text
		case key == "tags":
			e.Tags = strings.Split(text, ",")
		case key == "port":
			if _, err := fmt.Sscan(text, &e.Port); err != nil {
				t.Fatal(err)
			}
		default:
			flags[key] = text
		}
	}
	return e, flags
}

func TestManual(t *testing.T) {
	m := readManual(t)
	if len(m.cases) < 80 {
		t.Fatalf("only %d examples were found in the manual", len(m.cases))
	}
	for _, c := range m.cases {
		t.Run(fmt.Sprintf("line%d", c.line), func(t *testing.T) {
			context := m.context
			if c.kind == "arguments" {
				context.Mode = Argument
			}
			template, err := Parse(c.text, context)
			if c.kind == "mistakes" {
				if err == nil || err.Error() != c.want {
					t.Fatalf("%s\n got: %v\nwant: %s", c.text, err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s\n%v", c.text, err)
			}
			got, omit, err := template.RenderArgument(m.data)
			if c.kind == "arguments" && omit {
				got = "(left out)"
			}
			if err != nil || got != c.want {
				t.Fatalf("%s\n got: %q, %v\nwant: %q", c.text, got, err, c.want)
			}
		})
	}
}

// TestManualTranslations parses what the manual says to write instead of other
// languages' placeholders.
func TestManualTranslations(t *testing.T) {
	m := readManual(t)
	content, err := os.ReadFile("../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(content), "\n| there | here |\n")
	found := 0
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		columns := strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), "|")
		for i, span := range strings.Split(columns[2], "`") {
			if i%2 == 0 || !strings.Contains(span, "{{") {
				continue
			}
			found++
			text := "{{each web}}" + strings.ReplaceAll(span, "\x00", "|") + "{{end}}"
			if _, err := Parse(text, m.context); err != nil {
				t.Errorf("%s\n%v", text, err)
			}
		}
	}
	if found < 12 {
		t.Errorf("only %d translations were found", found)
	}
}

// TestManualNamesAll holds the manual to the language: every filter has an
// example, and every field is named.
func TestManualNamesAll(t *testing.T) {
	m := readManual(t)
	var used strings.Builder
	for _, c := range m.cases {
		if c.kind != "mistakes" {
			used.WriteString(c.text + "\n")
		}
	}
	words := strings.FieldsFunc(used.String(), func(r rune) bool { return strings.ContainsRune(" |{}\n", r) })
	for _, name := range filterNames() {
		if !slices.Contains(words, name) {
			t.Errorf("the filter %s has no example", name)
		}
	}
	content, err := os.ReadFile("../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat(endpointFields, selfFields, loopValues) {
		if !strings.Contains(string(content), name+"`") {
			t.Errorf("%s is not in the manual", name)
		}
	}
}
