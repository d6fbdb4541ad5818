package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/gobwas/ws"
)

// message is as long as the server's when one endpoint has changed.
var message = ws.MustCompileFrame(ws.NewTextFrame([]byte(strings.Repeat("x", 258))))

// floor is what a server is compared with: sockets that are accepted and read by
// a goroutine each, to which a message is written whenever a byte comes on the
// standard input; or an echo of packets.
func floor(spec string) error {
	kind, address, _ := strings.Cut(spec, " ")
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	switch kind {
	case "broadcast":
		return broadcast(listener)
	case "echo":
		go func() {
			for {
				conn, err := listener.Accept() // who only looks whether it is there
				if err != nil {
					return
				}
				conn.Close()
			}
		}()
		return echo(address)
	}
	return fmt.Errorf("there is no floor %q", kind)
}

func broadcast(listener net.Listener) error {
	var mu sync.Mutex
	conns := make(map[net.Conn]struct{})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[conn] = struct{}{}
			mu.Unlock()
			go func() {
				buffer := make([]byte, 256)
				for {
					if _, err := conn.Read(buffer); err != nil {
						mu.Lock()
						delete(conns, conn)
						mu.Unlock()
						conn.Close()
						return
					}
				}
			}()
		}
	}()
	for one := make([]byte, 1); ; {
		if _, err := io.ReadFull(os.Stdin, one); err != nil {
			return nil // nobody is there any more
		}
		mu.Lock()
		for conn := range conns {
			_, _ = conn.Write(message)
		}
		mu.Unlock()
	}
}

func echo(address string) error {
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp", at)
	if err != nil {
		return err
	}
	buffer := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return err
		}
		_, _ = conn.WriteToUDPAddrPort(buffer[:n], from)
	}
}
