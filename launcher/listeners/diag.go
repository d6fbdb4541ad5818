package listeners

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// diag reads sockets by netlink inet_diag, over one socket to the kernel that stays open. It speaks netlink by itself:
// the usual library starts a goroutine for each system call, which would be most of what an idle cleat does.
type diag struct {
	fd     int
	open   bool
	serial uint32 // of the last request; answers carry it
	req    [nlHeaderSize + diagReqSize]byte
	buf    []byte
}

const (
	// dumpBuffer, in bytes, is the most that the kernel puts into one part of a dump. It makes parts as large as the
	// last receive allowed, so that one part holds some 350 sockets.
	dumpBuffer = 32 << 10
	// dumpAttempts of one reading: the second is with a new socket to the kernel.
	dumpAttempts = 2
	// dumpTimeout, in seconds, bounds a receive. The kernel makes each part within the call that fetches it, so a wait
	// means a kernel that gives no answer.
	dumpTimeout = 1
)

// Layout of struct nlmsghdr (linux/netlink.h), in bytes, all in the byte order of the machine.
const (
	nlHeaderSize = 16
	nlLength     = 0
	nlType       = 4
	nlFlags      = 6
	nlSerial     = 8
	nlAlignment  = 4
)

// Layout of struct inet_diag_req_v2 and struct inet_diag_msg (linux/inet_diag.h), in bytes. Numbers are in the byte
// order of the machine, ports and addresses in that of the network.
const (
	diagReqSize    = 56
	reqFamily      = 0
	reqProtocol    = 1
	reqStates      = 4 // bit mask of socket states, 32 bits
	reqLocalPort   = 8 // 0 is any
	diagMsgSize    = 72
	msgFamily      = 0
	msgState       = 1
	msgSourcePort  = 4
	msgSourceAddr  = 8
	msgInode       = 68
	attrSkV6Only   = 11 // INET_DIAG_SKV6ONLY, one byte, given for every AF_INET6 socket in LISTEN or CLOSE
	attrHeaderSize = 4  // length and type, 16 bits each
	attrAlignment  = 4
)

var errBrokenDump = errors.New("inet_diag answer breaks off")

// read asks once for each family and protocol; the answer to each is one dump.
func (d *diag) read(into []socket, wantUDP bool) ([]socket, error) {
	kept := len(into)
	var err error
	for range dumpAttempts {
		into, err = d.dumps(into[:kept], wantUDP)
		if err == nil || forbidden(err) {
			return into, err
		}
		// Something in between (ENOBUFS, a half-read answer) leaves the socket in an unknown state: start anew.
		_ = d.close()
	}
	return into, err
}

func (d *diag) close() error {
	if !d.open {
		return nil
	}
	d.open = false
	return os.NewSyscallError("close", unix.Close(d.fd))
}

func (d *diag) dumps(into []socket, wantUDP bool) ([]socket, error) {
	err := d.connect()
	for _, family := range [...]uint8{unix.AF_INET, unix.AF_INET6} {
		if err == nil {
			into, err = d.dump(into, question{family: family, protocol: unix.IPPROTO_TCP, state: stateListen})
		}
		if err == nil && wantUDP {
			into, err = d.dump(into, question{family: family, protocol: unix.IPPROTO_UDP, state: stateClose})
		}
	}
	return into, err
}

func (d *diag) connect() error {
	if d.open {
		return nil
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: dumpTimeout}); err != nil {
		_ = unix.Close(fd)
		return os.NewSyscallError("setsockopt", err)
	}
	// Connected to the kernel, so that no process can slip in an answer.
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return os.NewSyscallError("connect", err)
	}
	d.fd, d.open = fd, true
	if d.buf == nil {
		d.buf = make([]byte, dumpBuffer)
	}
	return nil
}

// established counts the TCP connections whose local port is that one.
func (d *diag) established(port uint16) (int, error) {
	found := 0
	err := d.connect()
	for _, family := range [...]uint8{unix.AF_INET, unix.AF_INET6} {
		if err != nil {
			break
		}
		var sockets []socket
		sockets, err = d.dump(nil, question{family: family, protocol: unix.IPPROTO_TCP, state: stateEstablished, port: port})
		found += len(sockets)
	}
	if err != nil {
		_ = d.close()
	}
	return found, err
}

// question is what one dump asks for.
type question struct {
	family, protocol, state uint8
	port                    uint16 // the local one; 0: any
}

