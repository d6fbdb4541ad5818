package pid1_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// BenchmarkStart is a start and an end of a program that does nothing: bare,
// under cleat, and under cleat as PID 1. Do not run it with -race.
func BenchmarkStart(b *testing.B) {
	program := helper("exit", "0")
	if path, err := exec.LookPath("true"); err == nil {
		program = []string{path}
	}
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			if err := exec.Command(program[0], program[1:]...).Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("subreaper", func(b *testing.B) {
		for b.Loop() {
			if err := command(program).Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("PID 1", func(b *testing.B) {
		if err := namespaces(); err != nil {
			b.Skip(err)
		}
		for b.Loop() {
			if err := command(program, asPID1).Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMemory is the resident memory of the two stages when they have
// nothing to do.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		c := command(helper("ready"), mode("info"))
		out, err := c.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Start(); err != nil {
			b.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		lines.Scan()
		var init, supervisor int
		var is1 bool
		fmt.Sscan(lines.Text(), &init, &is1, &supervisor)
		lines.Scan() // the child runs
		b.ReportMetric(resident(init), "init-KB")
		b.ReportMetric(resident(supervisor), "supervisor-KB")
		c.Process.Kill()
		c.Wait()
	}
}

func resident(pid int) float64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kb float64
			fmt.Sscan(value, &kb)
			return kb
		}
	}
	return 0
}
