package settings

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cleat/registry"
)

var write = flag.Bool("write", false, "write the paragraphs of the variables in docs/environment.md anew, from the table")

const document = "../../docs/environment.md"

// section is a variable's part of the document: its heading, and all before
// the next one.
var section = regexp.MustCompile("(?m)^#### `([^`]+)`\n((?:[^#\n].*\n|\n)*)")

// paragraphs are how the document describes a variable.
func paragraphs(v Variable) string {
	standard := "none"
	if v.Default != "" {
		standard = "`" + v.Default + "`"
	}
	return fmt.Sprintf("\n%s\n\nValues: %s. Default: %s. Example: `%s`\n", v.Means, v.Accepts, standard, v.Example)
}

func TestDocument(t *testing.T) {
	file, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	text := string(file)
	variables := Variables()
	described := make(map[string]bool)
	text = section.ReplaceAllStringFunc(text, func(found string) string {
		parts := section.FindStringSubmatch(found)
		name, body := parts[1], parts[2]
		at := slices.IndexFunc(variables, func(v Variable) bool { return v.Name == name })
		if at < 0 {
			t.Errorf("%s is described and does not exist", name)
			return found
		}
		if described[name] {
			t.Errorf("%s is described twice", name)
		}
		described[name] = true
		want := paragraphs(variables[at])
		if strings.HasPrefix(body, want) {
			return found
		}
		if !*write {
			t.Errorf("%s is not described as the table has it (go test -write corrects it); want:\n%s\ngot:\n%s", name, want, body)
			return found
		}
		return "#### `" + name + "`\n" + want + ownText(body)
	})
	for _, v := range variables {
		if !described[v.Name] {
			t.Errorf("%s is missing; it needs a heading: #### `%s`", v.Name, v.Name)
		}
	}
	if *write && !t.Failed() {
		if err := os.WriteFile(document, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDocumentOfRequirements looks for everything that may stand in one.
func TestDocumentOfRequirements(t *testing.T) {
	file, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	text := string(file)
	for _, key := range slices.Concat(parameters, []string{"ns", "tag", "zone", "attr.<key>"}) {
		if !strings.Contains(text, "\n| `"+key+"=") {
			t.Errorf("the parameter %s= is not described", key)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]*?)=").FindAllStringSubmatch(described(t, text, "CLEAT_REQUIRE_<ALIAS>"), -1) {
		if key := row[1]; !isParameter(key) && !slices.Contains([]string{"ns", "tag", "zone", "attr.<key>"}, key) {
			t.Errorf("the parameter %s= is described and does not exist", key)
		}
	}
	if words := strings.Join(reserved, " "); !strings.Contains(strings.Join(strings.Fields(text), " "), "`"+words+"`") {
		t.Errorf("the reserved words are not described: %s", words)
	}
	for _, limit := range []int{maxCount, maxFallback, maxAlias, registry.MaxRequires} {
		if !strings.Contains(text, strconv.Itoa(limit)) {
			t.Errorf("the limit %d is not described", limit)
		}
	}
}

// described is a variable's part of the document.
func described(t *testing.T, text, variable string) string {
	t.Helper()
	for _, parts := range section.FindAllStringSubmatch(text, -1) {
		if parts[1] == variable {
			return parts[2]
		}
	}
	t.Fatalf("%s is not described", variable)
	return ""
}

// TestDocumentOfVolumes looks for every option of a volume and a network.
func TestDocumentOfVolumes(t *testing.T) {
	file, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	volumes, networks := described(t, string(file), "CLEAT_VOLUME_<NAME>"), described(t, string(file), "CLEAT_NETWORK_<NAME>")
	rows := regexp.MustCompile("(?m)^\\| `([a-z]+)=?`").FindAllStringSubmatch(volumes, -1)
	var options []string
	for _, row := range rows {
		options = append(options, row[1])
	}
	if !slices.Equal(options, volumeOptions) {
		t.Errorf("the options %q are described, and there are %q", options, volumeOptions)
	}
	for _, of := range []struct{ text, want string }{
		{volumes, strconv.Itoa(maxVolumes)}, {networks, strconv.Itoa(maxNetworks)}, {networks, "`wait=`"},
	} {
		if !strings.Contains(of.text, of.want) {
			t.Errorf("%s is not described", of.want)
		}
	}
}

// ownText is what follows the table's two paragraphs in a section.
func ownText(body string) string {
	_, after, found := strings.Cut(body, "\nValues: ")
	if found {
		_, body, _ = strings.Cut(after, "\n")
	}
	return body
}

// mentioned is a variable of cleat's own in the text of the document.
var mentioned = regexp.MustCompile(`\bCLEAT_[A-Z_]*[A-Z](_<[A-Z]+>(_[A-Z]+)?|_\*)?`)

// TestDocumentMentionsNothingElse looks at every CLEAT_ word of the document.
func TestDocumentMentionsNothingElse(t *testing.T) {
	file, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	words := mentioned.FindAllString(string(file), -1)
	if len(words) < len(plainVariables) {
		t.Fatalf("only %d variables are mentioned", len(words))
	}
	for _, word := range words {
		family := func(prefix string) bool { return strings.HasPrefix(word, prefix) }
		known := word == "CLEAT_SERVICE_HOST" || word == "CLEAT_PORT" || slices.ContainsFunc(Variables(), func(v Variable) bool { return v.Name == word }) ||
			slices.ContainsFunc([]string{requirePrefix, volumePrefix, networkPrefix, templatePrefix, envPrefix, coprocessPrefix, taskPrefix}, family) || slices.Contains(hookVariables(), word) || told[word]
		if !known {
			t.Errorf("%s is mentioned and does not exist", word)
		}
	}
}

// TestExamples parses the example of every variable.
func TestExamples(t *testing.T) {
	// What an example needs beside itself.
	beside := map[string][]string{
		"CLEAT_CERT":                   {"CLEAT_KEY=/key.pem"},
		"CLEAT_KEY":                    {"CLEAT_CERT=/cert.pem"},
		"CLEAT_DRAIN":                  {"CLEAT_STOP_TIMEOUT=30s"},
		"CLEAT_LINGER":                 {"CLEAT_STOP_TIMEOUT=30s", "CLEAT_DRAIN=20s"},
		"CLEAT_TEMPLATE_<NAME>_CHECK":  {"CLEAT_TEMPLATE_WEB=/a:/b"},
		"CLEAT_TEMPLATE_<NAME>_MODE":   {"CLEAT_TEMPLATE_WEB=/a:/b"},
		"CLEAT_TEMPLATE_<NAME>_OWNER":  {"CLEAT_TEMPLATE_WEB=/a:/b"},
		"CLEAT_TEMPLATE_<NAME>_SETTLE": {"CLEAT_TEMPLATE_WEB=/a:/b"},
		"CLEAT_ENV_<NAME>":             {"CLEAT_REQUIRE_DB=mysql"},
	}
	for _, v := range slices.Concat(hookFamilies, coprocessFamilies, taskFamilies) {
		switch {
		case strings.HasPrefix(v.Name, hookPrefix):
			beside[v.Name] = []string{"CLEAT_HOOK_PRE_START=x", "CLEAT_HOOK_POST_START=x", "CLEAT_HOOK_PRE_STOP=x", "CLEAT_HOOK_POST_STOP=x"}
		case strings.HasPrefix(v.Name, coprocessPrefix):
			beside[v.Name] = []string{"CLEAT_COPROCESS_EXPORTER=x"}
		default:
			beside[v.Name] = []string{"CLEAT_TASK_BACKUP=@daily x"}
		}
	}
	// An id with a random part would be warned about.
	beside["CLEAT_CACHE"] = []string{"CLEAT_ID=web-1"}
	for _, v := range checkVariables {
		// An option without a check would be warned about.
		if v.kind == "" {
			beside[v.Name] = []string{"SERVICE_80_CHECK_HTTP=/", "SERVICE_443_CHECK_HTTPS=/", "SERVICE_9000_CHECK_GRPC=true"}
		}
	}
	for _, v := range Variables() {
		t.Run(v.Name, func(t *testing.T) {
			environ := slices.Concat([]string{"CLEAT_SERVER=https://127.0.0.1:9640"}, beside[v.Name], []string{v.Example})
			s, err := Parse(environ, []string{"x"}, testHost)
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Warnings) > 0 {
				t.Errorf("warnings: %q", s.Warnings)
			}
			if name, _, _ := strings.Cut(v.Example, "="); !regexp.MustCompile("^" + familyPattern.ReplaceAllString(v.Name, "[A-Z0-9_]+") + "$").MatchString(name) {
				t.Errorf("the example %q is of another variable", v.Example)
			}
			if v.Default != "" && strings.HasSuffix(v.Example, "="+v.Default) {
				t.Error("the example shows only the default")
			}
		})
	}
}

var familyPattern = regexp.MustCompile(`<[A-Za-z]+>`)

// testHost is a machine whose id is always the same.
var testHost = Host{Hostname: "box", Random: func() string { return "r4nd0m" }}