func (d *diag) dump(into []socket, q question) ([]socket, error) {
	d.serial++
	native := binary.NativeEndian
	native.PutUint32(d.req[nlLength:], uint32(len(d.req)))
	native.PutUint16(d.req[nlType:], unix.SOCK_DIAG_BY_FAMILY)
	native.PutUint16(d.req[nlFlags:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	native.PutUint32(d.req[nlSerial:], d.serial)
	body := d.req[nlHeaderSize:]
	body[reqFamily] = q.family
	body[reqProtocol] = q.protocol
	// The kernel walks its table of listeners only, and no connection, when this is all that is asked for.
	native.PutUint32(body[reqStates:], 1<<q.state)
	binary.BigEndian.PutUint16(body[reqLocalPort:], q.port)

	if err := ignoringEINTR(func() error { return unix.Send(d.fd, d.req[:], 0) }); err != nil {
		return into, os.NewSyscallError("send", err)
	}
	for {
		var n int
		err := ignoringEINTR(func() (err error) {
			n, err = unix.Read(d.fd, d.buf)
			return err
		})
		if err != nil {
			return into, os.NewSyscallError("recv", err)
		}
		part := dumpPart{serial: d.serial, state: q.state, udp: q.protocol == unix.IPPROTO_UDP}
		if into, err = part.parse(into, d.buf[:n]); err != nil || part.done {
			return into, err
		}
	}
}

// ignoringEINTR calls again what a signal has interrupted; the Go runtime sends itself many.
func ignoringEINTR(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// dumpPart is what one receive gives: some sockets, and at the end of the dump a message that says so.
type dumpPart struct {
	serial uint32
	state  uint8
	udp    bool
	done   bool
}

// parse appends the sockets of the messages in b. Answers to earlier requests are passed over.
func (p *dumpPart) parse(into []socket, b []byte) ([]socket, error) {
	native := binary.NativeEndian
	for len(b) > 0 {
		if len(b) < nlHeaderSize {
			return into, errBrokenDump
		}
		size := int(native.Uint32(b[nlLength:]))
		if size < nlHeaderSize || size > len(b) {
			return into, errBrokenDump
		}
		kind, serial, body := native.Uint16(b[nlType:]), native.Uint32(b[nlSerial:]), b[nlHeaderSize:size]
		b = b[min(len(b), align(size, nlAlignment)):]
		if serial != p.serial {
			continue
		}
		switch kind {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			p.done = true
			return into, outcome(kind, body)
		case unix.SOCK_DIAG_BY_FAMILY:
			s, ok, err := parseDiag(body, p.state)
			if err != nil {
				return into, err
			}
			if ok {
				s.udp = p.udp
				into = append(into, s)
			}
		}
	}
	return into, nil
}

// outcome reads the error number, negative, that an error or the end of a dump begins with. The end may have none.
func outcome(kind uint16, body []byte) error {
	const size = 4
	if len(body) < size {
		if kind == unix.NLMSG_DONE {
			return nil
		}
		return errBrokenDump
	}
	if number := int32(binary.NativeEndian.Uint32(body)); number < 0 {
		return os.NewSyscallError("inet_diag", unix.Errno(-number))
	}
	return nil
}

// parseDiag reads one inet_diag_msg with its attributes; false when it is in another state or without a port.
func parseDiag(b []byte, state uint8) (socket, bool, error) {
	if len(b) < diagMsgSize {
		return socket{}, false, fmt.Errorf("inet_diag message of %d bytes, expected at least %d", len(b), diagMsgSize)
	}
	s := socket{
		inode: binary.NativeEndian.Uint32(b[msgInode:]),
		port:  binary.BigEndian.Uint16(b[msgSourcePort:]),
	}
	switch b[msgFamily] {
	case unix.AF_INET:
		s.addr = netip.AddrFrom4([4]byte(b[msgSourceAddr:]))
	case unix.AF_INET6:
		s.addr = netip.AddrFrom16([16]byte(b[msgSourceAddr:])).Unmap()
	default:
		return socket{}, false, fmt.Errorf("inet_diag message of address family %d, expected %d or %d",
			b[msgFamily], unix.AF_INET, unix.AF_INET6)
	}
	s.v6only = attribute(b[diagMsgSize:], attrSkV6Only) == 1
	return s, b[msgState] == state && s.port != 0, nil
}

// attribute is the first byte of the attribute of that type, 0 when it is not there. A list that breaks off is taken
// as far as it goes: a kernel may append what we do not know.
func attribute(b []byte, kind uint16) byte {
	for len(b) >= attrHeaderSize {
		size := int(binary.NativeEndian.Uint16(b))
		if size < attrHeaderSize || size > len(b) {
			return 0
		}
		if binary.NativeEndian.Uint16(b[2:]) == kind && size > attrHeaderSize {
			return b[attrHeaderSize]
		}
		b = b[min(len(b), align(size, attrAlignment)):]
	}
	return 0
}

// align rounds up to a multiple of to, a power of two.
func align(size, to int) int { return (size + to - 1) &^ (to - 1) }
