package launcher

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cleat/templates"
)

// text returns an output with the mode of most configuration files.
func text(destination, data string) output {
	return output{destination: destination, mode: 0o644, uid: -1, gid: -1, data: []byte(data)}
}

// put puts the outputs into place as [files.write] does.
func put(outputs ...output) (p placing, err error) {
	defer p.discard()
	for _, o := range outputs {
		if err := p.add(o); err != nil {
			return p, err
		}
	}
	if err := p.place(); err != nil {
		return p, errors.Join(err, p.undo())
	}
	return p, nil
}

func mustPut(t *testing.T, outputs ...output) {
	t.Helper()
	if _, err := put(outputs...); err != nil {
		t.Fatal(err)
	}
}

// write makes a file with exactly that mode.
func write(t *testing.T, path, data string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// holds checks a file's bytes and mode.
func holds(t *testing.T, path, data string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	if string(got) != data {
		t.Errorf("%s holds %q, expected %q", filepath.Base(path), got, data)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Error(err)
	} else if info.Mode().Perm() != mode {
		t.Errorf("%s has the mode %o, expected %o", filepath.Base(path), info.Mode().Perm(), mode)
	}
}

// noTemporaries checks that nothing of cleat's own is left below dir.
func noTemporaries(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if strings.Contains(filepath.Base(path), stagedMark) {
				t.Errorf("%s is left behind", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

func TestPlaceNewFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "etc", "nginx", "nginx.conf")
	mustPut(t, text(path, "new"))
	holds(t, path, "new", 0o644)
	noTemporaries(t, dir)
}

func TestPlaceIsAtomic(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.conf")
	write(t, path, "old", 0o644)
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	before := inode(t, path)
	mustPut(t, text(path, "new and longer"))
	holds(t, path, "new and longer", 0o644)
	if inode(t, path) == before {
		t.Error("the file was written over instead of replaced")
	}
	if data, err := io.ReadAll(reader); err != nil || string(data) != "old" {
		t.Errorf("who has it open reads %q (%v), expected the old bytes", data, err)
	}
	noTemporaries(t, dir)
}

func TestStagingChangesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.conf")
	write(t, path, "old", 0o600)
	s, err := stage(text(path, "new"))
	if err != nil {
		t.Fatal(err)
	}
	holds(t, path, "old", 0o600)
	if filepath.Dir(s.path) != dir || !strings.HasPrefix(filepath.Base(s.path), ".a.conf.cleat-") {
		t.Errorf("it is staged as %s, expected .a.conf.cleat-* beside it", s.path)
	}
	holds(t, s.path, "new", 0o644) // a check command reads it as the child will
	s.discard()
	noTemporaries(t, dir)
}

func TestPlaceAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	there, fresh, moded, last := filepath.Join(dir, "there"), filepath.Join(dir, "fresh"), filepath.Join(dir, "moded"), filepath.Join(dir, "last")
	write(t, there, "old", 0o640)
	write(t, moded, "same", 0o600)
	write(t, last, "old", 0o644)
	if os.Getuid() == 0 {
		if err := os.Chown(there, 4321, 8765); err != nil {
			t.Fatal(err)
		}
	}
	var p placing
	for _, o := range []output{text(there, "new"), text(fresh, "new"), text(moded, "same"), text(last, "new")} {
		if err := p.add(o); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.stages) != 3 || len(p.same) != 1 {
		t.Fatalf("%d staged and %d the same, expected 3 and 1", len(p.stages), len(p.same))
	}
	if err := os.Remove(p.stages[2].path); err != nil { // so that the last one cannot be placed
		t.Fatal(err)
	}
	err := p.place()
	if err == nil || !strings.Contains(err.Error(), last) {
		t.Errorf("place gives %v, expected an error that names %s", err, last)
	}
	holds(t, there, "new", 0o644)
	if err := p.undo(); err != nil {
		t.Error(err)
	}
	p.discard()
	holds(t, there, "old", 0o640)
	holds(t, moded, "same", 0o600)
	holds(t, last, "old", 0o644)
	if _, err := os.Lstat(fresh); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there (%v)", fresh, err)
	}
	if os.Getuid() == 0 {
		owned(t, there, 4321, 8765)
	}
	noTemporaries(t, dir)
}

