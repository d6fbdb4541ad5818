package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed is all that the launcher may be made of, beside the standard library: packages, or with /... all below one.
// What is not here is in every image and in every idle container's memory for a reason that should be written down:
// add it with care.
var allowed = []string{
	"cleat/cmd/cleat",
	"cleat/internal/filewatch",
	"cleat/internal/logline",
	"cleat/internal/probe",
	"cleat/internal/resident",
	"cleat/launcher/...",
	"cleat/registry",        // the model and the messages
	"cleat/registry/client", // never the server, never an engine
	"cleat/templates",
	"github.com/fsnotify/fsnotify/...",
	"github.com/gobwas/httphead",
	"github.com/gobwas/ws/...",
	"github.com/google/shlex",
	"github.com/hashicorp/go-reap",
	"github.com/kelseyhightower/envconfig",
	"github.com/robfig/cron/v3", // its schedules alone; 15 KB
	"github.com/valyala/bytebufferpool",
	"github.com/valyala/fasttemplate",
	"golang.org/x/sys/unix",
}

// unwanted are packages of the standard library that cost more than they could be worth here.
var unwanted = []string{
	"database/sql", // drags in reflection over everything
	"expvar",       // registers itself with net/http
	"html/template",
	"net/http/pprof", // registers itself with net/http
	"plugin",
	"runtime/cgo", // the binary is static
	"testing",
	"text/template", // keeps the linker from dropping methods that nobody calls
}

func TestDependencies(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}} {{.Standard}}", ".")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		path, standard, _ := strings.Cut(strings.TrimSpace(line), " ")
		seen++
		switch {
		case standard == "true":
			if slices.Contains(unwanted, path) {
				t.Errorf("the launcher imports %s, which is not wanted in it", path)
			}
		case !slices.ContainsFunc(allowed, func(pattern string) bool { return matches(pattern, path) }):
			t.Errorf("the launcher imports %s, which is not on the list of what it may be made of", path)
		}
	}
	if seen < len(allowed) {
		t.Errorf("go list named %d packages: that is not the launcher", seen)
	}
}

func matches(pattern, path string) bool {
	root, below := strings.CutSuffix(pattern, "/...")
	return path == root || below && strings.HasPrefix(path, root+"/")
}
