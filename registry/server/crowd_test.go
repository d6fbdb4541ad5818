//go:build unix

package server_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"cleat/registry"
	"cleat/registry/server"
)

// crowd makes this test binary, when it runs as a child, a crowd of launchers:
// in another process, so that only the server's memory is measured.
const crowd = "CLEAT_TEST_CROWD"

func TestMain(m *testing.M) {
	if spec := os.Getenv(crowd); spec != "" {
		if err := beCrowd(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// beCrowd connects, declares, says so, and reads until the end of its input. For
// every number of bytes that it is told to expect, it says when all of its
// connections together have received so many more. The spec is "address number
// bare|session".
func beCrowd(spec string) error {
	fields := strings.Fields(spec)
	n, err := strconv.Atoi(fields[1])
	if err != nil {
		return err
	}
	var received atomic.Int64
	more := make(chan struct{}, 1)
	for i := range n {
		conn, err := net.Dial("tcp", fields[0])
		if err != nil {
			return err
		}
		r := bufio.NewReaderSize(conn, 512)
		if fields[2] == "session" {
			if err := joinCrowd(conn, r, i); err != nil {
				return err
			}
		}
		go func() {
			buffer := make([]byte, 1024)
			for {
				n, err := r.Read(buffer)
				if err != nil {
					return
				}
				received.Add(int64(n))
				select {
				case more <- struct{}{}:
				default:
				}
			}
		}()
	}
	fmt.Println("ready")
	input := bufio.NewScanner(os.Stdin)
	target := int64(-1)
	for input.Scan() {
		if input.Text() == "from now" {
			target = received.Load()
			fmt.Println("now")
			continue
		}
		expect, err := strconv.ParseInt(input.Text(), 10, 64)
		if err != nil {
			return err
		}
		for target += expect; received.Load() < target; {
			<-more
		}
		fmt.Println("all")
	}
	return nil
}

// joinCrowd makes a session of a connection.
func joinCrowd(conn net.Conn, r *bufio.Reader, n int) error {
	io.WriteString(conn, "GET "+registry.SessionPath+" HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: cleat.v1\r\n\r\n")
	if response, err := http.ReadResponse(r, nil); err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("handshake %d: %v %v", n, response, err)
	}
	declare := registry.ClientMessage{Declare: &registry.Declare{
		ID: fmt.Sprintf("launcher-%d", n), Key: "0123456789abcdef", Namespace: "default",
		Requires: []registry.Require{{Alias: "web", Filter: "web?ns=default", Min: 1}},
	}}
	if _, err := conn.Write(masked(ws.OpText, true, declare.Encode())); err != nil {
		return err
	}
	for range 2 { // the welcome and the first view
		h, err := ws.ReadHeader(r)
		if err != nil {
			return err
		}
		if _, err := r.Discard(int(h.Length)); err != nil {
			return err
		}
	}
	return nil
}

// audience is a crowd in a process of its own.
type audience struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
}

// startCrowd starts the child and waits until it is ready.
func startCrowd(t testing.TB, address string, n int, kind string) *audience {
	t.Helper()
	a := &audience{t: t, cmd: exec.Command(os.Args[0])}
	a.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", crowd, address, n, kind))
	a.cmd.Stderr = os.Stderr
	stdout, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.stdout = bufio.NewReader(stdout)
	if a.stdin, err = a.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a.says("ready")
	return a
}

func (a *audience) says(want string) {
	a.t.Helper()
	if line, err := a.stdout.ReadString('\n'); err != nil || line != want+"\n" {
		a.t.Fatalf("the crowd says %q, %v; want %q", line, err, want)
	}
}

// tell makes the crowd listen for so many more bytes.
func (a *audience) tell(what string) {
	a.t.Helper()
	if _, err := io.WriteString(a.stdin, what+"\n"); err != nil {
		a.t.Fatal(err)
	}
}

func (a *audience) stop() {
	a.stdin.Close()
	if err := a.cmd.Wait(); err != nil {
		a.t.Errorf("the crowd: %v", err)
	}
}

// resident returns the resident memory of this process in bytes, after garbage
// has been given back.
func resident(t testing.TB) int {
	t.Helper()
	for range 4 { // stacks shrink by half at each
		runtime.GC()
	}
	debug.FreeOSMemory()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skipf("needs /proc to measure resident memory: %v", err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func BenchmarkIdleSession(b *testing.B) {
	const n = 4000
	for _, kind := range []string{"bare", "session"} {
		b.Run(kind, func(b *testing.B) {
			for range b.N {
				b.ReportMetric(float64(idleCost(b, n, kind)), "B/session")
			}
		})
	}
}

// idleCost measures what one of n idle connections costs: a bare socket with a
// goroutine that reads from it, or a session.
func idleCost(t testing.TB, n int, kind string) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if kind == "bare" {
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					buffer := make([]byte, 256)
					for {
						if _, err := conn.Read(buffer); err != nil {
							return
						}
					}
				}()
			}
		}()
		defer listener.Close()
	} else {
		srv, err := server.New(server.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error)
		go func() { served <- srv.Serve(ctx, listener) }()
		defer func() {
			cancel()
			if err := <-served; err != nil {
				t.Error(err)
			}
		}()
	}
	before := resident(t)
	defer startCrowd(t, listener.Addr().String(), n, kind).stop()
	time.Sleep(100 * time.Millisecond) // until the last are quiet
	return (resident(t) - before) / n
}

