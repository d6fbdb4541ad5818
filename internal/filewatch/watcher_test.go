package filewatch

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const (
	// soon is how long a test waits for what must come.
	soon = 10 * time.Second
	// calm is how long nothing must come until it is taken for nothing at all.
	calm = 8 * gatherTime
)

// lookout is a watcher at work on a directory of the test.
type lookout struct {
	t   *testing.T
	dir string
	*Watcher
}

// watching runs a watcher until the test ends. Tests of it are parallel, because
// most of their time they wait for nothing to come.
func watching(t *testing.T) *lookout {
	t.Helper()
	l := &lookout{t: t, dir: t.TempDir(), Watcher: New(".mine-", slog.New(slog.DiscardHandler))}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run gives %v, expected nil", err)
			}
		case <-time.After(soon):
			t.Error("Run does not end")
		}
	})
	return l
}

func TestWatchLeavesNoGoroutine(t *testing.T) { // not parallel: it looks at all goroutines
	t.Run("watching", func(t *testing.T) {
		l := watching(t)
		l.write("source", "1")
		l.follows("source")
		l.write("source", "2") // and nobody takes the word
	})
	stacks := make([]byte, 1<<20)
	for limit := time.Now().Add(soon); ; runtime.Gosched() { // the last one may be about to return
		text := string(stacks[:runtime.Stack(stacks, true)])
		if !strings.Contains(text, "fsnotify") {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("Run leaves a goroutine:\n%s", text)
		}
	}
}

func (l *lookout) path(name string) string { return filepath.Join(l.dir, name) }

// follows replaces the set of files, and takes the word that new directories
// are watched.
func (l *lookout) follows(names ...string) {
	l.t.Helper()
	var paths []string
	for _, name := range names {
		paths = append(paths, l.path(name))
	}
	l.Watch(paths)
	l.expect("watching " + strings.Join(names, ", "))
}

// expect waits for a change, and then for the end of it.
func (l *lookout) expect(what string) {
	l.t.Helper()
	select {
	case <-l.Changed():
	case <-time.After(soon):
		l.t.Fatalf("nothing is told of %s", what)
	}
	for {
		select {
		case <-l.Changed():
		case <-time.After(calm):
			return
		}
	}
}

func (l *lookout) expectNothing(what string) {
	l.t.Helper()
	select {
	case <-l.Changed():
		l.t.Errorf("a change is told of %s", what)
	case <-time.After(calm):
	}
}

func (l *lookout) write(name, data string) {
	l.t.Helper()
	l.do(os.MkdirAll(filepath.Dir(l.path(name)), 0o755))
	l.do(os.WriteFile(l.path(name), []byte(data), 0o644))
}

func (l *lookout) link(to, name string) {
	l.t.Helper()
	l.do(os.MkdirAll(filepath.Dir(l.path(name)), 0o755))
	l.do(os.Symlink(to, l.path(name)))
}

// swap makes a volume as Kubernetes does, or replaces it by another version.
func (l *lookout) swap(volume, version string, content map[string]string) {
	l.t.Helper()
	for name, data := range content {
		l.write(filepath.Join(volume, version, name), data)
		top, _, _ := strings.Cut(name, "/")
		if _, err := os.Lstat(l.path(filepath.Join(volume, top))); errors.Is(err, fs.ErrNotExist) {
			l.link("..data/"+top, filepath.Join(volume, top))
		}
	}
	data := filepath.Join(volume, "..data")
	old, _ := os.Readlink(l.path(data))
	l.link(version, data+"_tmp")
	l.do(os.Rename(l.path(data+"_tmp"), l.path(data)))
	if old != "" {
		l.do(os.RemoveAll(l.path(filepath.Join(volume, old))))
	}
}

