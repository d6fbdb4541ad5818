package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cleat/launcher/settings"
)

const (
	// mostEntries is how many files and directories a template directory may
	// hold.
	mostEntries = 10_000
	// mostDepth is how many directories deep it may be.
	mostDepth = 64
)

// overlay finds the files of the template directory.
func (f *files) overlay(wanted map[string]*source) error {
	root := f.settings.TemplatesDir
	if root == "" {
		return nil
	}
	info, err := os.Stat(root)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !f.settings.TemplatesSet:
		return nil
	case err != nil:
		return fmt.Errorf("cannot read the template directory (CLEAT_TEMPLATES): %w", err)
	case !info.IsDir():
		return fmt.Errorf("CLEAT_TEMPLATES: %s is not a directory", root)
	}
	err = walk(root, func(path string, info fs.FileInfo) error {
		if !info.Mode().IsRegular() {
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		destination := filepath.Join("/", name)
		wanted[destination] = &source{TemplateFile: settings.TemplateFile{
			Name: name, Source: path, Destination: destination, Settle: settings.DefaultSettle,
		}}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot read the template directory %s (CLEAT_TEMPLATES): %w", root, err)
	}
	return nil
}

// walk visits a directory and everything below it, links followed: in a mounted
// Kubernetes volume every entry is one. What leads back to where it came from
// is not followed, and neither is a link to nowhere. Names such as ..data, by
// which such a volume is swapped as a whole, are left out.
func walk(root string, visit func(path string, info fs.FileInfo) error) error {
	info, err := os.Stat(root)
	if err != nil {
		return err
	}
	w := walker{visit: visit}
	return w.descend(root, info)
}

type walker struct {
	visit func(path string, info fs.FileInfo) error
	above []fs.FileInfo // the directories that it is in
	seen  int
}

func (w *walker) descend(path string, info fs.FileInfo) error {
	if w.seen++; w.seen > mostEntries {
		return fmt.Errorf("more than %d files and directories", mostEntries)
	}
	if err := w.visit(path, info); err != nil || !info.IsDir() {
		return err
	}
	if slices.ContainsFunc(w.above, func(a fs.FileInfo) bool { return os.SameFile(a, info) }) {
		return nil
	}
	if len(w.above) >= mostDepth {
		return fmt.Errorf("%s is more than %d directories deep", path, mostDepth)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	w.above = append(w.above, info)
	defer func() { w.above = w.above[:len(w.above)-1] }()
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "..") {
			continue
		}
		below := filepath.Join(path, entry.Name())
		info, err := os.Stat(below)
		if err != nil {
			continue // a link to nowhere, or gone by now
		}
		if err := w.descend(below, info); err != nil {
			return err
		}
	}
	return nil
}
