package volume

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLook(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "file"), "")
	for _, test := range []struct {
		v    Volume
		want string // in the error; empty: none
	}{
		{Volume{Path: dir}, ""},
		{Volume{Path: dir, Writable: true}, ""},
		{Volume{Path: dir + "/none"}, "there is no such directory"},
		{Volume{Path: dir + "/file"}, "it is not a directory"},
		{Volume{Path: dir, Mounted: true}, "nothing is mounted there"},
		{Volume{Path: "/proc", Mounted: true}, ""},
		{Volume{Path: "/proc", Mounted: true, Writable: true}, "it cannot be written to"},
	} {
		err := Look(t.Context(), test.v, "")
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, expected %q", test.v, err, test.want)
		}
	}
	if names, _ := filepath.Glob(dir + "/.*"); len(names) > 0 {
		t.Errorf("it has left %q", names)
	}
}

func TestLookEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("over"))
	if err := Look(ctx, Volume{Path: "/"}, ""); err != nil && !strings.Contains(err.Error(), "over") {
		t.Error(err)
	}
}

// TestWritableByAnotherUser asks with the rights of the child's user, and
// leaves this process's own as they are.
func TestWritableByAnotherUser(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	for _, private := range []string{dir, filepath.Dir(dir)} { // as the test's directories are
		if err := os.Chmod(private, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	group := mkdir(t, dir, "group")
	if err := errors.Join(os.Chown(group, 0, 4321), os.Chmod(group, 0o770)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path, user string
		good       bool
	}{
		{dir, "1234:4321", false}, {dir, "0:0", true}, {group, "1234:4321", true}, {group, "1234:1234", false},
	} {
		err := Look(t.Context(), Volume{Path: test.path, Writable: true}, test.user)
		if (err == nil) != test.good || err != nil && !strings.Contains(err.Error(), "the user "+test.user+" cannot write to it: permission denied") {
			t.Errorf("%s by %s: %v", test.path, test.user, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "still"), nil, 0o600); err != nil {
		t.Errorf("this process has lost its rights: %v", err)
	}
}

func TestMountPoints(t *testing.T) {
	table := `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
24 1 0:22 / /with\040space\011tab\134back rw - tmpfs none rw
broken
25 1 0:22 / /end\04 rw - tmpfs none rw
`
	want := []string{"/mnt2", "/with space\ttab\\back", `/end\04`}
	if got := mountPoints([]byte(table)); !slices.Equal(got, want) {
		t.Errorf("got %q, expected %q", got, want)
	}
}

func FuzzMountPoints(f *testing.F) {
	f.Add([]byte("36 35 98:0 / /a\\040b rw - ext3 /dev/root rw"))
	f.Fuzz(func(t *testing.T, table []byte) {
		for _, point := range mountPoints(table) {
			if len(point) > len(table) {
				t.Errorf("%q is longer than the table", point)
			}
		}
	})
}

// watch runs a watcher until the test ends.
func watch(t *testing.T) (*Watcher, <-chan struct{}) {
	t.Helper()
	changed := make(chan struct{}, 1)
	w := NewWatcher(changed, slog.New(slog.NewTextHandler(t.Output(), nil)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w, changed
}

// TestMountIsTold mounts, remounts and unmounts for real.
func TestMountIsTold(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := mkdir(t, t.TempDir(), "with space")
	_, changed := watch(t)
	v := Volume{Path: dir, Mounted: true, Writable: true}
	if err := Look(t.Context(), v, ""); err == nil {
		t.Fatal("it is there before it is mounted")
	}
	quietly := func() { // nothing is told while nothing happens
		t.Helper()
		for settled := false; !settled; {
			select {
			case <-changed:
			case <-time.After(100 * time.Millisecond):
				settled = true
			}
		}
	}
	quietly()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(unix.Mount("none", dir, "tmpfs", unix.MS_RDONLY, ""))
	told(t, changed, func() error { return Look(t.Context(), Volume{Path: dir, Mounted: true}, "") })
	if err := Look(t.Context(), v, ""); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("mounted read-only: %v", err)
	}
	quietly()
	must(unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT, ""))
	told(t, changed, func() error { return Look(t.Context(), v, "") })
	link := filepath.Join(filepath.Dir(dir), "link")
	must(os.Symlink(dir, link))
	if err := Look(t.Context(), Volume{Path: link, Mounted: true}, ""); err != nil {
		t.Errorf("through a link: %v", err)
	}
	quietly()
	must(unix.Unmount(dir, 0))
	told(t, changed, func() error {
		if Look(t.Context(), v, "") == nil {
			return errors.New("it is still mounted")
		}
		return nil
	})
}

// TestDirectoryIsTold makes the directories of a path, one after another.
func TestDirectoryIsTold(t *testing.T) {
	dir := t.TempDir()
	w, changed := watch(t)
	v := Volume{Path: filepath.Join(dir, "a", "b", "c")}
	w.Await([]string{v.Path})
	for _, part := range []string{"a", "a/b", "a/b/c"} {
		if Look(t.Context(), v, "") == nil {
			t.Fatal("it is there before it was made")
		}
		time.Sleep(3 * gatherTime)
		mkdir(t, dir, part)
	}
	told(t, changed, func() error { return Look(t.Context(), v, "") })
	w.Await(nil)
}

// TestModeIsTold: a directory that becomes writable.
func TestModeIsTold(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	v := Volume{Path: mkdir(t, dir, "v"), Writable: true}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w, changed := watch(t)
	w.Await([]string{v.Path})
	time.Sleep(3 * gatherTime)
	if Look(t.Context(), v, "1234:1234") == nil {
		t.Fatal("it is writable before it was")
	}
	if err := os.Chmod(v.Path, 0o777); err != nil {
		t.Fatal(err)
	}
	told(t, changed, func() error { return Look(t.Context(), v, "1234:1234") })
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "file"), "")
	for _, v := range []Volume{{Seed: dir + "/none"}, {Seed: dir + "/file"}, {Owner: "nobody-of-that-name"}} {
		if v.Check() == nil {
			t.Errorf("%+v is no mistake", v)
		}
	}
	if err := (Volume{Seed: dir, Owner: "0:0"}).Check(); err != nil {
		t.Error(err)
	}
}
