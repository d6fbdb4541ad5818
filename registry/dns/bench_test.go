//go:build unix

package dns

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"cleat/registry"
	"cleat/registry/client"
	"cleat/registry/server"
)

// peer makes this test binary, when it runs as a child, a server on one core: a
// bare echo, or a whole server with so many instances that answers DNS. It says its address and its process
// time in nanoseconds whenever it reads a line.
const peer = "CLEAT_TEST_PEER"

func TestMain(m *testing.M) {
	if spec := os.Getenv(peer); spec != "" {
		if err := bePeer(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func bePeer(spec string) error {
	runtime.GOMAXPROCS(1)
	address := ""
	if spec == "echo" {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return err
		}
		address = conn.LocalAddr().String()
		go echo(conn)
	} else {
		n, err := strconv.Atoi(spec)
		if err != nil {
			return err
		}
		r, err := registered(n)
		if err != nil {
			return err
		}
		s, err := New(Config{Registry: r})
		if err != nil {
			return err
		}
		l, err := Listen(context.Background(), "127.0.0.1:0")
		if err != nil {
			return err
		}
		address = l.Addr().String()
		go s.Serve(context.Background(), l)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var used syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			return err
		}
		fmt.Println(address, used.Utime.Nano()+used.Stime.Nano())
	}
	return nil
}

// registered returns a real server with real sessions that provide the service
// many.
func registered(n int) (*server.Server, error) {
	none := time.Duration(0)
	srv, err := server.New(server.Config{Warming: &none})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go srv.Serve(context.Background(), listener)
	all := many(n).services["default many"].Instances
	for id := 0; len(all) > 0; id++ {
		part := min(len(all), registry.MaxProvides)
		c := client.New(client.Config{Servers: []string{"http://" + listener.Addr().String()}})
		c.Declare(registry.Declare{ID: fmt.Sprint("p", id), Key: strings.Repeat("k", registry.MinKey), Namespace: "default", Provides: all[:part]})
		go c.Run(context.Background())
		all = all[part:]
	}
	for {
		if l := srv.Lookup([]byte("default"), []byte("many")); l != nil && len(l.Instances) == n {
			return srv, nil
		}
		time.Sleep(time.Millisecond)
	}
}

// echo is the floor: what any server in Go pays for a packet.
func echo(conn *net.UDPConn) {
	b := make([]byte, maxQuery)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		conn.WriteToUDPAddrPort(b[:n], from)
	}
}

// child is a server in another process.
type child struct {
	in  io.Writer
	out *bufio.Reader
}

func startChild(tb testing.TB, spec string) *child {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), peer+"="+spec)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { in.Close(); cmd.Wait() })
	return &child{in, bufio.NewReader(out)}
}

func (c *child) ask(tb testing.TB) (address netip.AddrPort, used time.Duration) {
	tb.Helper()
	fmt.Fprintln(c.in)
	line, err := c.out.ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) != 2 {
		tb.Fatalf("the child said %q, %v", line, err)
	}
	nanos, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return netip.MustParseAddrPort(fields[0]), time.Duration(nanos)
}

// window is the number of queries that one client has under way.
const window = 32

// flood sends n queries from so many clients and waits for the answers.
func flood(tb testing.TB, to netip.AddrPort, packet []byte, clients, n int) {
	var work sync.WaitGroup
	for range clients {
		work.Go(func() {
			conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
			if err != nil {
				tb.Error(err)
				return
			}
			defer conn.Close()
			answer := make([]byte, maxQuery)
			for left := n / clients; left > 0; {
				batch := min(window, left)
				for range batch {
					if _, err := conn.Write(packet); err != nil {
						tb.Error(err)
						return
					}
				}
				conn.SetReadDeadline(time.Now().Add(5 * time.Second))
				for range batch {
					if _, err := conn.Read(answer); err != nil {
						tb.Error(err)
						return
					}
				}
				left -= batch
			}
		})
	}
	work.Wait()
}

// BenchmarkSocket measures queries over loopback from another process, by the
// server's processor time: queries/core-s is what one core could answer. The
// floor is an echo that does nothing else.
func BenchmarkSocket(b *testing.B) {
	const clients = 4
	for _, spec := range []string{"echo", "1", "3", "100", "5000"} {
		for _, kind := range []uint16{dns.TypeA, dns.TypeSRV} {
			if spec == "echo" && kind != dns.TypeA {
				continue
			}
			b.Run(spec+"/"+dns.TypeToString[kind], func(b *testing.B) {
				c := startChild(b, spec)
				q := question("many.default.cleat.", kind)
				q.SetEdns0(maxUDP, false)
				packet := packed(b, q)
				to, _ := c.ask(b)
				flood(b, to, packet, clients, clients*window) // the first makes the records
				_, before := c.ask(b)
				b.ResetTimer()
				flood(b, to, packet, clients, b.N)
				b.StopTimer()
				_, after := c.ask(b)
				if sent := b.N / clients * clients; sent > 0 && after > before {
					b.ReportMetric(float64(sent)/(after-before).Seconds(), "queries/core-s")
				}
			})
		}
	}
}

// BenchmarkAnswer measures an answer without a socket.
func BenchmarkAnswer(b *testing.B) {
	for _, size := range []int{1, 3, 100, 5000} {
		for _, test := range []struct {
			name string
			kind uint16
		}{{"many.default.cleat.", dns.TypeA}, {"many.default.cleat.", dns.TypeSRV}, {"_many._tcp.cleat.", dns.TypeSRV}, {"many.cleat.", dns.TypeAAAA}, {"nothing.cleat.", dns.TypeA}} {
			b.Run(fmt.Sprintf("instances=%d/%s/%s", size, test.name, dns.TypeToString[test.kind]), func(b *testing.B) {
				w := newWorker(b, many(size), Config{})
				q := question(test.name, test.kind)
				q.SetEdns0(maxUDP, false)
				packet := packed(b, q)
				b.ReportAllocs()
				for b.Loop() {
					if answer, _ := w.answer(packet, here); answer == nil {
						b.Fatal("no answer")
					}
				}
			})
		}
	}
}

// BenchmarkChanged measures the first answer after a change of a service with so
// many instances: it makes the records anew.
func BenchmarkChanged(b *testing.B) {
	for _, size := range []int{1, 100, 5000} {
		for _, kind := range []uint16{dns.TypeA, dns.TypeSRV, dns.TypeTXT} {
			b.Run(fmt.Sprintf("instances=%d/%s", size, dns.TypeToString[kind]), func(b *testing.B) {
				r := many(size)
				w := newWorker(b, r, Config{})
				packet := packed(b, question("many.cleat.", kind))
				key := "default many"
				instances := r.services[key].Instances
				for b.Loop() {
					r.services[key] = &server.Listing{Instances: instances}
					if answer, _ := w.answer(packet, here); answer == nil {
						b.Fatal("no answer")
					}
				}
			})
		}
	}
}
