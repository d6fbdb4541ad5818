package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/settings"
	"cleat/templates"
)

// checkTime is how long a check command may take.
const checkTime = 30 * time.Second

// files are the container's templates, from source to destination. One render
// at a time uses them; whoever waits for it leaves them alone meanwhile.
//
// A render is all or nothing: every template renders and every check passes, or
// no file changes. A source that no longer parses is reported, and its last good
// version stays in use.
type files struct {
	settings *settings.Settings
	aliases  map[string]templates.Alias
	kernel   process.Kernel
	sources  map[string]*source // by destination
	swept    bool               // the temporary files of a predecessor are gone
}

// rendering is what a render is made from. Immutable.
type rendering struct {
	files templates.Data // for files
	child templates.Data // for arguments and CLEAT_ENV_ values
	env   []string       // of check commands
}

// rendered is what a render gave.
type rendered struct {
	changed  []change
	command  []string
	env      []string // NAME=value of the CLEAT_ENV_ variables
	absent   []string // arguments and variables left out for lack of an endpoint
	problems []error  // sources that no longer parse
	watch    []string // files that the templates depend on
	states   []fileState
	uses     uses
	err      error // then nothing was changed
}

// change is one file that has new bytes.
type change struct {
	destination string
	action      settings.Action
	settle      time.Duration
}

// uses tells what the aliases are used for.
type uses struct {
	anywhere map[string]bool // in a file, an argument or a CLEAT_ENV_ value
	restart  map[string]bool // where a change may restart the child
}

func newFiles(s *settings.Settings, kernel process.Kernel) *files {
	return &files{settings: s, aliases: s.Aliases(), kernel: kernel, sources: make(map[string]*source)}
}

// render renders everything and puts changed files into place. When ctx ends
// it stops before the next step; files are then all old or all new.
func (f *files) render(ctx context.Context, in rendering) (out rendered) {
	defer func() { out.states = f.states() }()
	problems, err := f.load()
	out.problems = problems
	out.uses, out.watch = f.dependencies()
	if err != nil {
		out.err = err
		return out
	}
	command, env, absent, err := f.command(in.child)
	if err != nil {
		out.err = err
		return out
	}
	out.command, out.env, out.absent = command, env, absent
	out.changed, out.err = f.write(ctx, in)
	return out
}

// command renders the command and the CLEAT_ENV_ values.
func (f *files) command(data templates.Data) (command, env, absent []string, err error) {
	var errs []error
	for i, t := range f.settings.Command {
		text, omit, err := t.RenderArgument(data)
		lacking, lacks := errors.AsType[*templates.AbsentError](err)
		if i == 0 && (omit || lacks) {
			errs = append(errs, errors.New("the command itself is empty once its placeholders are filled in; only arguments can be left out"))
			continue
		}
		if lacks {
			absent = append(absent, fmt.Sprintf("argument %d, for lack of an endpoint of %s", i, lacking.Alias))
			continue
		}
		if err != nil {
			errs = append(errs, err)
		}
		if !omit {
			command = append(command, text)
		}
	}
	for _, e := range f.settings.Env {
		value, err := e.Text.Render(data)
		if lacking, ok := errors.AsType[*templates.AbsentError](err); ok {
			absent = append(absent, fmt.Sprintf("the variable %s, for lack of an endpoint of %s", e.Name, lacking.Alias))
			continue
		}
		if err != nil {
			errs = append(errs, err)
		}
		env = append(env, e.Name+"="+string(value))
	}
	return command, env, absent, errors.Join(errs...)
}

