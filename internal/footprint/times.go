package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// wrapper is one way to run the child.
type wrapper struct {
	name        string
	command     []string // before the child's
	settings    []string // cleat's, in the environment
	starts, end []float64
}

// unshare returns the command that runs the rest of its arguments in new
// namespaces; nil when that is not possible here.
func unshare(ctx context.Context, options ...string) []string {
	command := append([]string{"unshare"}, options...)
	if os.Getuid() != 0 {
		command = append(command, "--user", "--map-root-user")
	}
	if exec.CommandContext(ctx, command[0], append(command[1:], "true")...).Run() != nil {
		return nil
	}
	return command
}

// times measures starts and ends of a child, bare and under each wrapper, in
// turn; prefix is a command that runs all of that.
func (c config) times(ctx context.Context, title string, prefix []string, cleat string, r *report) error {
	bare, ours := &wrapper{name: "the child alone"}, &wrapper{name: "cleat run", command: []string{cleat, "run", "--"}}
	watching := &wrapper{name: "cleat run, with a template", command: ours.command}
	dir, err := os.MkdirTemp("", "footprint")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if watching.settings, err = template(dir); err != nil {
		return err
	}
	all := []*wrapper{bare, ours, watching}
	for _, other := range []*wrapper{
		{name: "tini", command: []string{"tini", "-s", "--"}},
		{name: "dumb-init", command: []string{"dumb-init", "--"}},
	} {
		if _, err := exec.LookPath(other.command[0]); err != nil {
			r.note("not compared with " + other.name + ", which is not installed")
			continue
		}
		all = append(all, other)
	}
	for range c.rounds {
		for _, w := range all {
			if err := w.once(ctx, prefix); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	for _, part := range []struct {
		name    string
		budget  float64
		numbers func(*wrapper) []float64
	}{
		{"start", budgetStart, func(w *wrapper) []float64 { return w.starts }},
		{"end", budgetEnd, func(w *wrapper) []float64 { return w.end }},
	} {
		alone := median(part.numbers(bare))
		r.row(title+part.name+", "+bare.name, alone, none, "ms")
		for _, w := range all[1:] {
			number := median(part.numbers(w))
			r.compared(title+part.name+", "+w.name, number, alone, "the child alone", "ms")
			if w == ours || w == watching {
				r.row("  added", number-alone, part.budget, "ms")
			}
		}
	}
	return nil
}

// template makes a template in a directory, and returns the setting that has it
// rendered there, and its source watched.
func template(dir string) (settings []string, err error) {
	source := filepath.Join(dir, "source")
	if err := os.WriteFile(source, []byte("{{env.PATH}}\n"), 0o644); err != nil {
		return nil, err
	}
	return []string{"CLEAT_TEMPLATE_X=" + source + ":" + filepath.Join(dir, "rendered") + ":none"}, nil
}

// once starts the child under the wrapper, waits until it answers, and ends it.
func (w *wrapper) once(ctx context.Context, prefix []string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	command := append(append(append([]string(nil), prefix...), w.command...), "cat")
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, w.settings...)
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	answer := make([]byte, 1)
	_, err = in.Write([]byte{'\n'})
	if err == nil {
		_, err = io.ReadFull(out, answer)
	}
	started := time.Now()
	in.Close()
	if wait := cmd.Wait(); err == nil {
		err = wait
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, said.Bytes())
	}
	w.starts = append(w.starts, milliseconds(started.Sub(began)))
	w.end = append(w.end, milliseconds(time.Since(started)))
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
