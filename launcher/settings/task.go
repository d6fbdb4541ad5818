package settings

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

// Task is a command that runs from time to time while the child runs.
type Task struct {
	Name    string // lower case
	Text    string // the schedule as it is written
	Fields  bool   // the schedule is about the clock and the calendar, so that the time zone matters
	Next    func(time.Time) time.Time
	Args    []string
	User    string        // as process.Spec has it; empty: cleat's own
	Timeout time.Duration // then it is killed
}

const (
	taskPrefix = "CLEAT_TASK_"
	// taskTimeout is how long a run may take where nothing is said: longer than
	// what anybody runs each hour, short enough that what hangs is noticed.
	taskTimeout = time.Hour
	// cronFields is the number of fields of a schedule.
	cronFields = 5
	// every begins a schedule that is a distance.
	every = "@every"
)

var (
	// everySpan: more often than each second is no task, and a month is a date.
	everySpan = span{time.Second, 30 * 24 * time.Hour}
	// taskSpan: what is shorter could not even be started.
	taskSpan = span{10 * time.Millisecond, 24 * time.Hour}
	// shorthands are the schedules with a name.
	shorthands = []string{"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
	// cronParser is what reads the fields and the names.
	cronParser = sync.OnceValue(func() cron.Parser {
		return cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	})
	// cronNames are what the fields are called.
	cronNames = [cronFields]struct{ name, values string }{
		{"minute", "0 to 59"}, {"hour", "0 to 23"}, {"day of the month", "1 to 31"}, {"month", "1 to 12 or jan to dec"},
		{"day of the week", "0 (Sunday) to 6 or sun to sat"},
	}
	// someDay is where a schedule is tried: all that can ever come comes within
	// the five years after it.
	someDay = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)
)

var taskFamilies = []Variable{
	{
		Name: "CLEAT_TASK_<NAME>", Example: "CLEAT_TASK_BACKUP=30 3 * * * /app/backup --all",
		Accepts: "a schedule and a command, at most 64 of them; the schedule is `@every` and a duration from 1s to 720h, one of `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`, or five cron fields; `<NAME>` does not end with `_TIMEOUT` or `_USER`",
		Means:   "A command that runs from time to time, while the child runs.",
	},
	{
		Name: "CLEAT_TASK_<NAME>_TIMEOUT", Default: "1h", Example: "CLEAT_TASK_BACKUP_TIMEOUT=10m",
		Accepts: taskSpan.String(),
		Means:   "How long one run may take; then it is killed.",
	},
	{
		Name: "CLEAT_TASK_<NAME>_USER", Example: "CLEAT_TASK_BACKUP_USER=backup",
		Accepts: "a user's name or number, and after a `:` a group's name or number",
		Means:   "The user that it runs as. Without it: as CLEAT_USER says.",
	},
}

// tasks reads the CLEAT_TASK_ variables.
func (p *parser) tasks() {
	for _, n := range p.family(taskPrefix, "'@every 1h COMMAND'", "_TIMEOUT", "_USER") {
		t := Task{Name: n.name, User: p.s.User, Timeout: taskTimeout}
		command, bad := t.schedule(n.text)
		if bad != nil {
			p.fail(n.variable, maskCommand(n.text), bad)
		} else {
			t.Args = p.command(n.variable, command)
		}
		for _, o := range n.options {
			var bad *Error
			switch o.kind {
			case "_TIMEOUT":
				bad = taskSpan.put(&t.Timeout, o.text)
			case "_USER":
				bad = putUser(&t.User, o.text)
			}
			if bad != nil {
				p.fail(o.variable, o.text, bad)
			}
		}
		p.s.Tasks = append(p.s.Tasks, t)
	}
}

// schedule takes the schedule from the beginning of the text, and returns the
// command that follows it.
func (t *Task) schedule(text string) (command string, bad *Error) {
	const expected = "a schedule and a command, such as @every 1h COMMAND, @daily COMMAND or 30 3 * * * COMMAND"
	first, rest := cutWord(text)
	switch {
	case first == "":
		return "", wrong("there is no schedule", expected, "")
	case strings.Contains(first, "TZ="):
		return "", wrong("a schedule has no time zone of its own", expected, "set TZ for the whole container")
	case strings.EqualFold(first, every):
		distance, command := cutWord(rest)
		if distance == "" {
			return "", wrong("there is no duration", expected, "")
		}
		d, bad := everySpan.parse(distance)
		if bad != nil {
			return "", bad
		}
		t.Text, t.Next = every+" "+distance, cron.Every(d).Next
		return needCommand(command, expected)
	case strings.HasPrefix(first, "@"):
		known := choice(strings.ToLower(first), append([]string{every}, shorthands...)...)
		known.Problem = "there is no such schedule"
		if strings.EqualFold(first, "@reboot") {
			known.Hint = "a command for each start of the child is CLEAT_HOOK_PRE_START or CLEAT_HOOK_POST_START"
		}
		s, err := cronParser().Parse(strings.ToLower(first))
		if err != nil {
			return "", known
		}
		t.Text, t.Next, t.Fields = strings.ToLower(first), s.Next, true
		return needCommand(rest, expected)
	}
	var fields []string
	rest = text
	for range cronFields {
		var field string
		if field, rest = cutWord(rest); field != "" {
			fields = append(fields, field)
		}
	}
	if len(fields) < cronFields {
		return "", wrong("the schedule has not five fields", expected, "minute, hour, day of the month, month, day of the week")
	}
	for i, field := range fields {
		probe := slices.Repeat([]string{"*"}, cronFields)
		probe[i] = field
		// The error of the parser is about its own insides.
		if _, err := cronParser().Parse(strings.Join(probe, " ")); err != nil || strings.Trim(field, ",") == "" {
			return "", wrong("the "+cronNames[i].name+" of the schedule cannot be read", cronNames[i].values+", and lists (1,2), ranges (1-5) and steps (*/5) of them", "")
		}
	}
	s, err := cronParser().Parse(strings.Join(fields, " "))
	if err != nil {
		return "", wrong("the schedule cannot be read", expected, "")
	}
	if s.Next(someDay).IsZero() {
		return "", wrong("the time of this schedule never comes", expected, "")
	}
	t.Text, t.Next, t.Fields = strings.Join(fields, " "), s.Next, true
	return needCommand(rest, expected)
}

func needCommand(command, expected string) (string, *Error) {
	if strings.TrimSpace(command) == "" {
		return "", wrong("there is no command behind the schedule", expected, "")
	}
	return strings.TrimSpace(command), nil
}

// cutWord cuts the first word of a text.
func cutWord(text string) (word, rest string) {
	text = strings.TrimLeft(text, " \t\n")
	if end := strings.IndexAny(text, " \t\n"); end >= 0 {
		return text[:end], text[end:]
	}
	return text, ""
}

// explainTasks tells what runs from time to time.
func (s *Settings) explainTasks(a *account) {
	if len(s.Tasks) == 0 {
		return
	}
	a.section("runs from time to time")
	for _, t := range s.Tasks {
		parts := []string{"at most " + duration(t.Timeout)}
		if t.User != s.User {
			parts = append(parts, "as the user "+t.User)
		}
		a.line(t.Name, t.Text, explainCommand(t.Args))
		a.line("", "", strings.Join(parts, ", "))
	}
}
