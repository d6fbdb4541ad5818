package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// seedOf makes a seed with everything in it that may be.
func seedOf(t *testing.T) string {
	t.Helper()
	seed := mkdir(t, t.TempDir(), "seed")
	mkdir(t, seed, "dir", "deep", "er")
	mkdir(t, seed, "empty")
	writeFile(t, filepath.Join(seed, "file"), "text")
	writeFile(t, filepath.Join(seed, "dir", "program"), "#!")
	writeFile(t, filepath.Join(seed, "dir", "deep", "er", "large"), string(bytes.Repeat([]byte("0123456789abcdef"), 1<<15)))
	old := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	for _, err := range []error{
		os.Symlink("dir/program", filepath.Join(seed, "link")),
		os.Symlink("/nowhere", filepath.Join(seed, "dangling")),
		os.Link(filepath.Join(seed, "file"), filepath.Join(seed, "dir", "hard")),
		unix.Mkfifo(filepath.Join(seed, "pipe"), 0o600),
		os.Chmod(filepath.Join(seed, "dir", "program"), 0o755|fs.ModeSetuid),
		os.Chmod(filepath.Join(seed, "empty"), 0o777|fs.ModeSticky),
		os.Chmod(filepath.Join(seed, "dir", "deep"), 0o500),
		os.Chtimes(filepath.Join(seed, "file"), old, old),
		os.Chtimes(filepath.Join(seed, "dir"), old, old),
		os.Chmod(seed, 0o751), os.Chtimes(seed, old, old),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return seed
}

// tree describes everything below a directory, and itself.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	inodes := make(map[uint64]string)
	err := filepath.Walk(dir, func(path string, info fs.FileInfo, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		is := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %v %d:%d %d", name, info.Mode(), is.Uid, is.Gid, info.ModTime().UnixNano())
		switch {
		case info.Mode().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %d bytes", len(text))
			if first, twice := inodes[is.Ino]; twice {
				fmt.Fprintf(&b, " is %s", first)
			}
			inodes[is.Ino] = name
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			fmt.Fprintf(&b, " -> %s", target)
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func prepare(t *testing.T, v Volume) (Prepared, error) {
	t.Helper()
	return Prepare(t.Context(), v, "")
}

func TestSeed(t *testing.T) {
	seed := seedOf(t)
	v := Volume{Path: mkdir(t, t.TempDir(), "v"), Seed: seed, Writable: true}
	mkdir(t, v.Path, "lost+found")
	if os.Geteuid() == 0 {
		for path, uid := range map[string]int{"file": 33, "link": 44, "dir": 55, "dir/program": 66, ".": 77} {
			if err := os.Lchown(filepath.Join(seed, path), uid, uid+1); err != nil {
				t.Fatal(err)
			}
		}
		// A change of the owner takes it away.
		if err := os.Chmod(filepath.Join(seed, "dir", "program"), 0o755|fs.ModeSetuid); err != nil {
			t.Fatal(err)
		}
	}
	want := tree(t, seed)
	done, err := prepare(t, v)
	if err != nil || !done.Seeded || done.Entries != 11 || done.Bytes != 1<<19+4+2 {
		t.Fatalf("%+v, %v", done, err)
	}
	if err := os.Remove(filepath.Join(v.Path, "lost+found")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(v.Path, time.Time{}, time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)); err != nil {
		t.Fatal(err) // of the removal just now
	}
	if os.Geteuid() != 0 {
		want = strings.Replace(want, "urwx", "-rwx", 1) // no set-user-id without its owner
	}
	if got := tree(t, v.Path); got != want {
		t.Errorf("got\n%s\nexpected\n%s", got, want)
	}
	// What is there is never touched again.
	writeFile(t, filepath.Join(v.Path, "file"), "mine")
	if done, err := prepare(t, v); err != nil || done.Seeded {
		t.Errorf("%+v, %v", done, err)
	}
	if text, _ := os.ReadFile(filepath.Join(v.Path, "file")); string(text) != "mine" {
		t.Errorf("the file holds %q", text)
	}
}

func TestOwnerAndMode(t *testing.T) {
	needsRoot(t)
	v := Volume{Path: mkdir(t, t.TempDir(), "v"), Owner: "1234:4321", Mode: new(fs.FileMode(0o2750)), Seed: seedOf(t)}
	if done, err := prepare(t, v); err != nil || !done.Changed || !done.Seeded {
		t.Fatalf("%+v, %v", done, err)
	}
	var is unix.Stat_t
	if err := unix.Stat(v.Path, &is); err != nil || is.Uid != 1234 || is.Gid != 4321 || is.Mode&permissionBits != 0o2750 {
		t.Errorf("%d:%d %o", is.Uid, is.Gid, is.Mode)
	}
	if done, err := prepare(t, v); err != nil || done.Changed {
		t.Errorf("a second time: %+v, %v", done, err)
	}
	// Without a group, that stays.
	v.Owner = "77"
	if _, err := prepare(t, v); err != nil {
		t.Fatal(err)
	}
	if err := unix.Stat(v.Path, &is); err != nil || is.Uid != 77 || is.Gid != 4321 {
		t.Errorf("%d:%d", is.Uid, is.Gid)
	}
	v.Owner = "nobody-of-that-name"
	if _, err := prepare(t, v); err == nil {
		t.Error("an owner that nobody knows was taken")
	}
	// After all of it, the child's user cannot write: that is said.
	v = Volume{Path: v.Path, Owner: "77:77", Mode: new(fs.FileMode(0o755)), Writable: true}
	if _, err := Prepare(t.Context(), v, "1234:1234"); err == nil || !strings.Contains(err.Error(), "cannot write") {
		t.Errorf("%v", err)
	}
}

// TestSeedInterrupted ends a seeding at every moment, and the next one makes it
// whole.
func TestSeedInterrupted(t *testing.T) {
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm") // many copies are written
	}
	seed := seedOf(t)
	whole := mkdir(t, t.TempDir(), "whole")
	if _, err := prepare(t, Volume{Path: whole, Seed: seed}); err != nil {
		t.Fatal(err)
	}
	want := tree(t, whole)
	memory := t.TempDir()
	interrupted := 0
	for moment := 0; ; moment++ {
		v := Volume{Path: mkdir(t, memory, fmt.Sprint(moment)), Seed: seed}
		ctx := &countdown{Context: t.Context(), left: moment}
		_, err := Prepare(ctx, v, "")
		if err == nil {
			break
		}
		if !errors.Is(err, errStopped) {
			t.Fatal(err)
		}
		interrupted++
		// Nothing is half there: an entry that can be seen is whole.
		entries, _ := os.ReadDir(v.Path)
		for _, entry := range entries {
			if isOwn(entry.Name()) {
				continue
			}
			if got, want := tree(t, filepath.Join(v.Path, entry.Name())), tree(t, filepath.Join(whole, entry.Name())); got != want {
				t.Errorf("at moment %d, %s is\n%s\nexpected\n%s", moment, entry.Name(), got, want)
			}
		}
		if done, err := prepare(t, v); err != nil || !done.Seeded {
			t.Fatalf("after moment %d: %+v, %v", moment, done, err)
		}
		if got := tree(t, v.Path); got != want {
			t.Fatalf("after moment %d:\n%s\nexpected\n%s", moment, got, want)
		}
	}
	if interrupted < 20 {
		t.Errorf("only %d moments", interrupted)
	}
}

// countdown is a context that ends at the nth look at it.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestSeedFullDisk runs out of space, and is tried again when there is some.
func TestSeedFullDisk(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	seed := seedOf(t)
	v := Volume{Path: mkdir(t, t.TempDir(), "v"), Seed: seed}
	if err := unix.Mount("none", v.Path, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := prepare(t, v); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), v.Path) {
			t.Fatalf("on a full disk: %v", err)
		}
	}
	if err := unix.Mount("none", v.Path, "tmpfs", unix.MS_REMOUNT, "size=16m"); err != nil {
		t.Fatal(err)
	}
	if done, err := prepare(t, v); err != nil || !done.Seeded {
		t.Fatalf("%+v, %v", done, err)
	}
	entries, _ := os.ReadDir(v.Path)
	if len(entries) != 6 {
		t.Errorf("there are %v", entries)
	}
	if err := unix.Mount("none", v.Path, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(v.Path, 0) }() // so that it can be removed
	if done, err := prepare(t, v); err != nil || done.Seeded {
		t.Errorf("a volume that is read-only and not empty: %+v, %v", done, err)
	}
}

// TestSeedNeverOverwrites what somebody put there between the copy and the move,
// and follows no link in the volume.
func TestSeedNeverOverwrites(t *testing.T) {
	seed, outside := seedOf(t), t.TempDir()
	v := Volume{Path: mkdir(t, t.TempDir(), "v"), Seed: seed}
	mkdir(t, v.Path, complete)
	writeFile(t, filepath.Join(v.Path, complete, "file"), "seed")
	writeFile(t, filepath.Join(v.Path, complete, "other"), "seed")
	writeFile(t, filepath.Join(v.Path, "file"), "mine")
	if done, err := prepare(t, v); err != nil || !done.Seeded {
		t.Fatalf("%+v, %v", done, err)
	}
	for name, want := range map[string]string{"file": "mine", "other": "seed"} {
		if text, err := os.ReadFile(filepath.Join(v.Path, name)); err != nil || string(text) != want {
			t.Errorf("%s holds %q, %v", name, text, err)
		}
	}
	v.Path = mkdir(t, t.TempDir(), "v")
	writeFile(t, filepath.Join(outside, "precious"), "")
	for _, name := range []string{partial, complete} {
		if err := os.Symlink(outside, filepath.Join(v.Path, name)); err != nil {
			t.Fatal(err)
		}
		_, err := prepare(t, v)
		if name == complete && err == nil {
			t.Error("a link was taken for a complete copy")
		}
		_ = os.Remove(filepath.Join(v.Path, name))
		if entries, _ := os.ReadDir(outside); len(entries) != 1 {
			t.Fatalf("%s: outside of the volume there is %v", name, entries)
		}
		for _, entry := range []string{"dir", "empty", "file", "link", "dangling", "pipe"} {
			_ = os.RemoveAll(filepath.Join(v.Path, entry))
		}
	}
}

// TestSeedAlone: two that share a volume do not fill it at the same time.
func TestSeedAlone(t *testing.T) {
	seed := seedOf(t)
	v := Volume{Path: mkdir(t, t.TempDir(), "v"), Seed: seed}
	const containers = 4
	results := make(chan Prepared, containers)
	for range containers {
		go func() {
			done, err := Prepare(t.Context(), v, "")
			if err != nil {
				t.Error(err)
			}
			results <- done
		}()
	}
	seeded := 0
	for range containers {
		if done := <-results; done.Seeded {
			seeded++
		}
	}
	if seeded != 1 {
		t.Errorf("it was seeded %d times", seeded)
	}
	// One that holds the lock does not hold up a stop.
	dir, err := os.Open(v.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Prepare(ctx, v, ""); err == nil || !strings.Contains(err.Error(), "somebody else is seeding") {
		t.Error(err)
	}
}

func TestSeedTooDeep(t *testing.T) {
	seed := t.TempDir()
	mkdir(t, seed, strings.Repeat("d/", mostDepth+1))
	v := Volume{Path: mkdir(t, t.TempDir(), "v"), Seed: seed}
	if _, err := prepare(t, v); err == nil || !strings.Contains(err.Error(), "directories in one another") {
		t.Error(err)
	}
	v.Seed = seed + "/none"
	if _, err := prepare(t, v); err == nil || !strings.Contains(err.Error(), v.Seed) {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(v.Path); len(entries) > 0 {
		t.Errorf("there is %v", entries)
	}
}
