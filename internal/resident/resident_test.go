package resident

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const smaps = `00400000-00812000 r-xp 00000000 08:01 5 /sbin/cleat
Size:               4168 kB
Rss:                3264 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
00812000-00c17000 r--p 00412000 08:01 5 /sbin/cleat with a space
Anonymous:             0 kB
00c17000-00c18000 r--p 00817000 08:01 5 /sbin/cleat
Anonymous:             4 kB
00c18000-00c75000 rw-p 00818000 08:01 5 /sbin/cleat
Anonymous:             0 kB
00c75000-02cb8000 rw-p 00000000 00:00 0
Anonymous:             0 kB
7f3bec7fc000-7f3bec7fe000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
7f3bec7fe000-7f3bec7ff000 r--s 00000000 08:01 6 /shared
Anonymous:             0 kB
`

func TestUnchanged(t *testing.T) {
	got := unchanged([]byte(smaps))
	if want := []mapping{{0x400000, 0x812000}, {0x812000, 0xc17000}}; !slices.Equal(got, want) {
		t.Errorf("got %x, expected %x", got, want)
	}
	for _, bad := range []string{"", "\n", "x", "1-", "-1 r-xp 0 0 5", "2-1 r-xp 0 0 5\nAnonymous: 0 kB", "1-2 r-xp 0 0\nAnonymous: 0 kB", "Anonymous: 0 kB"} {
		if got := unchanged([]byte(bad)); len(got) > 0 {
			t.Errorf("%q: got %x, expected nothing", bad, got)
		}
	}
}

func FuzzUnchanged(f *testing.F) {
	f.Add([]byte(smaps))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, m := range unchanged(text) {
			if m.end <= m.start {
				t.Errorf("the range %x", m)
			}
		}
	})
}

// Pages of a file that was read are not resident after a trim, and read the same.
func TestTrim(t *testing.T) {
	const size = 4 << 20
	path := t.TempDir() + "/file"
	if err := os.WriteFile(path, []byte(strings.Repeat("x", size)), 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	pages, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(pages)
	if n := strings.Count(string(pages), "x"); n != size {
		t.Fatalf("%d of %d bytes", n, size)
	}
	before := residentFiles(t)
	Trim()
	if after := residentFiles(t); after > before-size/1024 {
		t.Errorf("%d KB of files are resident, expected at most %d", after, before-size/1024)
	}
	if n := strings.Count(string(pages), "x"); n != size {
		t.Errorf("%d of %d bytes after the trim", n, size)
	}
}

// residentFiles is in KB.
func residentFiles(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "RssFile:"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no RssFile in /proc/self/status")
	return 0
}
