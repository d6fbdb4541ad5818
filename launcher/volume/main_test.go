package volume

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// innerEnv says that the test runs in a mount namespace of its own.
const innerEnv = "CLEAT_TEST_MOUNTS"

// inNamespace runs the rest of the test in a process with a mount namespace of
// its own: whatever it mounts is gone with it. It reports whether this is that
// process; the other one has nothing more to do.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(innerEnv) != "" {
		if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	needsRoot(t)
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), innerEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, unix.EPERM):
		t.Skip("needs the right to make a mount namespace")
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("the test did not run:\n%s", out)
	}
	return false
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount and to give files away")
	}
}

// limit is how long anything real may take on a machine that is busy.
const limit = 10 * time.Second

// told waits for the word that it is worth to look again, until look has no
// more to say.
func told(t *testing.T, changed <-chan struct{}, look func() error) {
	t.Helper()
	deadline := time.After(limit)
	for {
		err := look()
		if err == nil {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("nobody told within %v, and still: %v", limit, err)
		}
	}
}

func mkdir(t *testing.T, parts ...string) string {
	t.Helper()
	dir := filepath.Join(parts...)
	t.Cleanup(func() { // what is not writable could not be removed
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				_ = os.Chmod(path, 0o700)
			}
			return nil
		})
	})
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
