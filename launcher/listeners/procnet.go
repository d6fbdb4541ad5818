package listeners

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
)

// procPath is where the kernel tells about processes and, below net, about sockets.
const procPath = "/proc"

// procNet reads sockets from the tables in /proc/net, for kernels and sandboxes without netlink (gVisor, some seccomp
// profiles). The tables hold connections as well and have to be read whole. They do not tell IPV6_V6ONLY: a socket on
// [::] is taken to serve IPv4 too, as it does unless its program asked for less.
type procNet struct {
	root  string
	lines *bufio.Reader
}

// procNetBuffer, in bytes, holds some hundred lines of a table; a single line is at most 200 bytes or so long.
const procNetBuffer = 64 << 10

// read implements source. A table that does not exist is a family or protocol that this kernel does not have; but the
// table of TCP over IPv4 must be there, or nothing was learnt.
func (p *procNet) read(into []socket, wantUDP bool) ([]socket, error) {
	var err error
	if into, err = p.table(into, "tcp", false); err != nil {
		return into, err
	}
	optional := func(name string, udp bool) {
		if err != nil {
			return
		}
		if into, err = p.table(into, name, udp); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	optional("tcp6", false)
	if wantUDP {
		optional("udp", true)
		optional("udp6", true)
	}
	return into, err
}

func (p *procNet) close() error { return nil }

func (p *procNet) table(into []socket, name string, udp bool) ([]socket, error) {
	path := p.root + "/net/" + name
	f, err := os.Open(path)
	if err != nil {
		return into, err
	}
	defer func() { _ = f.Close() }()
	if p.lines == nil {
		p.lines = bufio.NewReaderSize(f, procNetBuffer)
	} else {
		p.lines.Reset(f)
	}
	for number := 1; ; number++ {
		line, err := p.lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return into, nil
		}
		if err != nil {
			return into, fmt.Errorf("read %s: line %d: %w", path, number, err)
		}
		if number == 1 {
			continue // the heading
		}
		s, ok, err := parseLine(line, udp)
		if err != nil {
			return into, fmt.Errorf("read %s: line %d: %w", path, number, err)
		}
		if ok {
			into = append(into, s)
		}
	}
}

// columns of a line of /proc/net/tcp and its siblings, counted from 0.
const (
	columnLocal = 1
	columnState = 3
	columnInode = 9
)

var errLine = errors.New("not a line of a socket table: expected sl, address:port in hexadecimal, …, state, …, inode")

// parseLine reads one line; false when it is no listener.
func parseLine(line []byte, udp bool) (s socket, ok bool, err error) {
	s.udp = udp
	want := byte(stateListen)
	if udp {
		want = stateClose
	}
	column := 0
	for field := range bytes.FieldsSeq(line) {
		switch column {
		case columnLocal:
			if s.addr, s.port, err = parseHexAddrPort(field); err != nil {
				return s, false, err
			}
		case columnState:
			var state [1]byte
			if n, err := hex.Decode(state[:], field[:min(len(field), 2)]); err != nil || n != 1 {
				return s, false, errLine
			}
			if state[0] != want || s.port == 0 {
				return s, false, nil
			}
		case columnInode:
			inode, err := strconv.ParseUint(string(field), 10, 32)
			if err != nil {
				return s, false, errLine
			}
			s.inode = uint32(inode)
			return s, true, nil
		}
		column++
	}
	return s, false, errLine
}

// parseHexAddrPort reads 0100007F:0050 and its IPv6 form: words of 32 bits in the byte order of the machine, and the
// port as a plain number.
func parseHexAddrPort(field []byte) (netip.Addr, uint16, error) {
	text, portText, found := bytes.Cut(field, []byte{':'})
	var raw [16]byte
	if !found || len(text) > hex.EncodedLen(len(raw)) || len(portText) != 4 {
		return netip.Addr{}, 0, errLine
	}
	n, err := hex.Decode(raw[:], text)
	if err != nil || n != 4 && n != 16 {
		return netip.Addr{}, 0, errLine
	}
	for i := 0; i < n; i += 4 {
		word := binary.BigEndian.Uint32(raw[i:])
		binary.NativeEndian.PutUint32(raw[i:], word)
	}
	var port [2]byte
	if _, err := hex.Decode(port[:], portText); err != nil {
		return netip.Addr{}, 0, errLine
	}
	addr := netip.AddrFrom16(raw).Unmap()
	if n == 4 {
		addr = netip.AddrFrom4([4]byte(raw[:4]))
	}
	return addr, binary.BigEndian.Uint16(port[:]), nil
}
