package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(place(t), "s")
	leaveStale(t, path)
	s := listening(t, path)
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|socketMode {
		t.Errorf("the socket: %v, %v", info, err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestWhatIsNotStaleIsLeftAlone(t *testing.T) {
	dir := place(t)
	live, file, directory := filepath.Join(dir, "live"), filepath.Join(dir, "file"), filepath.Join(dir, "directory")
	listening(t, live)
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		live: "another launcher listens", file: "is no socket", directory: "is no socket",
		filepath.Join(dir, "none", "s"):                  "no such file",
		filepath.Join(dir, strings.Repeat("x", MaxPath)): "at most 107",
	} {
		if _, err := Listen([]Place{{Path: path}}, Surroundings{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, expected something with %q", path, err, want)
		}
	}
	if conn, err := net.Dial("unix", live); err != nil {
		t.Errorf("the live socket: %v", err)
	} else {
		conn.Close()
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "x" {
		t.Errorf("the file: %q, %v", data, err)
	}
}

// Close leaves a socket alone that has taken the place of its own.
func TestCloseLeavesOthersAlone(t *testing.T) {
	path := filepath.Join(place(t), "s")
	s := listening(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listening(t, path)
	s.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the other's socket is gone: %v", err)
	}
	conn.Close()
}

func TestOneOfManyReplacesAStaleSocket(t *testing.T) {
	for range 20 {
		path := filepath.Join(place(t), "s")
		leaveStale(t, path)
		var mu sync.Mutex
		var winners []*Socket
		var racing sync.WaitGroup
		for range 8 {
			racing.Go(func() {
				if s, err := Listen([]Place{{Path: path}}, Surroundings{}); err == nil {
					mu.Lock()
					defer mu.Unlock()
					winners = append(winners, s)
				}
			})
		}
		racing.Wait()
		if len(winners) != 1 {
			t.Fatalf("%d launchers have the socket", len(winners))
		}
		if conn, err := net.Dial("unix", path); err != nil {
			t.Errorf("nobody can be reached: %v", err)
		} else {
			conn.Close()
		}
		winners[0].Close()
	}
}

func TestNoChildInheritsTheSocket(t *testing.T) {
	path := filepath.Join(place(t), "s")
	s := listening(t, path)
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := s.listener.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for what, get := range map[string]func() (interface{ Control(func(uintptr)) error }, error){
		"the socket":   func() (interface{ Control(func(uintptr)) error }, error) { return s.listener.SyscallConn() },
		"a connection": func() (interface{ Control(func(uintptr)) error }, error) { return conn.SyscallConn() },
	} {
		raw, err := get()
		if err != nil {
			t.Fatal(err)
		}
		var flags int
		if err := raw.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFD, 0) }); err != nil {
			t.Fatal(err)
		}
		if flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s would be inherited", what)
		}
	}
}