func owned(t *testing.T, path string, uid, gid int) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if u, g := ownerOf(info); u != uid || g != gid {
		t.Errorf("%s belongs to %d:%d, expected %d:%d", filepath.Base(path), u, g, uid, gid)
	}
}

func TestPlaceMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	old := syscall.Umask(0o077) // the umask changes nothing
	defer syscall.Umask(old)
	for _, mode := range []fs.FileMode{0o640, 0o400, 0o666, 0o755} {
		o := text(path, fmt.Sprint("for ", mode))
		o.mode = mode
		mustPut(t, o)
		holds(t, path, string(o.data), mode)
	}
}

func TestPlaceOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: it gives files away")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "a.conf")
	o := text(path, "1")
	o.uid, o.gid, o.mode = 1234, 2345, 0o600
	mustPut(t, o)
	owned(t, path, 1234, 2345)
	holds(t, path, "1", 0o600)

	mustPut(t, text(path, "2")) // nobody asks for an owner: the old one stays
	owned(t, path, 1234, 2345)

	o = text(path, "3") // only the user is asked for: the old group stays
	o.uid = 77
	mustPut(t, o)
	owned(t, path, 77, 2345)

	o = text(path, "3") // the same bytes
	o.gid = 88
	if p, err := put(o); err != nil || len(p.stages) != 0 {
		t.Errorf("another owner for the same bytes: %v, %d files with new bytes; expected none", err, len(p.stages))
	}
	owned(t, path, 77, 88)
}

func TestSameBytesAreNoChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.conf")
	write(t, path, "same", 0o600)
	before := inode(t, path)
	p, err := put(text(path, "same"))
	if err != nil || len(p.stages) != 0 {
		t.Errorf("%v, %d files with new bytes; expected none", err, len(p.stages))
	}
	if inode(t, path) != before {
		t.Error("the file was replaced although its bytes are the same")
	}
	holds(t, path, "same", 0o644) // the mode is put right all the same
	for _, data := range []string{"", "sam", "samE", "same "} {
		if sameBytes(text(path, data)) {
			t.Errorf("%q counts as the same as %q", data, "same")
		}
	}
}

