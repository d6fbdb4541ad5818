package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cleat/internal/filewatch"
	"cleat/launcher/process/processtest"
	"cleat/launcher/settings"
	"cleat/templates"
)

// desk is a container's files in a directory of the test: %DIR% in the
// environment.
type desk struct {
	t      *testing.T
	dir    string
	files  *files
	kernel *processtest.Kernel
	data   templates.Data
}

// newDesk parses the environment, in which db is a requirement, cache an
// optional one, and ring the own service.
func newDesk(t *testing.T, environment map[string]string, command ...string) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir(), kernel: processtest.New()}
	if len(command) == 0 {
		command = []string{"app"}
	}
	environ := []string{
		"CLEAT_SERVER=http://cleatd:9640", "CLEAT_ID=web-1", "SERVICE_80_NAME=web", "SECRET_WORD=hush",
		"CLEAT_REQUIRE_DB=mysql", "CLEAT_REQUIRE_CACHE=redis?optional=true", "CLEAT_REQUIRE_RING=self",
	}
	for name, value := range environment {
		environ = append(environ, name+"="+strings.ReplaceAll(value, "%DIR%", d.dir))
	}
	s, err := settings.Parse(environ, command, settings.Host{Hostname: "web-1", Random: func() string { return "abc" }})
	if err != nil {
		t.Fatal(err)
	}
	d.files = newFiles(s, d.kernel)
	d.data = templates.Data{Views: map[string]templates.View{"db": viewOf("10.0.0.1"), "ring": viewOf("10.0.1.1")}, Env: map[string]string{"SECRET_WORD": "hush"}}
	return d
}

// viewOf returns a view of endpoints on port 3306.
func viewOf(hosts ...string) templates.View {
	var v templates.View
	for i, host := range hosts {
		v.Endpoints = append(v.Endpoints, templates.Endpoint{ID: fmt.Sprintf("e%d", i), Host: host, Port: 3306})
	}
	if len(hosts) > 0 {
		v.Chosen, v.First = &v.Endpoints[0], &v.Endpoints[0]
	}
	return v
}

func (d *desk) path(name string) string { return filepath.Join(d.dir, name) }

func (d *desk) write(name, data string) {
	d.t.Helper()
	write(d.t, d.path(name), data, 0o644)
}

func (d *desk) render() rendered {
	return d.files.render(d.t.Context(), rendering{files: d.data, child: d.data, env: []string{"PATH=/bin"}})
}

// must renders, and fails the test when that fails.
func (d *desk) must() rendered {
	d.t.Helper()
	r := d.render()
	if r.err != nil {
		d.t.Fatal(r.err)
	}
	if len(r.problems) > 0 {
		d.t.Fatal(r.problems)
	}
	return r
}

// changed lists the files that have new bytes, with their actions.
func (d *desk) changed(r rendered) []string {
	list := []string{}
	for _, c := range r.changed {
		list = append(list, strings.TrimPrefix(c.destination, d.dir+"/")+" "+c.action.String())
	}
	return list
}

func (d *desk) holds(name, data string) {
	d.t.Helper()
	holds(d.t, d.path(name), data, 0o644)
}

func TestRenderWritesOnlyWhatDiffers(t *testing.T) {
	d := newDesk(t, map[string]string{
		"CLEAT_TEMPLATE_A": "%DIR%/a.in:%DIR%/a:HUP",
		"CLEAT_TEMPLATE_B": "%DIR%/b.in:%DIR%/b",
	})
	d.write("a.in", "{{db.addr}}")
	d.write("b.in", "fixed")
	if got, want := d.changed(d.must()), []string{"a SIGHUP", "b restart"}; !slices.Equal(got, want) {
		t.Errorf("changed %q, expected %q", got, want)
	}
	d.holds("a", "10.0.0.1:3306")
	d.holds("b", "fixed")
	before := inode(t, d.path("a"))
	if got := d.changed(d.must()); len(got) != 0 || inode(t, d.path("a")) != before {
		t.Errorf("with equal bytes changed %q, expected nothing", got)
	}
	d.data.Views["db"] = viewOf("10.0.0.2")
	if got, want := d.changed(d.must()), []string{"a SIGHUP"}; !slices.Equal(got, want) {
		t.Errorf("changed %q, expected %q", got, want)
	}
	d.holds("a", "10.0.0.2:3306")
	d.write("b", "spoilt by somebody")
	if got, want := d.changed(d.must()), []string{"b restart"}; !slices.Equal(got, want) {
		t.Errorf("changed %q, expected %q", got, want)
	}
	d.holds("b", "fixed")
}