// surroundings are those of a machine of the test's own.
func surroundings(t *testing.T) Surroundings {
	t.Helper()
	dir := place(t)
	s := Surroundings{
		UID: os.Geteuid(), Temp: filepath.Join(dir, "tmp"), Shared: filepath.Join(dir, "shm"),
		System: filepath.Join(dir, "run", "cleat.sock"),
	}
	for _, sub := range []string{s.Temp, s.Shared} {
		if err := os.Mkdir(sub, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(sub, 0o777|fs.ModeSticky); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s Surroundings) listen(t *testing.T, pid int) *Socket {
	t.Helper()
	socket, err := Listen(s.Places(pid), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return socket
}

func TestPlaces(t *testing.T) {
	s := surroundings(t)
	private := fmt.Sprintf("cleat-%d", s.UID)
	// No /run: the next place is taken.
	if got, want := s.listen(t, 1).Path(), filepath.Join(s.Temp, private, "cleat.sock"); got != want {
		t.Errorf("PID 1 without /run: %s, expected %s", got, want)
	}
	if err := os.Mkdir(filepath.Dir(s.System), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := s.listen(t, 1).Path(); got != s.System {
		t.Errorf("PID 1: %s, expected %s", got, s.System)
	}
	if got, want := s.listen(t, 7).Path(), filepath.Join(s.Temp, private, "cleat-7.sock"); got != want {
		t.Errorf("another: %s, expected %s", got, want)
	}
	s.Runtime = place(t)
	if got, want := s.listen(t, 8).Path(), filepath.Join(s.Runtime, "cleat-8.sock"); got != want {
		t.Errorf("with a runtime directory: %s, expected %s", got, want)
	}
	// A runtime directory that others can write to, or of somebody else.
	if err := os.Chmod(s.Runtime, 0o777); err != nil {
		t.Fatal(err)
	}
	if got, want := s.listen(t, 9).Path(), filepath.Join(s.Temp, private, "cleat-9.sock"); got != want {
		t.Errorf("with a bad runtime directory: %s, expected %s", got, want)
	}
	s.Temp = filepath.Join(s.Temp, "none")
	if got, want := s.listen(t, 9).Path(), filepath.Join(s.Shared, private, "cleat-9.sock"); got != want {
		t.Errorf("without a temporary directory: %s, expected %s", got, want)
	}
	s.Shared = s.Temp
	if _, err := Listen(s.Places(1), Surroundings{UID: s.UID}); err == nil && s.System == "" {
		t.Error("no error, and no place")
	}
}

func TestForeignDirectoryIsNotUsed(t *testing.T) {
	s := surroundings(t)
	dir := filepath.Join(s.Temp, fmt.Sprintf("cleat-%d", s.UID))
	elsewhere := place(t)
	for what, make := range map[string]func() error{
		"a link":           func() error { return os.Symlink(elsewhere, dir) },
		"a file":           func() error { return os.WriteFile(dir, nil, 0o600) },
		"writable for all": func() error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) },
		"of somebody else": func() error {
			if os.Geteuid() != 0 {
				return os.Symlink("/proc", dir)
			}
			return errors.Join(os.Mkdir(dir, 0o755), os.Chown(dir, stranger, stranger))
		},
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		socket := s.listen(t, 7)
		if got := socket.Path(); !strings.HasPrefix(got, s.Shared) {
			t.Errorf("%s: the socket is %s", what, got)
		}
		socket.Close()
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	if entries, _ := os.ReadDir(elsewhere); len(entries) > 0 {
		t.Errorf("something was made behind the link: %v", entries)
	}
}

func TestSweep(t *testing.T) {
	s := surroundings(t)
	first := s.listen(t, 7)
	dir := filepath.Dir(first.Path())
	leaveStale(t, filepath.Join(dir, "cleat-8.sock"))
	leaveStale(t, filepath.Join(dir, "cleat-other.sock"))
	s.listen(t, 9)
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"cleat-7.sock", "cleat-9.sock", "cleat-other.sock"}; !slices.Equal(names, want) {
		t.Errorf("there are %q, expected %q", names, want)
	}
}

func TestFind(t *testing.T) {
	s := surroundings(t)
	find := func(want string) {
		t.Helper()
		c, err := Find(t.Context(), s)
		switch {
		case err != nil && (want == "" || !strings.Contains(err.Error(), want)):
			t.Errorf("got %v, expected something with %q", err, want)
		case err == nil && c.Path() != want:
			t.Errorf("found %s, expected %s", c.Path(), want)
		}
	}
	find("no launcher was found")
	one := s.listen(t, 7)
	find(one.Path())
	two := s.listen(t, 8)
	find("say which one with -socket: " + one.Path() + ", " + two.Path())
	two.Close()
	find(one.Path())
	main := s.listen(t, 1)
	find(main.Path()) // the container's own
	if err := os.Mkdir(filepath.Dir(s.System), 0o755); err != nil {
		t.Fatal(err)
	}
	leaveStale(t, s.System)
	find(main.Path())
	system := s.listen(t, 1)
	find(system.Path())
	// Somebody else looks.
	s.UID++
	find(system.Path())
}

// A socket in a directory that bears a user's number must be that user's.
func TestSomebodyElsesSocketIsNotTrusted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a directory away")
	}
	s := surroundings(t)
	dir := filepath.Join(s.Temp, fmt.Sprintf("cleat-%d", stranger))
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chown(dir, stranger, stranger)); err != nil {
		t.Fatal(err)
	}
	listening(t, filepath.Join(dir, "cleat.sock")) // root's
	if c, err := Find(context.Background(), s); err == nil {
		t.Errorf("%s was found", c.Path())
	}
}
