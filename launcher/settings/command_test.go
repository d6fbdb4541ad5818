package settings

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestHooks(t *testing.T) {
	s := parse(t, []string{
		"CLEAT_USER=app", "CLEAT_HOOK_PRE_START=/app/migrate 'to 7' --wait", "CLEAT_HOOK_PRE_START_TIMEOUT=1h",
		"CLEAT_HOOK_PRE_START_WAIT=2h", "CLEAT_HOOK_PRE_START_USER=root", "CLEAT_HOOK_POST_STOP=bye", "CLEAT_HOOK_PRE_STOP=",
		"CLEAT_HOOK_PRE_STOP_TIMEOUT=1s",
	}, "app")
	before := s.Hooks[PreStart]
	if !slices.Equal(before.Args, []string{"/app/migrate", "to 7", "--wait"}) || before.Timeout != time.Hour || before.Wait != 2*time.Hour || before.User != "root" {
		t.Errorf("got %+v", before)
	}
	after := s.Hooks[PostStop]
	if after.Timeout != postStopTimeout || after.User != "app" || after.Wait != 0 {
		t.Errorf("got %+v", after)
	}
	if _, there := s.Hooks[PreStop]; there || len(s.Hooks) != 2 {
		t.Errorf("got %v", s.Hooks)
	}
	if want := "CLEAT_HOOK_PRE_STOP_TIMEOUT is ignored: CLEAT_HOOK_PRE_STOP is empty"; !slices.Contains(s.Warnings, want) {
		t.Errorf("got the warnings %q, want %q", s.Warnings, want)
	}
}

// What follows the child's end has its part of the stop, and the rest fits.
func TestAfterwards(t *testing.T) {
	for _, test := range []struct {
		environ                  string
		afterwards, drain, child time.Duration
	}{
		{"", 0, 4 * time.Second, 9 * time.Second},
		{"CLEAT_HOOK_POST_STOP=x", 2 * time.Second, 3500 * time.Millisecond, 7 * time.Second},
		{"CLEAT_HOOK_POST_STOP=x\nCLEAT_COPROCESS_A=x", 3 * time.Second, 3 * time.Second, 6 * time.Second},
		{"CLEAT_COPROCESS_A=x\nCLEAT_COPROCESS_A_STOP=before", 0, 4 * time.Second, 9 * time.Second},
		{"CLEAT_COPROCESS_A=x\nCLEAT_COPROCESS_B=x\nCLEAT_COPROCESS_B_TIMEOUT=3s", 3 * time.Second, 3 * time.Second, 6 * time.Second},
		{"CLEAT_STOP_TIMEOUT=800ms\nCLEAT_HOOK_POST_STOP=x\nCLEAT_COPROCESS_A=x", 300 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond},
		{"CLEAT_VOLUME_A=/a?provision=make&release=undo", 1125 * time.Millisecond, 3937 * time.Millisecond, 7875 * time.Millisecond},
		{"CLEAT_VOLUME_A=/a?provision=make", 0, 4 * time.Second, 9 * time.Second},
		{"CLEAT_STOP_TIMEOUT=8s\nCLEAT_VOLUME_A=/a?provision=make&release=undo\nCLEAT_HOOK_POST_STOP=x\nCLEAT_COPROCESS_A=x", 4 * time.Second, 2 * time.Second, 4 * time.Second},
		{"CLEAT_STOP_TIMEOUT=0s\nCLEAT_HOOK_POST_STOP=x\nCLEAT_HOOK_PRE_STOP=x", 0, 0, 0},
	} {
		s := parse(t, environOf(test.environ))
		if s.Afterwards != test.afterwards || s.Drain != test.drain || s.StopTimeout-s.Afterwards != test.child {
			t.Errorf("%q: %v afterwards, %v to drain, %v for the child", test.environ, s.Afterwards, s.Drain, s.StopTimeout-s.Afterwards)
		}
		if never := slices.ContainsFunc(s.Warnings, func(w string) bool { return strings.Contains(w, "never runs") }); never != (s.StopTimeout == 0) {
			t.Errorf("%q: the warnings are %q", test.environ, s.Warnings)
		}
	}
}

// How the time of a stop is divided is explained where it is.
func TestExplainStop(t *testing.T) {
	for environ, want := range map[string]string{
		"CLEAT_STOP_TIMEOUT=20s": "",
		"CLEAT_HOOK_POST_STOP=x": "  within 9s  drains for at most 3.5s\n             kills the child after 7s\n             keeps 2s for what follows: POST_STOP 2s\n",
		"CLEAT_STOP_TIMEOUT=8s\nCLEAT_VOLUME_A=/a?provision=make&release=undo\nCLEAT_HOOK_POST_STOP=x\nCLEAT_COPROCESS_A=x": "" +
			"  within 8s  drains for at most 2s\n             kills the child after 4s\n" +
			"             keeps 4s for what follows: coprocesses 1s, POST_STOP 2s, releases of volumes 1s\n",
	} {
		var b strings.Builder
		if err := parse(t, environOf(environ)).Explain(&b); err != nil {
			t.Fatal(err)
		}
		_, section, found := strings.Cut(b.String(), "\nstops\n")
		if found != (want != "") || !strings.HasPrefix(section, want) {
			t.Errorf("%q: it says\n%s\nexpected\n%s", environ, section, want)
		}
	}
}

