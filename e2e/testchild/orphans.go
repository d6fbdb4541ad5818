package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// lingerTime is how long an orphan lives: long enough to outlive its parent, short enough to be a zombie soon.
const lingerTime = 300 * time.Millisecond

// orphans starts processes that start a process and end, so that the latter is nobody's.
func orphans(args []string) error {
	count, err := strconv.Atoi(strings.Join(args, " "))
	if err != nil {
		return err
	}
	for range count {
		if err := exec.Command("/proc/self/exe", "exec-orphan").Run(); err != nil {
			return err
		}
	}
	fmt.Println("orphaned", count)
	stay()
	return nil
}

func execOrphan([]string) error {
	return exec.Command("/proc/self/exe", "linger").Start()
}

func linger([]string) error {
	time.Sleep(lingerTime)
	return nil
}

// ps prints a line "PID PARENT STATE NAME" for every process in /proc.
func ps([]string) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		head, tail, found := strings.Cut(string(stat), ") ")
		_, name, _ := strings.Cut(head, "(")
		fields := strings.Fields(tail)
		if !found || len(fields) < 2 {
			return fmt.Errorf("/proc/%s/stat is %q", e.Name(), stat)
		}
		fmt.Println(e.Name(), fields[1], fields[0], name)
	}
	return nil
}
