package e2e

import (
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// long selects the long form of tests that have one.
var long = flag.Bool("long", false, "take the long form of tests that have one")

// run is in the name and label of everything that this run makes.
var run = strings.ToLower(rand.Text()[:8])

// scratch is a directory for the whole run.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "cleat-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		scratch = dir
		defer func() { _ = os.RemoveAll(dir) }()
		// What a killed launcher leaves behind becomes ours, so that it can be found and ended.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		endDescendants()
		removeDockerRun()
		return code
	}())
}

// strictEnv turns what would be skipped into a failure.
const strictEnv = "CLEAT_E2E"

// lacks skips the test, or fails it in a run that promises to provide everything.
func lacks(t *testing.T, what string, err error) {
	t.Helper()
	if os.Getenv(strictEnv) == "1" {
		t.Fatalf("%s=1, and yet the test lacks %s: %v", strictEnv, what, err)
	}
	t.Skipf("needs %s: %v", what, err)
}

// binaries are the programs under test and what they wrap, built once.
type binaries struct{ dist, cleat, cleatd, testchild string }

var build = sync.OnceValues(func() (binaries, error) {
	b := binaries{dist: filepath.Join(scratch, "dist")}
	b.cleat = filepath.Join(b.dist, "cleat")
	b.cleatd = filepath.Join(b.dist, "cleatd")
	b.testchild = filepath.Join(b.dist, "testchild")
	for path, of := range map[string]string{b.cleat: "./cmd/cleat", b.cleatd: "./cmd/cleatd", b.testchild: "./e2e/testchild"} {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, of)
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return b, fmt.Errorf("go build %s: %w\n%s", of, err, out)
		}
	}
	return b, nil
})

func built(t *testing.T) binaries {
	t.Helper()
	b, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pollEvery is how often WaitFor asks.
const pollEvery = 20 * time.Millisecond

// WaitFor asks until there is no error, for at most limit; then the last error fails the test. It returns how long it
// took.
func WaitFor(t *testing.T, limit time.Duration, ask func() error) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		err := ask()
		took := time.Since(began)
		if err == nil {
			return took
		}
		if took > limit {
			t.Fatalf("after %v: %v", limit, err)
		}
		time.Sleep(pollEvery)
	}
}

// Always asks for as long as given, and fails the test at the first error.
func Always(t *testing.T, during time.Duration, ask func() error) {
	t.Helper()
	for began := time.Now(); time.Since(began) < during; time.Sleep(pollEvery) {
		if err := ask(); err != nil {
			t.Fatalf("after %v: %v", time.Since(began).Round(time.Millisecond), err)
		}
	}
}