func (l *lookout) do(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// replace puts a new file into its place by rename.
func (l *lookout) replace(name, data string) {
	l.t.Helper()
	l.write(name+".new", data)
	l.do(os.Rename(l.path(name+".new"), l.path(name)))
}

func TestWatchFile(t *testing.T) {
	t.Parallel()
	l := watching(t)
	l.write("a/source", "1")
	l.write("a/other", "1")
	l.follows("a/source")
	l.write("a/source", "2")
	l.expect("a file that is written")
	l.replace("a/source", "3")
	l.expect("a file that is replaced")
	l.replace("a/source", "4")
	l.expect("a file that is replaced again")
	l.do(os.Remove(l.path("a/source")))
	l.expect("a file that is removed")
	l.write("a/source", "5")
	l.expect("a file that comes back")
	l.write("a/other", "2")
	l.do(os.Chmod(l.path("a/source"), 0o644))
	l.expectNothing("another file, or a mode")
}

func TestWatchTellsOfWhatHappenedBefore(t *testing.T) {
	t.Parallel()
	l := watching(t)
	l.write("a/source", "1")
	l.write("a/second", "1")
	l.write("b/third", "1")
	l.follows("a/source") // read before it was watched: told of once
	l.Watch([]string{l.path("a/source")})
	l.expectNothing("the same set")
	l.Watch([]string{l.path("a/source"), l.path("a/second")})
	l.expectNothing("a set in the same directory")
	l.follows("a/source", "b/third")
}

func TestWatchLink(t *testing.T) {
	t.Parallel()
	l := watching(t)
	l.write("v1/conf/source", "1")
	l.write("v2/conf/source", "2")
	l.link("v1", "releases/../current")
	l.link(l.path("current/conf"), "etc/conf") // an absolute one among relative ones
	l.link("conf/source", "etc/source")
	l.follows("etc/source")
	l.write("v1/conf/source", "1.1")
	l.expect("the file that the links lead to")
	l.link("v2", "next")
	l.do(os.Rename(l.path("next"), l.path("current")))
	l.expect("a link on the way that leads elsewhere")
	l.write("v2/conf/source", "2.1")
	l.expect("the file that the links lead to now")
	l.write("v1/conf/source", "1.2")
	l.expectNothing("the file that they led to before")
	l.do(os.Remove(l.path("etc/source")))
	l.link("elsewhere", "etc/source")
	l.expect("the link itself")
	l.write("etc/elsewhere", "3")
	l.expect("a file that a link has led to before it was there")
}

func TestWatchLinksInACircle(t *testing.T) {
	t.Parallel()
	l := watching(t)
	l.link("b", "a")
	l.link("a", "b")
	l.follows("a")
	l.do(os.Remove(l.path("b")))
	l.expect("a circle that is broken")
}

func TestWatchWhatIsNotThere(t *testing.T) {
	t.Parallel()
	l := watching(t)
	l.follows("run/secrets/db/password")
	l.do(os.MkdirAll(l.path("run"), 0o755))
	l.expect("the first directory on the way")
	l.do(os.MkdirAll(l.path("run/secrets/db"), 0o755))
	l.expect("the rest of the way")
	l.write("run/secrets/db/password", "1")
	l.expect("the file")
	l.do(os.RemoveAll(l.path("run")))
	l.expect("the end of all")
	l.write("run/secrets/db/password", "2")
	l.expect("the file again")
	l.replace("run/secrets/db/password", "3")
	l.expect("the file replaced")
}

func TestWatchDirectoryThatIsReplaced(t *testing.T) {
	t.Parallel()
	l := watching(t)
	l.write("conf/source", "1")
	l.write("next/source", "2")
	l.follows("conf/source")
	l.do(os.Rename(l.path("conf"), l.path("old")))
	l.do(os.Rename(l.path("next"), l.path("conf")))
	l.expect("a directory that is replaced")
	l.write("conf/source", "3")
	l.expect("the file in the new one")
	l.write("old/source", "4")
	l.expectNothing("the file in the old one")
}

func TestWatchOverlay(t *testing.T) {
	t.Parallel()
	l := watching(t)
	l.write("overlay/etc/a", "1")
	l.link("../linked", "overlay/opt")
	l.write("linked/b", "1")
	l.follows("overlay")
	l.write("overlay/etc/a", "2")
	l.expect("a file below")
	l.write("overlay/etc/new", "1")
	l.expect("a new file")
	l.do(os.MkdirAll(l.path("overlay/var/lib"), 0o755))
	l.expect("new directories")
	l.write("overlay/var/lib/c", "1")
	l.expect("a file in a new directory")
	l.write("linked/new", "1")
	l.expect("a file in a directory that a link leads to")
	l.do(os.RemoveAll(l.path("overlay/var")))
	l.expect("directories that are removed")
	l.do(os.RemoveAll(l.path("overlay")))
	l.expect("the end of the overlay")
	l.write("overlay/etc/a", "3")
	l.expect("the overlay again")
}

func TestWatchKubernetesVolume(t *testing.T) {
	t.Parallel()
	l := watching(t)
	l.swap("volume", "..2026_1", map[string]string{"password": "1", "etc/app/app.conf": "1"})
	l.follows("volume/password", "volume/etc/app/app.conf")
	for _, version := range []string{"..2026_2", "..2026_3", "..2026_4"} {
		l.swap("volume", version, map[string]string{"password": version, "etc/app/app.conf": version})
		l.expect("the volume swapped for " + version)
	}
	l.write("volume/..2026_4/password", "written")
	l.expect("a file below ..data")
}

func TestWatchKubernetesOverlay(t *testing.T) {
	t.Parallel()
	l := watching(t)
	l.swap("overlay", "..2026_1", map[string]string{"etc/app/app.conf": "1"})
	l.follows("overlay")
	l.swap("overlay", "..2026_2", map[string]string{"etc/app/app.conf": "2"})
	l.expect("the overlay swapped")
	l.write("overlay/..2026_2/etc/app/more.conf", "2")
	l.expect("a file in the new overlay")
}

func TestWatchIgnoresOwnTemporaries(t *testing.T) {
	t.Parallel()
	l := watching(t)
	l.write("overlay/a", "1")
	l.write("overlay/source", "1")
	l.follows("overlay", "overlay/source")
	l.write("overlay/.other.mine-1", "staged")
	l.do(os.Remove(l.path("overlay/.other.mine-1")))
	l.expectNothing("a file that is staged and discarded")
}

func TestWatchReplacesTheSet(t *testing.T) {
	t.Parallel()
	l := watching(t)
	l.write("a/source", "1")
	l.write("b/source", "1")
	l.follows("a/source")
	l.follows("b/source")
	l.write("a/source", "2")
	l.expectNothing("a file that is watched no more")
	l.write("b/source", "2")
	l.expect("a file that is watched now")
	l.Watch(nil)
	l.expectNothing("an empty set")
	l.write("b/source", "3")
	l.expectNothing("a file that is watched no more")
}

// TestWatchNothing ends the watching, and begins it again.
func TestWatchNothing(t *testing.T) {
	t.Parallel()
	l := watching(t)
	l.write("source", "1")
	l.follows("source")
	l.Watch(nil)
	time.Sleep(calm) // until that is so
	l.write("source", "2")
	l.expectNothing("a file that is not watched any more")
	l.follows("source")
	l.write("source", "3")
	l.expect("a file that is watched again")
}

func TestWatchNeverBlocks(t *testing.T) {
	w := New(".mine-", slog.New(slog.DiscardHandler)) // not run
	for range 3 {
		w.Watch([]string{"/etc/hosts"})
	}
}

func TestWatchIsBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range mostWatched + 10 {
		if err := os.MkdirAll(filepath.Join(dir, string(rune('a'+i%26)), strings.Repeat("x", 1+i/26)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if set := watch([]string{dir}); len(set.dirs) > mostWatched || len(set.trees) > mostWatched {
		t.Errorf("%d directories are watched, expected at most %d", len(set.dirs), mostWatched)
	}
}