// reportCPU reports the processor time that this process takes for each of the
// n messages of a change, which says more than the clock on a busy machine.
func reportCPU(b *testing.B, n int) (done func()) {
	spent := func() time.Duration {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			b.Fatal(err)
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	before := spent()
	return func() {
		b.ReportMetric(float64((spent()-before).Nanoseconds())/float64(b.N*n), "cpu-ns/message")
	}
}

// BenchmarkFanOut measures how long it takes until one change has reached the
// last of so many sessions, and beside it a bare loop that writes the same bytes
// to so many sockets. The others are in another process.
func BenchmarkFanOut(b *testing.B) {
	const n = 2000
	payload := bytes.Repeat([]byte("x"), 262) // as long as the server's
	b.Run("bare", func(b *testing.B) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer listener.Close()
		accepted := make(chan net.Conn, n)
		go func() {
			for range n {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				accepted <- conn
			}
		}()
		a := startCrowd(b, listener.Addr().String(), n, "bare")
		defer a.stop()
		var conns []net.Conn
		for range n {
			conn := <-accepted
			defer conn.Close()
			conns = append(conns, conn)
		}
		a.tell("from now")
		a.says("now")
		defer reportCPU(b, n)()
		for b.Loop() {
			a.tell(strconv.Itoa(n * len(payload)))
			for _, conn := range conns {
				conn.Write(payload)
			}
			a.says("all")
		}
	})
	b.Run("server", func(b *testing.B) {
		none := time.Duration(0)
		srv, err := server.New(server.Config{Warming: &none})
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
		defer func() { cancel(); <-served }()
		a := startCrowd(b, listener.Addr().String(), n, "session")
		defer a.stop()
		provider, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer provider.Close()
		r := bufio.NewReader(provider)
		declare := func(status registry.Status) []byte {
			d := launcher("p").provides("p:1", "web", status).Declare
			return masked(ws.OpText, true, registry.ClientMessage{Declare: &d}.Encode())
		}
		if err := joinCrowd(provider, r, n); err != nil {
			b.Fatal(err)
		}
		provider.Close() // only to make sure that all are served by now
		if provider, err = net.Dial("tcp", listener.Addr().String()); err != nil {
			b.Fatal(err)
		}
		io.WriteString(provider, "GET "+registry.SessionPath+" HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: cleat.v1\r\n\r\n")
		statuses := []registry.Status{registry.Passing, registry.Warning}
		a.tell("from now")
		a.says("now")
		view := registry.ServerMessage{View: &registry.ViewMessage{Filter: web, Revision: registry.FirstRevision(time.Now()), Add: []registry.Endpoint{
			{ID: "p:1", Address: "10.0.0.1", Port: portOf("p:1"), Protocol: registry.TCP, Status: registry.Passing, Since: registry.FirstRevision(time.Now())},
		}}}
		size := len(view.Encode()) + 4 // the header
		step := 0
		defer reportCPU(b, n)()
		for b.Loop() {
			a.tell(strconv.Itoa(n * size))
			provider.Write(declare(statuses[step%2]))
			a.says("all")
			step++
		}
	})
}