func TestPlaceThroughLinks(t *testing.T) {
	t.Run("to a file", func(t *testing.T) {
		dir := t.TempDir()
		link, target := filepath.Join(dir, "etc", "a.conf"), filepath.Join(dir, "data", "real.conf")
		write(t, target, "old", 0o644)
		linked(t, "../data/real.conf", link)
		mustPut(t, text(link, "new"))
		if to, err := os.Readlink(link); err != nil || to != "../data/real.conf" {
			t.Errorf("the link is %q (%v), expected to stay", to, err)
		}
		holds(t, target, "new", 0o644)
		noTemporaries(t, dir)
	})
	t.Run("to nothing yet", func(t *testing.T) {
		dir := t.TempDir()
		link, target := filepath.Join(dir, "etc", "a.conf"), filepath.Join(dir, "run", "sub", "real.conf")
		linked(t, filepath.Join(dir, "run", "second"), link)
		linked(t, "sub/real.conf", filepath.Join(dir, "run", "second"))
		mustPut(t, text(link, "new"))
		if to, err := os.Readlink(link); err != nil || to == "" {
			t.Errorf("the link is %q (%v), expected to stay", to, err)
		}
		holds(t, target, "new", 0o644)
	})
	t.Run("in a circle", func(t *testing.T) {
		dir := t.TempDir()
		linked(t, "b", filepath.Join(dir, "a"))
		linked(t, "a", filepath.Join(dir, "b"))
		if _, err := put(text(filepath.Join(dir, "a"), "new")); err == nil || !strings.Contains(err.Error(), "too many symbolic links") {
			t.Errorf("put gives %v, expected it to be refused", err)
		}
	})
	t.Run("undone", func(t *testing.T) {
		dir := t.TempDir()
		link, target := filepath.Join(dir, "a.conf"), filepath.Join(dir, "real.conf")
		write(t, target, "old", 0o600)
		linked(t, "real.conf", link)
		s, err := stage(text(link, "new"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.place(), s.undo()); err != nil {
			t.Fatal(err)
		}
		if to, err := os.Readlink(link); err != nil || to != "real.conf" {
			t.Errorf("the link is %q (%v), expected to stay", to, err)
		}
		holds(t, target, "old", 0o600)
	})
}

func linked(t *testing.T, to, link string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, link); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsNoFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	directory, pipe, socket := filepath.Join(dir, "directory"), filepath.Join(dir, "pipe"), filepath.Join(dir, "socket")
	if err := os.Mkdir(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := net.Listen("unix", socket); err != nil {
		t.Fatal(err)
	} else {
		defer l.Close()
	}
	linked(t, "pipe", filepath.Join(dir, "link"))
	huge := filepath.Join(dir, "huge")
	write(t, huge, "", 0o644)
	if err := os.Truncate(huge, templates.MaxOutputSize+1); err != nil {
		t.Fatal(err)
	}
	for destination, want := range map[string]string{
		directory: "it is a directory, not a file", pipe: "it is a device, a pipe or a socket",
		socket: "it is a device, a pipe or a socket", filepath.Join(dir, "link"): "it is a device, a pipe or a socket",
		"/dev/null": "it is a device, a pipe or a socket", huge: "is it the right one?",
		filepath.Join(huge, "below"): "not a directory",
	} {
		_, err := put(text(destination, "new"))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "cannot write "+destination) {
			t.Errorf("%s: %v, expected it to be refused with %q", destination, err, want)
		}
	}
	noTemporaries(t, dir)
}

func TestStaleTemporariesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	link, target := filepath.Join(dir, "a.conf"), filepath.Join(dir, "data", "real.conf")
	linked(t, "data/real.conf", link)
	stale := filepath.Join(dir, "data", ".real.conf.cleat-12345")
	others := []string{".other.conf.cleat-1", "real.conf.cleat-1", ".real.conf", ".real.conf.cleat"}
	write(t, stale, "", 0o600)
	for _, name := range others {
		write(t, filepath.Join(dir, "data", name), "", 0o600)
	}
	if err := os.Mkdir(filepath.Join(dir, "data", ".real.conf.cleat-directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	removeStale(link)
	if _, err := os.Stat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the stale file is still there (%v)", err)
	}
	for _, name := range append(others, ".real.conf.cleat-directory") {
		if _, err := os.Stat(filepath.Join(filepath.Dir(target), name)); err != nil {
			t.Errorf("%s has gone: %v", name, err)
		}
	}
	removeStale(filepath.Join(dir, "nowhere", "a.conf")) // nothing to do, nothing to say
}

// withMounts runs the test on a thread with mounts of its own, which end with
// it.
func withMounts(t *testing.T, test func(mount func(source, target, kind string, flags uintptr))) {
	if os.Getuid() != 0 {
		t.Skip("needs root: it mounts")
	}
	var forbidden error
	done := make(chan struct{})
	go func() { // on a thread that ends with this goroutine
		defer close(done)
		runtime.LockOSThread()
		if forbidden = unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); forbidden != nil {
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Errorf("cannot make the mounts private: %v", err)
			return
		}
		test(func(source, target, kind string, flags uintptr) {
			if err := unix.Mount(source, target, kind, flags, ""); err != nil {
				t.Errorf("cannot mount %s: %v", target, err)
				runtime.Goexit()
			}
		})
	}()
	<-done
	if forbidden != nil {
		t.Skipf("needs a root that may mount (docker run --privileged): %v", forbidden)
	}
}

