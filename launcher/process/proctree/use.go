package proctree

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Use is what a process and its living descendants use.
type Use struct {
	CPU       time.Duration // also of those that they have waited for
	Memory    int64         // bytes resident; what is shared counts for each
	Processes int
}

const (
	// tick is the kernel's unit of processor time: USER_HZ is 100 on every
	// architecture that Go knows.
	tick = 10 * time.Millisecond
	// mostCounted is how many processes are looked at: the rest is left out, so
	// that a fork bomb costs no more than itself.
	mostCounted = 4096
)

// The fields of a stat file that say what is used, counted as the others.
const (
	fieldUser      = 11 // utime
	fieldSystem    = 12 // stime
	fieldUserWaits = 13 // cutime
	fieldSysWaits  = 14 // cstime
	fieldResident  = 21 // pages
)

// UseOf returns what the process and its descendants use. It looks at no other
// process where the kernel lists children.
func UseOf(pid int) (Use, error) {
	var use Use
	if !use.add(pid) {
		return Use{}, fmt.Errorf("process %d cannot be read", pid)
	}
	pids, ok := descendants(pid)
	if !ok {
		tree, err := Read()
		if err != nil {
			return use, err
		}
		pids = nil
		for _, p := range tree.Descendants(pid, nil) {
			pids = append(pids, p.Pid)
		}
	}
	for _, pid := range pids[:min(len(pids), mostCounted)] {
		use.add(pid)
	}
	return use, nil
}

// descendants lists the descendants of a process by the kernel's lists of
// children; false where there are none.
func descendants(pid int) (found []int, ok bool) {
	seen := map[int]bool{pid: true}
	for queue := []int{pid}; len(queue) > 0 && len(found) < mostCounted; queue = queue[1:] {
		children, ok := Children(queue[0])
		if !ok && queue[0] == pid {
			return nil, false
		}
		for _, child := range children {
			if !seen[child] {
				seen[child] = true
				found, queue = append(found, child), append(queue, child)
			}
		}
	}
	return found, true
}

// add adds what one process uses; false when it is gone.
func (u *Use) add(pid int) bool {
	fd, err := unix.Open(root+"/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var buffer [statSize]byte
	n, err := unix.Read(fd, buffer[:])
	if err != nil {
		return false
	}
	return u.addStat(buffer[:n])
}

func (u *Use) addStat(stat []byte) bool {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= fieldResident {
		return false
	}
	var ticks int64
	for _, field := range []int{fieldUser, fieldSystem, fieldUserWaits, fieldSysWaits} {
		n, err := strconv.ParseInt(string(fields[field]), 10, 64)
		if err != nil {
			return false
		}
		ticks += n
	}
	pages, err := strconv.ParseInt(string(fields[fieldResident]), 10, 64)
	if err != nil {
		return false
	}
	u.CPU += time.Duration(ticks) * tick
	u.Memory += pages * int64(os.Getpagesize())
	u.Processes++
	return true
}
