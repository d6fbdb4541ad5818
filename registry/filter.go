package registry

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Filter says which instances a consumer wants. Its text is a service's name
// and a URL query:
//
//	mysql?ns=prod&tag=primary&attr.role=~ma.*&zone=eu-1
//
//	ns=         the namespace
//	tag=        a tag that must be there; may be repeated
//	attr.KEY=   the value of an attribute, or after a ~ a regular expression
//	            (RE2) that matches all of it
//	zone=       the zone
//	self=true   instances of the consumer's own service: also the ones that
//	            are starting or critical
//
// No value may be empty, but that of an attribute.
//
// The same filter has one text only, its canonical one ([Filter.String]): the
// namespace is always written, the keys are sorted, and values are escaped as
// [url.QueryEscape] does. A view is identified by it, so that one encoded
// message serves every consumer that shares the filter. A Filter is immutable
// once parsed.
type Filter struct {
	Service    string
	Namespace  string
	Tags       []string          // sorted, without duplicates; all must be there
	Attributes map[string]string // by name: a value, or ~ and a pattern
	Zone       string
	Self       bool

	patterns    map[string]*regexp.Regexp // compiled, by name
	patternSize int                       // instructions of all of them
}

// ParseFilter parses the text of a filter, in canonical form or not; namespace
// is used where the text names none. Parameters for which other returns true
// are left to the caller; nil means that there are no others. The error joins
// everything that is wrong.
func ParseFilter(text, namespace string, other func(key string) bool) (Filter, error) {
	service, query, _ := strings.Cut(text, "?")
	f := Filter{Service: strings.ToLower(service), Namespace: namespace}
	var errs []error
	check := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	check(CheckName(f.Service))
	values, err := url.ParseQuery(query)
	if err != nil {
		check(fmt.Errorf("%s is not a URL query: %w; write %%3B for ';', %%26 for '&', %%25 for '%%' and %%2B for '+'", quote(query), err))
	}
	once := func(key string) string {
		if len(values[key]) > 1 {
			check(fmt.Errorf("%s is there more than once", quote(key)))
		}
		return values.Get(key)
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		attribute, isAttribute := strings.CutPrefix(key, "attr.")
		switch {
		case key == "ns":
			f.Namespace = strings.ToLower(once(key))
		case key == "zone":
			f.Zone = strings.ToLower(once(key))
			check(CheckName(f.Zone))
		case key == "tag":
			tags, err := normalizeTags(values[key])
			check(err)
			f.Tags = tags
		case key == "self":
			f.Self = once(key) == "true"
			if !f.Self {
				check(fmt.Errorf("self can only be true"))
			}
		case isAttribute:
			check(f.addAttribute(strings.ToLower(attribute), once(key)))
		case other != nil && other(key):
		default:
			check(fmt.Errorf("there is no parameter %s; expected ns, tag, attr.<name>, zone", quote(key)))
		}
	}
	check(CheckNamespace(f.Namespace))
	if len(f.Attributes) > MaxAttributes {
		check(fmt.Errorf("there are %d attributes; at most %d are allowed", len(f.Attributes), MaxAttributes))
	}
	if len(errs) > 0 {
		return Filter{}, errors.Join(errs...)
	}
	return f, nil
}

// String returns the filter's canonical text.
func (f Filter) String() string {
	values := url.Values{"ns": {f.Namespace}}
	if len(f.Tags) > 0 {
		values["tag"] = f.Tags
	}
	for key, value := range f.Attributes {
		values.Set("attr."+key, value)
	}
	if f.Zone != "" {
		values.Set("zone", f.Zone)
	}
	if f.Self {
		values.Set("self", "true")
	}
	return f.Service + "?" + values.Encode()
}

// Match reports whether the instance belongs into the filter's view.
func (f Filter) Match(i Instance) bool {
	if i.Service != f.Service || i.Namespace != f.Namespace {
		return false
	}
	if !i.Status.Serving() && (!f.Self || !i.Status.Peering()) {
		return false
	}
	if f.Zone != "" && i.Zone != f.Zone {
		return false
	}
	for _, tag := range f.Tags {
		if _, found := slices.BinarySearch(i.Tags, tag); !found {
			return false
		}
	}
	for key, want := range f.Attributes {
		value, found := i.Attributes[key]
		if pattern := f.patterns[key]; pattern != nil {
			if !found || !pattern.MatchString(value) {
				return false
			}
		} else if !found || value != want {
			return false
		}
	}
	return true
}

func (f *Filter) addAttribute(key, value string) error {
	if err := CheckAttribute(key, value); err != nil {
		return err
	}
	if _, twice := f.Attributes[key]; twice {
		return fmt.Errorf("attr.%s is there twice, in different cases", key)
	}
	if f.Attributes == nil {
		f.Attributes = make(map[string]string)
		f.patterns = make(map[string]*regexp.Regexp)
	}
	if text, isPattern := strings.CutPrefix(value, "~"); isPattern {
		if len(text) > MaxPatternLength {
			return fmt.Errorf("the regular expression of attr.%s is %d bytes long; at most %d are allowed", key, len(text), MaxPatternLength)
		}
		pattern, size, err := compilePattern(text)
		if err != nil {
			return fmt.Errorf("attr.%s is not a regular expression: %w", key, err)
		}
		if f.patternSize += size; f.patternSize > MaxPatternSize {
			return fmt.Errorf("the regular expression of attr.%s is too large: it asks for many repetitions, or the filter has many such expressions", key)
		}
		f.patterns[key] = pattern
	}
	f.Attributes[key] = value
	return nil
}

// compilePattern compiles a regular expression so that it matches all of a value
// or nothing, and returns its size in instructions. The text is parsed before it
// is put between anchors: "a)|(?:b" must be an error, and not two halves that
// escape them.
func compilePattern(text string) (*regexp.Regexp, int, error) {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, 0, err
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, 0, err
	}
	if len(program.Inst) > MaxPatternSize {
		return nil, len(program.Inst), nil // too large to be kept, which the caller says
	}
	pattern, err := regexp.Compile(`\A(?:` + tree.String() + `)\z`)
	return pattern, len(program.Inst), err
}
