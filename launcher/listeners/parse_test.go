package listeners

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseDiagRefusesShort(t *testing.T) {
	for size := range diagMsgSize {
		if _, _, err := parseDiag(make([]byte, size), stateListen); err == nil {
			t.Fatalf("answer of %d bytes was taken", size)
		}
	}
}

// FuzzParseDiag feeds the parser what a kernel would never send.
func FuzzParseDiag(f *testing.F) {
	message := make([]byte, diagMsgSize)
	message[msgFamily], message[msgState] = unix.AF_INET6, stateListen
	binary.BigEndian.PutUint16(message[msgSourcePort:], 80)
	f.Add(message)
	f.Add(slices.Concat(message, []byte{5, 0, attrSkV6Only, 0, 1, 0, 0, 0}))
	f.Add(slices.Concat(message, []byte{0, 0, 0, 0}))
	f.Add(slices.Concat(message, []byte{255, 255, attrSkV6Only, 0}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok, err := parseDiag(b, stateListen)
		if ok && (err != nil || s.port == 0 || !s.addr.IsValid()) {
			t.Errorf("accepted %+v with error %v", s, err)
		}
	})
}

// FuzzDump feeds whole parts of a dump.
func FuzzDump(f *testing.F) {
	message := func(kind uint16, serial uint32, body []byte) []byte {
		b := make([]byte, nlHeaderSize, nlHeaderSize+len(body))
		binary.NativeEndian.PutUint32(b[nlLength:], uint32(nlHeaderSize+len(body)))
		binary.NativeEndian.PutUint16(b[nlType:], kind)
		binary.NativeEndian.PutUint32(b[nlSerial:], serial)
		return append(b, body...)
	}
	body := make([]byte, diagMsgSize)
	body[msgFamily], body[msgState] = unix.AF_INET, stateListen
	binary.BigEndian.PutUint16(body[msgSourcePort:], 80)
	one := message(unix.SOCK_DIAG_BY_FAMILY, 1, body)
	f.Add(append(one, message(unix.NLMSG_DONE, 1, nil)...))
	f.Add(append(one, message(unix.NLMSG_ERROR, 1, []byte{255, 255, 255, 255})...))
	f.Add(append(one, message(unix.SOCK_DIAG_BY_FAMILY, 2, nil)...))
	f.Add(one[:20])
	f.Fuzz(func(t *testing.T, b []byte) {
		part := dumpPart{serial: 1, state: stateListen}
		got, err := part.parse(nil, b)
		if len(got)*(nlHeaderSize+diagMsgSize) > len(b) {
			t.Errorf("%d sockets out of %d bytes, error %v", len(got), len(b), err)
		}
		for _, s := range got {
			if s.port == 0 || !s.addr.IsValid() {
				t.Errorf("accepted %+v", s)
			}
		}
	})
}

// The first lines are from a machine of each byte order's kind; the words of an address are as the machine keeps them.
func TestParseLine(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the lines below are from a little-endian machine")
	}
	cases := []struct {
		line string
		udp  bool
		want socket
		ok   bool
		bad  bool
	}{
		{line: "   0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1 x 100\n",
			want: socket{inode: 1234, addr: netip.MustParseAddr("127.0.0.1"), port: 631}, ok: true},
		{line: "   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 7 1\n",
			want: socket{inode: 7, addr: netip.IPv6Loopback(), port: 80}, ok: true},
		{line: "   2: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 8 1\n",
			want: socket{inode: 8, addr: netip.MustParseAddr("127.0.0.1"), port: 80}, ok: true},
		{line: "   3: 0100007F:0277 0100007F:1000 01 00000000:00000000 00:00000000 00000000     0        0 1234 1\n"},
		{line: "   4: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 99 2\n", udp: true,
			want: socket{inode: 99, addr: netip.IPv4Unspecified(), port: 53, udp: true}, ok: true},
		{line: "   5: 0100007F:0277\n", bad: true},
		{line: "   6: nonsense 0:0 0A\n", bad: true},
		{line: "   7: 0100007F00:0277 0 0A 0 0 0 0 0 1\n", bad: true},
		{line: "   8: 0100007F:0277 0 ZZ 0 0 0 0 0 1\n", bad: true},
		{line: "   9: 0100007F:0277 0 0A 0 0 0 0 0 -1\n", bad: true},
		{line: "\n", bad: true},
	}
	for _, c := range cases {
		got, ok, err := parseLine([]byte(c.line), c.udp)
		if (err != nil) != c.bad || ok != c.ok || ok && got != c.want {
			t.Errorf("line %q: %+v, %v, %v; expected %+v, %v", c.line, got, ok, err, c.want, c.ok)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add("   0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1 x 100\n", false)
	f.Add("   1: 00000000000000000000000001000000:0050 0:0 07 0:0 00:0 0 0 0 7 1\n", true)
	f.Add(": : 0A", false)
	f.Fuzz(func(t *testing.T, line string, udp bool) {
		s, ok, err := parseLine([]byte(line), udp)
		if ok && (err != nil || s.port == 0 || !s.addr.IsValid() || s.udp != udp) {
			t.Errorf("accepted %+v with error %v", s, err)
		}
	})
}

// TestTableWithoutIPv6 is a kernel that has no IPv6, and one whose table cannot be read.
func TestTableWithoutIPv6(t *testing.T) {
	root := t.TempDir()
	p := &procNet{root: root}
	if _, err := p.read(nil, false); err == nil {
		t.Error("no table at all was taken for no listener")
	}
	if err := os.Mkdir(filepath.Join(root, "net"), 0o755); err != nil {
		t.Fatal(err)
	}
	const heading = "  sl  local_address rem_address   st\n"
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, "net", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("tcp", heading)
	if got, err := p.read(nil, true); err != nil || len(got) != 0 {
		t.Errorf("an empty table: %v, %v", got, err)
	}
	write("udp", heading+"garbage\n")
	_, err := p.read(nil, true)
	if err == nil || !strings.Contains(err.Error(), "udp: line 2") {
		t.Errorf("error %v, expected one that names the table and the line", err)
	}
}

func TestHidesProcesses(t *testing.T) {
	cases := map[string]bool{
		"proc /proc proc rw,nosuid 0 0\n":                            false,
		"proc /proc proc rw,nosuid,hidepid=2 0 0\n":                  true,
		"proc /proc proc rw,hidepid=invisible,gid=4 0 0\n":           true,
		"proc /proc proc rw,hidepid=noaccess 0 0\n":                  false,
		"proc /mnt/proc proc rw,hidepid=2 0 0\n":                     false,
		"proc /proc proc rw,hidepid=2 0 0\nproc /proc proc rw 0 0\n": false,
		"": false,
		"short\nproc /proc proc rw,hidepid=ptraceable 0 0\nx /proc/sys proc ro 0 0": true,
	}
	for mounts, want := range cases {
		if got := hidesProcesses([]byte(mounts), "/proc"); got != want {
			t.Errorf("%q hides processes: %v, expected %v", mounts, got, want)
		}
	}
}
