package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"cleat/registry"
)

// BenchmarkChange measures what a change costs the core: an instance that turns
// from passing to warning and back, in a registry of so many others, with an
// audience of so many sessions. The cost must follow the audience alone.
func BenchmarkChange(b *testing.B) {
	for _, size := range []struct{ instances, audience int }{{0, 1}, {10000, 1}, {0, 1000}, {10000, 1000}} {
		b.Run(fmt.Sprintf("instances=%d/audience=%d", size.instances, size.audience), func(b *testing.B) {
			d := newDesk(b)
			for n := range size.instances {
				d.join(registry.Declare{ID: fmt.Sprint("other", n), Provides: []registry.Instance{
					{ID: fmt.Sprintf("other%d:1", n), Service: fmt.Sprint("s", n%100), Address: "192.0.2.1", Port: 80, Status: registry.Passing},
				}})
			}
			var audience []*session
			for n := range size.audience {
				audience = append(audience, d.join(consumer(fmt.Sprint("consumer", n))))
			}
			p := d.join(provider("p", registry.Passing))
			statuses := []registry.Status{registry.Warning, registry.Passing}
			n := 0
			for b.Loop() {
				d.declare(p, provider("p", statuses[n%2]))
				n++
				for _, s := range audience {
					s.out.take()
				}
			}
		})
	}
}

// BenchmarkNewcomer measures what a consumer's declare costs the core when its
// view has so many endpoints.
func BenchmarkNewcomer(b *testing.B) {
	for _, size := range []int{1, 100, 10000} {
		b.Run(fmt.Sprint("endpoints=", size), func(b *testing.B) {
			d := newDesk(b)
			for n := range size {
				d.join(registry.Declare{ID: fmt.Sprint("p", n), Provides: []registry.Instance{
					{ID: fmt.Sprintf("p%d:1", n), Service: "web", Address: "192.0.2.1", Port: 80, Status: registry.Passing},
				}})
			}
			for b.Loop() {
				s := d.join(consumer("consumer"))
				d.event(func(c *core) { c.closed(s, true, "") })
			}
		})
	}
}

// socket is a real connection to a real server on loopback.
func socket(b *testing.B) (net.Conn, *bufio.Reader) {
	srv, err := New(Config{Warming: &noWarming})
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- srv.Serve(ctx, listener) }()
	b.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	io.WriteString(conn, "GET "+registry.SessionPath+" HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: cleat.v1\r\n\r\n")
	r := bufio.NewReaderSize(conn, 64<<10)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		b.Fatalf("handshake: %v %v", response, err)
	}
	return conn, r
}

func clientFrame(op ws.OpCode, payload []byte) []byte {
	return ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(op, true, payload)))
}

// declareFrame is a container's usual statement: one instance, one requirement.
func declareFrame(id string, status registry.Status) []byte {
	declare := provider(id, status)
	declare.Namespace, declare.Key = "default", "0123456789abcdef"
	declare.Requires = []registry.Require{{Alias: "db", Filter: "db?ns=default", Min: 1}}
	return clientFrame(ws.OpText, registry.ClientMessage{Declare: &declare}.Encode())
}

// BenchmarkBeat measures pipelined beats over a real socket, both ends of it
// included.
func BenchmarkBeat(b *testing.B) {
	conn, r := socket(b)
	conn.Write(declareFrame("p", registry.Passing))
	go io.Copy(io.Discard, r)
	const batch = 100
	beats := bytes.Repeat(clientFrame(ws.OpPing, nil), batch)
	begin := time.Now()
	n := 0
	for b.Loop() {
		if _, err := conn.Write(beats); err != nil {
			b.Fatal(err)
		}
		n += batch
	}
	// The last one has been done when the server answers to something else.
	b.ReportMetric(float64(n)/time.Since(begin).Seconds(), "beats/s")
}

// BenchmarkDeclare measures pipelined declares over a real socket that change an
// instance each time, both ends included.
func BenchmarkDeclare(b *testing.B) {
	conn, r := socket(b)
	conn.Write(declareFrame("p", registry.Passing))
	go io.Copy(io.Discard, r)
	const batch = 50
	var declares []byte
	for n := range batch {
		declares = append(declares, declareFrame("p", []registry.Status{registry.Warning, registry.Passing}[n%2])...)
	}
	begin := time.Now()
	n := 0
	for b.Loop() {
		if _, err := conn.Write(declares); err != nil {
			b.Fatal(err)
		}
		n += batch
	}
	b.ReportMetric(float64(n)/time.Since(begin).Seconds(), "declares/s")
}
