package settings

import (
	"fmt"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// TemplateFile is one CLEAT_TEMPLATE_ variable.
type TemplateFile struct {
	Name        string // lower case
	Source      string
	Destination string
	Action      *Action // nil: the default (OnChange, or none where only self aliases are used)
	Check       string  // command, with {{staged}}; empty: none
	Mode        *uint32 // permission bits; nil: the source's
	Owner       string  // user[:group]; empty: unchanged
	Settle      time.Duration
}

const (
	templatePrefix = "CLEAT_TEMPLATE_"

	// staged is the placeholder of a check for the path of the staged file.
	staged = "{{staged}}"
	// DefaultSettle is how long after a signal or a command a child is taken
	// to have applied it.
	DefaultSettle = 500 * time.Millisecond
	// maxTemplates is the number of templates: far above what an image has.
	maxTemplates = 1024
	// maxMode is every permission bit.
	maxMode = 0o777
)

// templateOptions are what may follow the name of a template.
var templateOptions = []string{"_CHECK", "_MODE", "_OWNER", "_SETTLE"}

var (
	// templateName is what names a template.
	templateName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`) })
	// almostStaged are other ways of writing {{staged}}.
	almostStaged = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)\{\{-?\s*staged\s*-?\}\}`) })
	// permissions is a mode as chmod takes it.
	permissions = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^0?[0-7]{3}$`) })
)

// templates reads the CLEAT_TEMPLATE_ variables. A name that ends as an option
// does is one when its base is a variable too; else it is a template itself if
// it reads like one.
func (p *parser) templates() {
	names := p.env.names(templatePrefix)
	c := collection{
		p: p, there: make(map[string]bool, len(names)), options: make(map[string]bool),
		at: make(map[string]int), destinations: make(map[string]string),
	}
	for _, variable := range names {
		c.there[templateKey(variable)] = true
	}
	// A base comes before its options, because it is shorter.
	sort.SliceStable(names, func(i, j int) bool { return len(names[i]) < len(names[j]) })
	for _, variable := range names {
		if text := p.know(variable); text != "" {
			c.take(variable, text)
		}
	}
	sort.Slice(c.files, func(i, j int) bool { return c.files[i].Name < c.files[j].Name })
	if len(c.files) > maxTemplates {
		p.fail(templatePrefix, "", wrong(fmt.Sprintf("there are %d templates", len(c.files)), fmt.Sprintf("at most %d", maxTemplates), "use CLEAT_TEMPLATES for a whole directory"))
	}
	p.s.Templates = c.files
}

// templateKey is the name of a template or an option, in capitals.
func templateKey(variable string) string {
	return strings.ToUpper(strings.TrimPrefix(variable, templatePrefix))
}

// collection gathers templates; its keys are names in capitals.
type collection struct {
	p            *parser
	there        map[string]bool   // all names, empty ones too
	options      map[string]bool   // those of them that are options
	at           map[string]int    // index of a template in files
	destinations map[string]string // variable by destination
	files        []TemplateFile
}

func (c *collection) take(variable, text string) {
	key := templateKey(variable)
	base, option := splitOption(key)
	if option != "" && c.there[base] && !c.options[base] {
		c.options[key] = true
		c.option(variable, text, base, option)
		return
	}
	file, wrong := parseTemplateFile(text)
	if wrong != nil && option != "" && base != "" {
		wrong = orphan(base)
	}
	if wrong == nil {
		wrong = c.check(key, file)
	}
	if wrong != nil {
		c.p.fail(variable, text, wrong)
		return
	}
	file.Name = strings.ToLower(key)
	c.at[key] = len(c.files)
	c.destinations[file.Destination] = variable
	c.files = append(c.files, file)
}

func (c *collection) option(variable, text, base, option string) {
	file := new(TemplateFile) // where the base is empty or wrong
	if i, ok := c.at[base]; ok {
		file = &c.files[i]
	} else {
		c.p.warn(shorten(variable) + " is ignored: " + templatePrefix + base + " is empty")
	}
	if wrong := file.set(option, text); wrong != nil {
		c.p.fail(variable, text, wrong)
	}
}

// splitOption splits the name of an option from the template's.
func splitOption(key string) (base, option string) {
	for _, o := range templateOptions {
		if base, ok := strings.CutSuffix(key, o); ok {
			return base, o
		}
	}
	return key, ""
}

// orphan says that an option has no template to belong to.
func orphan(base string) *Error {
	return wrong("it is an option of "+templatePrefix+base+", which there is not", "", "set "+templatePrefix+base+"=source:destination")
}

func (c *collection) check(key string, file TemplateFile) *Error {
	if !templateName().MatchString(key) {
		return wrong("the name of the template cannot be used", "a letter, then letters, digits and '_', at most 63", "")
	}
	if _, twice := c.at[key]; twice {
		return wrong("there are two templates of that name", "", "names are compared in lower case")
	}
	if other, twice := c.destinations[file.Destination]; twice {
		return wrong("it has the same destination as "+other, "", "")
	}
	return nil
}

// parseTemplateFile parses source:destination[:action]; the action may hold
// colons of its own.
func parseTemplateFile(text string) (TemplateFile, *Error) {
	const expected = "source:destination[:action]"
	source, rest, ok := strings.Cut(text, ":")
	if !ok {
		return TemplateFile{}, wrong("there is no destination", expected, "such as /etc/nginx.tmpl:/etc/nginx/nginx.conf:HUP")
	}
	destination, action, hasAction := strings.Cut(rest, ":")
	for _, path := range []string{source, destination} {
		if wrong := checkPath(path); wrong != nil {
			wrong.Expected = expected + ", absolute paths"
			return TemplateFile{}, wrong
		}
	}
	f := TemplateFile{Source: filepath.Clean(source), Destination: filepath.Clean(destination), Settle: DefaultSettle}
	switch {
	case strings.HasSuffix(destination, "/"):
		return TemplateFile{}, wrong("the destination is a directory", expected, "name the file; CLEAT_TEMPLATES is for directories")
	case f.Source == f.Destination:
		return TemplateFile{}, wrong("the source and the destination are the same file", expected, "")
	}
	if hasAction {
		a, wrong := parseAction(action)
		if wrong != nil {
			return TemplateFile{}, wrong
		}
		f.Action = &a
	}
	return f, nil
}

// set sets an option.
func (f *TemplateFile) set(option, text string) *Error {
	switch option {
	case "_CHECK":
		if wrong := checkCheck(text); wrong != nil {
			return wrong
		}
		f.Check = text
	case "_MODE":
		mode, err := strconv.ParseUint(text, 8, 32)
		if err != nil || mode > maxMode || !permissions().MatchString(text) {
			return wrong("this is no mode", "an octal number from 000 to 0777", "such as 0640")
		}
		bits := uint32(mode)
		f.Mode = &bits
	case "_OWNER":
		if !isOwner(text) {
			return wrong("this is no owner", "user or user:group, names or numbers", "such as 1000:1000 or www-data")
		}
		f.Owner = text
	case "_SETTLE":
		d, wrong := settleSpan.parse(text)
		if wrong != nil {
			return wrong
		}
		f.Settle = d
	}
	return nil
}

// checkCheck checks a check command. Without the staged file it would look at
// the old one and prove nothing.
func checkCheck(text string) *Error {
	if !strings.Contains(text, staged) {
		hint := "such as nginx -t -c " + staged
		if almostStaged().MatchString(text) {
			hint = "write it without spaces and in small letters"
		}
		return wrong("the check does not look at the staged file", "a command with "+staged, hint)
	}
	return checkCommand(text)
}