func TestModeOwnerAndSettle(t *testing.T) {
	environment := map[string]string{
		"CLEAT_TEMPLATE_A":        "%DIR%/a.in:%DIR%/a:USR1",
		"CLEAT_TEMPLATE_A_MODE":   "0640",
		"CLEAT_TEMPLATE_A_SETTLE": "3s",
		"CLEAT_TEMPLATE_B":        "%DIR%/b.in:%DIR%/b",
	}
	if os.Getuid() == 0 {
		environment["CLEAT_TEMPLATE_A_OWNER"] = "1234:2345"
	}
	d := newDesk(t, environment)
	d.write("a.in", "a")
	write(t, d.path("b.in"), "b", 0o600)
	r := d.must()
	if r.changed[0].settle != 3*time.Second || r.changed[1].settle != settings.DefaultSettle {
		t.Errorf("settle %v and %v, expected 3s and %v", r.changed[0].settle, r.changed[1].settle, settings.DefaultSettle)
	}
	holds(t, d.path("a"), "a", 0o640)
	holds(t, d.path("b"), "b", 0o600) // the template's own
	if os.Getuid() == 0 {
		owned(t, d.path("a"), 1234, 2345)
	}
	if err := os.Chmod(d.path("b.in"), 0o640); err != nil {
		t.Fatal(err)
	}
	if got := d.changed(d.must()); len(got) != 0 {
		t.Errorf("a new mode counts as new bytes of %q", got)
	}
	holds(t, d.path("b"), "b", 0o640)
}

func TestAllOrNothing(t *testing.T) {
	tests := map[string]struct {
		environment map[string]string
		prepare     func(d *desk)
		want        string
	}{
		"a file that does not render": {
			map[string]string{"CLEAT_TEMPLATE_Z": "%DIR%/z.in:%DIR%/z"},
			func(d *desk) { d.write("z.in", "{{env.SECRET_WORD}}\ntwo {{env.MISSING}}") },
			"z.in:2:7:",
		},
		"an argument that does not render": {
			map[string]string{"CLEAT_ENV_X": "{{file '%DIR%/missing'}}"},
			func(*desk) {},
			"CLEAT_ENV_X:1:3:",
		},
		"a source that is not there": {
			map[string]string{"CLEAT_TEMPLATE_Z": "%DIR%/z.in:%DIR%/z"},
			func(*desk) {},
			"cannot read a template",
		},
		"a source that does not parse": {
			map[string]string{"CLEAT_TEMPLATE_Z": "%DIR%/z.in:%DIR%/z"},
			func(d *desk) { d.write("z.in", "\n\n{{nosuch.addr}}") },
			"z.in:3:3:",
		},
		"an owner that does not exist": {
			map[string]string{"CLEAT_TEMPLATE_Z": "%DIR%/z.in:%DIR%/z", "CLEAT_TEMPLATE_Z_OWNER": "nobody-of-that-name"},
			func(d *desk) { d.write("z.in", "") },
			"cannot give %DIR%/z to nobody-of-that-name",
		},
		"a destination that cannot be written": {
			map[string]string{"CLEAT_TEMPLATE_Z": "%DIR%/z.in:%DIR%/a.in/z"},
			func(d *desk) { d.write("z.in", "") },
			"not a directory",
		},
		"a check that fails": {
			map[string]string{"CLEAT_TEMPLATE_Z": "%DIR%/z.in:%DIR%/z", "CLEAT_TEMPLATE_Z_CHECK": "nginx -t -c {{staged}}"},
			func(d *desk) {
				d.write("z.in", "")
				d.kernel.Script("nginx", func(p *processtest.Process) { p.Exit(1) })
			},
			"the check of %DIR%/z failed: exit status 1",
		},
		"a check that is not there": {
			map[string]string{"CLEAT_TEMPLATE_Z": "%DIR%/z.in:%DIR%/z", "CLEAT_TEMPLATE_Z_CHECK": "nginx -t -c {{staged}}"},
			func(d *desk) {
				d.write("z.in", "")
				d.kernel.Fail("nginx", fs.ErrNotExist)
			},
			"the check of %DIR%/z failed: file does not exist",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.environment["CLEAT_TEMPLATE_A"] = "%DIR%/a.in:%DIR%/a"
			d := newDesk(t, test.environment)
			d.write("a.in", "new")
			d.write("a", "old")
			test.prepare(d)
			r := d.render()
			want := strings.ReplaceAll(test.want, "%DIR%", d.dir)
			if r.err == nil || !strings.Contains(r.err.Error(), want) {
				t.Errorf("render gives %v, expected an error with %q", r.err, want)
			}
			if strings.Contains(fmt.Sprint(r.err), "hush") {
				t.Errorf("the error %v holds a value", r.err)
			}
			if len(r.changed) != 0 {
				t.Errorf("changed %q, expected nothing", d.changed(r))
			}
			d.holds("a", "old")
			if _, err := os.Stat(d.path("z")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("z was written (%v)", err)
			}
			noTemporaries(t, d.dir)
		})
	}
}

