package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// The numbers of UDP.
const (
	// maxQuery is the size in bytes of the largest query: far more than a name
	// and a handful of options take.
	maxQuery = 4096
	// maxReaders is the number of goroutines that read one socket. More than a
	// few only wait for the socket.
	maxReaders = 4
	// readFailures is how often in a row a socket may fail to be read before it
	// is given up. Single failures are other hosts' faults that some systems
	// report here.
	readFailures = 100
	// readPause is waited after a failure.
	readPause = 10 * time.Millisecond
	// controlSize is the size in bytes of what the system says about a packet:
	// its destination, for both families.
	controlSize = 128
)

// udpReader reads a UDP socket. Several of them share it.
type udpReader struct {
	server *Server
	conn   *net.UDPConn
	local  netip.Addr // not valid: the socket is for all addresses of the host
}

// serveUDP answers on a UDP socket until it is closed.
func (s *Server) serveUDP(ctx context.Context, l *Listener) error {
	reader := udpReader{server: s, conn: l.udp, local: l.Addr().Addr().Unmap()}
	if reader.local.IsUnspecified() {
		reader.local = netip.Addr{}
		// Answers must come from the address that was asked. A system that
		// cannot tell which it was chooses one itself.
		_ = ipv4.NewPacketConn(l.udp).SetControlMessage(ipv4.FlagDst, true)
		_ = ipv6.NewPacketConn(l.udp).SetControlMessage(ipv6.FlagDst, true)
	}
	conns := []*net.UDPConn{l.udp}
	for range min(runtime.GOMAXPROCS(0), maxReaders) - 1 {
		if conn := duplicate(l.udp); conn != nil {
			conns = append(conns, conn)
		}
	}
	errs := make([]error, len(conns))
	var work sync.WaitGroup
	for n, conn := range conns {
		closed := context.AfterFunc(ctx, func() { conn.Close() })
		defer closed()
		r := reader
		r.conn = conn
		work.Go(func() { errs[n] = r.run(ctx, &work) })
	}
	work.Wait()
	for _, conn := range conns[1:] {
		conn.Close()
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errs...)
}

// duplicate returns another descriptor of the same socket, so that two goroutines
// can wait for it without waiting for each other; nil where that cannot be done.
// Two sockets on one port would do as well, but then a second server could
// silently take half of the queries.
func duplicate(conn *net.UDPConn) *net.UDPConn {
	file, err := conn.File()
	if err != nil {
		return nil
	}
	defer file.Close()
	other, err := net.FilePacketConn(file)
	if err != nil {
		return nil
	}
	return other.(*net.UDPConn)
}

// run answers until the socket is closed.
func (r udpReader) run(ctx context.Context, work *sync.WaitGroup) error {
	w := &worker{server: r.server}
	packet := make([]byte, maxQuery)
	var control []byte
	if !r.local.IsValid() {
		control = make([]byte, controlSize)
	}
	for failures := 0; ; {
		n, size, from, err := r.read(packet, control)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			if failures++; failures == readFailures {
				return err
			}
			pause(ctx, readPause)
			continue
		}
		failures = 0
		by := via{local: r.local}
		var source []byte
		if control != nil {
			by.local, source = destination(control[:size])
		}
		answer, then := w.answer(packet[:n], by)
		if then != nothingMore {
			r.later(ctx, work, w, then, answer, from, source)
			continue
		}
		if answer != nil {
			r.write(answer, source, from)
		}
	}
}

func (r udpReader) read(packet, control []byte) (n, size int, from netip.AddrPort, err error) {
	if control == nil {
		n, from, err = r.conn.ReadFromUDPAddrPort(packet)
		return n, 0, from, err
	}
	n, size, _, from, err = r.conn.ReadMsgUDPAddrPort(packet, control)
	return n, size, from, err
}

// write sends an answer. What cannot be sent is lost, as any packet may be.
func (r udpReader) write(answer, source []byte, to netip.AddrPort) {
	if source == nil {
		_, _ = r.conn.WriteToUDPAddrPort(answer, to)
		return
	}
	_, _, _ = r.conn.WriteMsgUDPAddrPort(answer, source, to)
}

// later lets another goroutine complete the answer.
func (r udpReader) later(ctx context.Context, work *sync.WaitGroup, w *worker, then next, answer []byte, from netip.AddrPort, source []byte) {
	f := r.server.forwarder
	if !f.begin() {
		r.write(w.fail(), source, from)
		return
	}
	packet, answer := slices.Clone(w.q.packet), slices.Clone(answer)
	work.Go(func() {
		defer f.end()
		r.write(r.server.complete(ctx, then, packet, answer, false), source, from)
	})
}

// destination returns the address that a packet was sent to, and what to tell
// the system so that the answer comes from it.
func destination(control []byte) (netip.Addr, []byte) {
	var dst net.IP
	var six ipv6.ControlMessage
	if six.Parse(control) == nil {
		dst = six.Dst
	}
	if dst == nil {
		var four ipv4.ControlMessage
		if four.Parse(control) == nil {
			dst = four.Dst
		}
	}
	addr, ok := netip.AddrFromSlice(dst)
	if !ok {
		return netip.Addr{}, nil
	}
	addr = addr.Unmap()
	if addr.Is4() {
		return addr, (&ipv4.ControlMessage{Src: dst}).Marshal()
	}
	return addr, (&ipv6.ControlMessage{Src: dst}).Marshal()
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
