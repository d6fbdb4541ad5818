package filewatch

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// mostEntries is how many files and directories a directory may hold, with
	// all below it.
	mostEntries = 10_000
	// MostDepth is how many directories deep it may be.
	MostDepth = 64
)

// Walk visits a directory and everything below it, links followed: in a mounted
// Kubernetes volume every entry is one. What leads back to where it came from
// is not followed, and neither is a link to nowhere. Names such as ..data, by
// which such a volume is swapped as a whole, are left out.
func Walk(root string, visit func(path string, info fs.FileInfo) error) error {
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
	if len(w.above) >= MostDepth {
		return fmt.Errorf("%s is more than %d directories deep", path, MostDepth)
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
