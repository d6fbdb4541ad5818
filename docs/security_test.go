package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sources returns the text of all files of a directory and below, of tests or
// of programs, with single spaces.
func sources(t *testing.T, dir string, tests bool) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") != tests {
			return err
		}
		text, err := os.ReadFile(path)
		all.WriteString(strings.Join(strings.Fields(string(text)), " "))
		all.WriteByte(' ')
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestSecurityIsHeldByTests looks for every test that security.md names.
func TestSecurityIsHeldByTests(t *testing.T) {
	manual, err := os.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := sources(t, "..", true)
	const fewest = 15 // a search that finds less is broken
	names := regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(string(manual), -1)
	if len(names) < fewest {
		t.Errorf("only %d tests are named", len(names))
	}
	for _, name := range names {
		if !strings.Contains(tests, "func "+name[1]+"(t *testing.T)") {
			t.Errorf("there is no %s", name[1])
		}
	}
}

// TestSecurityHasTheBoundsOfTheCode looks for every bound that security.md gives.
func TestSecurityHasTheBoundsOfTheCode(t *testing.T) {
	manual, err := os.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	const fewest = 30
	bounds := regexp.MustCompile("(registry[a-z/]*) `([A-Za-z]+ = [^`]+)`").FindAllStringSubmatch(string(manual), -1)
	if len(bounds) < fewest {
		t.Errorf("only %d bounds are given", len(bounds))
	}
	code := make(map[string]string)
	for _, bound := range bounds {
		dir := bound[1]
		if code[dir] == "" {
			code[dir] = sources(t, filepath.Join("..", dir), false)
		}
		if !strings.Contains(code[dir], " "+bound[2]+" ") {
			t.Errorf("%s does not have %s", dir, bound[2])
		}
	}
}