func TestSeveralMistakesAreReportedTogether(t *testing.T) {
	d := newDesk(t, map[string]string{
		"CLEAT_TEMPLATE_A": "%DIR%/a.in:%DIR%/a",
		"CLEAT_TEMPLATE_B": "%DIR%/b.in:%DIR%/b",
	})
	d.write("a.in", "{{db.nosuch}} {{nosuch.addr}}")
	d.write("b.in", "{{each db}}")
	r := d.render()
	for _, want := range []string{"a.in:1:3:", "a.in:1:17:", "b.in:1:3:"} {
		if r.err == nil || !strings.Contains(r.err.Error(), want) {
			t.Errorf("the error is %v, expected %q in it", r.err, want)
		}
	}
	d.write("a.in", "{{env.MISSING}}")
	d.write("b.in", "{{env.MISSING_TOO}}")
	r = d.render()
	for _, want := range []string{"a.in:1:3:", "b.in:1:3:"} {
		if r.err == nil || !strings.Contains(r.err.Error(), want) {
			t.Errorf("the error is %v, expected %q in it", r.err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	d := newDesk(t, map[string]string{
		"CLEAT_TEMPLATE_A":       "%DIR%/a.in:%DIR%/a",
		"CLEAT_TEMPLATE_A_CHECK": `nginx -t -c {{staged}} "--say=two words {{staged}}"`,
		"CLEAT_TEMPLATE_B":       "%DIR%/b.in:%DIR%/b",
		"CLEAT_TEMPLATE_B_CHECK": "never {{staged}}",
		"CLEAT_USER":             "65534",
	})
	d.write("a.in", "{{db.addr}}")
	d.write("b.in", "b")
	d.write("a", "old")
	d.write("b", "b")
	d.kernel.Script("nginx", func(p *processtest.Process) {
		path := p.Spec.Args[3]
		want := []string{"nginx", "-t", "-c", path, "--say=two words " + path}
		if !slices.Equal(p.Spec.Args, want) {
			t.Errorf("the check is %q, expected %q", p.Spec.Args, want)
		}
		if filepath.Dir(path) != d.dir {
			t.Errorf("the staged file is %s, expected it beside its destination", path)
		}
		holds(t, path, "10.0.0.1:3306", 0o644)
		d.holds("a", "old") // not yet in place
		if p.Spec.Main || p.Spec.User != "65534" || !slices.Equal(p.Spec.Env, []string{"PATH=/bin"}) {
			t.Errorf("the check is run as %+v", p.Spec)
		}
		p.Exit(0)
	})
	if got, want := d.changed(d.must()), []string{"a restart"}; !slices.Equal(got, want) {
		t.Errorf("changed %q, expected %q", got, want)
	}
	d.holds("a", "10.0.0.1:3306")
	if n := len(d.kernel.Started()); n != 1 {
		t.Errorf("%d checks were run, expected one: b is the same", n)
	}
	noTemporaries(t, d.dir)
}

func TestCheckTakesNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, map[string]string{"CLEAT_TEMPLATE_A": "%DIR%/a.in:%DIR%/a", "CLEAT_TEMPLATE_A_CHECK": "hang {{staged}}"})
		d.write("a.in", "a")
		d.kernel.Script("hang", func(p *processtest.Process) {})
		start := time.Now()
		r := d.render()
		if r.err == nil || time.Since(start) != checkTime || len(d.kernel.Running()) != 0 {
			t.Errorf("%v after %v, %d running; expected an error after %v", r.err, time.Since(start), len(d.kernel.Running()), checkTime)
		}
	})
}

