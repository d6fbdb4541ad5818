package settings

import (
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"cleat/launcher/volume"
)

const (
	volumePrefix = "CLEAT_VOLUME_"
	// maxVolumes is the number of volumes: far above what a container has.
	maxVolumes = 64
)

// volumeOptions are what may follow the path of a volume.
var volumeOptions = []string{"mounted", "writable", "owner", "mode", "seed", "wait", "provision", "release"}

var (
	// placeName is what names a volume or a network.
	placeName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`) })
	// directoryMode is a mode as chmod takes it, with set-id and sticky bits.
	directoryMode = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-7]{3,4}$`) })
)

// volumes reads the CLEAT_VOLUME_ variables.
func (p *parser) volumes() {
	named, at := make(map[string]string), make(map[string]string) // variable by name, and by path
	for _, variable := range p.env.names(volumePrefix) {
		text := p.know(variable)
		if text == "" {
			p.warn(shorten(variable) + " is empty: no volume is waited for")
			continue
		}
		name := strings.ToLower(strings.TrimPrefix(variable, volumePrefix))
		o := parseOptions(text, volumeOptions)
		v := o.volume(name)
		o.errs = append(o.errs, checkPlaceName(name, "volume", named[name])...)
		if other, twice := at[v.Path]; twice {
			o.fail("it has the same path as "+other, "", "")
		}
		named[name], at[v.Path] = variable, variable
		if len(o.errs) == 0 {
			p.s.Volumes = append(p.s.Volumes, v)
		}
		for _, e := range o.errs {
			p.fail(variable, o.shown(), e)
		}
	}
	sort.Slice(p.s.Volumes, func(i, j int) bool { return p.s.Volumes[i].Name < p.s.Volumes[j].Name })
	if len(p.s.Volumes) > maxVolumes {
		p.fail(volumePrefix, "", wrong(fmt.Sprintf("there are %d volumes", len(p.s.Volumes)), fmt.Sprintf("at most %d", maxVolumes), ""))
	}
}

// checkPlaceName checks the name of a volume or a network. twice is the variable
// that has it already.
func checkPlaceName(name, of, twice string) []*Error {
	switch {
	case !placeName().MatchString(name):
		return []*Error{wrong("the name of the "+of+" cannot be used", "a letter, then letters, digits and '_', at most 63", "")}
	case twice != "":
		return []*Error{wrong("it has the same name as "+twice, "", "names are compared in lower case")}
	}
	return nil
}

// optionText is a text with options behind a '?' while it is parsed.
type optionText struct {
	text   string
	before string // the '?'
	values url.Values
	errs   []*Error
}

// parseOptions takes a text with options apart. What follows the '?' is a URL
// query, in which a key without a '=' is a switch.
func parseOptions(text string, known []string) *optionText {
	o := &optionText{text: text}
	before, query, _ := strings.Cut(text, "?")
	o.before = before
	var err error
	if o.values, err = url.ParseQuery(query); err != nil {
		o.fail("what follows the '?' is not a URL query", "option=value&option=value", "write %3B for ';', %26 for '&', %25 for '%', %2B for '+', and + or %20 for a space")
		o.values = nil
		return o
	}
	for _, key := range slices.Sorted(maps.Keys(o.values)) {
		switch {
		case !slices.Contains(known, key):
			hint := "expected " + strings.Join(known, ", ")
			if meant := nearest(key, known); meant != "" {
				hint = "did you mean " + meant + "?"
			}
			o.fail(fmt.Sprintf("there is no option %q", shorten(key)), "", hint)
		case len(o.values[key]) > 1:
			o.fail(key+"= is there more than once", "once", "")
		}
	}
	return o
}

func (o *optionText) fail(problem, expected, hint string) {
	o.errs = append(o.errs, wrong(problem, expected, hint))
}

// failOption notes what is wrong with the value of an option.
func (o *optionText) failOption(key string, e *Error) {
	if e != nil {
		o.fail(key+"=: "+e.Problem, e.Expected, e.Hint)
	}
}

// shown is what may be shown of the text: a command in the encoding of a URL
// could hold a secret that nobody can tell.
func (o *optionText) shown() string {
	if o.values.Has("provision") || o.values.Has("release") || o.values == nil {
		return o.before + "?..."
	}
	return o.text
}

