package settings

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/google/shlex"
)

// maxCommands is the number of coprocesses, and of tasks: far above what one
// container should do beside its child.
const maxCommands = 64

// named is one variable of a family whose variables name a thing, and those that
// are its options.
type named struct {
	name     string // lower case
	variable string
	text     string
	options  []option // in the order of their names
}

// option is a variable that says more of a thing.
type option struct {
	kind     string // its end: "_TIMEOUT"
	variable string
	text     string
}

// family reads the variables that begin with prefix. One that ends as an option
// does is an option, whatever its value looks like: any text is a command. An
// empty one is as if it was not there.
func (p *parser) family(prefix, example string, kinds ...string) []named {
	var all []named
	at := make(map[string]int) // by name in capitals
	var options []option
	for _, variable := range p.env.names(prefix) {
		text := p.know(variable)
		if text == "" {
			continue
		}
		key := strings.ToUpper(strings.TrimPrefix(variable, prefix))
		if end := slices.IndexFunc(kinds, func(kind string) bool { return strings.HasSuffix(key, kind) }); end >= 0 {
			options = append(options, option{kinds[end], variable, text})
			continue
		}
		if !templateName().MatchString(key) {
			p.fail(variable, maskCommand(text), wrong("the name behind "+prefix+" cannot be used", "a letter, then letters, digits and '_', at most 63", ""))
			continue
		}
		if _, twice := at[key]; twice {
			p.fail(variable, maskCommand(text), wrong("there are two of that name", "", "names are compared in lower case"))
			continue
		}
		at[key] = len(all)
		all = append(all, named{name: strings.ToLower(key), variable: variable, text: text})
	}
	for _, o := range options {
		base := strings.TrimSuffix(strings.ToUpper(strings.TrimPrefix(o.variable, prefix)), o.kind)
		if i, there := at[base]; there {
			all[i].options = append(all[i].options, o)
			continue
		}
		if _, empty := p.env.values[prefix+base]; empty {
			p.warn(shorten(o.variable) + " is ignored: " + prefix + base + " is empty")
			continue
		}
		hint := "set " + prefix + base + "=" + example
		if base == "" {
			hint = "a name must not end with " + strings.Join(kinds, ", ")
		}
		p.fail(o.variable, o.text, wrong("it is an option of "+prefix+base+", which there is not", "", hint))
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	if len(all) > maxCommands {
		p.fail(prefix, "", wrong(fmt.Sprintf("there are %d", len(all)), "at most "+strconv.Itoa(maxCommands), ""))
	}
	return all
}

// splitCommand splits a text into the words of a command.
func splitCommand(text string) ([]string, *Error) {
	if bad := checkCommand(text); bad != nil {
		return nil, bad
	}
	words, _ := shlex.Split(text) // checkCommand has seen that it can be
	return words, nil
}

// command splits the command of a variable, and warns about placeholders, which
// only the child's own command has.
func (p *parser) command(variable, text string) []string {
	words, bad := splitCommand(text)
	if bad != nil {
		p.fail(variable, maskCommand(text), bad)
		return nil
	}
	if strings.Contains(text, "{{") {
		p.warn(shorten(variable) + ": placeholders are not filled in here; the command gets the child's variables, such as DB_ADDR for a requirement DB")
	}
	return words
}

// putUser parses a user into its place.
func putUser(place *string, text string) *Error {
	if !isOwner(text) {
		return wrong("this is no user", "user or user:group, names or numbers", "such as 1000:1000 or www-data")
	}
	*place = text
	return nil
}

// explainCommand writes a command as it could be typed into a shell, without
// secrets.
func explainCommand(words []string) string {
	masked := maskArguments(words)
	for i, word := range masked {
		masked[i] = quoteWord(word)
	}
	return strings.Join(masked, " ")
}