// write renders the files, checks those that differ from what is in their
// place, and replaces them all or none.
func (f *files) write(ctx context.Context, in rendering) ([]change, error) {
	outputs, err := f.outputs(in)
	if err != nil {
		return nil, err
	}
	if !f.swept {
		for _, o := range outputs {
			removeStale(o.destination)
		}
		f.swept = true
	}
	var p placing
	defer p.discard()
	for _, o := range outputs {
		if err := p.add(o); err != nil {
			return nil, err
		}
	}
	for _, s := range p.stages {
		if err := f.check(ctx, f.sources[s.destination], s.path, in.env); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := p.place(); err != nil {
		return nil, errors.Join(err, p.undo())
	}
	f.placed(outputs)
	var changes []change
	for _, s := range p.stages {
		source := f.sources[s.destination]
		changes = append(changes, change{s.destination, f.action(source), source.Settle})
	}
	return changes, nil
}

// outputs renders the files, in the order of their destinations.
func (f *files) outputs(in rendering) ([]output, error) {
	var outputs []output
	var errs []error
	for _, destination := range f.destinations() {
		s := f.sources[destination]
		o := output{destination: destination, mode: s.mode, modeAsked: s.Mode != nil, uid: -1, gid: -1}
		var err error
		if o.data, err = s.template.Render(in.files); err != nil {
			errs = append(errs, err)
			continue
		}
		if s.Owner != "" {
			if o.uid, o.gid, err = lookUpOwner(s.Owner); err != nil {
				errs = append(errs, fmt.Errorf("cannot give %s to %s: %w", destination, s.Owner, err))
				continue
			}
		}
		outputs = append(outputs, o)
	}
	return outputs, errors.Join(errs...)
}

// check runs the template's check command on the staged file.
func (f *files) check(ctx context.Context, s *source, path string, env []string) error {
	if s.Check == "" {
		return nil
	}
	words, err := splitCommand(s.Check)
	if err != nil {
		return fmt.Errorf("the check of %s: %w", s.Destination, err)
	}
	for i, word := range words {
		words[i] = strings.ReplaceAll(word, "{{staged}}", path)
	}
	if err := runCommand(ctx, f.kernel, process.Spec{Args: words, Env: env, User: f.settings.User}, checkTime); err != nil {
		return fmt.Errorf("the check of %s failed: %w", s.Destination, err)
	}
	return nil
}

// action returns what a change of the template's file causes.
func (f *files) action(s *source) settings.Action {
	if s.Action != nil {
		return *s.Action
	}
	used := s.template.Aliases()
	own := func(alias string) bool { return f.aliases[alias].Self }
	if len(used) > 0 && !slices.ContainsFunc(used, func(a string) bool { return !own(a) }) {
		return settings.Action{Kind: settings.ActionNone}
	}
	return f.settings.OnChange
}

// dependencies tells what the aliases are used for, and which files are read. A
// template directory that nobody asked for and that is not there is not one of
// them: to end a watch takes the kernel 20 ms, at the end of every container.
func (f *files) dependencies() (uses, []string) {
	u := uses{anywhere: make(map[string]bool), restart: make(map[string]bool)}
	var watch []string
	note := func(t *templates.Template, restart bool) {
		for _, alias := range t.Aliases() {
			u.anywhere[alias] = true
			if restart {
				u.restart[alias] = true
			}
		}
		watch = append(watch, t.Files()...)
	}
	for _, t := range f.settings.Command {
		note(t, true)
	}
	for _, e := range f.settings.Env {
		note(e.Text, true)
	}
	for _, s := range f.sources {
		watch = append(watch, s.Source)
		if s.template != nil {
			note(s.template, f.action(s).Kind == settings.ActionRestart)
		}
	}
	for alias := range f.aliases {
		if !u.anywhere[alias] {
			u.restart[alias] = true // given through <ALIAS>_HOST alone
		}
	}
	if dir := f.settings.TemplatesDir; dir != "" && (f.settings.TemplatesSet || exists(dir)) {
		watch = append(watch, dir)
	}
	slices.Sort(watch)
	return u, slices.Compact(watch)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (f *files) destinations() []string {
	all := make([]string, 0, len(f.sources))
	for destination := range f.sources {
		all = append(all, destination)
	}
	slices.Sort(all)
	return all
}
