package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cleat/internal/filewatch"
	"cleat/launcher/settings"
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
	err = filewatch.Walk(root, func(path string, info fs.FileInfo) error {
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
