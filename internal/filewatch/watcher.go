// Package filewatch tells that files may have changed: configuration, secrets,
// certificates, whoever replaces them and however. It reads none of them.
package filewatch

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// mostWatched is the number of directories that are watched at most; what
	// lies in others is read again at the next change.
	mostWatched = 1000
	// gatherTime is how long events are gathered before they are told, because
	// they come in bursts and the whole set is looked at for each.
	gatherTime = 10 * time.Millisecond
	// mostLinks is how many symbolic links a path may lead through, as the
	// kernel has it.
	mostLinks = 40
)

// Watcher tells that one of a set of files may have changed. It watches the
// directories that the files are in, and those that their links lead through,
// so that replacing a file, a link, a directory, or a whole mounted volume
// (Kubernetes' ..data) is seen. It reads no file: whoever is told reads again,
// and finds out whether anything differs. What it does not see is that a
// directory further up than a file's own is renamed.
type Watcher struct {
	changed chan struct{}
	paths   chan []string
	ignored string // in the names of files that do not count; empty: all count
	log     *slog.Logger
}

// New returns a watcher of nothing. Files that have the text ignored in their
// names do not count, unless it is empty: temporary ones of the program's own.
func New(ignored string, log *slog.Logger) *Watcher {
	return &Watcher{changed: make(chan struct{}, 1), paths: make(chan []string, 1), ignored: ignored, log: log}
}

// Watch replaces the set of files; a directory stands for everything in it and
// below. A set that leads to directories which were not watched before counts
// as changed, because nobody looked while it was read. It never blocks. One
// goroutine at a time may call it.
//
// With an empty set nothing is watched any more. Whoever knows that the end is
// near says so in time: the kernel takes some 10 ms to end a watch, and a process
// that has one cannot exit in less.
func (w *Watcher) Watch(paths []string) {
	select {
	case <-w.paths: // nobody has seen the earlier set
	default:
	}
	w.paths <- slices.Clone(paths)
}

// Changed yields when a file may have changed, once for any number of changes
// that nobody has taken yet.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Run watches until ctx ends. Without the system's help (no inotify instance or
// watch left) it says so once; then a change is seen at the next occasion for
// reading.
func (w *Watcher) Run(ctx context.Context) error {
	for {
		select {
		case paths := <-w.paths:
			if len(paths) > 0 { // most containers never have anything to watch
				w.follow(ctx, paths)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// follow watches the paths, and the sets that come after them, until one is
// empty or ctx ends.
func (w *Watcher) follow(ctx context.Context, paths []string) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		w.log.Warn("cannot watch files; they are read again at the next occasion only", "cause", err)
		for {
			select {
			case <-w.paths:
			case <-ctx.Done():
				return
			}
		}
	}
	defer watcher.Close()
	var set watched
	var gathered <-chan time.Time
	said := false
	update := func() (more bool) {
		set = watch(paths)
		more, err := set.apply(watcher)
		if err != nil && !said {
			said = true
			w.log.Warn("cannot watch all files; some are read again at the next occasion only", "cause", err)
		}
		return more
	}
	if update() {
		w.tell()
	}
	for {
		select {
		case next := <-w.paths:
			if len(next) == 0 {
				return
			}
			if slices.Equal(next, paths) {
				break
			}
			if paths = next; update() {
				w.tell()
			}
		case event := <-watcher.Events:
			if gathered == nil && event.Op != fsnotify.Chmod && !w.ignores(event.Name) && set.concerns(event.Name) {
				gathered = time.After(gatherTime)
			}
		case <-watcher.Errors: // an overflow: events were lost
			if gathered == nil {
				gathered = time.After(gatherTime)
			}
		case <-gathered:
			gathered = nil
			update() // links may lead elsewhere now
			w.tell()
		case <-ctx.Done():
			return
		}
	}
}

func (w *Watcher) ignores(path string) bool {
	return w.ignored != "" && strings.Contains(filepath.Base(path), w.ignored)
}

func (w *Watcher) tell() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// watched is what a set of paths comes down to. All its paths are free of
// links, so that no directory is watched under two names.
type watched struct {
	entries map[string]bool // whose events count
	trees   []string        // everything in these directories counts
	dirs    map[string]bool // to watch
}

// watch follows the paths through their links as they are now.
func watch(paths []string) watched {
	set := watched{entries: make(map[string]bool), dirs: make(map[string]bool)}
	for _, path := range paths {
		real, found := set.follow(path)
		if !found {
			continue
		}
		_ = Walk(real, func(path string, info fs.FileInfo) error {
			if info.IsDir() {
				if dir, found := set.follow(path); found && set.add(dir) {
					set.trees = append(set.trees, dir+string(filepath.Separator))
				}
			}
			return nil
		}) // what cannot be read cannot be watched either
	}
	return set
}

// follow adds the directories in which one of the path's links, the file
// itself, or the first part of it that is missing, is or would be. It returns
// the path without links, and whether it exists.
func (s *watched) follow(path string) (real string, found bool) {
	const separator = string(filepath.Separator)
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", false
	}
	rest := strings.Split(strings.TrimPrefix(abs, separator), separator)
	dir := separator
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			dir = filepath.Dir(dir)
			continue
		}
		at := filepath.Join(dir, name)
		info, err := os.Lstat(at)
		if err == nil && info.Mode()&fs.ModeSymlink == 0 && len(rest) > 0 {
			dir = at
			continue
		}
		s.entries[at] = true
		s.add(dir)
		switch {
		case err != nil:
			return "", false
		case info.Mode()&fs.ModeSymlink == 0:
			return at, true
		}
		to, err := os.Readlink(at)
		if links++; err != nil || links > mostLinks {
			return "", false
		}
		if filepath.IsAbs(to) {
			dir = separator
		}
		rest = append(strings.Split(to, separator), rest...)
	}
	return dir, true
}

// add adds a directory to watch, unless there are too many.
func (s *watched) add(dir string) bool {
	if len(s.dirs) < mostWatched {
		s.dirs[dir] = true
	}
	return s.dirs[dir]
}

// apply watches the directories, and no others. It reports whether there are
// more than before; the error says why one cannot be watched that is there.
func (s *watched) apply(watcher *fsnotify.Watcher) (more bool, err error) {
	listed := watcher.WatchList()
	for _, dir := range listed {
		if !s.dirs[dir] {
			_ = watcher.Remove(dir) // gone already: nothing to remove
		}
	}
	for dir := range s.dirs {
		if slices.Contains(listed, dir) {
			continue
		}
		switch adding := watcher.Add(dir); {
		case adding == nil:
			more = true
		case !errors.Is(adding, fs.ErrNotExist): // gone by now: its parent's event comes
			err = adding
		}
	}
	return more, err
}

// concerns reports whether an event at the path may change what one of the
// files holds.
func (s *watched) concerns(path string) bool {
	return s.entries[path] || s.dirs[path] || // a directory that is watched has gone
		slices.ContainsFunc(s.trees, func(tree string) bool { return strings.HasPrefix(path, tree) })
}