func TestStopEndsARender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, map[string]string{"CLEAT_TEMPLATE_A": "%DIR%/a.in:%DIR%/a", "CLEAT_TEMPLATE_A_CHECK": "hang {{staged}}"})
		d.write("a.in", "a")
		d.kernel.Script("hang", func(p *processtest.Process) {})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errStopping) })
		start := time.Now()
		r := d.files.render(ctx, rendering{files: d.data, child: d.data})
		if !errors.Is(r.err, errStopping) || time.Since(start) != time.Second {
			t.Errorf("%v after %v, expected %v after 1s", r.err, time.Since(start), errStopping)
		}
		if _, err := os.Stat(d.path("a")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file was written (%v)", err)
		}
		noTemporaries(t, d.dir)
	})
}

func TestLastGoodVersionStaysInUse(t *testing.T) {
	d := newDesk(t, map[string]string{
		"CLEAT_TEMPLATE_A": "%DIR%/a.in:%DIR%/a",
		"CLEAT_TEMPLATE_B": "%DIR%/b.in:%DIR%/b",
	})
	d.write("a.in", "good {{db.host}}")
	d.write("b.in", "b1")
	d.must()
	for name, spoil := range map[string]func() error{
		"does not parse": func() error { return os.WriteFile(d.path("a.in"), []byte("\n{{db.hots}}"), 0o644) },
		"is gone":        func() error { return os.Remove(d.path("a.in")) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		host := "10.0.0." + fmt.Sprint(len(name))
		d.data.Views["db"] = viewOf(host)
		d.write("b.in", name)
		r := d.render()
		if r.err != nil || len(r.problems) != 1 {
			t.Fatalf("a source that %s: %v, problems %v; expected one problem", name, r.err, r.problems)
		}
		if name == "does not parse" && !strings.Contains(r.problems[0].Error(), "a.in:2:3:") {
			t.Errorf("the problem is %v, expected file:line:column", r.problems[0])
		}
		d.holds("a", "good "+host) // does not hold up its own views
		d.holds("b", name)         // nor the others
		if !slices.Contains(r.watch, d.path("a.in")) {
			t.Errorf("watched is %q, expected the bad source in it", r.watch)
		}
		d.write("a.in", "good {{db.host}}")
		d.must()
	}
}

func TestOverlay(t *testing.T) {
	d := newDesk(t, map[string]string{
		"CLEAT_TEMPLATES":  "%DIR%/overlay",
		"CLEAT_TEMPLATE_A": "%DIR%/a.in:%DIR%/out/a:HUP",
		"CLEAT_ON_CHANGE":  "SIGUSR2",
	})
	in := func(name string) string { return filepath.Join("overlay", d.path("out"), name) }
	d.write("a.in", "named")
	d.write(in("a"), "overlaid")
	d.write(in("sub/b"), "{{db.host}}")
	d.write(in("..hidden/c"), "swapped volumes")
	linked(t, "/nowhere", d.path(in("nowhere")))
	linked(t, ".", d.path(in("circle")))
	if got, want := d.changed(d.must()), []string{"out/a SIGHUP", "out/sub/b SIGUSR2"}; !slices.Equal(got, want) {
		t.Errorf("changed %q, expected %q: what is named goes before the directory", got, want)
	}
	d.holds("out/a", "named")
	d.holds("out/sub/b", "10.0.0.1")

	d.write(in("sub/new"), "later")
	if got, want := d.changed(d.must()), []string{"out/sub/new SIGUSR2"}; !slices.Equal(got, want) {
		t.Errorf("changed %q, expected %q", got, want)
	}
	if err := os.RemoveAll(d.path(in("sub"))); err != nil {
		t.Fatal(err)
	}
	if got := d.changed(d.must()); len(got) != 0 {
		t.Errorf("changed %q, expected nothing: a template that is gone leaves its file", got)
	}
	d.holds("out/sub/b", "10.0.0.1")
}

// kubernetes makes a volume as a kubelet does: every entry is a link through
// ..data into a directory that is replaced as a whole.
func kubernetes(t *testing.T, volume, version string, content map[string]string) {
	t.Helper()
	for name, data := range content {
		write(t, filepath.Join(volume, version, name), data, 0o644)
		top, _, _ := strings.Cut(name, "/")
		if _, err := os.Lstat(filepath.Join(volume, top)); errors.Is(err, fs.ErrNotExist) {
			linked(t, "..data/"+top, filepath.Join(volume, top))
		}
	}
	old, _ := os.Readlink(filepath.Join(volume, "..data"))
	linked(t, version, filepath.Join(volume, "..data_tmp"))
	if err := os.Rename(filepath.Join(volume, "..data_tmp"), filepath.Join(volume, "..data")); err != nil {
		t.Fatal(err)
	}
	if old != "" {
		if err := os.RemoveAll(filepath.Join(volume, old)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOverlayOfKubernetes(t *testing.T) {
	d := newDesk(t, map[string]string{"CLEAT_TEMPLATES": "%DIR%/volume", "CLEAT_ON_CHANGE": "HUP"})
	at := strings.TrimPrefix(d.path("out/app.conf"), "/")
	kubernetes(t, d.path("volume"), "..2026_1", map[string]string{at: "one"})
	if got, want := d.changed(d.must()), []string{"out/app.conf SIGHUP"}; !slices.Equal(got, want) {
		t.Errorf("changed %q, expected %q", got, want)
	}
	kubernetes(t, d.path("volume"), "..2026_2", map[string]string{at: "two", strings.TrimPrefix(d.path("out/more"), "/"): "more"})
	if got, want := d.changed(d.must()), []string{"out/app.conf SIGHUP", "out/more SIGHUP"}; !slices.Equal(got, want) {
		t.Errorf("changed %q, expected %q", got, want)
	}
	d.holds("out/app.conf", "two")
}

func TestOverlayIsALink(t *testing.T) {
	d := newDesk(t, map[string]string{"CLEAT_TEMPLATES": "%DIR%/link"})
	linked(t, "real", d.path("link"))
	d.write(filepath.Join("real", d.path("out/a")), "a")
	if got, want := d.changed(d.must()), []string{"out/a restart"}; !slices.Equal(got, want) {
		t.Errorf("changed %q, expected %q", got, want)
	}
}

func TestOverlayThatIsNotThere(t *testing.T) {
	d := newDesk(t, nil) // the default directory is skipped
	d.files.settings.TemplatesDir = d.path("absent")
	if r := d.must(); len(r.watch) > 0 {
		t.Errorf("watches %q, expected nothing", r.watch)
	}
	d = newDesk(t, map[string]string{"CLEAT_TEMPLATES": "%DIR%/absent"})
	if r := d.render(); r.err == nil || !strings.Contains(r.err.Error(), "CLEAT_TEMPLATES") || !strings.Contains(r.err.Error(), d.path("absent")) {
		t.Errorf("render gives %v, expected an error: the directory was named", r.err)
	}
	d.write("absent", "a file")
	if r := d.render(); r.err == nil || !strings.Contains(r.err.Error(), "not a directory") {
		t.Errorf("render gives %v, expected an error: it is a file", r.err)
	}
}

func TestOverlayIsBounded(t *testing.T) {
	d := newDesk(t, map[string]string{"CLEAT_TEMPLATES": "%DIR%/overlay"})
	d.write(filepath.Join("overlay", strings.Repeat("d/", filewatch.MostDepth+1), "f"), "")
	if r := d.render(); r.err == nil || !strings.Contains(r.err.Error(), "directories deep") {
		t.Errorf("render gives %v, expected an error", r.err)
	}
	d = newDesk(t, map[string]string{"CLEAT_TEMPLATES": "%DIR%/overlay"})
	for i := range 101 { // links to 101 files each
		d.write(fmt.Sprintf("many/%d", i), "")
		linked(t, "../many", d.path(fmt.Sprintf("overlay/%d", i)))
	}
	if r := d.render(); r.err == nil || !strings.Contains(r.err.Error(), "more than 10000 files and directories") {
		t.Errorf("render gives %v, expected an error", r.err)
	}
}

func TestDefaultActions(t *testing.T) {
	d := newDesk(t, map[string]string{
		"CLEAT_TEMPLATE_SELF":  "%DIR%/self.in:%DIR%/1-self",
		"CLEAT_TEMPLATE_BOTH":  "%DIR%/both.in:%DIR%/2-both",
		"CLEAT_TEMPLATE_NONE":  "%DIR%/none.in:%DIR%/3-none",
		"CLEAT_TEMPLATE_SAID":  "%DIR%/self.in:%DIR%/4-said:HUP",
		"CLEAT_TEMPLATE_CALLS": "%DIR%/both.in:%DIR%/5-calls:nginx -s reload",
		"CLEAT_TEMPLATE_QUIET": "%DIR%/both.in:%DIR%/6-quiet:none",
		"CLEAT_ON_CHANGE":      "SIGUSR1",
	})
	d.write("self.in", "{{each ring}}{{addr}}{{end}}")
	d.write("both.in", "{{each ring}}{{addr}}{{end}} {{db.addr}}")
	d.write("none.in", "plain")
	want := []string{"1-self none", "2-both SIGUSR1", "3-none SIGUSR1", "4-said SIGHUP", "5-calls nginx -s reload", "6-quiet none"}
	if got := d.changed(d.must()); !slices.Equal(got, want) {
		t.Errorf("changed %q, expected %q", got, want)
	}
}

func TestUses(t *testing.T) {
	d := newDesk(t, map[string]string{
		"CLEAT_TEMPLATE_A":     "%DIR%/a.in:%DIR%/a:HUP",
		"CLEAT_TEMPLATE_B":     "%DIR%/b.in:%DIR%/b:restart",
		"CLEAT_REQUIRE_ARG":    "arg",
		"CLEAT_REQUIRE_VALUE":  "value",
		"CLEAT_REQUIRE_SIGNAL": "signal",
		"CLEAT_REQUIRE_FILE1":  "file1",
		"CLEAT_ENV_URL":        "{{value.addr}}",
	}, "app", "--at={{arg.addr}}")
	for _, alias := range []string{"arg", "value", "signal", "file1"} {
		d.data.Views[alias] = viewOf("10.0.0.9")
	}
	d.write("a.in", "{{signal.addr}} {{file '"+d.path("secret")+"'}}")
	d.write("b.in", "{{file1.addr}}")
	d.write("secret", "s")
	r := d.must()
	for alias, want := range map[string][2]bool{ // anywhere, restart
		"arg": {true, true}, "value": {true, true}, "signal": {true, false}, "file1": {true, true},
		"db": {false, true}, // given as DB_HOST alone
	} {
		if got := [2]bool{r.uses.anywhere[alias], r.uses.restart[alias]}; got != want {
			t.Errorf("%s is used anywhere, where a change may restart: %v, expected %v", alias, got, want)
		}
	}
	for _, path := range []string{"a.in", "b.in", "secret"} {
		if !slices.Contains(r.watch, d.path(path)) {
			t.Errorf("watched is %q, expected %s in it", r.watch, path)
		}
	}
}

func TestCommandAndVariables(t *testing.T) {
	d := newDesk(t, map[string]string{
		"CLEAT_ENV_DB_URL":    "mysql://app@{{db.addr}}/blog",
		"CLEAT_ENV_CACHE_URL": "redis://{{cache.addr}}",
		"CLEAT_ENV_FALLBACK":  "{{cache.addr | default 'none'}}",
	}, "app", "--db={{db.addr}}", "--cache={{cache.addr}}", "{{if cache}}--with-cache{{end}}", "{{range .Items}}", "", "last")
	r := d.must()
	if want := []string{"app", "--db=10.0.0.1:3306", "{{range .Items}}", "", "last"}; !slices.Equal(r.command, want) {
		t.Errorf("the command is %q, expected %q", r.command, want)
	}
	if want := []string{"DB_URL=mysql://app@10.0.0.1:3306/blog", "FALLBACK=none"}; !slices.Equal(r.env, want) {
		t.Errorf("the variables are %q, expected %q", r.env, want)
	}
	want := []string{"argument 2, for lack of an endpoint of cache", "the variable CACHE_URL, for lack of an endpoint of cache"}
	if !slices.Equal(r.absent, want) {
		t.Errorf("left out: %q, expected %q", r.absent, want)
	}
	d.data.Views["cache"] = viewOf("10.0.0.7")
	r = d.must()
	if len(r.absent) != 0 || !slices.Contains(r.command, "--cache=10.0.0.7:3306") || !slices.Contains(r.command, "--with-cache") ||
		!slices.Contains(r.env, "CACHE_URL=redis://10.0.0.7:3306") {
		t.Errorf("with an endpoint the command is %q, the variables %q, left out %q", r.command, r.env, r.absent)
	}
}

func TestCommandThatIsLeftOut(t *testing.T) {
	d := newDesk(t, nil, "{{cache.host}}", "argument")
	if r := d.render(); r.err == nil || !strings.Contains(r.err.Error(), "command") {
		t.Errorf("render gives the command %q (%v), expected an error: an argument is no command", r.command, r.err)
	}
}

func TestFilesAndChildMaySeeDifferentViews(t *testing.T) {
	d := newDesk(t, map[string]string{"CLEAT_TEMPLATE_A": "%DIR%/a.in:%DIR%/a:HUP"}, "app", "{{db.host}}")
	d.write("a.in", "{{db.host}}")
	child := templates.Data{Views: map[string]templates.View{"db": viewOf("10.0.0.2")}}
	r := d.files.render(t.Context(), rendering{files: d.data, child: child})
	if r.err != nil || !slices.Equal(r.command, []string{"app", "10.0.0.2"}) {
		t.Errorf("the command is %q (%v), expected the child's view in it", r.command, r.err)
	}
	d.holds("a", "10.0.0.1")
}

func TestSourcesAreBounded(t *testing.T) {
	d := newDesk(t, map[string]string{"CLEAT_TEMPLATE_A": "%DIR%/a.in:%DIR%/a"})
	d.write("a.in", strings.Repeat("x", mostSource+1))
	if r := d.render(); r.err == nil || !strings.Contains(r.err.Error(), "at most 1048576 are allowed") {
		t.Errorf("render gives %v, expected an error", r.err)
	}
	if err := os.Remove(d.path("a.in")); err != nil {
		t.Fatal(err)
	}
	linked(t, "/dev/zero", d.path("a.in"))
	if r := d.render(); r.err == nil || !strings.Contains(r.err.Error(), "a device, a pipe or a socket") {
		t.Errorf("render gives %v, expected an error", r.err)
	}
}

func TestFirstRenderSweeps(t *testing.T) {
	d := newDesk(t, map[string]string{"CLEAT_TEMPLATE_A": "%DIR%/a.in:%DIR%/a"})
	d.write("a.in", "a")
	d.write(".a.cleat-123", "of a killed predecessor")
	d.must()
	noTemporaries(t, d.dir)
}

func TestSecretFilesAreReadAnew(t *testing.T) {
	d := newDesk(t, map[string]string{"CLEAT_TEMPLATE_A": "%DIR%/a.in:%DIR%/a:HUP"})
	d.write("a.in", "{{file '"+d.path("secret")+"' | trim}}")
	d.write("secret", "one\n")
	d.must()
	d.holds("a", "one")
	d.write("secret", "two\n")
	if got := d.changed(d.must()); !slices.Equal(got, []string{"a SIGHUP"}) {
		t.Errorf("changed %q, expected a", got)
	}
	d.holds("a", "two")
}

func TestLookUpOwner(t *testing.T) {
	for owner, want := range map[string][2]int{"12": {12, -1}, "12:34": {12, 34}, ":34": {-1, 34}, "root": {0, -1}, "root:0": {0, 0}} {
		uid, gid, err := lookUpOwner(owner)
		if got := [2]int{uid, gid}; err != nil || got != want {
			t.Errorf("%s is %v (%v), expected %v", owner, got, err, want)
		}
	}
	for _, owner := range []string{"no-such-user-here", "0:no-such-group-here"} {
		if _, _, err := lookUpOwner(owner); err == nil {
			t.Errorf("%s exists", owner)
		}
	}
}

func TestCheckOfSettings(t *testing.T) {
	d := newDesk(t, map[string]string{
		"CLEAT_TEMPLATE_A": "%DIR%/a.in:%DIR%/a",
		"CLEAT_TEMPLATE_B": "%DIR%/b.in:%DIR%/b",
		"CLEAT_TEMPLATE_C": "%DIR%/c.in:%DIR%/c",
	})
	d.write("a.in", "{{db.nosuch}}")
	d.write("b.in", "{{db.host}}")
	mistakes := Check(d.files.settings)
	text := fmt.Sprint(mistakes)
	if !strings.Contains(text, "a.in:1:3:") || !strings.Contains(text, "c.in") || strings.Contains(text, "b.in:") {
		t.Errorf("the mistakes are %v, expected those of a.in and c.in", mistakes)
	}
	for _, name := range []string{"a", "b", "c"} {
		if _, err := os.Stat(d.path(name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was written (%v)", name, err)
		}
	}
	d.write("a.in", "")
	d.write("c.in", "")
	if mistakes := Check(d.files.settings); len(mistakes) != 0 {
		t.Errorf("the mistakes are %v, expected none", mistakes)
	}
}