// isSet parses a switch: without a value it is on.
func (o *optionText) isSet(key string) bool {
	if !o.values.Has(key) || o.values.Get(key) == "" {
		return o.values.Has(key)
	}
	on, bad := parseBool(o.values.Get(key))
	o.failOption(key, bad)
	return on
}

// value parses the value of an option that is there.
func (o *optionText) value(key string, parse func(text string) *Error) {
	if !o.values.Has(key) {
		return
	}
	if o.values.Get(key) == "" {
		o.fail(key+"= is empty", "", "give it a value, or leave it out")
		return
	}
	o.failOption(key, parse(o.values.Get(key)))
}

func (o *optionText) volume(name string) volume.Volume {
	v := volume.Volume{Name: name, Path: o.before, Mounted: o.isSet("mounted"), Writable: o.isSet("writable")}
	if e := checkDirectory(v.Path); e != nil {
		o.errs = append(o.errs, e)
	}
	o.value("owner", func(text string) *Error {
		v.Owner = text
		if !isOwner(text) {
			return wrong("this is no owner", "user or user:group, names or numbers", "such as 1000:1000 or www-data")
		}
		return nil
	})
	o.value("mode", func(text string) *Error {
		mode, err := strconv.ParseUint(text, 8, 32)
		if err != nil || !directoryMode().MatchString(text) {
			return wrong("this is no mode", "an octal number from 000 to 7777", "such as 0750 or 1777")
		}
		bits := fs.FileMode(mode)
		v.Mode = &bits
		return nil
	})
	o.value("seed", func(text string) *Error {
		v.Seed = text
		e := checkDirectory(text)
		if e == nil && (within(text, v.Path) || within(v.Path, text)) {
			e = wrong("the seed and the volume are one, or one within the other", "a directory elsewhere", "")
		}
		return e
	})
	o.value("wait", func(text string) (e *Error) {
		v.Wait, e = waitSpan.parse(text)
		return e
	})
	o.value("provision", func(text string) *Error {
		v.Provision = text
		return checkCommand(text)
	})
	o.value("release", func(text string) *Error {
		v.Release = text
		return checkCommand(text)
	})
	if v.Release != "" && !o.values.Has("provision") {
		o.fail("release= without provision= has nothing to undo", "both, or provision= alone", "")
	}
	return v
}

// checkDirectory checks the path of a directory.
func checkDirectory(text string) *Error {
	if e := checkPath(text); e != nil {
		return e
	}
	switch clean := filepath.Clean(text); {
	case clean == "/":
		return wrong("this is the root of all files", "a directory below it", "")
	case clean != text:
		return wrong("the path is not clean", "a path without '.', '..', '//' and a '/' at its end", "write "+shorten(clean))
	}
	return nil
}

// within reports whether a path is another one or below it.
func within(text, above string) bool {
	return text == above || strings.HasPrefix(text, above+"/")
}

// explainVolumes tells of the volumes, if there are any.
func (s *Settings) explainVolumes(a *account) {
	if len(s.Volumes) == 0 {
		return
	}
	a.section("needs the volumes")
	for _, v := range s.Volumes {
		a.line(v.Name, v.Path, strings.Join(volumeDetails(v), ", "))
		if v.Provision != "" {
			a.line("", "", "made by "+maskCommand(v.Provision))
		}
		if v.Release != "" {
			a.line("", "", "undone by "+maskCommand(v.Release))
		}
	}
}

func volumeDetails(v volume.Volume) []string {
	var parts []string
	if v.Mounted {
		parts = append(parts, "mounted")
	}
	if v.Writable {
		parts = append(parts, "writable")
	}
	if v.Seed != "" {
		parts = append(parts, "filled from "+v.Seed+" when empty")
	}
	if v.Owner != "" {
		parts = append(parts, "owner "+v.Owner)
	}
	if v.Mode != nil {
		parts = append(parts, fmt.Sprintf("mode %04o", uint32(*v.Mode)))
	}
	if v.Wait > 0 {
		return append(parts, "waits for "+duration(v.Wait))
	}
	return append(parts, "waits for ever")
}
