// Package resident keeps the memory small that a process occupies while it has
// nothing to do.
//
// A program touches far more of its memory when it starts than it ever does
// again: the start-up of its packages, the reading of its settings, garbage.
// All of that counts as the container's as long as the process lives, unless it
// is given back.
package resident

import (
	"bufio"
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Trim gives back to the kernel what is not in use: the free memory of the heap,
// and the pages of the program's file, which come back from the page cache, one
// by one, when they are needed. Call it once, when the start is over. Where
// /proc is not there, the pages stay. It takes about a millisecond.
func Trim() {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range unchanged(text) {
		// A failure leaves the pages where they are.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED)
	}
}

// mapping is a range of addresses.
type mapping struct{ start, end uintptr }

// unchanged returns the mappings of files, in the text of a smaps file, that
// nobody can write to and nobody has ever written to: what is in them is in the
// file. A loader's relocations and a debugger's breakpoints would be lost else.
func unchanged(text []byte) []mapping {
	var all []mapping
	var last mapping
	readOnly := false
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		if name, isField := strings.CutSuffix(words[0], ":"); isField {
			if name == "Anonymous" && words[1] == "0" && readOnly {
				all = append(all, last)
			}
			continue
		}
		last, readOnly = parse(words)
	}
	return all
}

// parse reads the words of a mapping's first line: the range, permissions,
// offset, device, inode (0: no file) and name.
func parse(words []string) (m mapping, readOnly bool) {
	const rangeAt, permissionsAt, inodeAt = 0, 1, 4
	first, behind, _ := strings.Cut(words[rangeAt], "-")
	start, err := strconv.ParseUint(first, 16, strconv.IntSize)
	if err != nil {
		return m, false
	}
	end, err := strconv.ParseUint(behind, 16, strconv.IntSize)
	if err != nil || end <= start || len(words) <= inodeAt {
		return m, false
	}
	permissions := words[permissionsAt]
	readOnly = (permissions == "r-xp" || permissions == "r--p") && words[inodeAt] != "0"
	return mapping{uintptr(start), uintptr(end)}, readOnly
}