func TestPlaceOverMountedFile(t *testing.T) {
	dir := t.TempDir()
	withMounts(t, func(mount func(source, target, kind string, flags uintptr)) {
		host, path := filepath.Join(dir, "host", "app.conf"), filepath.Join(dir, "etc", "app.conf")
		write(t, host, "old and long", 0o600)
		write(t, path, "", 0o644)
		mount(host, path, "", unix.MS_BIND)
		before := inode(t, path)
		for _, data := range []string{"new", "new and much longer than before"} {
			mustPut(t, text(path, data))
			holds(t, path, data, 0o644)
			holds(t, host, data, 0o644)
		}
		if inode(t, path) != before {
			t.Error("another file lies over the mount")
		}
		if p, err := put(text(path, "new and much longer than before")); err != nil || len(p.stages) != 0 {
			t.Errorf("%v, %d files with new bytes; expected none", err, len(p.stages))
		}
		s, err := stage(text(path, "undone"))
		if err != nil {
			t.Error(err)
			return
		}
		if err := errors.Join(s.place(), s.undo()); err != nil {
			t.Error(err)
		}
		s.discard()
		holds(t, path, "new and much longer than before", 0o644)
		noTemporaries(t, dir)
	})
}

func TestPlaceIntoReadOnlyDirectory(t *testing.T) {
	dir := t.TempDir()
	withMounts(t, func(mount func(source, target, kind string, flags uintptr)) {
		host, etc := filepath.Join(dir, "host", "app.conf"), filepath.Join(dir, "etc")
		path := filepath.Join(etc, "app.conf")
		write(t, host, "old", 0o644)
		write(t, filepath.Join(etc, "x"), "", 0o644)
		mount("tmpfs", etc, "tmpfs", 0)
		write(t, path, "", 0o644)
		write(t, filepath.Join(etc, "fixed.conf"), "fixed", 0o644)
		mount("tmpfs", etc, "", unix.MS_REMOUNT|unix.MS_RDONLY)
		mount(host, path, "", unix.MS_BIND)

		s, err := stage(text(path, "staged")) // a check can read it, elsewhere
		if err != nil {
			t.Error(err)
			return
		}
		holds(t, s.path, "staged", 0o644)
		holds(t, path, "old", 0o644)
		s.discard()

		mustPut(t, text(path, "new"))
		holds(t, host, "new", 0o644)

		other := filepath.Join(dir, "other.conf")
		write(t, other, "old", 0o644)
		for _, unwritable := range []string{"fixed.conf", "fresh.conf"} {
			_, err := put(text(other, "new"), text(path, "newer"), text(filepath.Join(etc, unwritable), "new"))
			if err == nil || !strings.Contains(err.Error(), unwritable) {
				t.Errorf("put gives %v, expected an error that names %s", err, unwritable)
			}
			holds(t, other, "old", 0o644)
			holds(t, host, "new", 0o644)
		}
		noTemporaries(t, dir)
	})
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	withMounts(t, func(mount func(source, target, kind string, flags uintptr)) {
		small, path := filepath.Join(dir, "small"), filepath.Join(dir, "etc", "app.conf")
		write(t, filepath.Join(small, "x"), "", 0o644)
		write(t, path, "", 0o644)
		if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
			t.Error(err)
			return
		}
		host := filepath.Join(small, "app.conf")
		old := strings.Repeat("o", 20<<10)
		write(t, host, old, 0o644)
		mount(host, path, "", unix.MS_BIND)
		other := filepath.Join(dir, "other.conf")
		write(t, other, "old", 0o644)
		large := strings.Repeat("n", 100<<10)
		for _, full := range []string{host, path} { // by rename, and in place
			_, err := put(text(other, "new"), text(full, large))
			if !errors.Is(err, unix.ENOSPC) {
				t.Errorf("put gives %v, expected %v", err, unix.ENOSPC)
			}
			holds(t, other, "old", 0o644)
			holds(t, full, old, 0o644)
		}
		noTemporaries(t, dir)
	})
}
