package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// portTries is how often a port is looked for that is free for UDP and TCP, when
// any will do.
const portTries = 16

// receiveBuffer is the size in bytes of a UDP socket's buffer, so that a burst
// is not lost while the server waits for a processor. The system may give less.
const receiveBuffer = 1 << 20

// Listener is a UDP and a TCP socket on the same port.
type Listener struct {
	udp *net.UDPConn
	tcp net.Listener
}

// Listen opens both sockets on an address, host:port. With port 0, the system
// chooses one.
func Listen(ctx context.Context, address string) (*Listener, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("cannot answer DNS on %s: %w", address, err)
	}
	tries := 1
	if port == "0" {
		tries = portTries
	}
	for range tries {
		var l *Listener
		if l, err = listen(ctx, address); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("cannot answer DNS on %s: %w", address, err)
}

func listen(ctx context.Context, address string) (*Listener, error) {
	var config net.ListenConfig
	conn, err := config.ListenPacket(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		conn.Close()
		return nil, errors.New("the system gave another socket than one for UDP")
	}
	_ = udp.SetReadBuffer(receiveBuffer) // what the system gives is good as well
	host, _, _ := net.SplitHostPort(address)
	bound := udp.LocalAddr().(*net.UDPAddr)
	if host != "" { // else both are for all addresses
		host = bound.IP.String()
		if bound.Zone != "" {
			host += "%" + bound.Zone
		}
	}
	tcp, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(bound.Port)))
	if err != nil {
		udp.Close()
		return nil, err
	}
	return &Listener{udp: udp, tcp: tcp}, nil
}

// Addr returns the address of both sockets.
func (l *Listener) Addr() netip.AddrPort {
	return l.udp.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Close closes both sockets. It may be called more than once.
func (l *Listener) Close() {
	l.udp.Close()
	l.tcp.Close()
}
