package volume

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// mountTable lists the mounts that this process sees (proc(5)).
const mountTable = "/proc/self/mountinfo"

const (
	// mostTable is how many bytes of the table are read: some 100,000 mounts.
	mostTable = 16 << 20
	// pointField is the mount point among the fields of a line, from 0.
	pointField = 4
	// escapeLength is the length of \040, which is how the table writes a space.
	escapeLength = 4
)

// isMounted reports whether there is a mount point at the path, which has no
// links in it.
func isMounted(path string) (bool, error) {
	f, err := os.Open(mountTable)
	if err != nil {
		return false, fmt.Errorf("the table of mounts cannot be read: %w", err)
	}
	defer f.Close()
	table, err := io.ReadAll(io.LimitReader(f, mostTable))
	if err != nil {
		return false, fmt.Errorf("the table of mounts cannot be read: %w", err)
	}
	return slices.Contains(mountPoints(table), path), nil
}

// mountPoints returns the mount points of a table.
func mountPoints(table []byte) []string {
	var points []string
	for line := range bytes.Lines(table) {
		if fields := bytes.Fields(line); len(fields) > pointField {
			points = append(points, unescaped(string(fields[pointField])))
		}
	}
	return points
}

// unescaped replaces \nnn, three octal digits, by the byte that it means.
func unescaped(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+escapeLength <= len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+escapeLength], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += escapeLength - 1
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
