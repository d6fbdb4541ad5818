package pid1_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestStdinPassesThrough(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		r := start(t, helper("copy"), where)
		io.WriteString(r.stdin, "through two stages\n")
		r.stdin.Close()
		if got := r.line(); got != "through two stages" {
			t.Errorf("got %q", got)
		}
		r.wantExit(0)
	})
}

func TestWorkingDirectoryIsKept(t *testing.T) {
	dir := t.TempDir()
	got := output(t, helper("directory"), func(c *exec.Cmd) { c.Dir = dir })
	if got != dir+" <nil>" {
		t.Errorf("the child is in %s, want %s", got, dir)
	}
}

// TestDescriptors: inherited ones are at their numbers, and no others are there.
func TestDescriptors(t *testing.T) {
	everywhere(t, func(t *testing.T, where option) {
		three, seven := file(t, "three"), file(t, "seven")
		got := output(t, helper("descriptors", "3", "7"), where, func(c *exec.Cmd) {
			c.ExtraFiles = []*os.File{three, nil, nil, nil, seven}
		})
		if want := "0 1 2 3 7 \n3 three <nil>\n7 seven <nil>"; got != want {
			t.Errorf("the child sees\n%s\nwant\n%s", got, want)
		}
	})
}

// TestHighDescriptors: even where cleat's own would be, and just below.
func TestHighDescriptors(t *testing.T) {
	files := make([]*os.File, 200)
	files[59-3], files[60-3], files[62-3], files[199-3] = file(t, "a"), file(t, "b"), file(t, "c"), file(t, "d")
	got := output(t, helper("descriptors", "59", "60", "62", "199"), func(c *exec.Cmd) { c.ExtraFiles = files })
	if want := "0 1 2 59 60 62 199 \n59 a <nil>\n60 b <nil>\n62 c <nil>\n199 d <nil>"; got != want {
		t.Errorf("the child sees\n%s\nwant\n%s", got, want)
	}
}

func file(t *testing.T, text string) *os.File {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	f.WriteString(text)
	return f
}

// TestClosedDescriptors: a closed 0, 1 or 2 is /dev/null in the child, because
// Go's runtime opens it so in cleat; nothing else takes the number.
func TestClosedDescriptors(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs sh, to close descriptors")
	}
	three := file(t, "")
	line := strings.Join(append([]string{"exec", "/proc/" + fmt.Sprint(os.Getpid()) + "/exe", roleCleat}, helper("descriptors")...), " ")
	line = strings.ReplaceAll(line, "/proc/self/exe", fmt.Sprintf("/proc/%d/exe", os.Getpid()))
	c := exec.Command(sh, "-c", line+" <&- >&3 2>&-")
	c.ExtraFiles = []*os.File{three}
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	c = exec.Command(sh, "-c", line+" >&- 3>&- <&-")
	if err := c.Run(); err != nil {
		t.Errorf("with stdout closed: %v", err)
	}
	got, _ := os.ReadFile(three.Name())
	if string(got) != "0 1 2 3 \n" {
		t.Errorf("the child sees %q", got)
	}
}

// TestLimitOfOpenFiles: Go raises its own, and must not pass that on.
func TestLimitOfOpenFiles(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs sh, which does not raise its own limit")
	}
	got := output(t, []string{sh, "-c", "ulimit -S -n"}, func(c *exec.Cmd) {
		c.Args = append(helper("limit", "512", "/proc/self/exe"), c.Args[1:]...)
	})
	if got != "512" {
		t.Errorf("the child may open %s files, want 512", got)
	}
}

// TestStaleMarker: a marker from a leaked environment makes no supervisor.
func TestStaleMarker(t *testing.T) {
	start(t, helper("exit", "5"), func(c *exec.Cmd) {
		c.Env = append(c.Env, "CLEAT_STAGE=1:60:1:61:1:0:0")
	}).wantExit(5)
	start(t, helper("exit", "6"), func(c *exec.Cmd) {
		c.Env = append(c.Env, "CLEAT_STAGE=nonsense")
	}).wantExit(6)
}

// TestNested: cleat under cleat is not confused.
func TestNested(t *testing.T) {
	inner := append([]string{"/proc/self/exe", roleCleat}, helper("exit", "9")...)
	start(t, inner).wantExit(9)
}