func TestCoprocesses(t *testing.T) {
	s := parse(t, []string{
		"CLEAT_COPROCESS_Log_Shipper=ship {{db.addr}}", "CLEAT_COPROCESS_LOG_SHIPPER_STOP=Before", "CLEAT_COPROCESS_A=a",
		"CLEAT_COPROCESS_A_START=before", "CLEAT_COPROCESS_A_TIMEOUT=2s", "CLEAT_COPROCESS_A_USER=1:2", "CLEAT_COPROCESS_B=",
		"CLEAT_COPROCESS_B_STOP=before",
	}, "app")
	if len(s.Coprocesses) != 2 {
		t.Fatalf("got %+v", s.Coprocesses)
	}
	a, shipper := s.Coprocesses[0], s.Coprocesses[1]
	if a.Name != "a" || !a.StartBefore || a.StopBefore || a.Timeout != 2*time.Second || a.User != "1:2" {
		t.Errorf("got %+v", a)
	}
	if shipper.Name != "log_shipper" || shipper.StartBefore || !shipper.StopBefore || shipper.Timeout != coprocessTimeout || shipper.User != "" {
		t.Errorf("got %+v", shipper)
	}
	want := []string{
		"CLEAT_COPROCESS_B_STOP is ignored: CLEAT_COPROCESS_B is empty",
		"CLEAT_COPROCESS_Log_Shipper: placeholders are not filled in here; the command gets the child's variables, such as DB_ADDR for a requirement DB",
	}
	slices.Sort(s.Warnings)
	if !slices.Equal(s.Warnings, want) {
		t.Errorf("got %q, want %q", s.Warnings, want)
	}
}

func TestTasks(t *testing.T) {
	// A Sunday. The hours are those of the machine's zone: only minutes and days are compared.
	now := time.Date(2026, time.November, 22, 10, 10, 30, 0, time.Local)
	for _, test := range []struct {
		text, schedule string
		args           []string
		fields         bool
		next           time.Time
	}{
		{"@every 90s backup --all 'a b'", "@every 90s", []string{"backup", "--all", "a b"}, false, now.Add(90 * time.Second)},
		{"@EVERY  1h\tx", "@every 1h", []string{"x"}, false, now.Add(time.Hour)},
		{"@hourly x", "@hourly", []string{"x"}, true, time.Date(2026, time.November, 22, 11, 0, 0, 0, time.Local)},
		{"@Daily x", "@daily", []string{"x"}, true, time.Date(2026, time.November, 23, 0, 0, 0, 0, time.Local)},
		{"*/15 * * * * x y", "*/15 * * * *", []string{"x", "y"}, true, time.Date(2026, time.November, 22, 10, 15, 0, 0, time.Local)},
		{"30 3 * * mon-fri x", "30 3 * * mon-fri", []string{"x"}, true, time.Date(2026, time.November, 23, 3, 30, 0, 0, time.Local)},
		{"0 0 29 2 * x", "0 0 29 2 *", []string{"x"}, true, time.Date(2028, time.February, 29, 0, 0, 0, 0, time.Local)},
	} {
		s := parse(t, []string{"CLEAT_TASK_X=" + test.text, "CLEAT_TASK_X_TIMEOUT=5m", "CLEAT_TASK_X_USER=me"}, "app")
		task := s.Tasks[0]
		if task.Name != "x" || task.Text != test.schedule || !slices.Equal(task.Args, test.args) || task.Fields != test.fields ||
			task.Timeout != 5*time.Minute || task.User != "me" {
			t.Errorf("%q: got %+v", test.text, task)
		}
		if next := task.Next(now); !next.Equal(test.next) {
			t.Errorf("%q: next is %v, want %v", test.text, next, test.next)
		}
	}
}

// What cleat tells a command is no setting of a cleat that the command runs, and
// does not get to that one's child.
func TestToldVariables(t *testing.T) {
	environ := []string{"A=b"}
	for name := range told {
		environ = append(environ, name+"=x")
	}
	if s := parse(t, environ, "app"); !slices.Equal(s.ChildEnv, []string{"A=b"}) || len(s.Warnings) > 0 {
		t.Errorf("the child gets %q; the warnings are %q", s.ChildEnv, s.Warnings)
	}
}

func TestExplainCommands(t *testing.T) {
	got := explain(t, parse(t, []string{
		"CLEAT_USER=app", "CLEAT_HOOK_PRE_START=migrate --password hunter2", "CLEAT_HOOK_PRE_START_USER=root", "CLEAT_HOOK_POST_STOP=bye 'a b'",
		"CLEAT_COPROCESS_EXPORTER=exporter --dsn=hunter2", "CLEAT_COPROCESS_EXPORTER_STOP=before",
		"CLEAT_TASK_BACKUP=30 3 * * * backup --token=hunter2", "CLEAT_TASK_BACKUP_TIMEOUT=10m", "CLEAT_TASK_BACKUP_USER=backup",
	}, "app"))
	const want = `
hooks
  PRE_START  migrate --password '***'
             at most 5m, tried again until it succeeds, as the user root
  POST_STOP  bye 'a b'
             at most 2s

keeps running beside it
  exporter  exporter '--dsn=***'
            started after, ended before the child, in 1s

runs from time to time
  backup  30 3 * * *  backup '--token=***'
                      at most 10m, as the user backup

`
	if !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if strings.Contains(got, "hunter2") {
		t.Error("a secret is shown")
	}
}
