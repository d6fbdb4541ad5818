package launcher

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"

	"cleat/launcher/settings"
	"cleat/templates"
)

// mostSource is the size in bytes of the largest template source.
const mostSource = 1 << 20

// source is one template.
type source struct {
	settings.TemplateFile
	mode     fs.FileMode
	text     []byte // that was last parsed, well or not
	template *templates.Template
	sum      string // of the bytes in place, see fileState
	problem  error  // of text, when template is an earlier version
}

// load reads the sources that are there now.
func (f *files) load() (problems []error, err error) {
	wanted := make(map[string]*source)
	if err := f.overlay(wanted); err != nil {
		return nil, err
	}
	for _, t := range f.settings.Templates {
		wanted[t.Destination] = &source{TemplateFile: t}
	}
	for destination := range f.sources {
		if wanted[destination] == nil {
			delete(f.sources, destination) // its file stays as it was
		}
	}
	var errs []error
	for destination, w := range wanted {
		s := f.sources[destination]
		if s == nil || s.Source != w.Source {
			s = w
			f.sources[destination] = s
		}
		if err := f.read(s); err != nil {
			errs = append(errs, err)
		} else if s.problem != nil {
			problems = append(problems, s.problem)
		}
	}
	return problems, joinSorted(errs)
}

// read reads and parses one source if it changed. The error means that there is
// no version that could be used.
func (f *files) read(s *source) error {
	text, mode, err := readSource(s.Source)
	if err == nil && s.template != nil && s.problem == nil && bytes.Equal(text, s.text) {
		s.mode = f.modeOf(s, mode)
		return nil
	}
	var parsed *templates.Template
	if err == nil {
		parsed, err = templates.Parse(string(text), templates.Context{Name: s.Source, Mode: templates.File, Aliases: f.aliases})
	}
	if err != nil {
		s.problem = err
		if s.template == nil {
			return err
		}
		return nil
	}
	s.text, s.template, s.problem, s.mode = text, parsed, nil, f.modeOf(s, mode)
	return nil
}

func (f *files) modeOf(s *source, sourceMode fs.FileMode) fs.FileMode {
	if s.Mode != nil {
		return fs.FileMode(*s.Mode).Perm()
	}
	return sourceMode
}

// readSource reads a template, and its permission bits.
func readSource(path string) ([]byte, fs.FileMode, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read a template: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("cannot read a template: %s is %s", path, kind(info.Mode()))
	}
	if info.Size() > mostSource {
		return nil, 0, fmt.Errorf("the template %s has %d bytes; at most %d are allowed", path, info.Size(), mostSource)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read a template: %w", err)
	}
	return text, info.Mode().Perm(), nil
}

// joinSorted joins errors in the order of their texts, so that equal states
// give equal messages.
func joinSorted(errs []error) error {
	sort.Slice(errs, func(i, j int) bool { return errs[i].Error() < errs[j].Error() })
	return errors.Join(errs...)
}
